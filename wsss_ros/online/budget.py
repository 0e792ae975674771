"""When the training gives way: the latency of the segmenters against what they are allowed; and what rounds cost."""

from collections import deque
from statistics import median

WINDOW_S = 10.0  # that a reported p95 looks back over; RECENT_S of nodes/health.py
FRESH_S = 3.0  # an older report says nothing of now
RELEASE = 0.8  # of the budget: below this it goes on, so that it does not stutter


class LatencyBudget:
    """Takes p95 latencies by node and says whether one is above ``budget_ms``; 0 is no budget.

    Once busy it stays so until all fresh reports are below 80 % of the budget. Times are seconds of any steady clock.
    """

    def __init__(self, budget_ms: float) -> None:
        self.budget_ms = budget_ms
        self._reports: dict[str, tuple[float, float]] = {}
        self._busy = False

    def report(self, name: str, p95_ms: float, now: float) -> None:
        self._reports[name] = (p95_ms, now)

    def worst(self, now: float) -> tuple[str, float] | None:
        """The slowest node and its p95, ms; None without a fresh report."""
        fresh = [(p95_ms, name) for name, (p95_ms, at) in self._reports.items() if now - at <= FRESH_S]
        return max(fresh)[::-1] if fresh else None

    def busy(self, now: float) -> bool:
        worst = self.worst(now)
        limit = self.budget_ms * (RELEASE if self._busy else 1.0)
        self._busy = bool(self.budget_ms and worst is not None and worst[1] > limit)
        return self._busy


class Latencies:
    """What rounds cost the segmenters: their reported p95 while one runs beside the ones from while none did.

    A report counts once all of its 10 s were of one kind. Times are seconds of any steady clock.
    """

    def __init__(self) -> None:
        self._reports: dict[tuple[str, bool], deque[float]] = {}
        self._training, self._since = False, float("-inf")

    def round_runs(self, training: bool, now: float) -> None:
        if training != self._training:
            self._training, self._since = training, now

    def report(self, name: str, p95_ms: float, now: float) -> None:
        if now - self._since >= WINDOW_S:
            self._reports.setdefault((name, self._training), deque(maxlen=1000)).append(p95_ms)

    def take(self) -> dict[str, dict[str, float]]:
        """Median p95 in ms by node, ``alone`` and ``beside`` a round, as far as there are reports; they are let go."""
        told: dict[str, dict[str, float]] = {}
        for (name, training), reports in sorted(self._reports.items()):
            told.setdefault(name, {})["beside" if training else "alone"] = round(median(reports), 1)
        self._reports.clear()
        return told
