"""``wsss bench methods``: train, score and report rows of several methods, as the tables of their papers have them."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Jobs, ReportOnly, Rows, Seeds

_DEFAULT = Path("config/methods_rooms.yaml")


def bench_methods(
    config: Annotated[Path, typer.Argument(help="Phases, rows and tables; see config/methods_rooms.yaml.")] = _DEFAULT,
    jobs: Jobs = 2,
    rows: Rows = "",
    seeds: Seeds = "",
    report_only: ReportOnly = False,
) -> None:
    """Train and score rows of several methods and write the tables. Missing rooms are generated first.

    Finished runs are kept: the same command continues after an interruption. A failed run does not stop the others.
    """
    from rich.console import Console

    from wsss_ros.ablation import methods_figures, methods_report, methods_results
    from wsss_ros.ablation.methods_settings import MethodsConfig
    from wsss_ros.cli.experiment import report_written, settings_of, train_rows

    settings, console = settings_of(MethodsConfig, config, _DEFAULT), Console()
    failures = [] if report_only else train_rows("methods", settings, rows, seeds, jobs, console)
    entries = methods_results.collect(settings)
    pictures = methods_figures.draw(entries, settings)
    written = methods_report.write(entries, settings, str(config), pictures)
    for table in settings.tables:
        for sentence in methods_results.orders(entries, table):
            console.print(f"{table.title}: {sentence}", soft_wrap=True, highlight=False)
    report_written([*written, *(path for path, _ in pictures)], failures, console)
