"""Scores as text: percentages, means over runs, and tables in Markdown."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def percent(value: float | None, missing: str = "-") -> str:
    """A score in percent as text with one decimal; ``missing`` for None."""
    return missing if value is None else f"{value:.1f}"


@dataclass(frozen=True)
class RunStatistics:
    """The same score of several runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation (n - 1) over the runs; None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        return percent(self.mean) if self.spread is None else f"{percent(self.mean)} ± {percent(self.spread)}"


def markdown_row(cells: Iterable[object]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1, rule_pad: str = ""
) -> list[str]:
    """The lines of a Markdown table. The columns after the first ``text_columns`` are aligned to the right, as numbers.

    ``rule_pad`` is put around the dashes of the second line.
    """
    dashes = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    rule = "|".join(["", *(f"{rule_pad}{each}{rule_pad}" for each in dashes), ""])
    return [markdown_row(head), rule, *map(markdown_row, rows)]
