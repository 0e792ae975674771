"""Pictures of a comparison of methods: our numbers next to the papers', and the labels of some rows."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from wsss_ros.ablation.figures import cams, seed_with, smaller
from wsss_ros.ablation.methods_results import missing
from wsss_ros.ablation.methods_settings import MethodsConfig, TableConfig
from wsss_ros.ablation.results import DOMAINS, figure
from wsss_ros.evaluation import pictures

_OURS, _PAPER = "#3182bd", "0.45"


def draw(entries: Sequence[dict], settings: MethodsConfig) -> list[tuple[Path, str]]:
    """Draw the tables and, where a seed has all rows that are to be shown, their labels; returns paths and captions."""
    written = []
    tables = [table for table in settings.tables if len(missing(entries, table)) < len(table.rows)]
    if tables:
        path = pictures.save(plot(entries, tables), f"{settings.results}_tables.png")
        written.append((path, "Our numbers (filled, with the range over seeds) and those of the papers (hollow)."))
    rows = _shown(entries, settings)
    if rows and (seed := seed_with(rows, entries, settings)) is not None:
        path = pictures.save(cams(settings, seed, dict.fromkeys(DOMAINS, rows)), f"{settings.results}_labels.png")
        written.append((path, f"The best of the tagged classes on val scenes, by networks of seed {seed}."))
    return written


def _shown(entries: Sequence[dict], settings: MethodsConfig) -> list[str]:
    """The rows to show that have networks of both kinds."""
    rows = settings.shown or (tuple(each.row for each in settings.tables[0].rows) if settings.tables else ())
    return [row for row in rows if all(figure(entries, row, "val", domain) for domain in DOMAINS)]


def plot(entries: Sequence[dict], tables: Sequence[TableConfig]) -> Image.Image:
    """Draw a panel for each table and domain, a line for each row."""
    from matplotlib.figure import Figure

    heights = [len(table.rows) + 1.6 for table in tables]
    page = Figure(figsize=(11, 0.3 * sum(heights)), dpi=80, layout="constrained")
    panels = page.subplots(len(tables), len(DOMAINS), squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, table in zip(panels, tables, strict=True):
        for axis, domain in zip(axes, DOMAINS, strict=True):
            _panel(axis, entries, table, domain)
        axes[1].set_yticklabels([])
    return smaller(pictures.drawn(page))


def _panel(axis, entries: Sequence[dict], table: TableConfig, domain: str) -> None:
    for height, each in enumerate(table.rows):
        paper, ours = getattr(each, f"paper_{domain}"), figure(entries, each.row, table.set, domain)
        if paper is not None:
            axis.plot(paper, height, "o", color=_PAPER, markerfacecolor="none")
        if ours is not None:
            axis.plot([min(ours.values), max(ours.values)], [height, height], color=_OURS, linewidth=2, alpha=0.5)
            axis.plot(ours.mean, height, "o", color=_OURS)
    axis.set_yticks(range(len(table.rows)), [each.row for each in table.rows], fontsize=8)
    axis.set_ylim(len(table.rows) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(f"{table.title}: {domain.upper()}", fontsize=9)
    axis.grid(alpha=0.25)
    if not axis.lines:  # a method without images: the rows' names alone
        axis.set(xticks=[], frame_on=False)
