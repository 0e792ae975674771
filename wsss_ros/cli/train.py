"""``wsss train``: from a configuration file to trained weights."""

import contextlib
import logging
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

log = logging.getLogger("wsss_ros")


def train(
    config: Annotated[Path, typer.Argument(help="A training configuration, such as config/joint_rooms.yaml.")],
    output: Annotated[str, typer.Option(help="Folder of the run; empty: the configuration's.")] = "",
    seed: Annotated[int, typer.Option(help="Seed; -1: the configuration's.")] = -1,
    only: Annotated[
        str, typer.Option(help="image or cloud: only the classify phases of this network, into OUTPUT/image or /cloud.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that generate missing rooms.")] = 2,
) -> None:
    """Train networks from class tags. Missing rooms are generated first.

    The same command continues an interrupted run where it stopped. Photographs that cannot be used are left out and
    named; the status is then 1.
    """
    from rich.console import Console

    from wsss_ros.cli.rooms import ensure
    from wsss_ros.config import load
    from wsss_ros.processes.allocator import tune_allocator
    from wsss_ros.processes.signals import Interrupted
    from wsss_ros.training import processes, run
    from wsss_ros.training.config import TrainConfig
    from wsss_ros.training.phase import TrainingDiverged

    tune_allocator()
    settings = load(TrainConfig, config)
    if only:
        settings = _only(settings, only)
    settings = settings.model_copy(
        update={"output": output or settings.output, "seed": settings.seed if seed < 0 else seed}
    )
    for part in settings.data.scene_sets:
        ensure(part, workers)
    first = processes.is_first(settings)
    console = Console(quiet=not first)
    command = shlex.join(["wsss", "train", *sys.argv[2:]])
    try:
        with _progress(console) as report:
            scores = run.train(settings, command, report)
    except Interrupted as stopped:  # the other processes end with 0: a failure of theirs would kill the first
        console.print(f"{stopped}: {command}", soft_wrap=True)
        raise typer.Exit(first * (128 + stopped.signal)) from stopped
    except TrainingDiverged as diverged:
        Console(stderr=True, quiet=not first).print(f"wsss: {diverged}", style="red", soft_wrap=True, markup=False)
        raise typer.Exit(int(first)) from diverged
    if any(scores.values()):
        _print_scores(console, {kind: score for kind, score in scores.items() if score})
    console.print(f"weights, configuration, curves and scores: {settings.output}")
    if settings.export is not None:
        console.print(f"weights that ship: {settings.export.folder}")
    if first:
        _end_if_incomplete(Path(settings.output) / "data.json")


def _end_if_incomplete(path: Path) -> None:
    """Raise BadInput, which gives status 1, where photographs of the run could not be used."""
    from wsss_ros.files import read_json
    from wsss_ros.types import BadInput

    if path.is_file() and (count := read_json(path).get("photos_left_out", 0)):
        raise BadInput(
            f"{count} photograph{'s' * (count > 1)} left out because of what is named above; the weights are those of "
            "the others"
        )


def _only(settings, kind: str):
    """The configuration with the classify phases of one network alone, and a folder of its own."""
    from wsss_ros.types import BadInput

    if kind == "point":
        log.warning("--only point: this network is now called 'cloud'; the previous name is still read")
        kind = "cloud"
    if kind not in ("image", "cloud"):
        raise BadInput(f"--only {kind}: expected image or cloud")
    other = "cloud" if kind == "image" else "image"
    phases = tuple(
        phase.model_copy(update={other: None})
        for phase in settings.phases
        if phase.method == "classify" and getattr(phase, kind)
    )
    if not phases:
        raise BadInput(f"--only {kind}: the configuration has no classify phase with '{kind}'")
    return settings.model_copy(update={"phases": phases, "output": str(Path(settings.output) / kind)})


def _progress(console):
    return _bars(console) if console.is_terminal else contextlib.nullcontext(_Lines(console))


@contextlib.contextmanager
def _bars(console):
    """Show a bar for each phase, with the losses and the time left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")
    with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[terms]}"), console=console) as bar:
        tasks = {}

        def report(done) -> None:
            if done.phase not in tasks:
                tasks[done.phase] = bar.add_task(done.phase, total=done.steps, completed=done.step - 1, terms="")
            bar.update(tasks[done.phase], completed=done.step, terms=_terms(done))

        yield report


class _Lines:
    """A line of text about every ``seconds``, for logs."""

    def __init__(self, console, seconds: float = 15.0):
        self.console, self.seconds = console, seconds
        self.phase, self.started_at, self.first, self.printed_at = "", 0.0, 0, 0.0

    def __call__(self, done) -> None:
        now = time.monotonic()
        if done.phase != self.phase:
            self.phase, self.started_at, self.first = done.phase, now, done.step
        elif done.step < done.steps and now - self.printed_at < self.seconds:
            return
        self.printed_at = now
        epoch = f", epoch {done.epoch} of {done.epochs}" if done.epochs else ""
        rate = (done.step - self.first) / (now - self.started_at) if now > self.started_at else 0.0
        left = f", {_clock((done.steps - done.step) / rate)} left" if rate else ""
        line = f"{done.phase}: step {done.step} of {done.steps}{epoch}{left} {_terms(done)}".rstrip()
        self.console.print(line, soft_wrap=True, highlight=False)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _terms(done) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in done.terms.items())


def _print_scores(console, scores: dict) -> None:
    from wsss_ros.cli.tables import iou_table

    console.print(iou_table({f"{kind} IoU %": score for kind, score in scores.items()}))
