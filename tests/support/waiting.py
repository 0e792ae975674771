"""Waiting in tests: never for a time, but until something happens or nothing has progressed for minutes."""

import time
from collections.abc import Callable
from typing import Any

HANG_S = 150.0  # without progress for this long it hangs; below pytest's own limit for a test


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
