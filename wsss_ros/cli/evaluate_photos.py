"""The part of ``wsss evaluate`` that scores the image network on folders of photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal


def evaluate_folders(
    folders: Sequence[Path],
    weights: str,
    space,
    split: str,
    include: str,
    ignored: Sequence[str],
    among: Literal["all", "shared"],
    count: int,
    report: dict,
    out: Path,
    device: str,
    min_confidence: float,
    label_ids: str = "dataset",
) -> None:
    """Score the image network, print a table, and write JSON and a picture."""
    from rich.console import Console
    from rich.progress import Progress

    from wsss_ros.cli.options import end_if_incomplete
    from wsss_ros.evaluation.photos import evaluate_photos
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.scenes.photos import PhotoFolder

    console = Console(soft_wrap=True)
    photos = [PhotoFolder(folder, space, split, include, label_ids=label_ids) for folder in folders]
    for each in photos:
        each.check_truth()
    segmenter = ImageSegmenter(weights, device)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("photographs", total=sum(min(len(each), count or len(each)) for each in photos))

        def done(name: str) -> None:
            bar.update(task, advance=1, description=name)

        result = evaluate_photos(segmenter, photos, space, ignored, among, count, min_confidence, done)
    scores = result.compute()
    described = {"weights": weights or "shipped", "version": segmenter.version, "labels": segmenter.labels.name}
    selected = {"split": split, "include": include, "ignored": list(ignored)}
    written = _write(result, {**report, **selected, "photos": {"predictions": described, **scores}}, out)
    console.print(_table(scores))
    console.print(f"{scores['photographs']} photographs, {scores['labelled']} with dense labels")
    console.print("results: " + "  ".join(map(str, written)))
    end_if_incomplete(console, result.left_out, what="photograph")


def _table(scores: dict):
    from wsss_ros.cli.tables import table
    from wsss_ros.evaluation.tables import percent

    tags, dense = scores["tags"], [scores[name] for name in ("any", "tagged") if scores[name]]
    made = table("", "class", *["any IoU %", "tagged IoU %"][: len(dense)], "AP of tags %", "present", "known")
    for name, ap in tags["ap"].items():
        counts = (str(tags[column][name]) for column in ("present", "known"))
        made.add_row(name, *(percent(each["iou"][name]) for each in dense), percent(ap), *counts)
    made.add_row("mean", *(percent(each["miou"]) for each in dense), percent(tags["map"]), "", "", style="bold")
    return made


def _write(result, report: dict, out: Path) -> list[Path]:
    from wsss_ros.evaluation import pictures
    from wsss_ros.files import finite, write_json

    written = [out / "evaluation.json"]
    write_json(written[0], finite(report))
    if result.labelled:
        matrix, miou = result.any_class, report["photos"]["any"]["miou"]
        title = f"mIoU {miou:.1f} %, {result.labelled} photographs, any class may win"
        picture = pictures.confusion(matrix.counts, matrix.labels.names, title, "pixels")
        written.append(pictures.save(picture, out / "confusion.png"))
    return written
