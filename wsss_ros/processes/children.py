"""Child processes: start them, wait for them, end them by signals."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

Child = subprocess.Popen | BaseProcess
LOOK_S = 0.02  # time between two checks of the children
KILLED_S = 5.0  # time to wait after SIGKILL: a process ends at once, unless it waits for a device


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Start a child process in a session of its own, so that Ctrl-C in the terminal does not reach it directly."""
    return subprocess.Popen(command, start_new_session=True, **options)


def has_ended(child: Child) -> bool:
    """Whether the process has ended. Its exit status is then collected."""
    status = child.poll() if isinstance(child, subprocess.Popen) else child.exitcode
    return status is not None


def wait(children: Iterable[Child], timeout_s: float, on_look: Callable[[], Any] = lambda: None) -> bool:
    """Wait until all children have ended, but at most ``timeout_s``; returns whether all have ended.

    ``on_look`` is called at each check, every LOOK_S.
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
    """End the children: for each (signal, seconds) of ``steps`` send the signal to those that run and wait that long.

    Children that still run after that are killed. ``on_look`` is called at each check, every LOOK_S.
    """
    children = list(children)
    for number, patience_s in (*steps, (signal.SIGKILL, KILLED_S)):
        for child in children:
            _send(child, number)
        if wait(children, patience_s, on_look):
            return


def _send(child: Child, number: signal.Signals) -> None:
    """Send a signal to a child, unless it has ended: another process may have its id by now."""
    if isinstance(child, subprocess.Popen):
        child.send_signal(number)
    elif not has_ended(child):
        os.kill(child.pid, number)
