"""Results of learning on the stream over several runs: table, JSON and plot, from the files of the nodes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from wsss_ros.evaluation.pictures import save_figure
from wsss_ros.evaluation.tables import RunStatistics, markdown_table
from wsss_ros.files import read_json, write_json, write_text
from wsss_ros.networks import checkpoint
from wsss_ros.online.records import Decision, from_values
from wsss_ros.types import KINDS, BadInput

DOMAINS = {"miou_2d": ("2d", "image"), "miou_3d": ("3d", "cloud")}  # domain in the evaluation, kind of network
TITLES = {"miou_2d": "2D (images)", "miou_3d": "3D (clouds)"}
LOOKS = {"new": "rooms of the new kind, never tagged", "old": "rooms of the old kinds"}


def read(folder: str | Path, seed: int) -> list[dict]:
    """Read the entries of a run, ``{"seed", "round", "set", "miou_2d", "miou_3d", "promoted", ...}``, in percent.

    Round 0 is before the first round. A refused network has the scores of the one that stayed. ``networks`` says for
    each kind whether it was promoted, ``promoted`` whether any was. ``segmenters_p95_ms`` is the latency of the
    segmenters without a round and next to one. ``folder`` holds ``online/``
    of the trainer and ``evaluation/evaluation.json`` of the evaluator.

    Raises BadInput when the evaluator scored nothing of a version in use.
    """
    folder = Path(folder)
    scores = {
        (entry["set"], entry["version"], entry["domain"]): entry["miou"]
        for entry in read_json(folder / "evaluation" / "evaluation.json")
    }
    log = folder / "online" / "rounds.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    first = Decision(0, False, "the weights that ship", {}, {}, "0000")
    decisions = [from_values(Decision, {"before": {}, "after": {}, **json.loads(line)}) for line in lines]
    entries = []
    for decision in [first, *decisions]:
        weights = folder / "online" / "weights" / decision.version
        versions = {kind: checkpoint.load(checkpoint.file_of(weights, kind)).version for kind in KINDS}
        for name in LOOKS:
            found = {key: scores.get((name, versions[kind], domain)) for key, (domain, kind) in DOMAINS.items()}
            if None in found.values():
                raise BadInput(f"{folder}: nothing of '{name}' was scored with version {decision.version}: {found}")
            about = {"promoted": None, "networks": {}} if decision is first else _promoted(decision)
            known = bool(decision.networks) or decision is first
            about["why"] = decision.why if known else f"{decision.result}: {decision.why}"
            about["version"] = decision.version
            about["segmenters_p95_ms"] = decision.more.get("segmenters_p95_ms", {})
            entries.append({"seed": seed, "round": decision.round, "set": name, **found, **about})
    return entries


def _promoted(decision: Decision) -> dict:
    return {"promoted": decision.promoted, "networks": {kind: decision.took(kind) for kind in KINDS}}


def _took(entry: dict, kind: str) -> bool:
    """Whether the round of an entry promoted this network; entries of earlier releases have one answer for both."""
    return entry.get("networks", {}).get(kind, entry["promoted"])


def write(runs: Sequence[list[dict]], folder: str | Path, command: str) -> None:
    """Write ``online.json``, ``online.md`` and ``online.png`` into ``folder``."""
    folder, entries = Path(folder), [entry for run in runs for entry in run]
    write_json(folder / "online.json", {"command": command, "entries": entries})
    write_text(folder / "online.md", page(runs, command))
    save_figure(plot(runs), folder / "online.png")


def gains(runs: Sequence[list[dict]], name: str, key: str) -> np.ndarray:
    """Return the gain in mIoU from before the first round to after the last one, in points, one a run."""
    own = [[entry for entry in run if entry["set"] == name] for run in runs]
    return np.array([run[-1][key] - run[0][key] for run in own])


def verdict(runs: Sequence[list[dict]]) -> list[str]:
    """Return a sentence for each set and domain: mean gain over all rounds, its spread, and how often it is a gain."""
    sentences = []
    for name, words in LOOKS.items():
        for key, title in TITLES.items():
            gain = gains(runs, name, key)
            spread = f" ± {gain.std(ddof=1):.1f}" if len(gain) > 1 else ""
            up = f"up in {int((gain > 0).sum())} of {len(gain)} runs"
            sentences.append(f"{title}, {words}: {gain.mean():+.1f}{spread} points; {up}")
    return sentences


def latencies(runs: Sequence[list[dict]]) -> list[str]:
    """Return a sentence for each segmenter: its p95 without and with a round, means over the rounds that have both."""
    rounds = [entry["segmenters_p95_ms"] for run in runs for entry in run if entry["round"] and entry["set"] == "new"]
    sentences = []
    for node in sorted({name for each in rounds for name in each}):
        both = [(each[node]["alone"], each[node]["beside"]) for each in rounds if len(each.get(node, {})) == 2]
        if both:
            (alone, beside), worst = np.mean(both, axis=0), max(high / low for low, high in both)
            times = f"{beside / alone:.1f} times, at most {worst:.1f} in {len(both)} round{'s' * (len(both) > 1)}"
            sentences.append(f"{node}: p95 latency {alone:.0f} ms without a round, {beside:.0f} ms with one ({times})")
    return sentences


def table(runs: Sequence[list[dict]]) -> str:
    """Return a Markdown table: a row for each round, with mean and spread over runs."""
    heads = [f"{title}, {name}" for name in LOOKS for title in TITLES.values()]
    rows = []
    for number in range(max(entry["round"] for run in runs for entry in run) + 1):
        cells, own = [], [e for run in runs for e in run if e["round"] == number and e["set"] == "new"]
        for name in LOOKS:
            for key in TITLES:
                values = (e[key] for run in runs for e in run if e["round"] == number and e["set"] == name)
                cells.append(RunStatistics(tuple(values)))
        shares = [f"{sum(_took(e, kind) for e in own)} of {len(own)}" if number else "" for kind in KINDS]
        rows.append([number, *shares, *cells])
    promoted = [f"{kind} network promoted" for kind in KINDS]
    return "\n".join(markdown_table(["after round", *promoted, *heads], rows, text_columns=3))


def page(runs: Sequence[list[dict]], command: str) -> str:
    """Return the text of ``online.md``."""
    spread = f"mean ± standard deviation over {len(runs)} runs" if len(runs) > 1 else "one run"
    reasons = [
        f"- seed {entry['seed']}, round {entry['round']}: {entry['why']}"
        for run in runs
        for entry in run
        if entry["round"] and entry["set"] == "new"
    ]
    return "\n".join(
        [
            "# Learning while the stream plays",
            "",
            f"By `{command}`: the weights that ship see rooms of a kind and look that they were not trained on. Some",
            "rooms are tagged while the stream plays. Rounds of training run next to the segmenters, the gate",
            "judges each network on held-out rooms, and the evaluator scores the segmenters on rooms never tagged.",
            f"mIoU in percent, {spread}. Other rounds: [findings.md](findings.md), [gate.md](gate.md).",
            "",
            *(f"- {sentence}" for sentence in verdict(runs)),
            "",
            table(runs),
            "",
            "![mIoU after each round](online.png)",
            "",
            "## What a round costs the segmenters",
            "",
            "Each node reports its p95 latency over 10 s. A round keeps the median of these; the numbers are means",
            "over the rounds. The rounds run on the same cores.",
            "",
            *(f"- {sentence}" for sentence in latencies(runs)),
            "",
            "## Decisions of the gate",
            "",
            *reasons,
            "",
        ]
    )


def plot(runs: Sequence[list[dict]]) -> Figure:
    """Draw the mIoU after each round, a line a run; crosses are rounds that refused the network."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, 2), TITLES.items(), strict=True):
        for color, (name, words) in zip(("tab:blue", "tab:gray"), LOOKS.items(), strict=True):
            for index, run in enumerate(runs):
                own = [entry for entry in run if entry["set"] == name]
                label = words if index == 0 else None
                axes.plot([e["round"] for e in own], [e[key] for e in own], "o-", color=color, alpha=0.7, label=label)
                refused = [e for e in own if e["round"] and not _took(e, DOMAINS[key][1])]
                axes.plot([e["round"] for e in refused], [e[key] for e in refused], "rx", markersize=9)
        axes.set(title=title, xlabel="after round", ylabel="mIoU %", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    return figure
