"""Figures of a node for /diagnostics: rates, latencies, drops by cause, problems of the last seconds."""

import os
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wsss_ros.sync import PATIENCE, Synchronizer

OK, WARN, ERROR = 0, 1, 2
RECENT_S = 10.0
MOST_CAUSES = 40
DEAD_AFTER = 3  # so many jobs in a row that raised are an error until one ends well
REPEAT_S = 60.0  # a problem that comes and goes is logged at most this often
# A number, a size such as 640x480, an address; not the number in a name, such as /camera1 or rgb8.
_NUMBER = re.compile(r"(?<![A-Za-z_\d])(?:0x[\da-f]+|[-+]?\d[\d.e+-]*(?:x\d+)*)")
STAMP_OFFSET_S = 5.0  # stamps farther from the clock than this are told where nothing matches


Problem = tuple[int, str]  # level and sentence
Report = tuple[list[Problem], dict[str, str]]  # problems, and values by key
Status = tuple[int, str, dict[str, str]]  # level, sentence and values


class Announcer:
    """Logs each problem once while it lasts, and once that it is over. Texts that differ in numbers only are one.

    A problem is over when none has its text before the first colon; what follows is its cause, which may change.
    """

    def __init__(self, log: Callable[[int, str], None]) -> None:
        self._log = log
        self._lasting: dict[str, tuple[float, str, bool]] = {}  # by text without numbers: since, text, logged
        self._logged_at: dict[str, float] = {}

    def update(self, problems: list[Problem]) -> None:
        """Take the problems of this moment."""
        now = time.monotonic()
        texts = {_without_numbers(text): (level, text) for level, text in problems if level != OK}
        subjects, changed = set(map(_subject, texts)), {}
        for key in set(self._lasting) - set(texts):
            since, text, logged = self._lasting.pop(key)
            if _subject(key) in subjects:
                changed[_subject(key)] = since, logged
            elif logged:
                self._log(OK, f"over after {now - since:.0f} s: {_subject(text)}")
        for key, (level, text) in texts.items():
            if key not in self._lasting:
                self._begin(key, level, text, *changed.get(_subject(key), (now, False)))

    def clear(self) -> None:
        """Forget what lasts, without a line."""
        self._lasting.clear()

    def _begin(self, key: str, level: int, text: str, since: float, logged: bool) -> None:
        now = time.monotonic()
        due = now - self._logged_at.get(key, -REPEAT_S) >= REPEAT_S
        if due:
            if len(self._logged_at) >= MOST_CAUSES:
                self._logged_at.clear()
            self._logged_at[key] = now
            self._log(level, text)
        self._lasting[key] = since, text, due or logged


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
        self._failed_in_a_row: Counter[str] = Counter()
        self._last_failure: dict[str, str] = {}  # by kind
        self._running: tuple[str, float] | None = None

    def begin(self, kind: str) -> None:
        """Note that the worker begins a job."""
        self._running = kind, time.monotonic()

    def failed(self, kind: str, text: str) -> None:
        """Count a job that raised an error that is not one of its input."""
        with self._lock:
            self._failed_in_a_row[kind] += 1
            self._last_failure[kind] = text

    def ended(self) -> None:
        """Note that the worker has ended its job."""
        self._running = None

    def dead_jobs(self, longest_s: float) -> list[Problem]:
        """A job that runs for longer than ``longest_s``, and jobs that raise again and again."""
        problems: list[Problem] = []
        if (running := self._running) and (took_s := time.monotonic() - running[1]) > longest_s:
            hint = "its device hangs or is overloaded; restart the node"
            problems.append((ERROR, f"the job '{running[0]}' runs for {took_s:.0f} s: {hint}"))
        with self._lock:
            for kind, count in self._failed_in_a_row.items():
                if count >= DEAD_AFTER:
                    text = f"the last {count} jobs '{kind}' failed: {self._last_failure[kind]}; nothing comes out of it"
                    problems.append((ERROR, text))
        return problems

    def done(self, kind: str, latency_s: float) -> None:
        """Count a job that has ended."""
        with self._lock:
            self.processed[kind] += 1
            self._failed_in_a_row.pop(kind, None)
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
        """Figures by key; those of the kind ``main`` stand without a prefix.

        Kinds such as ``frame left`` and ``frame right`` have figures of their own and are ``frame`` together.
        """
        with self._lock:
            values: dict[str, str] = {}
            for kind in sorted(self.processed):
                prefix = "" if kind == main else f"{kind} "
                values |= {prefix + key: value for key, value in self._figures([kind]).items()}
            parts = [kind for kind in self.processed if kind == main or kind.startswith(f"{main} ")]
            if main and parts and parts != [main]:
                values |= self._figures(parts)
            return values | {f"dropped {cause}": str(count) for cause, count in sorted(self.dropped.items())}

    def _figures(self, kinds: list[str]) -> dict[str, str]:
        jobs = sorted(job for kind in kinds for job in zip(self._ended[kind], self._latency[kind], strict=True))
        now, latency_ms = time.monotonic(), 1e3 * np.array([latency_s for _, latency_s in jobs])
        recent = [at for at, _ in jobs if now - at < RECENT_S]
        span_s = min(RECENT_S, now - recent[0]) if recent else RECENT_S
        figures = {
            "processed": str(sum(self.processed[kind] for kind in kinds)),
            "rate_hz": f"{len(recent) / max(span_s, 1.0):.2f}",
            "latency_median_ms": f"{np.median(latency_ms):.1f}",
            "latency_p95_ms": f"{np.percentile(latency_ms, 95):.1f}",
        }
        if recent:  # compared with the latency budget; the thousand jobs of the other figures may be minutes old
            figures["latency_recent_p95_ms"] = f"{np.percentile(latency_ms[-len(recent) :], 95):.1f}"
        return figures


def memory_mb() -> float:
    """Main memory of this process in MB; 0 where the system does not tell it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def sync_report(sync: Synchronizer, purpose: str, now_ns: int | None = None, patience: int = PATIENCE) -> Report:
    """Problems and values of matching by stamps. ``purpose`` is what cannot be made without matches.

    With ``now_ns``, the node's clock, streams whose stamps are far from it are named. ``patience``: messages of every
    stream without a match that are a problem.
    """
    values = {"clock_resets": str(sync.resets)} | {f"sync {cause}": str(n) for cause, n in sync.dropped.items()}
    zero = [name for name, last in sync.latest_received.items() if last.count > DEAD_AFTER and last.stamp_ns == 0]
    if zero:
        text = f"the stamps of {', '.join(zero)} are 0, so no {purpose}: its driver has to fill header.stamp"
        return [(WARN, text)], values
    if not (text := sync.mismatch(patience)):
        return [], values
    far = "" if now_ns is None else _far_from_clock(sync, now_ns)
    return [(WARN, f"{text}, so no {purpose}: {far}stamp all by one clock, or raise sync_tolerance_s")], values


def _far_from_clock(sync: Synchronizer, now_ns: int) -> str:
    """The streams whose newest stamp is far from the clock, with a ``; `` behind it."""
    offsets_s = {name: (last.stamp_ns - now_ns) / 1e9 for name, last in sync.latest_received.items()}
    far = [
        f"{name} is {abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'} the node's clock"
        for name, offset_s in offsets_s.items()
        if abs(offset_s) > STAMP_OFFSET_S
    ]
    return "".join(f"{text}; " for text in far)


def _without_numbers(text: str) -> str:
    return _NUMBER.sub("#", text)


def _subject(text: str) -> str:
    return text.partition(": ")[0]


def cause_of(error: Exception) -> str:
    """A short name to count an error by: its text before the first colon, with # for numbers."""
    return _without_numbers(str(error).partition(":")[0])[:60] or type(error).__name__
