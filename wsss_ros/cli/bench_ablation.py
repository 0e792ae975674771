"""``wsss bench ablation``: train, score and report the rows of the paper's Table 2."""

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

_DEFAULT = Path("config/ablation.yaml")


def bench_ablation(
    config: Annotated[Path, typer.Argument(help="An ablation; config/ablation_cpu.yaml is a small one.")] = _DEFAULT,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each; on a GPU always 1.")] = 2,
    rows: Annotated[str, typer.Option(help="Only these rows, such as cls,both; empty for all.")] = "",
    seeds: Annotated[str, typer.Option(help="Only these seeds, such as 0,1; empty for all.")] = "",
    report_only: Annotated[bool, typer.Option("--report-only", help="Only report the finished runs.")] = False,
) -> None:
    """Train and score the ablation's rows and write its report. Missing rooms are generated first.

    Finished runs are kept: the same command continues after an interruption. A failed run does not stop the others.
    """
    from rich.console import Console

    from wsss_ros.ablation import figures, report, results
    from wsss_ros.ablation.settings import AblationConfig
    from wsss_ros.config import load, share

    path = share(str(config)) if config == _DEFAULT and not config.exists() else config
    settings, console = load(AblationConfig, path), Console()
    failures = []
    if not report_only:
        failures = _train(settings, _listed(rows), numbers(seeds), jobs, console)
    entries = results.collect(settings)
    pictures = figures.draw(entries, settings)
    written = report.write(entries, settings, str(config), pictures)
    for sentence in results.verdict(entries):
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print(f"written: {', '.join(map(str, [*written, *pictures]))}", soft_wrap=True, highlight=False)
    if failures:
        typer.secho(f"wsss: {len(failures)} runs failed", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)


def _train(settings, rows: list[str], seeds: list[int], jobs: int, console) -> list:
    from wsss_ros.ablation import schedule
    from wsss_ros.ablation.rows import all_scene_sets, runs
    from wsss_ros.cli.rooms import ensure

    chosen = runs(settings, rows, seeds)
    for part in all_scene_sets(settings):
        ensure(part, os.cpu_count() or 1)
    with console.status("decoding scenes"):
        schedule.prepare_scenes(settings, truth=any(run.row == "supervised" for run in chosen))
    jobs, command = schedule.at_once(settings, jobs), shlex.join(["wsss", "bench", "ablation", *_words()])
    with _display(console, len(chosen)) as show:
        return schedule.run_all(settings, chosen, jobs, command, show)


def _words() -> list[str]:
    """The words of the command line after `wsss bench ablation`."""
    words = sys.argv[1:]
    return words[words.index("ablation") + 1 :] if "ablation" in words else []


def _listed(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


def numbers(text: str) -> list[int]:
    """Read whole numbers that are separated by commas or spaces. Raises BadInput for anything else."""
    from wsss_ros.types import BadInput

    try:
        return [int(part) for part in _listed(text)]
    except ValueError as error:
        raise BadInput(f"--seeds {text}: expected whole numbers, such as 0,1,2") from error


def _display(console, count: int):
    return _bars(console, count) if console.is_terminal else contextlib.nullcontext(_lines(console, count))


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
def _bars(console, count: int):
    """Show a bar for all runs, one for each that is running, and above them a line for each that has ended."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        all_runs, tasks = bar.add_task("ablation", total=count), {}

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
