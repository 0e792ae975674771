"""SIGINT (Ctrl-C) and SIGTERM: as a request to stop after the current step, or with a temporary handler."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

# Signals that ask a process to end.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(RuntimeError):
    """A signal stopped the run; its state is saved."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


@dataclass
class StopRequest:
    """The number of the first SIGINT or SIGTERM, or None."""

    number: int | None = field(default=None)


@contextlib.contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, Any], Any] | signal.Handlers) -> Iterator[dict]:
    """Install ``handler`` for these signals while the context lasts; yields the previous handlers by signal."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield before
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM in a ``StopRequest``, so that the current step can end; the second acts.

    Only the main thread receives signals: in another thread the request stays empty.
    """
    stop = StopRequest()
    before: dict[int, Any] = {}

    def note(number: int, _: Any) -> None:
        stop.number = number
        for each, previous in before.items():
            signal.signal(each, previous)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with handled((signal.SIGINT, signal.SIGTERM), note) as previous:
        before |= previous
        yield stop
