"""A comparison of methods as a page in Markdown: the tables of the papers with our numbers next to theirs."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from wsss_ros.ablation.methods_results import missing, orders
from wsss_ros.ablation.methods_settings import MethodsConfig, TableConfig
from wsss_ros.ablation.report import network_text, phase_text, scenes_text, write_pages
from wsss_ros.ablation.results import DOMAINS, figure
from wsss_ros.evaluation.tables import markdown_table, percent

_SETS = {
    "train": "pseudo-labels of the training scenes, whose tags the networks know",
    "val": "networks alone on val",
    "other": "networks alone on rooms of another style",
}


def write(
    entries: Sequence[dict], settings: MethodsConfig, config: str, pictures: Sequence[tuple[Path, str]] = ()
) -> list[Path]:
    """Write the entries as ``settings.results``.json and the page as .md; returns both paths.

    ``pictures`` are files next to the page with their captions.
    """
    return write_pages(entries, markdown(entries, settings, config, pictures), settings.results)


def markdown(
    entries: Sequence[dict], settings: MethodsConfig, config: str, pictures: Sequence[tuple[Path, str]]
) -> list[str]:
    """Return the lines of the page."""
    lines = ["# Methods on procedural rooms", "", *_introduction(entries)]
    for table in settings.tables:
        lines += ["", f"## {table.title}", "", *_table_text(table), *_table(entries, settings, table), ""]
        lines += [f"- {sentence}" for sentence in [*orders(entries, table), *_missing(entries, table)]]
    for path, caption in pictures:
        lines += ["", f"![{path.stem}]({path.name})", "", caption]
    lines += ["", "## All rows", "", *_all_rows(entries, settings)]
    return [*lines, "", "## How these came about", "", *_provenance(entries, settings, config)]


def _introduction(entries: Sequence[dict]) -> list[str]:
    seeds = sorted({entry["seed"] for entry in entries})
    most = max(sum(e["row"] == row and e["set"] == "val" for e in entries) for row in {e["row"] for e in entries})
    lead = " **All rows have one seed: leads, not results.**" if most == 1 else ""
    return [
        f"mIoU in percent, mean ± standard deviation over the seeds ({', '.join(map(str, seeds))}) that a row has. "
        "Two rows are compared over the seeds that both have. "
        f"The numbers of the papers are those of one run on ScanNet.{lead}"
    ]


def _table_text(table: TableConfig) -> list[str]:
    text = f"{table.text} " if table.text else ""
    return [f"{text}Our numbers: {_SETS[table.set]}.", ""]


def _table(entries: Sequence[dict], settings: MethodsConfig, table: TableConfig) -> list[str]:
    rows = []
    for each in table.rows:
        title = each.title or (settings.rows[each.row].title if each.row in settings.rows else "")
        ours = [_text(figure(entries, each.row, table.set, domain)) for domain in DOMAINS]
        papers = [percent(getattr(each, f"paper_{domain}"), "") for domain in DOMAINS]
        rows.append([f"`{each.row}`", title, *ours, *papers, _seeds(entries, each.row)])
    names = [domain.upper() for domain in DOMAINS]
    head = ["row", "what is trained", *names, *(f"paper {name}" for name in names), "seeds"]
    return markdown_table(head, rows, text_columns=2)


def _seeds(entries: Sequence[dict], row: str) -> str:
    return " ".join(map(str, sorted({entry["seed"] for entry in entries if entry["row"] == row}))) or "-"


def _missing(entries: Sequence[dict], table: TableConfig) -> list[str]:
    rows = ", ".join(f"`{row}`" for row in missing(entries, table))
    return [f"Missing, not trained yet: {rows}."] if rows else []


def _all_rows(entries: Sequence[dict], settings: MethodsConfig) -> list[str]:
    sets = list(dict.fromkeys(entry["set"] for entry in entries))
    columns = [(chosen, domain) for chosen in sets for domain in DOMAINS]
    rows = []
    for row, about in settings.rows.items():
        own = [entry for entry in entries if entry["row"] == row]
        if own:
            minutes = sum(entry["seconds"] for entry in own) / len(own) / 60
            scores = [_text(figure(entries, row, *column)) for column in columns]
            phases = ", ".join(chain.from_iterable(about.runs))
            rows.append([f"`{row}`", about.method, phases, *scores, f"{minutes:.1f}"])
    head = ["row", "method", "phases", *(f"{chosen} {domain.upper()}" for chosen, domain in columns), "minutes"]
    return markdown_table(head, rows, text_columns=3)


def _text(found) -> str:
    return "-" if found is None else str(found)


def _provenance(entries: Sequence[dict], settings: MethodsConfig, config: str) -> list[str]:
    data = settings.data
    used = {name for entry in entries for name in entry["phases"]}
    commands = ", ".join(f"`{command}`" for command in sorted({entry["command"] for entry in entries}))
    lines = [
        f"- Commands: {commands}; the report alone: `wsss bench methods {config} --report-only`.",
        f"- Configuration: `{config}`. Each phase is trained once for all rows that begin alike; minutes include it, "
        "by the clock, whatever else the machine did.",
        *(f"- Phase `{name}`: {phase_text(phase)}." for name, phase in settings.phases.items() if name in used),
        f"- Networks: {network_text(settings.image)} on {settings.image.augment.crop} px crops; "
        f"{network_text(settings.cloud)} on {settings.cloud.augment.points:,} points.",
        f"- Scenes: train {scenes_text(settings.train)}, {data.frames_per_scene or 'all'} frames each, of which "
        f"{data.val_frames_per_scene or 'all'} are scored, as of the other sets; all points. "
        + "; ".join(f"{name} {scenes_text(chosen)}" for name, chosen in settings.scene_sets.items())
        + ".",
        f"- Machine: {'; '.join(sorted({entry['machine'] for entry in entries}))}.",
        f"- Numbers and weights' hashes of every run: `{Path(settings.results).name}.json`.",
    ]
    if settings.pretrain is not None:
        phases = "; ".join(map(phase_text, settings.pretrain.phases))
        lines.insert(2, f"- In place of the papers' ImageNet weights, once for all runs: {phases}.")
    return lines
