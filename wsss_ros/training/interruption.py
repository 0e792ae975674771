"""Ctrl-C and SIGTERM as a wish that a run grants between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


class Interrupted(RuntimeError):
    """A signal stopped the run; its state is saved."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


@dataclass
class Stop:
    """The first SIGINT or SIGTERM, or None."""

    number: int | None = field(default=None)


@contextlib.contextmanager
def noted() -> Iterator[Stop]:
    """Inside, the first signal is only noted, so that a step can end; the second acts as ever."""
    stop, before = Stop(), {}

    def note(number: int, _) -> None:
        stop.number = number
        for each, handler in before.items():
            signal.signal(each, handler)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
