"""`wsss up`: the nodes of segment.launch.py as child processes, for machines without ROS's launch."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from wsss_ros import node_set
from wsss_ros.node_set import Process
from wsss_ros.types import BadInput

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME:=VALUE]...", help="As for the launch file; 'wsss up --args' lists them."),
    ] = None,
    args: Annotated[bool, typer.Option("--args", help="List the arguments with their defaults, and end.")] = False,
) -> None:
    """Start the nodes, with the same parameters and arguments as `ros2 launch wsss_ros segment.launch.py`.

    Examples: wsss up · wsss up bag:=scene.mcap rate:=0.5 · wsss up namespace:=robot accumulate:=false

    Ends with Ctrl-C or with the replay. The status is 1 where a node failed.
    """
    if args:
        print(_listing())
        return
    raise typer.Exit(run(node_set.processes(node_set.arguments(arguments or []))))


def run(processes: Iterable[Process]) -> int:
    """Start them, pass their output on, and wait for Ctrl-C or the end of a replay. Returns 1 where one failed."""
    with contextlib.suppress(KeyboardInterrupt), running() as children:
        for process in processes:
            children.start(process)
        children.wait()
    return 1 if children.failed else 0


@contextlib.contextmanager
def running() -> Iterator["Children"]:
    """Processes that end with the block, however it ends: SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in it."""
    children = Children()
    before = {number: signal.signal(number, _interrupt) for number in ENDINGS}
    try:
        yield children
    finally:
        # A second Ctrl-C must not leave children behind.
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        children.end()
        for number, handler in before.items():
            signal.signal(number, handler)


class Children:
    """Running processes of the set. ``failed`` names those that ended badly."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._running: dict[str, tuple[Process, subprocess.Popen]] = {}
        self._forwarders: list[threading.Thread] = []

    def start(self, process: Process) -> None:
        environment = {**os.environ, **node_set.environment(os.environ), "PYTHONUNBUFFERED": "1"}
        # In a session of its own a child gets no Ctrl-C from the terminal: the end is ours to order.
        child = subprocess.Popen(
            [*_command(process), *process.ros_arguments()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running[process.name] = (process, child)
        forwarder = threading.Thread(target=_forward, args=(process.name, child), daemon=True)
        forwarder.start()
        self._forwarders.append(forwarder)

    def wait(self) -> None:
        """Until the process that ends the set has ended, or none is left."""
        while self._running:
            for process in self._reap():
                if process.ends_the_set:
                    time.sleep(node_set.LINGER_S)
                    return
            time.sleep(0.05)

    def all_well(self) -> None:
        """Raises BadInput where one has ended, or had failed before."""
        gone = [*(process.name for process in self._reap()), *self.failed]
        if gone:
            raise BadInput(f"{gone[0]} has ended; what it said last is above")

    def end(self) -> None:
        """End what still runs: SIGINT, SIGTERM, SIGKILL, each after some patience."""
        signals = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
        for number, patience in zip(signals, (*node_set.PATIENCE_S, 5.0), strict=True):
            self._reap(asked=True)
            for _, child in self._running.values():
                child.send_signal(number)
            until = time.monotonic() + patience
            while self._running and time.monotonic() < until:
                self._reap(asked=True)
                time.sleep(0.02)
        for forwarder in self._forwarders:
            forwarder.join(timeout=1.0)

    def _reap(self, asked: bool = False) -> list[Process]:
        ended = [(process, child) for process, child in self._running.values() if child.poll() is not None]
        for process, child in ended:
            del self._running[process.name]
            if _failed(child.returncode, asked):
                self.failed.append(process.name)
                print(f"wsss: {process.name} failed with status {child.returncode}", file=sys.stderr, flush=True)
        return [process for process, _ in ended]


def _failed(status: int, asked: bool) -> bool:
    """Who was asked to end may do so with any status (one may still have been starting), but not crash or be killed."""
    return status < 0 and -status not in ENDINGS if asked else status != 0


def _command(process: Process) -> list[str]:
    if process.module:
        return [sys.executable, "-m", process.module]
    executable = shutil.which(process.executable)
    if executable is None:
        told = f"'{process.executable}' is not on this machine; install it (ros-jazzy-rviz2) or leave rviz:=false"
        raise BadInput(told)
    return [executable]


def _forward(name: str, child: subprocess.Popen) -> None:
    for line in child.stdout:
        print(f"[{name}] {line.decode(errors='replace').rstrip()}", flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _listing() -> str:
    fields = node_set.Arguments.model_fields.items()
    shown = [(f"{name}:={_shown(field.default)}", field.description) for name, field in fields]
    width = max(len(left) for left, _ in shown)
    return "\n".join(f"{left:{width}}  {description}" for left, description in shown)


def _shown(default: object) -> str:
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
