"""``wsss evaluate``: score networks, or predictions in files, against the truth of labelled scenes."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsss_ros.cli.options import (
    CloudColumns,
    CloudUnit,
    CloudWeights,
    DepthScale,
    Device,
    Frames,
    ImageWeights,
    Intrinsics,
    LabelIds,
    Layout,
    Listed,
    Split,
    classes_named,
    end_if_incomplete,
    reading_of,
)


def evaluate(
    scenes: Annotated[list[Path], typer.Argument(help="Scene folders, folders of them, cloud files; or photographs.")],
    image_weights: ImageWeights = "",
    cloud_weights: CloudWeights = "",
    only: Annotated[Literal["2d", "3d"] | None, typer.Option(help="Score only images or only clouds.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score what 'wsss segment' wrote into this folder, instead of networks.")
    ] = None,
    listed: Listed = None,
    frames: Frames = 0,
    labels: Annotated[
        str,
        typer.Option(help="Label file of the truth, s3dis or scannet20, or a checkpoint; empty: as the layout has it."),
    ] = "",
    among: Annotated[
        Literal["all", "shared"],
        typer.Option(
            help="Weights of another label space are scored on the classes shared with the truth. all: any of theirs "
            "may win, one beyond the shared is a miss; shared: only the shared may win."
        ),
    ] = "all",
    min_confidence: Annotated[
        float,
        typer.Option(min=-1, max=1, help="Labels with less count as unlabelled, a miss; -1: as the weights recommend."),
    ] = 0.0,
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    unit: CloudUnit = "",
    columns: CloudColumns = "",
    label_ids: LabelIds = "",
    split: Split = "",
    include: Annotated[str, typer.Option(help="Photographs that match a pattern, such as 'free/*'; empty: all.")] = "",
    ignore: Annotated[
        list[str] | None, typer.Option(help="A class that the photographs' truth does not know; repeat for several.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the JSON and the pictures go.")] = Path("out/evaluate"),
    device: Device = "auto",
) -> None:
    """Per-class IoU and mIoU in 2D and 3D by ScanNet's rules: one confusion matrix over all scenes.

    Folders of photographs (tags.csv, and perhaps dense labels in label/) are scored in 2D: mIoU where any class may win
    and where only the tags may win, over the classes with true pixels; and the average precision of their tags.

    What cannot be read is left out and named at the end; the status is then 1.
    """
    from rich.console import Console

    from wsss_ros.cli.evaluate_photos import evaluate_folders
    from wsss_ros.evaluation import offline
    from wsss_ros.files import check_writable
    from wsss_ros.scenes import open_all

    console = Console(soft_wrap=True)
    check_writable(out)
    space = _space(labels, scenes, [image_weights, cloud_weights], predictions)
    report = {"command": shlex.join(["wsss", "evaluate", *sys.argv[2:]]), "among": among, "frames_per_scene": frames}
    report |= {"min_confidence": min_confidence, "truth": space.name}
    others = {"only 3d": only == "3d", "predictions": predictions, "list": listed, "cloud-weights": cloud_weights}
    others |= {"layout": layout, "depth-scale": depth_scale, "intrinsics": intrinsics}
    others |= {"unit": unit, "columns": columns}
    if _are_photos(scenes, others, {"split": split, "include": include, "ignore": ignore}):
        choice = space, split, include, ignore or [], among, frames
        evaluate_folders(scenes, image_weights, *choice, report, out, device, min_confidence, label_ids or "dataset")
        return
    reading = reading_of(layout, depth_scale, intrinsics, unit, columns, label_ids)
    opened, left_out = open_all(scenes, space, listed, reading=reading)
    domains = [only] if only else ["2d", "3d"]
    report |= {"not_opened": dict(left_out)}
    results = {}
    for domain in domains:
        weights = {"2d": image_weights, "3d": cloud_weights}[domain]
        source, predicted, described = _source(domain, weights, predictions, space, device)
        comparison = offline.Comparison.between(space, predicted, among)
        if predictions is None:
            source.present, source.min_confidence = comparison.present, min_confidence
        needed = _as_needed(opened, source, image_weights, device)
        results[domain] = _run(console, domain, source, needed, comparison, frames, bool(only))
        report[domain] = {"predictions": described, **results[domain].compute()} if results[domain] else None
    _finish(console, results, report, left_out, out)
    scored = [result for result in results.values() if result is not None]
    unread = dict(entry for result in scored for entry in result.unread)
    end_if_incomplete(console, unread.items(), len(left_out) + max(result.broken for result in scored))


def _are_photos(folders: list[Path], of_scenes: dict, of_photos: dict) -> bool:
    """Whether the folders hold photographs. Raises BadInput for both kinds, and for options of the other kind."""
    from wsss_ros.scenes import is_photo_folder
    from wsss_ros.types import BadInput

    kinds = {is_photo_folder(folder) for folder in folders}
    if len(kinds) > 1:
        raise BadInput(f"{', '.join(map(str, folders))}: photographs and scenes; evaluate them one after the other")
    photos = True in kinds
    for name, value in (of_scenes if photos else of_photos).items():
        if value:
            raise BadInput(f"--{name} does not apply to {'photographs' if photos else 'scenes'}; leave it out")
    return photos


def _space(labels: str, scenes: list[Path], weights: list[str], predictions: Path | None):
    """The label space of the truth: the one named, else that of the layout.

    Raises BadInput where predictions have own classes and nothing says that the truth has others.
    """
    from wsss_ros.evaluation.offline import noted_label_space
    from wsss_ros.labels import SHIPPED, s3dis, scannet20
    from wsss_ros.labels.of_checkpoint import labels_of
    from wsss_ros.types import BadInput

    if labels:
        return classes_named(labels)
    given = {path: labels_of(path) for path in weights if path}
    noted = noted_label_space(predictions) if predictions is not None else None
    given |= {str(predictions): noted} if noted is not None else {}
    for path, space in given.items():
        if space.name not in SHIPPED:
            raise BadInput(
                f"{path} has the classes of '{space.name}' ({', '.join(space.names[:5])}); the truth may have these or "
                f"others: say which: --labels {path if path in weights else 'FILE'}, a label file, or scannet20"
            )
    rooms = (room for folder in scenes for room in (*folder.glob("Annotations"), *folder.glob("*/Annotations")))
    return s3dis() if any(rooms) else scannet20()


def _source(domain: str, weights: str, predictions: Path | None, space, device: str):
    """What predicts, its label space, and its description for the report."""
    from wsss_ros.evaluation import offline
    from wsss_ros.inference import CloudSegmenter, ImageSegmenter
    from wsss_ros.types import BadInput

    if predictions is not None:
        if not predictions.is_dir():
            raise BadInput(f"{predictions}: no such folder; expected predictions as 'wsss segment' writes them")
        written = offline.noted_label_space(predictions) or space
        described = {"folder": str(predictions), "labels": written.name}
        return offline.FilePredictions(predictions, written), written, described
    segmenter: ImageSegmenter | CloudSegmenter
    if domain == "2d":
        segmenter = images = ImageSegmenter(weights, device)
        source = offline.NetworkPredictions(images=images)
    else:
        segmenter = clouds = CloudSegmenter(weights, device)
        source = offline.NetworkPredictions(clouds=clouds)
    described = {"weights": weights or "shipped", "version": segmenter.version, "labels": segmenter.labels.name}
    return source, segmenter.labels, described


def _as_needed(opened: list, source, image_weights: str, device: str) -> list:
    """The scenes as the cloud network needs them: with labels of the image network on their clouds, if it takes any."""
    from wsss_ros.evaluation.fused_scenes import fused_scenes
    from wsss_ros.inference import ImageSegmenter

    clouds = getattr(source, "clouds", None)
    if clouds is None or not clouds.takes_fused_labels:
        return opened
    return list(fused_scenes(opened, clouds, ImageSegmenter(image_weights, device)))


def _run(console, domain: str, source, opened: list, comparison, frames: int, alone: bool):
    """The evaluation of one domain; None where it has no truth and the other is scored as well."""
    from rich.progress import Progress

    from wsss_ros.evaluation import offline
    from wsss_ros.types import BadInput

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task({"2d": "images", "3d": "clouds"}[domain], total=len(opened))

        def done(name: str) -> None:
            bar.update(task, advance=1, description=name)

        try:
            if domain == "2d":
                return offline.evaluate_images(source, opened, comparison, frames, done)
            return offline.evaluate_clouds(source, opened, comparison, done)
        except offline.UnusablePrediction:
            raise
        except BadInput as error:
            if alone:
                raise
            console.print(f"[yellow]{domain.upper()}: {error}")
            return None


def _finish(console, results: dict, report: dict, left_out: list, out: Path) -> None:
    from wsss_ros import files
    from wsss_ros.evaluation import pictures
    from wsss_ros.types import BadInput

    scored = {domain: result for domain, result in results.items() if result is not None}
    if not scored:
        raise BadInput("nothing was scored: no scene has truth for its images or its points; give labelled scenes")
    _print(console, scored, report)
    _name_left_out(console, scored, left_out)
    files.write_json(out / "evaluation.json", report)
    written = [out / "evaluation.json"]
    for domain, result in scored.items():
        unit = {"2d": "pixels", "3d": "points"}[domain]
        title = f"{domain.upper()}: mIoU {report[domain]['miou']:.1f} %, {_scenes(len(result.scenes))}"
        picture = pictures.confusion(result.matrix.counts, result.matrix.labels.names, title, unit)
        written.append(pictures.save(picture, out / f"confusion_{domain}.png"))
    console.print("results: " + "  ".join(map(str, written)))


def _print(console, scored: dict, report: dict) -> None:
    from wsss_ros.cli.tables import iou_table
    from wsss_ros.evaluation.tables import percent

    table = iou_table({f"{domain.upper()} IoU %": report[domain] for domain in scored})
    table.add_row("accuracy", *(percent(report[domain]["accuracy"]) for domain in scored))
    table.add_row("labelled", *(percent(report[domain]["coverage"]) for domain in scored))
    table.add_row("scored", *(f"{report[domain]['count']:,}" for domain in scored))
    console.print(table)
    for domain, result in scored.items():
        predicted, truth = report[domain]["predictions"]["labels"], report["truth"]
        if predicted != truth:
            rule = {"all": "any class may win", "shared": "only these may win"}[report["among"]]
            count = len(result.matrix.labels)
            console.print(f"{domain.upper()}: the {count} classes of '{truth}' in '{predicted}'; {rule}")
        kind = f", {result.images} images" if result.images else ""
        console.print(f"{domain.upper()}: {_scenes(len(result.scenes))}{kind}")


def _name_left_out(console, scored: dict, left_out: list[tuple[str, str]]) -> None:
    parts = {"not opened": left_out} | {domain.upper(): result.left_out for domain, result in scored.items()}
    for part, entries in parts.items():
        if entries:
            console.print(f"[yellow]{part}: {_scenes(len(entries))} left out")
        for name, reason in entries:
            console.print(f"  {name}: {reason}", markup=False)


def _scenes(count: int) -> str:
    return f"{count} scene{'s' if count != 1 else ''}"
