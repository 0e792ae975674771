"""Files with running scores: JSON, a Markdown table, and a plot over time with the versions of the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.running_scores import DOMAINS, RunningScores, ScoreHistory
from wsss_ros.evaluation.tables import markdown_table, percent
from wsss_ros.files import replace, write_json, write_text
from wsss_ros.labels import LabelSpace

JSON, TABLE, PLOT = "evaluation.json", "evaluation.md", "evaluation.png"
MAX_COLUMNS = 8  # largest number of versions in a table and of version names in the plot; the JSON file has all
_HOLD = 0.03  # a value without a newer one is shown for this share of the plotted time
_COLORS = ("#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#8c564b", "#e377c2")


def write(scores: RunningScores, folder: str | Path) -> None:
    """Write ``evaluation.json``, ``.md`` and, if anything was scored, ``.png``; each file is replaced atomically.

    Raises OSError.
    """
    entries, folder = scores.entries(), Path(folder)
    write_json(folder / JSON, entries)
    write_text(folder / TABLE, table(entries, scores.labels))
    if entries:
        picture = plot(scores)
        replace(folder / PLOT, lambda file: picture.save(file, "PNG"))


# --- table -----------------------------------------------------------------------------------------


def table(entries: Sequence[dict], labels: LabelSpace) -> str:
    """A table for each set and domain: one row for each class that occurs, one column for each version, newest last."""
    parts = ["# Evaluation\n"]
    for domain, what in DOMAINS.items():
        for name in _sets(entries, domain):
            some = [entry for entry in entries if (entry["set"], entry["domain"]) == (name, domain)]
            parts.append(_table(f"{what.capitalize()}{_of(name)}: IoU, percent", some, what, labels))
    return "\n".join(parts if entries else [*parts, "Nothing was scored: no prediction has a matching truth.\n"])


def _table(title: str, entries: Sequence[dict], what: str, labels: LabelSpace) -> str:
    shown = entries[-MAX_COLUMNS:]
    older = len(entries) - len(shown)
    lines = [f"## {title}", ""] + [f"{older} older versions are in {JSON}.", ""] * (older > 0)
    by_class = {name: [entry["iou"][name] for entry in shown] for name in labels.names}
    rows = [[name, *map(_percent, iou)] for name, iou in by_class.items() if any(value is not None for value in iou)]
    rows.append(["**mean**", *(f"**{_percent(entry['miou'])}**" for entry in shown)])
    rows.append(["labelled", *(_percent(entry["coverage"]) for entry in shown)])
    rows.append([what, *(entry["frames"] for entry in shown)])
    lines += markdown_table(["class", *(entry["version"] for entry in shown)], rows, rule_pad=" ")
    return "\n".join(lines) + "\n"


def _percent(value: float | None) -> str:
    return percent(value, missing="–")


def _of(name: str) -> str:
    return f" of '{name}'" if name else ""


def _sets(entries: Sequence[dict], domain: str) -> list[str]:
    return list(dict.fromkeys(entry["set"] for entry in entries if entry["domain"] == domain))


# --- plot ------------------------------------------------------------------------------------------


def plot(scores: RunningScores) -> Image.Image:
    """A plot with one column for each domain: on top the running mean IoU of all sets, then each set's IoU by class."""
    from matplotlib.figure import Figure

    entries = scores.entries()
    histories = {(name, d): scores.history(name, d) for d in DOMAINS for name in _sets(entries, d)}
    domains = [domain for domain in DOMAINS if any(d == domain for _, d in histories)]
    names = list(dict.fromkeys(name for name, _ in histories))
    classes = _occurring(histories.values())
    heights = [2.6, *[0.5 + 0.17 * len(classes)] * len(names)]
    figure = Figure(figsize=(6.5 * len(domains), 0.8 + sum(heights)), dpi=90, layout="constrained")
    axes = figure.subplots(1 + len(names), len(domains), squeeze=False, sharex=True, height_ratios=heights)
    unit_s, unit = _unit(max((history.at_s[-1] for history in histories.values()), default=0))
    for column, domain in zip(axes.T, domains, strict=True):
        own = {name: histories[name, domain] for name in names if (name, domain) in histories}
        _draw_means(column[0], own, names, unit_s)
        _mark_versions(column[0], scores, domain, unit_s)
        title = f"{DOMAINS[domain]}: running mean since the start of each version"
        column[0].set_title(title, fontsize=10, loc="left", pad=18)
        for axis, name in zip(column[1:], names, strict=True):
            mesh = _draw_classes(axis, own.get(name), classes, scores, unit_s)
            axis.set_title(f"IoU by class, {DOMAINS[domain]}{_of(name)}", fontsize=9, loc="left")
        column[-1].set_xlabel(f"time since the first prediction, {unit}")
    figure.colorbar(mesh, ax=axes[1:, -1], label="IoU, percent", shrink=0.8)
    return pictures.drawn(figure)


def _unit(span_s: float) -> tuple[float, str]:
    """The unit of time for a plot of this length: its seconds and its name."""
    return (1, "s") if span_s <= 180 else (60, "min") if span_s <= 10_800 else (3600, "h")


def _occurring(histories: Any) -> list[int]:
    known = np.concatenate([np.isfinite(history.iou) for history in histories]).any(axis=0)
    return [int(index) for index in np.flatnonzero(known)]


def _draw_means(axis: Any, histories: dict[str, ScoreHistory], names: Sequence[str], unit_s: float) -> None:
    for name, history in histories.items():
        color, at, mean = _COLORS[names.index(name) % len(_COLORS)], history.at_s / unit_s, history.miou()
        ends = _ends(history)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            label = (name or "all") if start == 0 else None
            axis.plot(at[start:end], mean[start:end], color=color, linewidth=1.6, label=label)
            axis.plot(at[end - 1], mean[end - 1], "o", color=color, markersize=4)
            axis.annotate(f"{mean[end - 1]:.1f}", (at[end - 1], mean[end - 1]), (0, 5), textcoords="offset points",
                          ha="center", fontsize=7, color=color)  # fmt: skip
    axis.set_ylabel("mean IoU, percent")
    axis.set_ylim(0, max(10.0, 1.25 * max(np.nanmax(history.miou(), initial=0) for history in histories.values())))
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, loc="lower right")


def _ends(history: ScoreHistory) -> list[int]:
    """The end index (exclusive) of each run of rows with one version."""
    versions = history.versions
    return [index for index in range(1, len(versions)) if versions[index] != versions[index - 1]] + [len(versions)]


def _mark_versions(axis: Any, scores: RunningScores, domain: str, unit_s: float) -> None:
    """Draw a line at each change of the version, with the new version's name above it if there is space."""
    named_at, room = -np.inf, (scores.last_bin() + 1) * scores.bin_ns / 1e9 / MAX_COLUMNS
    for at_ns, version in scores.changes[domain]:
        at_s = (at_ns - scores.origin_ns) / 1e9
        axis.axvline(at_s / unit_s, color="0.35", linewidth=0.9, linestyle=":")
        if at_s - named_at >= room:
            named_at, place = at_s, (at_s / unit_s, 1.02)
            axis.annotate(version[:8], place, xycoords=("data", "axes fraction"), fontsize=7, color="0.3")


def _draw_classes(
    axis: Any, history: ScoreHistory | None, classes: list[int], scores: RunningScores, unit_s: float
) -> Any:
    """Draw the IoU of each class (rows) over time. A value is shown until the next, but not longer than ``_HOLD``.

    Grey means no value.
    """
    bins, width_s = scores.last_bin() + 1, scores.bin_ns / 1e9
    shown = np.full((len(classes), bins), np.nan)
    if history is not None:
        starts = np.round(history.at_s / width_s - 0.5).astype(int)
        for start, end, values in zip(starts, [*starts[1:], bins], history.iou[:, classes], strict=True):
            shown[:, start : max(start + 1, min(end, start + 1 + round(_HOLD * bins)))] = values[:, None]
    axis.set_facecolor("0.88")
    edges = np.arange(bins + 1) * width_s / unit_s
    mesh = axis.pcolormesh(edges, np.arange(len(classes) + 1), np.ma.masked_invalid(shown), vmin=0, vmax=100)
    axis.set_yticks(np.arange(len(classes)) + 0.5, [scores.labels.names[index] for index in classes], fontsize=7)
    axis.invert_yaxis()
    if history is not None:
        for end in _ends(history)[:-1]:
            axis.axvline(history.at_s[end] / unit_s, color="white", linewidth=0.9, linestyle=":")
    return mesh
