"""What a node tells on /diagnostics: rates, latencies, drops by cause, silent inputs, and what to do about them."""

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from wsss_ros.sync import Synchronizer

OK, WARN, ERROR = 0, 1, 2
RECENT_S = 10.0
MOST_CAUSES = 40


@dataclass
class Input:
    """One subscribed topic. ``purpose`` says what cannot be made without it, ``missed`` whether its silence matters."""

    topic: str
    purpose: str
    missed: Callable[[], bool] = lambda: True
    since: float = field(default_factory=time.monotonic)
    received: int = 0
    trouble: str = ""
    streamed: bool = False
    _sent_at: deque[int] = field(default_factory=lambda: deque(maxlen=16))

    def heard(self, sent_at_ns: int = 0) -> bool:
        """Take note of a message; False where it came before, through another subscription of the same topic."""
        if sent_at_ns and sent_at_ns in self._sent_at:
            return False
        self._sent_at.append(sent_at_ns)
        self.received += 1
        self.since = time.monotonic()
        self.trouble = ""
        return True

    @property
    def sent_ns(self) -> int:
        """When the message in hand was sent, by its publisher's clock; 0 where that is not told."""
        return self._sent_at[-1] if self._sent_at else 0

    def silence(self, timeout_s: float, publishers: int) -> str:
        """One sentence when nothing came for longer than ``timeout_s``, else an empty string."""
        quiet_s = time.monotonic() - self.since
        if quiet_s <= timeout_s:
            return ""
        if self.trouble:
            hint = self.trouble
        elif publishers:
            hint = "does its source run, and does every process load the DDS profile config/fastdds.xml?"
        else:
            hint = "start its source or check the remap"
        return (
            f"no message on {self.topic} for {quiet_s:.0f} s ({self.received} received, {publishers} publishers), "
            f"so no {self.purpose}: {hint}"
        )


class Health:
    """Counts from any thread; ``problems`` and ``values`` make the diagnostic status of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[str, deque[float]] = {}
        self._latency: dict[str, deque[float]] = {}
        self.processed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._last: dict[str, tuple[float, int, str]] = {}
        self._told: dict[str, float] = {}

    def done(self, kind: str, latency_s: float) -> None:
        with self._lock:
            self.processed[kind] += 1
            self._ended.setdefault(kind, deque(maxlen=1000)).append(time.monotonic())
            self._latency.setdefault(kind, deque(maxlen=1000)).append(latency_s)

    def drop(self, cause: str, count: int = 1) -> None:
        with self._lock:
            self.dropped[cause if cause in self.dropped or len(self.dropped) < MOST_CAUSES else "other"] += count

    def note(self, cause: str, text: str, level: int = WARN) -> bool:
        """Keep ``text`` on the diagnostics for a while. True when it is time to log it (again)."""
        now = time.monotonic()
        with self._lock:
            if len(self._last) >= MOST_CAUSES and cause not in self._last:
                cause = "other"
            self._last[cause] = (now, level, text)
            fresh = now - self._told.get(cause, -RECENT_S) >= RECENT_S / 2
            if fresh:
                self._told[cause] = now
            return fresh

    def problems(self) -> list[tuple[int, str]]:
        """(level, text) of the last seconds."""
        now = time.monotonic()
        with self._lock:
            return [(level, text) for at, level, text in self._last.values() if now - at < RECENT_S]

    def values(self, main: str = "") -> dict[str, str]:
        """Figures by key; those of the kind ``main`` stand without a prefix."""
        with self._lock:
            values = {}
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
        if recent:  # what a latency budget is held against: the thousand jobs of the others may be minutes old
            figures["latency_recent_p95_ms"] = f"{np.percentile(latency_ms[-len(recent) :], 95):.1f}"
        return figures


def matching(sync: Synchronizer, purpose: str) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Problems and values of the diagnostics on matching by stamps; ``purpose`` is what cannot be made without."""
    values = {"clock_resets": str(sync.resets)} | {f"sync {cause}": str(n) for cause, n in sync.dropped.items()}
    if not (told := sync.mismatch()):
        return [], values
    return [(WARN, f"{told}, so no {purpose}: stamp all by one clock, or raise sync_tolerance_s")], values


def cause_of(error: Exception) -> str:
    """A short name to count an error by: its text up to the first colon, with # for numbers."""
    return re.sub(r"[-+]?\d[\d.e+-]*", "#", str(error).partition(":")[0])[:60] or type(error).__name__
