"""Trains the rows of an experiment, and shows how far its runs are: ``wsss bench ablation`` and ``methods``."""

import contextlib
import os
import shlex
import sys
from pathlib import Path

import typer


def settings_of(model, config: Path, default: Path):
    """Read an experiment; the ``default`` may be in the installed package."""
    from wsss_ros.config import load, share

    return load(model, share(str(config)) if config == default and not config.exists() else config)


def train_rows(name: str, settings, rows: str, seeds: str, jobs: int, console) -> list:
    """Train and score the rows of an experiment; returns the failures. Missing rooms are generated first.

    Args:
        name: of the command after ``wsss bench``.
        settings: an ``ExperimentConfig``.
        rows: names, separated by commas; empty for all.
        seeds: numbers, separated by commas; empty for all.
        jobs: runs at a time.
        console: of rich.
    """
    from wsss_ros.ablation import schedule
    from wsss_ros.ablation.experiment import all_scene_sets, runs
    from wsss_ros.cli.rooms import ensure

    chosen = runs(settings, _listed(rows), numbers(seeds))
    for part in all_scene_sets(settings):
        ensure(part, os.cpu_count() or 1)
    with console.status("decoding scenes"):
        schedule.prepare_scenes(settings, chosen)
    command = shlex.join(["wsss", "bench", name, *_words(name)])
    with _display(name, console, len(chosen)) as show:
        return schedule.run_all(settings, chosen, schedule.at_once(settings, jobs), command, show)


def report_written(written, failures: list, console) -> None:
    """Print the files of the report. Ends the command with status 1 if runs have failed."""
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True, highlight=False)
    if failures:
        typer.secho(f"wsss: {len(failures)} runs failed", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)


def _words(name: str) -> list[str]:
    """The words of the command line after the name of the command."""
    words = sys.argv[1:]
    return words[words.index(name) + 1 :] if name in words else []


def _listed(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


def numbers(text: str) -> list[int]:
    """Read whole numbers that are separated by commas or spaces. Raises BadInput for anything else."""
    from wsss_ros.types import BadInput

    try:
        return [int(part) for part in _listed(text)]
    except ValueError as error:
        raise BadInput(f"--seeds {text}: expected whole numbers, such as 0,1,2") from error


def _display(name: str, console, count: int):
    return _bars(name, console, count) if console.is_terminal else contextlib.nullcontext(_lines(console, count))


def _lines(console, count: int):
    """Show a line for each run that has ended."""
    ended = 0

    def show(event) -> None:
        nonlocal ended
        if event.what in ("kept", "done", "failed"):
            ended += 1
            console.print(f"{ended} of {count}  {_text(event)}", soft_wrap=True, highlight=False)

    return show


@contextlib.contextmanager
def _bars(name: str, console, count: int):
    """Show a bar for all runs, one for each that is running, and above them a line for each that has ended."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        all_runs, tasks = bar.add_task(name, total=count), {}

        def show(event) -> None:
            name = event.run.name
            if event.what == "started":
                tasks[name] = bar.add_task(name, total=None)
            elif event.what == "step":
                bar.update(tasks[name], description=f"{name}: {event.phase}", completed=event.step, total=event.steps)
            else:
                if name in tasks:
                    bar.remove_task(tasks.pop(name))
                bar.console.print(_text(event), highlight=False)
                bar.advance(all_runs)

        yield show


def _text(event) -> str:
    if event.what == "kept":
        return f"{event.run.name}: was finished"
    if event.what == "done":
        return f"{event.run.name}: done in {event.seconds / 60:.1f} min"
    return f"{event.run.name}: FAILED: {event.message}"
