"""What the trial shows: decisions of both rules on every round, next to what dense truth says, as JSON and a table."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from wsss_ros.evaluation.confusion_matrix import iou_of
from wsss_ros.evaluation.pictures import save_figure
from wsss_ros.evaluation.tables import markdown_table
from wsss_ros.files import finite, write_json, write_text
from wsss_ros.online import gate
from wsss_ros.online.trial.old_gate import promotes_both
from wsss_ros.online.trial.plan import STEPS, TrialRound
from wsss_ros.online.trial.rounds import TRUTH
from wsss_ros.types import KINDS

POINT = 1.0  # a round is worse, or better, than before by more than this
RULES = {"old": "previous gate", "new": "this gate"}
PARTS = {True: "choice", False: "confirmation"}  # rounds on which the settings were chosen, and others
_DRAWS = 300


def entries(records: Iterable[dict], before: dict, limits: gate.Limits, choice: bool = False) -> list[dict]:
    """Return an entry for each network of each round. ``before`` is the truth of the first weights.

    ``choice`` are rounds on which the settings of the gate were chosen.
    """
    found = []
    for record in records:
        each = TrialRound(record["place"], record["fault"], record["index"], record.get("draw", 0))
        verdicts = gate.judge(record["before"], record["after"], limits, unchanged=record.get("unchanged", ()))
        together = promotes_both(record["before"], record["after"])
        for kind in KINDS:
            about = {"round": each.number, "place": each.place, "fault": each.fault, "network": kind}
            about |= {"settings_chosen_on_it": choice, **_changes(before[kind], record["truth"][kind])}
            about |= {"old": together, "new": verdicts[kind].promoted, "why": verdicts[kind].why}
            simulated = record["before"].get("base", {}).get("values", {}).get(f"{kind}_labels", {})
            about |= {"judged_by": list(verdicts[kind].judged_by), "simulated_rooms": len(simulated)}
            found.append(about)
    return found


def _changes(before: dict[str, dict], after: dict[str, dict]) -> dict[str, float]:
    """The change of mIoU in points on each set of rooms, its mean, and the standard deviation of that over rooms."""
    old, new = ([np.array(list(part[name].values())) for name in TRUTH] for part in (before, after))
    single = [_miou(b.sum(axis=0)) - _miou(a.sum(axis=0)) for a, b in zip(old, new, strict=True)]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        picks = [rng.integers(len(rooms), size=len(rooms)) for rooms in old]
        parts = zip(old, new, picks, strict=True)
        draws.append(np.mean([_miou(b[at].sum(axis=0)) - _miou(a[at].sum(axis=0)) for a, b, at in parts]))
    values = dict(zip(("change_new", "change_old"), single, strict=True))
    return {"change": float(np.mean(single)), "sd": float(np.std(draws)), **values}


def _miou(counts: Int[np.ndarray, "C D"]) -> float:
    """Return mIoU in percent of counts as in ``ConfusionMatrix``."""
    return float(100 * np.nanmean(iou_of(counts)))


def counts(rows: Sequence[dict], rule: str) -> dict[str, int]:
    """Return how many networks of rounds in rooms are worse or better than before, and what a rule did with them."""
    measured = [row for row in rows if row["place"] == "rooms"]
    worse = [row[rule] for row in measured if row["change"] < -POINT]
    better = [row[rule] for row in measured if row["change"] > POINT]
    promoted = sum(row[rule] for row in measured)
    return {
        "worse": len(worse),
        "worse_let_through": sum(worse),
        "better": len(better),
        "better_refused": len(better) - sum(better),
        "promoted": promoted,
        "networks": len(measured),
    }


def summary(rows: Sequence[dict]) -> str:
    """Return the Markdown table of what both rules did in rooms, where settings were chosen and on other rounds."""
    lines = []
    for choice, part in _parts(rows):
        for kind in (*KINDS, "both"):
            own = [row for row in rows if row["settings_chosen_on_it"] == choice and kind in (row["network"], "both")]
            for rule, title in RULES.items():
                c = counts(own, rule)
                through = f"{c['worse_let_through']} of {c['worse']}"
                refused = f"{c['better_refused']} of {c['better']}"
                lines.append([part, kind, title, through, refused, f"{c['promoted']} of {c['networks']}"])
    head = ["rounds in rooms", "network", "rule", "worse by > 1 point, let through", "better by > 1 point, refused"]
    return "\n".join(markdown_table([*head, "promoted"], lines, text_columns=3))


def _parts(rows: Sequence[dict]) -> list[tuple[bool, str]]:
    """The parts that have rounds."""
    return [(choice, part) for choice, part in PARTS.items() if any(r["settings_chosen_on_it"] == choice for r in rows)]


def by_fault(rows: Sequence[dict]) -> str:
    """Return the Markdown table of promoted networks by part, place and what was spoilt."""
    ordered, names = sorted(rows, key=lambda row: row["round"]), ("settings_chosen_on_it", "place", "fault")
    lines = []
    for kinds in dict.fromkeys(tuple(row[name] for name in names) for row in ordered):
        own = [row for row in rows if tuple(row[name] for name in names) == kinds]
        choice, place, fault = kinds
        cells = []
        for kind in KINDS:
            of_kind = [row for row in own if row["network"] == kind]
            cells += [f"{sum(row[rule] for row in of_kind)} of {len(of_kind)}" for rule in RULES]
            cells.append(f"{np.mean([row['change'] for row in of_kind]):+.1f}")
        lines.append([PARTS[choice], place, "nothing" if fault == "none" else fault, *cells])
    head = [f"{kind}, {title}" for kind in KINDS for title in (*RULES.values(), "change in rooms")]
    return "\n".join(markdown_table(["rounds", "place", "spoilt", *head], lines, text_columns=3))


def every_round(rows: Sequence[dict]) -> str:
    """Return the Markdown table of all rounds."""
    lines = []
    for number in sorted({row["round"] for row in rows}):
        own = {row["network"]: row for row in rows if row["round"] == number}
        first = own["image"]
        cells = [first["place"], "nothing" if first["fault"] == "none" else first["fault"]]
        cells.append("promoted" if first["old"] else "refused")
        for kind in KINDS:
            row = own[kind]
            cells.append(f"{row['change']:+.1f} ± {row['sd']:.1f}")
            cells += [f"{row[part]:+.1f}" for part in ("change_new", "change_old")]
            cells.append("promoted" if row["new"] else "refused")
        lines.append([PARTS[first["settings_chosen_on_it"]], f"{number:04d}", *cells])
    head = [f"{kind}: {title}" for kind in KINDS for title in ("change", "new rooms", "old rooms", "this gate")]
    head = ["rounds", "round", "place", "spoilt", "previous gate", *head]
    return "\n".join(markdown_table(head, lines, text_columns=5))


def plot(rows: Sequence[dict]) -> Figure:
    """Draw the change by dense truth of every network of a round in rooms, and which rules let it through."""
    parts = _parts(rows)
    columns = [(choice, part, rule, title) for choice, part in parts for rule, title in RULES.items()]
    figure = Figure(figsize=(5 + 2 * len(columns), 3.8), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), KINDS, strict=True):
        for place, (choice, _, rule, _) in enumerate(columns):
            for promoted, color in ((True, "tab:green"), (False, "tab:red")):
                own = [r for r in rows if r["network"] == kind and r["place"] == "rooms" and r[rule] == promoted]
                own = [r for r in own if r["settings_chosen_on_it"] == choice]
                at = place + np.linspace(-0.3, 0.3, len(own))
                label = "promoted" if promoted else "refused"
                values, spread = [r["change"] for r in own], [r["sd"] for r in own]
                axes.errorbar(at, values, spread, fmt="o", color=color, markersize=4, elinewidth=0.6, label=label)
        for height in (-POINT, POINT):
            axes.axhline(height, color="0.6", linestyle=":")
        axes.set(title=f"{kind} network", ylabel="change of mIoU, points", xticks=range(len(columns)))
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_xticklabels([f"{title},\n{part}" for _, part, _, title in columns])
        axes.grid(axis="y", alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles[:2], labels[:2], loc="outside lower center", ncols=2, frameon=False)
    return figure


def page(rows: Sequence[dict], command: str, limits: gate.Limits, weights: dict[str, dict[str, str]]) -> str:
    """Return the text of ``gate.md``; ``weights`` are the versions that the rounds of each part begin from, by kind."""
    begin = []
    for choice, part in _parts(rows):
        own = [row for row in rows if row["settings_chosen_on_it"] == choice]
        versions = ", ".join(f"{kind} {version}" for kind, version in weights[part].items())
        held_out = f"{own[0]['simulated_rooms']} simulated rooms are held out"
        begin.append(f"- *{part}*: {len(own) // len(KINDS)} rounds; they begin from {versions}; {held_out}")
    return "\n".join(
        [
            "# The gate of online learning, tried on many rounds",
            "",
            f"By `{command}`. Each round",
            f"trains as a round on a robot does, for {STEPS['none']} steps ({STEPS['wrong tags']} when it is spoilt).",
            "It is judged by two rules on the same held-out scenes.",
            "The previous gate promotes both networks or none and compares means with a constant tolerance.",
            "This gate judges each network for itself, by paired differences and a bootstrap",
            f"(tolerance {limits.tolerance:g}, significance {limits.significance:g}) of tags and of the consistency",
            f"of images, and by the mean IoU on simulated rooms, which may fall by {limits.label_tolerance:g}.",
            "Some rounds are spoilt on purpose: wrong tags, learning rates 10 or 40 times too high, one class only.",
            "",
            *begin,
            "",
            "The settings and measures of this gate were chosen on the rounds of the *choice*; so its rows there say",
            "what it was made for. The *confirmation* are other rounds in other rooms; few of them say little.",
            "",
            "Truth: dense labels of rooms that no round uses. One half is of the kind that the robot meets,",
            "the other half of the kinds that the weights knew before. *Change* is the mean change of both mIoU,",
            "in points, ± its standard deviation over rooms. Office and kitchen have no dense labels: there the",
            "change says how a round affects rooms.",
            "",
            summary(rows),
            "",
            by_fault(rows),
            "",
            "![Change of mIoU and decisions](gate.png)",
            "",
            "## Every round",
            "",
            every_round(rows),
            "",
        ]
    )


def write(
    rows: Sequence[dict], folder: Path, command: str, limits: gate.Limits, weights: dict[str, dict[str, str]]
) -> None:
    """Write ``gate.json``, ``gate.md`` and ``gate.png`` into ``folder``; ``weights`` as in ``page``."""
    content = {"command": command, **asdict(limits), "weights": weights}
    write_json(folder / "gate.json", finite({**content, "entries": list(rows)}))
    write_text(folder / "gate.md", page(rows, command, limits, weights))
    save_figure(plot(rows), folder / "gate.png")
