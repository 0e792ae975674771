"""``wsss train``: from a configuration file to trained weights."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="A training configuration, such as config/classify_rooms.yaml.")],
    only: Annotated[str, typer.Option(help="image or point: train this network alone.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that generate missing rooms.")] = 2,
) -> None:
    """Train both networks from class tags; scenes that are missing are generated first."""
    from rich.console import Console

    from wsss_ros import config as configuration
    from wsss_ros.config import ClassifyConfig
    from wsss_ros.training import train_classifiers

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console()
    settings = configuration.load(ClassifyConfig, config)
    if only:
        settings = _alone(settings, only)
    for part in (settings.data.train, settings.data.val):
        _ensure_rooms(part, workers)
    with _progress(console) as (bar, tasks):

        def report(done) -> None:
            if done.phase not in tasks:
                tasks[done.phase] = bar.add_task(done.phase, total=done.steps, terms="")
            terms = " ".join(f"{name} {value:.3f}" for name, value in done.terms.items())
            bar.update(tasks[done.phase], completed=done.step, terms=terms)

        command = shlex.join(["wsss", "train", *sys.argv[2:]])
        scores = train_classifiers(settings, command, report)
    _print(console, scores)
    console.print(f"weights, configuration and scores: {settings.output}")
    if settings.export is not None:
        console.print(f"weights that ship: {settings.export.folder}")


def _alone(settings, kind: str):
    from wsss_ros.types import BadInput

    if kind not in ("image", "point"):
        raise BadInput(f"--only {kind}: wanted image or point")
    return settings.model_copy(update={"point" if kind == "image" else "image": None})


def _ensure_rooms(part, workers: int) -> None:
    from wsss_ros.cli.rooms import generate_with_progress

    if part.rooms is not None:
        rooms = part.rooms
        generate_with_progress(Path(part.folder), rooms.scenes, rooms.seed, workers, frames=rooms.frames or None)


def _progress(console):
    import contextlib

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    @contextlib.contextmanager
    def running():
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")
        with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[terms]}"), console=console) as bar:
            yield bar, {}

    return running()


def _print(console, scores: dict) -> None:
    from rich.table import Table

    table = Table("class", *(f"{kind} IoU %" for kind in scores))
    names = next(iter(scores.values()))["iou"]
    for name in names:
        table.add_row(name, *(_number(score["iou"][name]) for score in scores.values()))
    table.add_row("mean", *(_number(score["miou"]) for score in scores.values()), style="bold")
    console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
