"""Child processes: start one, wait for it, end it in order or by force."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

Child = subprocess.Popen | BaseProcess
LOOK_S = 0.02  # between two looks at the children
KILLED_S = 5.0  # a killed process ends at once, unless it waits for a device


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """A child in a session of its own: Ctrl-C in the terminal reaches it only through this process."""
    return subprocess.Popen(command, start_new_session=True, **options)


def has_ended(child: Child) -> bool:
    """Whether the process has ended; its status is then known."""
    status = child.poll() if isinstance(child, subprocess.Popen) else child.exitcode
    return status is not None


def wait(children: Iterable[Child], timeout_s: float, on_look: Callable[[], Any] = lambda: None) -> bool:
    """Wait until all children have ended, at most ``timeout_s``. ``on_look`` is called at each look at them.

    Returns whether all have ended.
    """
    children, until = list(children), time.monotonic() + timeout_s
    while True:
        on_look()
        if all(map(has_ended, children)):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_S)


def end(
    children: Iterable[Child],
    steps: Sequence[tuple[signal.Signals, float]],
    on_look: Callable[[], Any] = lambda: None,
) -> None:
    """Send each signal of ``steps`` to the children that still run and wait its seconds; then kill those that are left.

    ``on_look`` is called at each look at them.
    """
    children = list(children)
    for number, patience_s in (*steps, (signal.SIGKILL, KILLED_S)):
        for child in children:
            _send(child, number)
        if wait(children, patience_s, on_look):
            return


def _send(child: Child, number: signal.Signals) -> None:
    """Not to a process that has ended: its id may belong to another one by now."""
    if isinstance(child, subprocess.Popen):
        child.send_signal(number)
    elif not has_ended(child):
        os.kill(child.pid, number)
