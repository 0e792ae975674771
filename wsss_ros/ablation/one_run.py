"""One run of an experiment: train it and score it, as far as that is not done yet.

``python -m wsss_ros.ablation.one_run CONFIG RUN COMMAND`` does this in a process of its own. It prints its progress as
one JSON object a line. It ends when nobody reads them any more; the next call resumes it.
"""

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wsss_ros.ablation import scoring
from wsss_ros.ablation.experiment import PRETRAIN, ExperimentConfig, Run, runs, start_weights, training_of
from wsss_ros.ablation.loading import load_experiment
from wsss_ros.ablation.timing import TrainingClock, timed
from wsss_ros.files import write_json
from wsss_ros.networks import checkpoint
from wsss_ros.processes.signals import Interrupted
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.phase import TrainingDiverged
from wsss_ros.training.progress import Progress, Report
from wsss_ros.training.run import train
from wsss_ros.types import BadInput

_PRINT_EVERY_S = 0.5


def is_finished(run: Run, settings: ExperimentConfig) -> bool:
    """Return whether a run is trained and scored as ``settings`` ask.

    Raises BadInput when its folder holds a run of another configuration or one from other weights.
    """
    own = training_of(run, settings)
    if RunFolder(own.output).scores(own) is None:
        return False
    _check_start(run, settings, Path(own.output))
    return not scoring.missing_sets(run, settings)


def train_and_score(run: Run, settings: ExperimentConfig, command: str, report: Report = lambda progress: None) -> None:
    """Train a run and score it on its sets, as far as that is not done yet. Raises BadInput as ``is_finished`` does."""
    own, folder = training_of(run, settings), Path(settings.output) / run.name
    folder.mkdir(parents=True, exist_ok=True)
    _check_start(run, settings, folder)
    if RunFolder(folder).scores(own) is None:
        with timed(folder / "run.json", command) as clock:
            train(own, command, lambda progress: _tick_and_report(clock, progress, report))
    scoring.score(run, settings, lambda name, done: report(Progress(f"score {name}", done, 1, {})))


def _tick_and_report(clock: TrainingClock, progress: Progress, report: Report) -> None:
    clock.tick()
    report(progress)


def _check_start(run: Run, settings: ExperimentConfig, folder: Path) -> None:
    """A run's folder belongs to the weights it started from. Raises BadInput where these have been replaced since."""
    paths, note = start_weights(run, settings), folder / "start.json"
    now = {kind: checkpoint.load(path, kind).version for kind, path in paths.items()}
    if not note.is_file():
        write_json(note, now)
    for kind, version in scoring.read_by_kind(note).items():
        if now.get(kind) != version:
            raise BadInput(f"{folder} started from other weights than {paths.get(kind)}; remove it to train it again")


class _PrintedProgress:
    """Progress on stdout, at most twice a second and at the end of each phase."""

    def __init__(self):
        self.printed_at, self.phase = 0.0, ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        soon = now - self.printed_at < _PRINT_EVERY_S
        if progress.phase == self.phase and progress.step < progress.steps and soon:
            return
        self.printed_at, self.phase = now, progress.phase
        print(json.dumps({"phase": progress.phase, "step": progress.step, "steps": progress.steps}), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one run; returns the exit status."""
    file, name, command = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = load_experiment(file)
        seeds = sorted({*settings.seeds, *_seed(name)})
        run = next(run for run in runs(settings, seeds=seeds) if run.name == name)
        train_and_score(run, settings, command, _PrintedProgress())
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal
    except (BadInput, TrainingDiverged) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _seed(name: str) -> list[int]:
    """The seed in a run's name, which need not be one of the configuration's."""
    return [] if name == PRETRAIN else [int(name.partition("/")[0].removeprefix("seed"))]


if __name__ == "__main__":
    raise SystemExit(main())
