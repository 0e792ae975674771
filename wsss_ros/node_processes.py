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
from dataclasses import dataclass, field

from wsss_ros import node_set
from wsss_ros.node_set import Process
from wsss_ros.processes import children, failures
from wsss_ros.processes.signals import ENDINGS, handled
from wsss_ros.types import BadInput


class EndedBySignal(KeyboardInterrupt):
    """A signal asked for the end; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run(processes: Iterable[Process]) -> int:
    """Start them, pass their output on, and wait for a signal, a failure, or the end of a replay.

    Returns 0 after a replay or Ctrl-C, 1 where one failed (the last line then says why), and 128 + N after signal N.
    """
    nodes, status = NodeProcesses(), 0
    try:
        with running(nodes):
            for process in processes:
                nodes.start(process)
            nodes.wait()
    except EndedBySignal as asked:
        status = 0 if asked.number == signal.SIGINT else 128 + asked.number
    if nodes.failed:
        print(f"wsss: {next(iter(nodes.failed.values()))}", file=sys.stderr, flush=True)
        return 1
    return status


@contextlib.contextmanager
def running(nodes: "NodeProcesses | None" = None) -> Iterator["NodeProcesses"]:
    """Processes that end with the block, however it ends: SIGINT, SIGTERM and SIGHUP raise EndedBySignal in it."""
    nodes = nodes or NodeProcesses()
    with handled(ENDINGS, _interrupt):
        try:
            yield nodes
        finally:
            # A second Ctrl-C must not leave children behind.
            with handled(ENDINGS, signal.SIG_IGN):
                nodes.end()


@dataclass
class _Running:
    """A child, the end of its output, and the thread that passes the output on."""

    process: Process
    child: subprocess.Popen
    tail: failures.Tail = field(default_factory=failures.Tail)
    forwarder: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.forwarder = threading.Thread(target=self._forward, daemon=True)
        self.forwarder.start()

    def _forward(self) -> None:
        for line in self.child.stdout:
            text = line.decode(errors="replace").rstrip()
            self.tail.add(text)
            print(f"[{self.process.name}] {text}", flush=True)

    def failure(self) -> str:
        """One sentence about the failure of a child that has ended."""
        self.forwarder.join(timeout=1.0)  # its last lines may still be in the pipe
        return failures.failure(self.process.name, self.child.returncode, self.tail.reason())


class NodeProcesses:
    """Running processes of the set. ``failed`` has a sentence for each that failed, by name, the first one first."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self._running: dict[str, _Running] = {}

    def start(self, process: Process) -> None:
        """Start one process of the set. Raises BadInput where its executable is not installed."""
        child = children.start(
            [*_command(process), *process.ros_arguments()],
            env={**os.environ, **node_set.environment(os.environ, process.profile), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        self._running[process.name] = _Running(process, child)

    def wait(self) -> None:
        """Wait until the process that ends the set has ended, one that the set needs has failed, or none is left."""
        while self._running:
            for process in self._reap():
                if process.name in self.failed and process.needed:
                    return
                if process.ends_the_set:
                    time.sleep(node_set.LINGER_S)
                    return
            time.sleep(children.LOOK_S)

    def check(self) -> None:
        """Raises BadInput where a process has ended."""
        ended = self._reap()
        if self.failed:
            raise BadInput(next(iter(self.failed.values())))
        if ended:
            raise BadInput(f"{ended[0].name} has ended; its last messages are above")

    def end(self) -> None:
        """End the processes that still run: SIGINT, then SIGTERM, then SIGKILL, each after some patience."""
        self._reap(asked=True)
        left = list(self._running.values())
        steps = list(zip((signal.SIGINT, signal.SIGTERM), node_set.PATIENCE_S, strict=True))
        children.end([each.child for each in left], steps, lambda: self._reap(asked=True))
        for each in left:
            each.forwarder.join(timeout=1.0)

    def _reap(self, asked: bool = False) -> list[Process]:
        """Processes that have ended since the last call. ``asked``: whether they were asked to end."""
        ended = [each for each in self._running.values() if each.child.poll() is not None]
        for each in ended:
            name, status = each.process.name, each.child.returncode
            del self._running[name]
            if failures.has_failed(status, asked):
                self.failed[name] = each.failure()
                print(f"wsss: {name} has failed", file=sys.stderr, flush=True)
        return [each.process for each in ended]


def _command(process: Process) -> list[str]:
    if process.module:
        return [sys.executable, "-m", process.module]
    executable = shutil.which(process.executable)
    if executable is None:
        raise BadInput(
            f"'{process.executable}' is not on this machine; install it (ros-jazzy-rviz2) or leave rviz:=false"
        )
    return [executable]


def _interrupt(number: int, frame: object) -> None:
    raise EndedBySignal(number)
