"""``wsss bench gate``: many short rounds of online learning, good and spoilt ones, judged by two rules of the gate."""

from pathlib import Path
from typing import Annotated

import typer


def bench_gate(
    out: Annotated[Path, typer.Option(help="Folder of rooms, rounds and results.")] = Path("out/gate"),
    office: Annotated[Path | None, typer.Option(help="A real scene with tags; without it no round is there.")] = None,
    kitchen: Annotated[Path | None, typer.Option(help="Another one.")] = None,
    draw: Annotated[int, typer.Option(min=0, help="Each has rounds of its own, in other rooms.")] = 0,
    choice: Annotated[
        Path | None, typer.Option(help="Folder of another trial, on which the settings of the gate were chosen.")
    ] = None,
    part: Annotated[str, typer.Option(help="Only every N-th round, such as 1/2 and 2/2 in two processes.")] = "1/1",
    report_only: Annotated[bool, typer.Option("--report-only", help="Only report the finished rounds.")] = False,
    docs: Annotated[Path | None, typer.Option(help="Also write gate.json, gate.md and gate.png here.")] = None,
) -> None:
    """Train and judge rounds of online learning, and compare the decisions with dense truth.

    Finished rounds are kept: the same command continues after an interruption. A round takes one to three minutes on
    one core.
    """
    from rich.console import Console

    from wsss_ros.device import use_threads
    from wsss_ros.labels import scannet20
    from wsss_ros.online.round import limits_of
    from wsss_ros.online.settings import OnlineConfig, recipe_of
    from wsss_ros.online.trial import report, rounds

    use_threads(1)
    console, config, real = Console(soft_wrap=True), OnlineConfig(), {"office": office, "kitchen": kitchen}
    given = {place: path for place, path in real.items() if path is not None}
    trial = rounds.open_trial(out, scannet20(), recipe_of(config), given, _generate, draw)
    rounds.write_truth_before(trial)
    chosen = rounds.chosen(trial, part)
    if not report_only:
        for number, each in enumerate(chosen, start=1):
            seconds = rounds.run(trial, each)["seconds"][-1]
            console.print(f"{number} of {len(chosen)}  {each.name}: {seconds:.0f} s", highlight=False)
    trials = {"confirmation": out, **({"choice": choice} if choice is not None else {})}
    limits, rows = limits_of(config), []
    for name, folder in trials.items():
        rows += report.entries(rounds.finished(folder), rounds.truth_before(folder), limits, name == "choice")
    weights = {name: rounds.weights_of(folder) for name, folder in trials.items()}
    options = "".join(f" --{place} {path}" for place, path in given.items())
    options += f" --draw {draw} --out {out}" * bool(draw) + f" --choice {choice}" * (choice is not None)
    for folder in filter(None, [out, docs]):
        report.write(rows, folder, f"wsss bench gate{options}", limits, weights)
    console.print(report.summary(rows), f"written: {out / 'gate.md'}", sep="\n", highlight=False)


def _generate(folder: Path, count: int, first: int, **options) -> list[Path]:
    from wsss_ros.cli.rooms import generate_with_progress

    return generate_with_progress(folder, count, first, 1, **options)
