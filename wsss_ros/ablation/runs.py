"""Training and scoring the runs of an ablation, each in a process of its own; what is finished is kept.

``python -m wsss_ros.ablation.runs CONFIG RUN COMMAND`` is one of these processes. It tells its progress on stdout, a
JSON object a line; when nobody listens any more it ends, and the next call resumes it.
"""

import json
import logging
import os
import platform
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from wsss_ros import config
from wsss_ros.ablation.rows import PRETRAIN, ROWS, Run, runs, scene_sets, start_weights, training_of
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.device import device_named
from wsss_ros.evaluation import offline
from wsss_ros.files import read_json, write_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import labels_named
from wsss_ros.networks import checkpoint
from wsss_ros.processes import children
from wsss_ros.processes.signals import Interrupted
from wsss_ros.samples.prepared import prepare
from wsss_ros.training import run as training
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.progress import Progress
from wsss_ros.training.progress import Report as StepReport
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.types import BadInput

_TOLD_EVERY_S, _KEPT_EVERY_S, _PATIENCE_S = 0.5, 5.0, 120.0


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


# --- all runs ---


def prepare_scenes(settings: AblationConfig, truth: bool, progress: Callable[[int, int], None] | None = None) -> None:
    """Decode the training scenes into the cache once, as every run will ask for them."""
    labels = labels_named(settings.labels)
    kinds = [False, True] if truth else [False]
    for dense in kinds:
        scenes, _ = open_scene_set(settings.data.train, labels)
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


def run_all(
    settings: AblationConfig,
    chosen: Sequence[Run],
    jobs: int = 1,
    command: str = "",
    report: Report = lambda event: None,
) -> list[Event]:
    """Train and score the ``chosen`` runs, ``jobs`` at a time, each after the one it starts from; the failures.

    Finished runs are kept and interrupted ones resumed. A failed run stops those alone that start from it.
    KeyboardInterrupt ends the running ones at their next step, with their states saved.
    """
    output = Path(settings.output)
    (output / "logs").mkdir(parents=True, exist_ok=True)
    file = _written(settings, output)
    events: queue.Queue[Event] = queue.Queue()
    running: dict[str, subprocess.Popen] = {}
    waiting, over, failures = list(chosen), set(), []

    def settle(event: Event) -> None:
        report(event)
        if event.what in ("kept", "done"):
            over.add(event.run.name)
        if event.what == "failed":
            failures.append(event)
            for run in [run for run in waiting if run.needs == event.run.name]:
                waiting.remove(run)
                settle(Event(run, "failed", message=f"not started, for {event.run.name} failed"))

    try:
        while waiting or running:
            needed = {run.name for run in waiting}
            ready = [run for run in waiting if run.needs in over or run.needs not in needed | set(running)]
            if ready and len(running) < jobs:
                run = ready[0]
                waiting.remove(run)
                if (known := _known(run, settings)) is not None:
                    settle(known)
                    continue
                running[run.name] = _start(run, settings, file, command, events)
                settle(Event(run, "started"))
                continue
            event = events.get()
            if event.what != "step":
                del running[event.run.name]
            settle(event)
    finally:
        children.end(running.values(), [(signal.SIGTERM, _PATIENCE_S)])  # they save and end
        file.unlink(missing_ok=True)
    return failures


def at_once(settings: AblationConfig, jobs: int) -> int:
    """How many runs at a time: a GPU is not shared."""
    return 1 if device_named(settings.device).type == "cuda" else jobs


def _written(settings: AblationConfig, output: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=".ablation-", suffix=".yaml", dir=output)
    with os.fdopen(handle, "w") as file:
        yaml.safe_dump(settings.model_dump(mode="json"), file, sort_keys=False)
    return Path(name)


def _known(run: Run, settings: AblationConfig) -> Event | None:
    """What is known of a run without starting it: that it is finished, or why it cannot be."""
    try:
        return Event(run, "kept") if finished(run, settings) else None
    except BadInput as error:
        return Event(run, "failed", message=str(error))


def _start(
    run: Run, settings: AblationConfig, file: Path, command: str, events: queue.Queue
) -> subprocess.Popen:
    """A child in a session of its own, so that Ctrl-C reaches it through us alone, and a thread that listens to it."""
    log = Path(settings.output) / "logs" / f"{run.name.replace('/', '_')}.txt"
    words = [sys.executable, "-m", "wsss_ros.ablation.runs", str(file), run.name, command]
    on_cpu = device_named(settings.device).type == "cpu"
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"} if on_cpu else {}
    with open(log, "ab") as told:
        at = told.tell()
        child = children.start(
            words, stdout=subprocess.PIPE, stderr=told, text=True, env={**os.environ, **threads}
        )
    threading.Thread(target=_listen, args=(run, child, log, at, events), daemon=True).start()
    return child


def _listen(run: Run, child: subprocess.Popen, log: Path, at: int, events: queue.Queue) -> None:
    began = time.monotonic()
    for line in child.stdout:
        if line.startswith("{"):
            events.put(Event(run, "step", seconds=time.monotonic() - began, **json.loads(line)))
    status = child.wait()
    seconds = time.monotonic() - began
    if status == 0:
        events.put(Event(run, "done", seconds=seconds))
        return
    with open(log, "rb") as told:
        told.seek(at)
        lines = told.read().decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"status {status}")
    events.put(Event(run, "failed", seconds=seconds, message=f"{last.strip()} ({log})"))


# --- one run ---


def finished(run: Run, settings: AblationConfig) -> bool:
    """Whether a run is trained and scored as ``settings`` want it.

    Raises BadInput when its folder holds a run of another configuration or one from other weights.
    """
    own = training_of(run, settings)
    if RunFolder(own.output).scores(own) is None:
        return False
    _same_start(run, settings, Path(own.output))
    return all(_scored(Path(own.output), name, run, settings) for name in _sets(run, settings))


def run_one(run: Run, settings: AblationConfig, command: str, report: StepReport = lambda progress: None) -> None:
    """Train a run and score it on its sets, as far as that is not done yet."""
    own, folder = training_of(run, settings), Path(settings.output) / run.name
    folder.mkdir(parents=True, exist_ok=True)
    _same_start(run, settings, folder)
    if RunFolder(folder).scores(own) is None:
        with _Clock.running(folder / "run.json", command) as clock:
            training.train(own, command, lambda progress: (clock.tick(), report(progress)))
    for name, chosen in _sets(run, settings).items():
        if not _scored(folder, name, run, settings):
            report(training.Progress(f"score {name}", 0, 1, {}))
            write_json(folder / f"scores_{name}.json", _score(folder, chosen, settings))
            report(training.Progress(f"score {name}", 1, 1, {}))


def _same_start(run: Run, settings: AblationConfig, folder: Path) -> None:
    """A run's folder belongs to the weights it started from, which a later phase one would replace."""
    paths, note = start_weights(run, settings), folder / "start.json"
    now = {kind: checkpoint.load(path, kind).version for kind, path in paths.items()}
    if not note.is_file():
        write_json(note, now)
    for kind, version in read_json(note).items():
        if now.get(kind) != version:
            raise BadInput(f"{folder} started from other weights than {paths.get(kind)}; remove it to train it anew")


def _sets(run: Run, settings: AblationConfig) -> dict[str, SceneSetConfig]:
    """Rows are scored on all sets; phase one on val alone, for it is only a beginning."""
    if run.row == PRETRAIN:
        return {}
    return {name: chosen for name, chosen in scene_sets(settings).items() if run.row in ROWS or name == "val"}


def _scored(folder: Path, name: str, run: Run, settings: AblationConfig) -> bool:
    file = folder / f"scores_{name}.json"
    return file.is_file() and read_json(file)["asked"] == _asked(_sets(run, settings)[name], settings)


def _asked(chosen: SceneSetConfig, settings: AblationConfig) -> dict:
    frames, points = settings.data.val_frames_per_scene, settings.cloud.augment.points
    return {"scenes": chosen.model_dump(mode="json"), "frames_per_scene": frames, "points": points}


def _score(folder: Path, chosen: SceneSetConfig, settings: AblationConfig) -> dict:
    labels = labels_named(settings.labels)
    scenes, _ = open_scene_set(chosen, labels)
    images = ImageSegmenter(folder / "image.safetensors", settings.device)
    clouds = CloudSegmenter(folder / "cloud.safetensors", settings.device, points=settings.cloud.augment.points)
    return {
        "asked": _asked(chosen, settings),
        "image": offline.score_images(images, scenes, labels, settings.data.val_frames_per_scene).compute(),
        "cloud": offline.score_clouds(clouds, scenes, labels).compute(),
    }


@dataclass
class _Clock:
    """Seconds of training over all interruptions, kept beside the run with the machine and the command."""

    path: Path
    told: dict
    before: float
    began: float = field(default_factory=time.monotonic)
    kept: float = field(default_factory=time.monotonic)

    @classmethod
    @contextmanager
    def running(cls, path: Path, command: str) -> Iterator["_Clock"]:
        before = read_json(path)["seconds"] if path.is_file() else 0.0
        clock = cls(path, {"command": command, "machine": machine()}, before)
        try:
            yield clock
        finally:
            clock.keep()

    def tick(self) -> None:
        if time.monotonic() - self.kept > _KEPT_EVERY_S:
            self.keep()

    def keep(self) -> None:
        self.kept = time.monotonic()
        write_json(self.path, {**self.told, "seconds": round(self.before + self.kept - self.began, 1)})


def machine() -> str:
    """The kind of machine, without its name."""
    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores}{gpu}, torch {torch.__version__}"


# --- a process of its own ---


class _Teller:
    """Progress on stdout, not too often."""

    def __init__(self):
        self.told_at, self.phase = 0.0, ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase == self.phase and progress.step < progress.steps and now - self.told_at < _TOLD_EVERY_S:
            return
        self.told_at, self.phase = now, progress.phase
        print(json.dumps({"phase": progress.phase, "step": progress.step, "steps": progress.steps}), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    file, name, command = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = config.load(AblationConfig, file)
        seeds = sorted({*settings.seeds, *_seed(name)})
        run = next(run for run in runs(settings, seeds=seeds) if run.name == name)
        run_one(run, settings, command, _Teller())
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal
    except (BadInput, training.TrainingDiverged) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _seed(name: str) -> list[int]:
    """The seed that a run's name tells, which need not be one of the configuration's."""
    return [] if name == PRETRAIN else [int(name.partition("/")[0].removeprefix("seed"))]


if __name__ == "__main__":
    raise SystemExit(main())
