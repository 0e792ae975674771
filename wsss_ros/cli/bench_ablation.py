"""``wsss bench ablation``: train, score and report the rows of the paper's Table 2."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Jobs, ReportOnly, Rows, Seeds

_DEFAULT = Path("config/ablation.yaml")


def bench_ablation(
    config: Annotated[Path, typer.Argument(help="An ablation; config/ablation_cpu.yaml is a small one.")] = _DEFAULT,
    jobs: Jobs = 2,
    rows: Rows = "",
    seeds: Seeds = "",
    report_only: ReportOnly = False,
) -> None:
    """Train and score the ablation's rows and write its report. Missing rooms are generated first.

    Finished runs are kept: the same command continues after an interruption. A failed run does not stop the others.
    """
    from rich.console import Console

    from wsss_ros.ablation import figures, report, results
    from wsss_ros.ablation.settings import AblationConfig
    from wsss_ros.cli.experiment import report_written, settings_of, train_rows

    settings, console = settings_of(AblationConfig, config, _DEFAULT), Console()
    failures = [] if report_only else train_rows("ablation", settings, rows, seeds, jobs, console)
    entries = results.collect(settings)
    pictures = figures.draw(entries, settings)
    written = report.write(entries, settings, str(config), pictures)
    for sentence in results.verdict(entries):
        console.print(sentence, soft_wrap=True, highlight=False)
    report_written([*written, *pictures], failures, console)
