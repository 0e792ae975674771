"""The processes of a node set: starting them, passing their output on, waiting for them and ending them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from wsss_ros import node_set
from wsss_ros.node_set import Process
from wsss_ros.processes import children
from wsss_ros.processes.signals import handled
from wsss_ros.types import BadInput

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(processes: Iterable[Process]) -> int:
    """Start them, pass their output on, and wait for Ctrl-C or the end of a replay. Returns 1 where one failed."""
    with contextlib.suppress(KeyboardInterrupt), running() as nodes:
        for process in processes:
            nodes.start(process)
        nodes.wait()
    return 1 if nodes.failed else 0


@contextlib.contextmanager
def running() -> Iterator["NodeProcesses"]:
    """Processes that end with the block, however it ends: SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in it."""
    nodes = NodeProcesses()
    with handled(ENDINGS, _interrupt):
        try:
            yield nodes
        finally:
            # A second Ctrl-C must not leave children behind.
            with handled(ENDINGS, signal.SIG_IGN):
                nodes.end()


class NodeProcesses:
    """Running processes of the set. ``failed`` has the names of those that failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._running: dict[str, tuple[Process, subprocess.Popen]] = {}
        self._forwarders: list[threading.Thread] = []

    def start(self, process: Process) -> None:
        """Start one process of the set. Raises BadInput where its executable is not installed."""
        child = children.start(
            [*_command(process), *process.ros_arguments()],
            env={**os.environ, **node_set.environment(os.environ), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        self._running[process.name] = (process, child)
        forwarder = threading.Thread(target=_forward, args=(process.name, child), daemon=True)
        forwarder.start()
        self._forwarders.append(forwarder)

    def wait(self) -> None:
        """Wait until the process that ends the set has ended, or none is left."""
        while self._running:
            for process in self._reap():
                if process.ends_the_set:
                    time.sleep(node_set.LINGER_S)
                    return
            time.sleep(children.LOOK_S)

    def check(self) -> None:
        """Raises BadInput where a process has ended."""
        ended = [*(process.name for process in self._reap()), *self.failed]
        if ended:
            raise BadInput(f"{ended[0]} has ended; its last messages are above")

    def end(self) -> None:
        """End the processes that still run: SIGINT, then SIGTERM, then SIGKILL, each after some patience."""
        self._reap(asked=True)
        steps = list(zip((signal.SIGINT, signal.SIGTERM), node_set.PATIENCE_S, strict=True))
        children.end([child for _, child in self._running.values()], steps, lambda: self._reap(asked=True))
        for forwarder in self._forwarders:
            forwarder.join(timeout=1.0)

    def _reap(self, asked: bool = False) -> list[Process]:
        """Processes that have ended since the last call. ``asked``: whether they were asked to end."""
        ended = [(process, child) for process, child in self._running.values() if child.poll() is not None]
        for process, child in ended:
            del self._running[process.name]
            if _failed(child.returncode, asked):
                self.failed.append(process.name)
                print(f"wsss: {process.name} failed with status {child.returncode}", file=sys.stderr, flush=True)
        return [process for process, _ in ended]


def _failed(status: int, asked: bool) -> bool:
    """A process that was asked to end may end with any status, even while it starts, but not crash or be killed."""
    return status < 0 and -status not in ENDINGS if asked else status != 0


def _command(process: Process) -> list[str]:
    if process.module:
        return [sys.executable, "-m", process.module]
    executable = shutil.which(process.executable)
    if executable is None:
        raise BadInput(
            f"'{process.executable}' is not on this machine; install it (ros-jazzy-rviz2) or leave rviz:=false"
        )
    return [executable]


def _forward(name: str, child: subprocess.Popen) -> None:
    for line in child.stdout:
        print(f"[{name}] {line.decode(errors='replace').rstrip()}", flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
