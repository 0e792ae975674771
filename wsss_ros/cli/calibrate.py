"""``wsss calibrate``: fit the confidence of a network to labelled scenes."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Device, Frames, Listed, Split, classes_named, end_if_incomplete


def calibrate(
    weights: Annotated[Path, typer.Argument(help="Checkpoint of an image or a cloud network.")],
    scenes: Annotated[
        list[Path], typer.Argument(help="A validation set: labelled scenes, folders of them, folders of photographs.")
    ],
    write: Annotated[
        bool, typer.Option("--write", help="Write temperature and min_confidence into the checkpoint: a new version.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(min=-1, max=1, help="The min_confidence to recommend; -1: from the curve; 0: off.")
    ] = -1.0,
    split: Split = "",
    ignore: Annotated[
        list[str] | None, typer.Option(help="A class that the truth does not know; repeat for several.")
    ] = None,
    listed: Listed = None,
    frames: Frames = 0,
    labels: Annotated[
        str,
        typer.Option(help="Label file of the truth, or s3dis, scannet20, a checkpoint; empty: that of the network."),
    ] = "",
    out: Annotated[Path, typer.Option(help="Where the JSON and the picture go.")] = Path("out/calibrate"),
    device: Device = "auto",
) -> None:
    """Fit the temperature of a network's confidence; reliability diagram, calibration error, risk-coverage curve."""
    import dataclasses

    from rich.console import Console
    from rich.progress import track

    from wsss_ros.evaluation import calibration_plot, pictures
    from wsss_ros.evaluation.calibration import Calibration, KnownClasses, scores_of
    from wsss_ros.files import check_writable, write_json
    from wsss_ros.inference import CloudSegmenter, ImageSegmenter
    from wsss_ros.networks import checkpoint

    console = Console(soft_wrap=True)
    loaded = checkpoint.load(weights)
    truth = classes_named(labels) if labels else loaded.labels
    for folder in (out, weights.parent) if write else (out,):
        check_writable(folder)
    classes = KnownClasses.between(truth, loaded.labels, ignore or [])
    opened, left_out = _sources(scenes, truth, listed, split)
    segmenter = {"image": ImageSegmenter, "cloud": CloudSegmenter}[loaded.config.kind](loaded, device)
    shown = track(opened, "class scores", console=console, transient=True)
    known, missed, unread = scores_of(segmenter, shown, classes, frames)
    found = Calibration.of(known, loaded.labels, loaded.config.temperature)
    if min_confidence >= 0:
        found = dataclasses.replace(found, min_confidence=min_confidence)
    report = {
        "command": shlex.join(["wsss", "calibrate", *sys.argv[2:]]),
        "weights": str(weights),
        "version": loaded.version,
        "kind": loaded.config.kind,
        "scenes": sum(source.name not in dict([*missed, *unread]) for source in opened),
        **found.compute(),
    }
    if write:
        report["new_version"] = checkpoint.set_calibration(weights, found.temperature, found.min_confidence)
    _print(console, report, [*left_out, *missed], write)
    file, picture = (out / f"calibration_{loaded.config.kind}{suffix}" for suffix in (".json", ".png"))
    write_json(file, report)
    unit = {"image": "pixels", "cloud": "points"}[loaded.config.kind]
    title = f"{loaded.config.kind} network {loaded.version}, {report['samples']:,} {unit}"
    pictures.save(calibration_plot.plot(found, title), picture)
    console.print(f"results: {file}  {picture}")
    end_if_incomplete(console, unread, len(left_out))


def _sources(folders: list[Path], labels, listed: Path | None, split: str) -> tuple[list, list[tuple[str, str]]]:
    """The scenes and collections of photographs in the folders, and (name, reason) of those that do not open."""
    from wsss_ros.scenes import is_photo_folder, open_all
    from wsss_ros.scenes.photos import PhotoFolder
    from wsss_ros.types import BadInput

    photos = [PhotoFolder(folder, labels, split) for folder in folders if is_photo_folder(folder)]
    rest = [folder for folder in folders if not is_photo_folder(folder)]
    if split and not photos:
        raise BadInput("--split is for photographs, and none of the folders has any; leave it out")
    scenes, left_out = open_all(rest, labels, listed) if rest else ([], [])
    return [*photos, *scenes], left_out


def _print(console, report: dict, left_out: list[tuple[str, str]], written: bool) -> None:
    from rich.table import Table

    from wsss_ros.evaluation.tables import percent

    table = Table("", "temperature", "ECE %", "negative log likelihood", title="confidence")
    for when in ("before", "after"):
        entry = report[when]
        table.add_row(when, f"{entry['temperature']:.3f}", percent(entry["ece"]), f"{entry['nll']:.3f}")
    console.print(table)
    table = Table("min_confidence", "labelled %", "of these wrong %", "mIoU %", title="labels kept")
    for name, threshold in (("all", 0.0), ("min_confidence", report["min_confidence"])):
        kept = report["kept"][name]
        table.add_row(f"{threshold:.3f}", *(percent(kept[key]) for key in ("coverage", "risk", "miou")))
    console.print(table)
    if not report["min_confidence"]:
        console.print("recommended min_confidence 0: no group of labels is more often wrong than right, or each is")
    for name, reason in left_out:
        console.print(f"  left out: {name}: {reason}", markup=False)
    if written:
        console.print(f"{report['weights']}: version {report['version']} is now {report['new_version']}")
    else:
        console.print("the checkpoint is unchanged; --write writes the calibration into it")
