"""The process that a round runs in, seen from the learner: started, asked to wait, watched and ended."""

import logging
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from wsss_ros.online.progress import RoundProgress
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.processes import children

log = logging.getLogger("wsss_ros")

START = "spawn"
_STOP_S = 4.0  # a round that is asked to stop ends after its step; killed, it resumes from its last state just as well


def _run(*arguments) -> None:
    """Import the round only in its process: training code is slow to load and large."""
    from wsss_ros.online import round

    round.run(*arguments)


class RoundProcess:
    """At most one process at a time, which runs one round of the folder in ``config``."""

    def __init__(self, config: OnlineConfig) -> None:
        self.config = config
        # Linux ends the process with the thread that started it, so this thread lives as long as the learner.
        self._starter = ThreadPoolExecutor(1)
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._progress: RoundProgress | None = None
        self._asked_to_wait = False

    @property
    def exists(self) -> bool:
        """Whether a process was started and ``forget`` was not called yet."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process that has ended; None while it runs and where there is none."""
        return None if self._process is None else self._process.exitcode

    @property
    def pid(self) -> int | None:
        """Process id."""
        return None if self._process is None else self._process.pid

    def start(self, number: int) -> None:
        """Start a process for round ``number``."""
        context: Any = multiprocessing.get_context(START)
        self._progress = context.RawValue(RoundProgress)
        self._pipe, theirs = context.Pipe()
        self._asked_to_wait = False
        arguments = self.config, number, theirs, self._progress
        process = context.Process(target=_run, args=arguments, name=f"round {number}", daemon=True)
        self._starter.submit(process.start).result()
        theirs.close()
        self._process = process

    def progress(self) -> dict | None:
        """Return the values of ``RoundProgress``; None without a process."""
        return None if self._process is None else self._progress.values()

    def ask_to_wait(self, wait: bool) -> None:
        """Let the round wait between two steps, or go on."""
        if self._process is not None and wait != self._asked_to_wait:
            self._send(wait)

    def stop(self) -> None:
        """End the process, after its step where that does not take long."""
        if self._process is None:
            return
        self._send(False)
        children.end([self._process], [(signal.SIGTERM, _STOP_S)])
        self.forget()

    def forget(self) -> None:
        """Make room for the next process; this one has ended."""
        self._pipe.close()
        self._process = None

    def close(self) -> None:
        """End the process and the thread that starts processes."""
        self.stop()
        self._starter.shutdown()

    def _send(self, wait: bool) -> None:
        self._asked_to_wait = wait
        try:
            self._pipe.send(wait)
        except OSError:
            log.debug("%s has just ended", self._process.name)
