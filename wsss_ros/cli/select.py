"""``wsss select``: which frames are worth tagging."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import (
    ColorTopic,
    DepthScale,
    Device,
    Frames,
    ImageWeights,
    Intrinsics,
    LabelIds,
    Layout,
    Listed,
    classes_named,
    end_if_incomplete,
    reading_of,
)


def select(
    source: Annotated[Path, typer.Argument(help="A scene folder, a folder of them, a bag, or pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for select.csv and select.png.")] = Path("out/select"),
    count: Annotated[int, typer.Option(min=1, help="Frames to choose.")] = 50,
    rare: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out frames without a class that at most this share of the frames show."),
    ] = 1.0,
    labels: Annotated[
        Path | None,
        typer.Option(help="Label images of any model in place of the network: FRAME.png, or SCENE/FRAME.png."),
    ] = None,
    label_space: Annotated[
        str, typer.Option(help="Label file of these, or a checkpoint; empty: as noted in the folder, else scannet20.")
    ] = "",
    label_ids: LabelIds = "",
    image_weights: ImageWeights = "",
    listed: Listed = None,
    frames: Frames = 0,
    color: ColorTopic = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    device: Device = "auto",
) -> None:
    """Choose frames that show as many examples of every class as possible, as an image network sees them.

    Tags of frames that all show the same teach little. The list is in the order in which the frames are worth tagging.
    Frames that cannot be read are left out and named at the end; the status is then 1.
    """
    from rich.console import Console

    from wsss_ros.cli.progress import bars
    from wsss_ros.cli.segment import sources_of
    from wsss_ros.cli.tables import table
    from wsss_ros.files import check_writable
    from wsss_ros.label_files import worth_tagging
    from wsss_ros.label_files.fused import causes

    console = Console(soft_wrap=True)
    check_writable(out)
    space, labels_of = _labels(labels, label_space, label_ids, image_weights, device)
    reading = reading_of(layout, depth_scale, intrinsics)
    opened, left_out = sources_of(source, listed, frames, space, {"color": color}, "auto", False, reading)
    for name, reason in left_out:
        console.print(f"  left out: {name}: {reason}", markup=False, highlight=False)
    with bars(console) as progress:
        found = worth_tagging.select(opened, count, labels_of, rare, progress)
    worth_tagging.write(found, out)
    for text in causes(found.left_out):
        console.print(f"frames left out: {text}", style="yellow", markup=False, highlight=False)
    shown = table("worth tagging, best first", "order", "scene", "frame", "predicted classes")
    for place, choice in enumerate(found.choices[:20], 1):
        shown.add_row(str(place), choice.source, choice.frame, ", ".join(choice.classes))
    console.print(shown)
    text = (
        f"{len(found.choices)} of {found.candidates} frames; sum of the roots of the classes' counts {found.value:.1f}"
    )
    console.print(f"{text}, of random frames {found.random_value:.1f}\nresults: {out / 'select.csv'}")
    end_if_incomplete(console, found.unread, len(left_out))


def _labels(folder: Path | None, label_space: str, label_ids: str, image_weights: str, device: str):
    """The label space, and a function from a source to the labels of its frames."""
    from wsss_ros.evaluation.offline import noted_label_space
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.label_files.frame_labels import FileLabels, NetworkLabels
    from wsss_ros.label_files.labeller import Labeller
    from wsss_ros.types import BadInput

    if folder is None:
        if label_space or label_ids:
            raise BadInput("--label-space and --label-ids are for label images (--labels); the network has its own")
        labeller = Labeller(ImageSegmenter(image_weights, device))
        return labeller.labels, lambda source: NetworkLabels(labeller, source.turns())
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder of label images (--labels)")
    space = (None if label_space else noted_label_space(folder)) or classes_named(label_space)

    def of_source(source):
        own = folder / source.name
        return FileLabels(own if own.is_dir() else folder, space, label_ids or "dataset")

    return space, of_source
