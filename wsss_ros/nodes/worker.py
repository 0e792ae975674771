"""One thread for the slow work of a node, with room for one waiting job of each kind: the newest wins."""

import threading
import time
from collections.abc import Callable
from typing import Any

Job = tuple[Callable[..., Any], tuple, float]


class Worker:
    """``put`` returns at once. A newer job replaces a waiting one of its kind.

    ``run(kind, function, arguments, put_at)`` is called on the thread for each job and must not raise;
    ``replaced(kind)`` is called for each job that was replaced.
    """

    def __init__(self, run: Callable[[str, Callable, tuple, float], None], replaced: Callable[[str], None]) -> None:
        self._run, self._replaced = run, replaced
        self._waiting: dict[str, Job] = {}
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
            previous = self._waiting.pop(kind, None)
            self._waiting[kind] = (function, arguments, time.monotonic())
            self._changed.notify()
        if previous is not None:
            self._replaced(kind)

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Forget the waiting jobs and let the running one finish. Returns False where it takes longer than the time."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._turn += 1
            self._waiting.clear()
            self._changed.notify_all()
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _loop(self, turn: int) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or turn != self._turn)
                if turn != self._turn:
                    return
                kind = next(iter(self._waiting))
                function, arguments, put_at = self._waiting.pop(kind)
            self._run(kind, function, arguments, put_at)
            function = arguments = None  # do not keep a message of megabytes until the next one
