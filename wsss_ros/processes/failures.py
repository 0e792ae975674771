"""Whether and why a child process has failed."""

import re
import signal
from collections import deque

from wsss_ros.processes.signals import ENDINGS

_LOGGED_ERROR = re.compile(r"(?:\x1b\[\d*m)*\[(?:ERROR|FATAL)\] \[[\d.]+\] \[[^]]*\]: ([^\x1b]*)")  # by rclpy


class Tail:
    """The end of what a process writes, for the reason of its failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=50)

    def add(self, line: str) -> None:
        """Take one line."""
        if line.strip():
            self._lines.append(line)

    def reason(self) -> str:
        """The last line that was logged as an error, or the last line where a traceback came after it."""
        for line in reversed(self._lines):
            if line.startswith("Traceback"):
                break
            if text := _LOGGED_ERROR.match(line):
                return text[1]
        return self._lines[-1] if self._lines else "it wrote nothing"


def has_failed(status: int, asked: bool) -> bool:
    """A process that was asked to end may end with any status, even while it starts, but not crash or be killed."""
    return status < 0 and -status not in ENDINGS if asked else status != 0


def failure(name: str, status: int, reason: str) -> str:
    """One sentence about a process that has failed."""
    if status >= 0:
        return f"{name} failed with status {status}: {reason}"
    number = -status
    known = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
    return f"{name} was ended by {known}; its last line: {reason}"
