"""`wsss labels`: label files. Each subcommand is the function ``labels_NAME`` in the file of that name."""

import typer

from wsss_ros.cli import main

LABELS = {
    "new": "Write a label file with these classes, their ids and colours.",
    "show": "Print the classes of a label file, and draw their colours.",
}


class LabelCommands(main.Commands):
    """The subcommands of `wsss labels`."""

    HELP, PREFIX = LABELS, "labels_"


labels = typer.Typer(
    cls=LabelCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=main.app.info.context_settings,
)


@labels.callback()
def _labels() -> None:
    """Write and show label files: classes with ids, colours and synonyms."""
