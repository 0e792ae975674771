"""When the training has to wait for the segmenters, and what rounds cost them: from the latencies they report."""

from collections import deque
from statistics import median

WINDOW_S = 10.0  # a reported p95 covers this time; RECENT_S of nodes/health.py
FRESH_S = 3.0  # older reports do not count
RELEASE = 0.8  # of the budget: the training goes on below this, so that it does not stop and start all the time


class LatencyBudget:
    """Takes p95 latencies by node and decides whether one is above ``budget_ms``; 0 means no budget.

    Once busy it stays busy until all fresh reports are below 80 % of the budget. Times are seconds of a steady clock.
    """

    def __init__(self, budget_ms: float) -> None:
        self.budget_ms = budget_ms
        self._reports: dict[str, tuple[float, float]] = {}
        self._busy = False

    def report(self, name: str, p95_ms: float, now: float) -> None:
        """Take a report of node ``name``."""
        self._reports[name] = (p95_ms, now)

    def worst(self, now: float) -> tuple[str, float] | None:
        """Return the slowest node and its p95 in ms; None without a fresh report."""
        fresh = [(p95_ms, name) for name, (p95_ms, at) in self._reports.items() if now - at <= FRESH_S]
        return max(fresh)[::-1] if fresh else None

    def busy(self, now: float) -> bool:
        """Whether the training has to wait."""
        worst = self.worst(now)
        limit = self.budget_ms * (RELEASE if self._busy else 1.0)
        self._busy = bool(self.budget_ms and worst is not None and worst[1] > limit)
        return self._busy


class Latencies:
    """What rounds cost the segmenters: the p95 they report while a round runs, and while none runs.

    A report counts if its 10 s were all with a round or all without one. Times are seconds of a steady clock.
    """

    def __init__(self) -> None:
        self._reports: dict[tuple[str, bool], deque[float]] = {}
        self._training, self._since = False, float("-inf")

    def round_runs(self, training: bool, now: float) -> None:
        """Note whether a round runs."""
        if training != self._training:
            self._training, self._since = training, now

    def report(self, name: str, p95_ms: float, now: float) -> None:
        """Take a report of node ``name``."""
        if now - self._since >= WINDOW_S:
            self._reports.setdefault((name, self._training), deque(maxlen=1000)).append(p95_ms)

    def take(self) -> dict[str, dict[str, float]]:
        """Return the median p95 in ms by node, ``alone`` and ``beside`` a round, and forget the reports."""
        medians: dict[str, dict[str, float]] = {}
        for (name, training), reports in sorted(self._reports.items()):
            medians.setdefault(name, {})["beside" if training else "alone"] = round(median(reports), 1)
        self._reports.clear()
        return medians
