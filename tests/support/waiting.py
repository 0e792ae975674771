"""Waiting in tests: never for a time, but until something happens or nothing has progressed for minutes."""

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

HANG_S = 300.0  # without progress for this long it hangs; below pytest's own limit for a test


def until(
    condition: Callable[[], Any],
    why: str | Callable[[], str] = "it never happened",
    progress: Callable[[], Any] = lambda: None,
    hang_s: float = HANG_S,
) -> Any:
    """Return the first true result of ``condition``; ``progress`` returns what changes while work goes on.

    Raises AssertionError with ``why`` when ``progress`` has not changed for ``hang_s``.
    """
    last, deadline = progress(), time.monotonic() + hang_s
    while not (result := condition()):
        if (now := progress()) != last:
            last, deadline = now, time.monotonic() + hang_s
        assert time.monotonic() < deadline, f"{why() if callable(why) else why} (no progress for {hang_s:g} s)"
        time.sleep(0.01)
    return result


def status_of(process: subprocess.Popen, progress: Callable[[], Any] = lambda: None) -> int:
    """Return the exit status once the process has ended. One that hangs is killed."""
    try:
        until(lambda: process.poll() is not None, f"process {process.pid} does not end", progress)
    except AssertionError:
        process.kill()
        process.wait()
        raise
    return process.returncode


def output_of(process: subprocess.Popen) -> tuple[str, str]:
    """Return all text of both pipes once the process has ended, "" for an absent one; each line is progress."""
    lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
    readers = [
        threading.Thread(target=lambda pipe=pipe, kept=kept: kept.extend(pipe))
        for name, kept in lines.items()
        if (pipe := getattr(process, name)) is not None
    ]
    for reader in readers:
        reader.start()
    status_of(process, lambda: sum(map(len, lines.values())))
    for reader in readers:
        reader.join()
    return "".join(lines["stdout"]), "".join(lines["stderr"])
