"""`wsss`: the entry to everything that is not a node. A subcommand is the function that has the name of its file."""

import functools
import importlib
import logging
import signal
import sys
from importlib.util import find_spec
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "demo": "Play a scene to the nodes; score and draw what they publish.",
    "demo-online": "Tag rooms of an unseen kind while they are played, and learn from them.",
    "up": "Start the nodes of segment.launch.py without ROS's launch.",
    "doctor": "Check this machine and, with --topics, what a robot publishes.",
    "tag": "Serve the web page to tag with, for nodes that run already.",
    "view": "Show a bag, a scene or labelled files in 3D, in a browser.",
    "rooms": "Generate a data set of procedural rooms in ScanNet's layout.",
    "bag": "Write a scene as a ROS 2 bag.",
    "replay": "Play a bag or a scene folder to the nodes, with /clock.",
    "train": "Train networks from class tags.",
    "evaluate": "Score networks, or labels in files, on labelled scenes.",
    "calibrate": "Fit the confidence of a network to labelled scenes.",
    "segment": "Write the labels of a scene or a bag as PLY and PNG.",
    "bench": "Measure speeds; train and report the ablation.",
}


class Deferred(TyperCommand):
    """A subcommand that is imported when it runs, so that `wsss --help` stays quick."""

    def __init__(self, name: str, help: str, module: str = ""):
        super().__init__(name, help=help)
        self.module = module or name

    def make_context(self, info_name, args, parent=None, **extra):
        """Parse the arguments as the module's own command does."""
        return _import_command(self.module).make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """Subcommands with their help. The file of each is ``PREFIX`` and its name, with _ for -."""

    HELP, PREFIX = COMMANDS, ""

    def _file(self, name: str) -> str:
        return self.PREFIX + name.replace("-", "_")

    def list_commands(self, ctx) -> list[str]:
        """Names of the subcommands whose files exist."""
        return [name for name in self.HELP if find_spec(f"wsss_ros.cli.{self._file(name)}")]

    def get_command(self, ctx, name: str):
        """The subcommand of this name, None for another one."""
        return Deferred(name, self.HELP[name], self._file(name)) if name in self.list_commands(ctx) else None


app = typer.Typer(
    name="wsss",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show tracebacks.")] = False,
) -> None:
    """Semantic segmentation for ROS 2, learned from class tags only."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("wsss_ros").setLevel(logging.DEBUG if debug else logging.INFO)


def main() -> None:
    """Run the command line. SIGTERM becomes an exception, so that helper processes are ended first."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    app()


def _import_command(name: str):
    function = getattr(importlib.import_module(f"wsss_ros.cli.{name}"), name)
    if isinstance(function, typer.Typer):  # with subcommands of its own
        return typer.main.get_command(function)
    settings = app.info.context_settings
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=settings)
    alone.command(name)(_with_plain_errors(function))
    return typer.main.get_command(alone)


def _with_plain_errors(function):
    """Errors that a user can correct end in one line and a status: 1, after signal N 128 + N (130 for Ctrl-C)."""
    from wsss_ros.types import BadInput

    @functools.wraps(function)
    def command(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            _fail("interrupted", 128 + getattr(interrupt, "number", signal.SIGINT))
        except (BadInput, OSError) as error:
            _fail(error, 1)

    return command


def _fail(message, status: int) -> None:
    if sys.exc_info()[0] is not KeyboardInterrupt and logging.getLogger("wsss_ros").level == logging.DEBUG:
        raise
    typer.secho(f"wsss: {' '.join(str(message).split())}", fg=typer.colors.RED, err=True)
    raise typer.Exit(status)


if __name__ == "__main__":
    main()
