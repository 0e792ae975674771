"""Figures of a node for /diagnostics: rates, latencies, drops by cause, problems of the last seconds."""

import re
import threading
import time
from collections import Counter, deque

import numpy as np

from wsss_ros.sync import Synchronizer

OK, WARN, ERROR = 0, 1, 2
RECENT_S = 10.0
MOST_CAUSES = 40


Problem = tuple[int, str]  # level and sentence
Report = tuple[list[Problem], dict[str, str]]  # problems, and values by key
Status = tuple[int, str, dict[str, str]]  # level, sentence and values


class Health:
    """Counts from any thread. ``problems`` and ``values`` are for the diagnostics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[str, deque[float]] = {}
        self._latency: dict[str, deque[float]] = {}
        self.processed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._last: dict[str, tuple[float, int, str]] = {}
        self._logged_at: dict[str, float] = {}

    def done(self, kind: str, latency_s: float) -> None:
        """Count a job that has ended."""
        with self._lock:
            self.processed[kind] += 1
            self._ended.setdefault(kind, deque(maxlen=1000)).append(time.monotonic())
            self._latency.setdefault(kind, deque(maxlen=1000)).append(latency_s)

    def drop(self, cause: str, count: int = 1) -> None:
        """Count messages or jobs that were dropped; of very many causes the last share one count."""
        with self._lock:
            self.dropped[cause if cause in self.dropped or len(self.dropped) < MOST_CAUSES else "other"] += count

    def note(self, cause: str, text: str, level: int = WARN) -> bool:
        """Keep ``text`` on the diagnostics for RECENT_S. Returns whether it is time to log it (again)."""
        now = time.monotonic()
        with self._lock:
            if len(self._last) >= MOST_CAUSES and cause not in self._last:
                cause = "other"
            self._last[cause] = (now, level, text)
            due = now - self._logged_at.get(cause, -RECENT_S) >= RECENT_S / 2
            if due:
                self._logged_at[cause] = now
            return due

    def problems(self) -> list[Problem]:
        """Problems of the last seconds."""
        now = time.monotonic()
        with self._lock:
            return [(level, text) for at, level, text in self._last.values() if now - at < RECENT_S]

    def values(self, main: str = "") -> dict[str, str]:
        """Figures by key; those of the kind ``main`` stand without a prefix."""
        with self._lock:
            values: dict[str, str] = {}
            for kind in sorted(self.processed):
                prefix = "" if kind == main else f"{kind} "
                values |= {prefix + key: value for key, value in self._figures(kind).items()}
            return values | {f"dropped {cause}": str(count) for cause, count in sorted(self.dropped.items())}

    def _figures(self, kind: str) -> dict[str, str]:
        now, latency_ms = time.monotonic(), 1e3 * np.array(self._latency[kind])
        recent = [at for at in self._ended[kind] if now - at < RECENT_S]
        span_s = min(RECENT_S, now - recent[0]) if recent else RECENT_S
        figures = {
            "processed": str(self.processed[kind]),
            "rate_hz": f"{len(recent) / max(span_s, 1.0):.2f}",
            "latency_median_ms": f"{np.median(latency_ms):.1f}",
            "latency_p95_ms": f"{np.percentile(latency_ms, 95):.1f}",
        }
        if recent:  # compared with the latency budget; the thousand jobs of the other figures may be minutes old
            figures["latency_recent_p95_ms"] = f"{np.percentile(latency_ms[-len(recent) :], 95):.1f}"
        return figures


def sync_report(sync: Synchronizer, purpose: str) -> Report:
    """Problems and values of matching by stamps. ``purpose`` is what cannot be made without matches."""
    values = {"clock_resets": str(sync.resets)} | {f"sync {cause}": str(n) for cause, n in sync.dropped.items()}
    if not (text := sync.mismatch()):
        return [], values
    return [(WARN, f"{text}, so no {purpose}: stamp all by one clock, or raise sync_tolerance_s")], values


def cause_of(error: Exception) -> str:
    """A short name to count an error by: its text before the first colon, with # for numbers."""
    return re.sub(r"[-+]?\d[\d.e+-]*", "#", str(error).partition(":")[0])[:60] or type(error).__name__
