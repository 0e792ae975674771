"""Tables on the console."""

from rich.table import Table


def table(title: str, *columns: str) -> Table:
    """A table with the first column to the left and the others, which hold numbers, to the right."""
    made = Table(title=title or None)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left")
    return made


def percent(value: float | None) -> str:
    """One digit after the point; a dash for None."""
    return "-" if value is None else f"{value:.1f}"
