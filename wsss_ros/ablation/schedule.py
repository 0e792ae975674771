"""The runs of an experiment in the right order, each in a process of its own; finished runs are kept."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from wsss_ros.ablation.experiment import ExperimentConfig, Run
from wsss_ros.ablation.one_run import is_finished
from wsss_ros.device import device_named
from wsss_ros.labels import labels_named
from wsss_ros.methods import METHODS
from wsss_ros.processes import children
from wsss_ros.samples.prepared import prepare
from wsss_ros.training.scene_set import open_scene_set
from wsss_ros.types import BadInput

_PATIENCE_S = 120.0  # for a run to save its state and end


@dataclass(frozen=True)
class Event:
    """What happened to a run: ``kept`` (it was finished before), ``started``, ``step``, ``done`` or ``failed``."""

    run: Run
    what: str
    phase: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    message: str = ""


Report = Callable[[Event], None]


def prepare_scenes(
    settings: ExperimentConfig, chosen: Sequence[Run], progress: Callable[[int, int], None] | None = None
) -> None:
    """Decode the training scenes once into the cache that all runs read; where a run needs them, with dense labels."""
    labels = labels_named(settings.labels)
    phases = [phase for run in chosen for phase in run.phases]
    for dense in sorted({METHODS[phase.method].needs_truth(phase) for phase in phases}):
        scenes, _ = open_scene_set(settings.train, labels)
        prepare(
            scenes,
            labels,
            settings.data.cache,
            settings.data.frames_per_scene,
            settings.image.augment.long_side[1],
            settings.data.visibility_m,
            dense,
            progress,
        )


def at_once(settings: ExperimentConfig, jobs: int) -> int:
    """Return how many runs train at a time: a GPU is not shared."""
    return 1 if device_named(settings.device).type == "cuda" else jobs


def run_all(
    settings: ExperimentConfig,
    chosen: Sequence[Run],
    jobs: int = 1,
    command: str = "",
    report: Report = lambda event: None,
) -> list[Event]:
    """Train and score the ``chosen`` runs, ``jobs`` at a time, each after the one it starts from; returns the failures.

    Finished runs are kept and interrupted ones resumed. Of the runs still to come, a failed run stops only those that
    start from it. KeyboardInterrupt ends the running ones at their next step, with their states saved.
    """
    file = _write_settings(settings)
    events: queue.Queue[Event] = queue.Queue()
    schedule, running = _Schedule(chosen, report), dict[str, subprocess.Popen]()
    try:
        while schedule.waiting or running:
            run = schedule.take_ready(running) if len(running) < jobs else None
            if run is None:
                event = events.get()
                if event.what != "step":
                    del running[event.run.name]
                schedule.note(event)
            elif (known := _known(run, settings)) is not None:
                schedule.note(known)
            else:
                running[run.name] = _start(run, settings, file, command, events)
                schedule.note(Event(run, "started"))
    finally:
        children.end(running.values(), [(signal.SIGTERM, _PATIENCE_S)])  # they save and end
        file.unlink(missing_ok=True)
    return schedule.failures


class _Schedule:
    """Which runs wait and which are over."""

    def __init__(self, chosen: Sequence[Run], report: Report):
        self.waiting, self._report = list(chosen), report
        self.failures: list[Event] = []
        self._done: set[str] = set()

    def take_ready(self, running: Collection[str]) -> Run | None:
        """The first waiting run whose start is done, or is not among these runs; None where all have to wait."""
        pending = {run.name for run in self.waiting} | set(running)
        ready = (run for run in self.waiting if _start_of(run) in self._done or _start_of(run) not in pending)
        if (run := next(ready, None)) is not None:
            self.waiting.remove(run)
        return run

    def note(self, event: Event) -> None:
        """Report an event. After a failure the runs that start from the failed one fail, too."""
        self._report(event)
        if event.what in ("kept", "done"):
            self._done.add(event.run.name)
        if event.what == "failed":
            self.failures.append(event)
            for run in [run for run in self.waiting if _start_of(run) == event.run.name]:
                self.waiting.remove(run)
                self.note(Event(run, "failed", message=f"not started, for {event.run.name} failed"))


def _start_of(run: Run) -> str | None:
    return None if run.before is None else run.before.name


def _write_settings(settings: ExperimentConfig) -> Path:
    """The resolved configuration, as the processes of the runs read it."""
    logs = Path(settings.output) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".experiment-", suffix=".yaml", dir=logs.parent)
    with os.fdopen(handle, "w") as file:
        yaml.safe_dump(settings.model_dump(mode="json"), file, sort_keys=False)
    return Path(name)


def _known(run: Run, settings: ExperimentConfig) -> Event | None:
    """What is known of a run before it is started: that it is finished, or why it cannot be."""
    try:
        return Event(run, "kept") if is_finished(run, settings) else None
    except BadInput as error:
        return Event(run, "failed", message=str(error))


def _start(run: Run, settings: ExperimentConfig, file: Path, command: str, events: queue.Queue) -> subprocess.Popen:
    """A process for the run, and a thread that turns its output into events."""
    log = Path(settings.output) / "logs" / f"{run.name.replace('/', '_')}.txt"
    words = [sys.executable, "-m", "wsss_ros.ablation.one_run", str(file), run.name, command]
    on_cpu = device_named(settings.device).type == "cpu"
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"} if on_cpu else {}
    with open(log, "ab") as errors:
        at = errors.tell()
        child = children.start(words, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **threads})
    threading.Thread(target=_follow, args=(run, child, log, at, events), daemon=True).start()
    return child


def _follow(run: Run, child: subprocess.Popen, log: Path, at: int, events: queue.Queue) -> None:
    """Put an event for each line of progress, and one for the end."""
    started = time.monotonic()
    for line in child.stdout:
        if line.startswith("{"):
            events.put(Event(run, "step", seconds=time.monotonic() - started, **json.loads(line)))
    status = child.wait()
    seconds = time.monotonic() - started
    if status == 0:
        events.put(Event(run, "done", seconds=seconds))
    else:
        message = f"{_last_line(log, at) or f'status {status}'} ({log})"
        events.put(Event(run, "failed", seconds=seconds, message=message))


def _last_line(log: Path, at: int) -> str:
    """The last line with text after byte ``at``; empty where there is none."""
    with open(log, "rb") as file:
        file.seek(at)
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
