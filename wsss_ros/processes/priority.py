"""The priority of a process."""

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def yield_processor(niceness: int = 10) -> None:
    """Let other processes have the processor first. To be called before the process has threads.

    A nice value counts among the processes of one session; Linux shares the processor between sessions by that of
    each session (autogroup). So a process that leads a session of its own changes both.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # without autogroups, and in containers that do not allow it
            _AUTOGROUP.write_text(str(niceness))
