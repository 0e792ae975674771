"""`wsss`: the entry to everything that is not a node. A subcommand is the function that has the name of its file."""

import functools
import importlib
import io
import logging
import signal
import sys
from importlib.util import find_spec
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from wsss_ros.cli import command_name
from wsss_ros.cli import status_after as _status_after

COMMANDS = {
    "demo": "Play a scene to the nodes; score and draw what they publish.",
    "demo-online": "Tag rooms of an unseen kind while they are played, and learn from them.",
    "up": "Start the nodes of segment.launch.py without ROS's launch.",
    "doctor": "Check this machine and, with --topics, what a robot publishes.",
    "labels": "Write and show label files: classes with ids and colours.",
    "tags": "Print what is understood of the class tags of a folder.",
    "check": "Say what files and folders are taken for, and what is in them.",
    "tag": "Serve the web page to tag with, for nodes that run already.",
    "view": "Show a bag, a scene or labelled files in 3D, in a browser.",
    "rooms": "Generate a data set of procedural rooms in ScanNet's layout.",
    "bag": "Write a scene as a ROS 2 bag.",
    "replay": "Play a bag or a scene folder to the nodes, with /clock.",
    "train": "Train networks from class tags.",
    "evaluate": "Score networks, or labels in files, on labelled scenes.",
    "calibrate": "Fit the confidence of a network to labelled scenes.",
    "segment": "Write the labels of a scene or a bag as PLY and PNG.",
    "select": "Say which frames are worth tagging.",
    "fuse": "Vote the labels of many frames onto one cloud.",
    "bench": "Measure speeds; train and report the ablation.",
}


_received: list[int] = []  # signals; Python drops the exception of one that comes while an object is deleted


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
    """Run the command line. Signals become exceptions, so that helper processes are ended first."""
    for stream in (sys.stdout, sys.stderr):  # names of files need not be UTF-8, nor the terminal
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT until the command runs, which may handle it
        signal.signal(number, _end)
    try:
        app()
    except RuntimeError as error:
        if not _received or not _is_signal(error):
            raise
        sys.exit(_status_after(_received[0], command_name()))


def _is_signal(error: RuntimeError) -> bool:
    """Whether it is a signal that came while a class was defined: Python 3.10 and 3.11 hide what is raised there."""
    return isinstance(error.__cause__, KeyboardInterrupt | SystemExit)


def _end(number: int, frame: object) -> None:
    _received.append(number)
    sys.exit(_status_after(number, command_name()))


def _import_command(name: str):
    function = getattr(importlib.import_module(f"wsss_ros.cli.{name}"), name)
    if isinstance(function, typer.Typer):  # with subcommands of its own
        return typer.main.get_command(function)
    settings = app.info.context_settings
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=settings)
    alone.command(name)(_with_plain_errors(name, function))
    return typer.main.get_command(alone)


def _with_plain_errors(name: str, function):
    """Errors that a user can correct end in one line and status 1; signals as ``_status_after`` says."""
    from wsss_ros.files import plain_error
    from wsss_ros.types import BadInput

    @functools.wraps(function)
    def command(*args, **kwargs):
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            answer = function(*args, **kwargs)
            if _received:
                raise typer.Exit(_status_after(_received[0], name))
            return answer
        except KeyboardInterrupt as interrupt:
            _fail("interrupted", _status_after(getattr(interrupt, "number", signal.SIGINT), name))
        except RuntimeError as error:
            if not _is_signal(error):
                raise
            _fail("interrupted", _status_after(signal.SIGINT, name))
        except BadInput as error:
            _fail(error, 1)
        except OSError as error:
            _fail(plain_error(error), 1)

    return command


def _fail(message, status: int) -> None:
    if sys.exc_info()[0] is not KeyboardInterrupt and logging.getLogger("wsss_ros").level == logging.DEBUG:
        raise
    typer.secho(f"wsss: {' '.join(str(message).split())}", fg=typer.colors.RED, err=True)
    raise typer.Exit(status)


if __name__ == "__main__":
    main()
