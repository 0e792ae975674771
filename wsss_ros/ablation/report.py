"""The results of an ablation as JSON, and as a page in Markdown."""

import json
from collections.abc import Sequence
from pathlib import Path

from wsss_ros.ablation.results import DOMAINS, PAPER, figure, verdict
from wsss_ros.ablation.rows import ROWS
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.evaluation.tables import markdown_table, percent
from wsss_ros.files import write_text
from wsss_ros.methods import Phase
from wsss_ros.methods.joint import JointPhase
from wsss_ros.methods.method import PairedPhase
from wsss_ros.methods.recognise import RecognisePhase
from wsss_ros.training.scene_set import SceneSetConfig
from wsss_ros.types import KINDS

MEANING = {
    "cls": "classification alone (eqs. 1-2), each network for itself",
    "3d_to_2d_plain": "3D-to-2D loss (eqs. 8-11), without confidence",
    "3d_to_2d": "3D-to-2D loss (eqs. 8-11)",
    "2d_to_3d_plain": "2D-to-3D loss (eqs. 5-7), without confidence",
    "2d_to_3d": "2D-to-3D loss (eqs. 5-7)",
    "both": "both directions (eq. 12)",
    "supervised": "dense labels, the ceiling",
}
_TITLES = {"2d": "2D (images)", "3d": "3D (clouds)"}


def write(entries: Sequence[dict], settings: AblationConfig, config: str, pictures: Sequence[Path] = ()) -> list[Path]:
    """Write the entries as ``settings.results``.json and the page as .md; returns both paths."""
    return write_pages(entries, markdown(entries, settings, config, [path.name for path in pictures]), settings.results)


def write_pages(entries: Sequence[dict], lines: Sequence[str], path: str) -> list[Path]:
    """Write the entries as ``path``.json, one on each line, and the lines of the page as .md; returns both paths."""
    data, page = (Path(f"{path}{ending}") for ending in (".json", ".md"))
    write_text(data, "[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")
    write_text(page, "\n".join(lines) + "\n")
    return [data, page]


def markdown(entries: Sequence[dict], settings: AblationConfig, config: str, pictures: Sequence[str]) -> list[str]:
    """Return the lines of the page."""
    scored = [chosen for chosen in PAPER if any(entry["set"] == chosen for entry in entries)]
    seeds = sorted({entry["seed"] for entry in entries})
    lines = ["# The ablation on procedural rooms", ""]
    lines += [f"Mean ± standard deviation of mIoU in percent over {len(seeds)} seeds; the paper's is one run's.", ""]
    lines += ["## Verdict", "", *(f"- {sentence}" for sentence in verdict(entries))]
    if missing := _missing(entries, scored):
        lines.append(f"- Missing: {'; '.join(missing)}.")
    for chosen in scored:
        lines += ["", f"## {_heading(chosen)}", "", *_set_text(chosen), "", *_tables(entries, chosen)]
    lines += ["", "## All rows in both domains", "", *_all_rows(entries, scored)]
    lines += ["", "## IoU of each class on val, percent, mean over seeds", "", *_classes(entries)]
    for name in pictures:
        lines += ["", f"![{Path(name).stem}]({name})", "", _caption(name)]
    return [*lines, "", "## How these came about", "", *_provenance(entries, settings, config)]


def _heading(chosen: str) -> str:
    return "val (as the paper's Table 2)" if chosen == "val" else "Rooms of another style (as the paper's Table 4)"


def _set_text(chosen: str) -> list[str]:
    if chosen == "val":
        return ["Rooms of the kinds and looks trained on. Beside it the paper's mIoU on ScanNet's val scenes."]
    return [
        "The same networks, untouched, on rooms whose palettes, proportions and kinds were never trained on. Beside it "
        "the paper's mIoU on S3DIS after training on ScanNet."
    ]


def _tables(entries: Sequence[dict], chosen: str) -> list[str]:
    head = ["domain", "row", "what is trained", "mIoU %", "gain over cls", f"paper, {_paper_set(chosen)}"]
    rows = []
    for domain, title in _TITLES.items():
        paper = PAPER[chosen][domain]
        base = figure(entries, "cls", chosen, domain)
        for row in [*paper, "supervised"]:
            found = figure(entries, row, chosen, domain)
            gain = "" if None in (found, base) or row == "cls" else f"{found.mean - base.mean:+.1f}"
            of_paper = percent(paper.get(row), "")
            rows.append([title, f"`{row}`", MEANING[row], _text(found), gain, of_paper])
            title = ""
    return markdown_table(head, rows, text_columns=3)


def _paper_set(chosen: str) -> str:
    return "ScanNet val" if chosen == "val" else "S3DIS"


def _all_rows(entries: Sequence[dict], scored: Sequence[str]) -> list[str]:
    columns = [(chosen, domain) for chosen in scored for domain in DOMAINS]
    rows = []
    for row in ROWS:
        if seeds := sorted({entry["seed"] for entry in entries if entry["row"] == row}):
            cells = [_text(figure(entries, row, *column)) for column in columns]
            rows.append([f"`{row}`", " ".join(map(str, seeds)), *cells])
    head = ["row", "seeds", *(f"{chosen} {domain.upper()}" for chosen, domain in columns)]
    return markdown_table(head, rows, text_columns=2)


def _text(found) -> str:
    return "-" if found is None else str(found)


def _classes(entries: Sequence[dict]) -> list[str]:
    rows = [row for row in ("cls", "both", "supervised") if any(entry["row"] == row for entry in entries)]
    columns = [(domain, row) for domain in DOMAINS for row in rows]
    names = list(dict.fromkeys(name for entry in entries for domain in DOMAINS for name in entry[f"iou_{domain}"]))
    head = ["class", *(f"{domain.upper()} `{row}`" for domain, row in columns)]
    return markdown_table(head, [[name, *(_of_class(entries, name, *column) for column in columns)] for name in names])


def _of_class(entries: Sequence[dict], name: str, domain: str, row: str) -> str:
    own = [entry[f"iou_{domain}"] for entry in entries if (entry["row"], entry["set"]) == (row, "val")]
    values = [iou[name] for iou in own if name in iou]
    return percent(sum(values) / len(values) if values else None)


def _missing(entries: Sequence[dict], scored: Sequence[str]) -> list[str]:
    seeds = sorted({entry["seed"] for entry in entries})
    there = {(entry["row"], entry["seed"], entry["set"]) for entry in entries}
    lacking = {row: [s for s in seeds if any((row, s, chosen) not in there for chosen in scored)] for row in ROWS}
    return [f"`{row}` of seed {', '.join(map(str, absent))}" for row, absent in lacking.items() if absent]


def _caption(name: str) -> str:
    if name.endswith("_cams.png"):
        return (
            "Class activation maps on val, as in the paper's Figure 3: the best of the tagged classes at every pixel "
            "and point, by networks of the first seed."
        )
    return "Losses of the joint phase, mean of an epoch over seeds; the band is their range."


def _provenance(entries: Sequence[dict], settings: AblationConfig, config: str) -> list[str]:
    rows = [entry for entry in entries if entry["set"] == "val"]
    hours = sum(entry["seconds"] for entry in rows) / 3600
    data = settings.data
    lines = [
        f"- Commands: {', '.join(f'`{command}`' for command in sorted({entry['command'] for entry in entries}))}; "
        f"the report alone: `wsss bench ablation {config} --report-only`.",
        f"- Configuration: `{config}`. Phase one, once a seed: {'; '.join(map(phase_text, settings.classify))}. "
        f"Then every row: {phase_text(settings.joint)}; warm-up without the 3D-to-2D loss: "
        f"{settings.joint.warmup_epochs} epochs.",
        f"- Networks: {network_text(settings.image)} on {settings.image.augment.crop} px crops; "
        f"{network_text(settings.cloud)} on {settings.cloud.augment.points:,} points.",
        f"- Joint losses: eq. 7 weighs {settings.joint.image_to_point:g}, eq. 11 {settings.joint.point_to_image:g}; "
        f"options beyond the paper: {_beyond(settings.joint)}.",
        f"- Scenes: train {scenes_text(data.train)}, {data.frames_per_scene or 'all'} frames each; "
        f"val {scenes_text(data.val)}, {data.val_frames_per_scene or 'all'} frames each, all points"
        + (f"; other {scenes_text(settings.other)}." if settings.other else "."),
        f"- Machine: {'; '.join(sorted({entry['machine'] for entry in entries}))}.",
        f"- Time: {hours:.1f} hours of training for the joint phases of {len(rows)} runs together, "
        f"{hours * 60 / max(1, len(rows)):.1f} minutes each.",
        f"- Numbers and weights' hashes of every run: `{Path(settings.results).name}.json`.",
    ]
    for kind in KINDS:
        if weights := getattr(settings, kind).weights:
            lines.insert(2, f"- The {kind} network starts from `{weights}`, as the paper's from ImageNet's weights.")
    if settings.pretrain is not None:
        phases = "; ".join(map(phase_text, settings.pretrain.phases))
        lines.insert(2, f"- In place of the paper's ImageNet weights, once for all runs: {phases}.")
    return lines


def _beyond(joint: JointPhase) -> str:
    """The options of the joint phase that differ from the paper."""
    options = {
        "images_per_cloud": joint.images_per_cloud if joint.images_per_cloud > 1 else None,
        "tag_prior": joint.tag_prior,
        "seed_centring": joint.seed_centring,
        "centred_features": joint.centred_features,
        "balanced_links": joint.balanced_links,
        "correlated": joint.correlated if joint.correlated != "image" else None,
    }
    texts = [name if value is True else f"{name} {value}" for name, value in options.items() if value]
    return ", ".join(f"`{each}`" for each in texts) or "none"


def phase_text(phase: Phase) -> str:
    """Describe a phase: its method, length and optimisers."""
    parts = [f"{phase.method}, {phase.epochs} epoch{'s' * (phase.epochs > 1)} of batch {phase.batch}"]
    if isinstance(phase, RecognisePhase):
        closeups = phase.closeups
        parts.append(f"close-ups in {closeups.scenes} rooms of their own (seeds from {closeups.seed})")
    if isinstance(phase, PairedPhase):
        parts.append(f"{phase.images_per_cloud} image{'s' * (phase.images_per_cloud > 1)} a cloud")
    for kind in KINDS:
        if (optimiser := getattr(phase, kind)) is not None:
            head = f", head x{optimiser.head_lr:g}" * (optimiser.head_lr != 1)
            parts.append(f"{kind} network {optimiser.name} {optimiser.lr:g} ({optimiser.schedule}{head})")
    return ", ".join(parts)


def network_text(network) -> str:
    """Describe a network by its name and options."""
    options = ", ".join(f"{key} {value}" for key, value in network.options.items())
    return f"{network.network} ({options})" if options else network.network


def scenes_text(chosen: SceneSetConfig) -> str:
    """Describe a set of scenes."""
    if chosen.rooms is None:
        return f"`{chosen.folder}`"
    rooms = chosen.rooms
    last = rooms.seed + rooms.scenes - 1
    return f"{rooms.scenes} rooms of style {rooms.style} (seeds {rooms.seed} to {last})"
