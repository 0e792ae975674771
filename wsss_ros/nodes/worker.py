"""One thread for the slow work of a node, with room for one waiting job of each kind: the newest wins."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Job = tuple[Callable[..., Any], tuple, float]


class Worker:
    """``put`` returns at once. A newer job replaces a waiting one of its kind, and waits in its place.

    A job of ``queue`` is never replaced and comes before those of ``put``: it is the rest of a job that was done.

    ``run(kind, function, arguments, put_at)`` is called on the thread for each job and must not raise;
    ``replaced(kind)`` is called for each job that was replaced.
    """

    def __init__(self, run: Callable[[str, Callable, tuple, float], None], replaced: Callable[[str], None]) -> None:
        self._run, self._replaced = run, replaced
        self._waiting: dict[str, Job] = {}
        self._queued: deque[tuple[str, Job]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._turn = 0  # of the thread that may take jobs; a thread that was left behind has an earlier one

    def start(self) -> None:
        """Start the thread."""
        self._turn += 1
        self._thread = threading.Thread(target=self._loop, args=(self._turn,), name="wsss_worker", daemon=True)
        self._thread.start()

    def put(self, kind: str, function: Callable, *arguments: Any) -> None:
        """Call ``function(*arguments)`` on the thread. Without a running thread the job is forgotten."""
        with self._changed:
            if self._thread is None:
                return
            previous = self._waiting.get(kind)
            self._waiting[kind] = (function, arguments, time.monotonic())
            self._changed.notify()
        if previous is not None:
            self._replaced(kind)

    def queue(self, kind: str, function: Callable, *arguments: Any) -> None:
        """As ``put``, but before all jobs of ``put``, and none is replaced. The caller bounds their number."""
        with self._changed:
            if self._thread is not None:
                self._queued.append((kind, (function, arguments, time.monotonic())))
                self._changed.notify()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Forget the waiting jobs and let the running one finish. Returns False where it takes longer than the time."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._turn += 1
            self._waiting.clear()
            self._queued.clear()
            self._changed.notify_all()
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _loop(self, turn: int) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queued or self._waiting or turn != self._turn)
                if turn != self._turn:
                    return
                kind, (function, arguments, put_at) = self._next()
            self._run(kind, function, arguments, put_at)
            function = arguments = None  # do not keep a message of megabytes until the next one

    def _next(self) -> tuple[str, Job]:
        if self._queued:
            return self._queued.popleft()
        kind = next(iter(self._waiting))
        return kind, self._waiting.pop(kind)
