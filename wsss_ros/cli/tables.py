"""Tables on the console."""

from collections.abc import Iterable

from rich.table import Table

from wsss_ros.evaluation.tables import percent


def table(title: str, *columns: str) -> Table:
    """Return a table with the first column to the left and the others, which hold numbers, to the right."""
    made = Table(title=title or None)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left")
    return made


def iou_table(scores: dict[str, dict], classes: Iterable[str] | None = None) -> Table:
    """Return a table with a column for each score ('iou' by class and 'miou', percent) and a row for each class.

    Without ``classes`` these are the classes of all scores.
    """
    made = Table("class", *scores)
    for name in classes or dict.fromkeys(name for score in scores.values() for name in score["iou"]):
        made.add_row(name, *(percent(score["iou"].get(name)) for score in scores.values()))
    made.add_row("mean", *(percent(score["miou"]) for score in scores.values()), style="bold")
    return made
