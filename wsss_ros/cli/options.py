"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

ImageWeights = Annotated[
    str, typer.Option("--image-weights", "--image", help="Checkpoint of the image network; empty: the shipped one.")
]
CloudWeights = Annotated[
    str, typer.Option("--cloud-weights", "--point", help="Checkpoint of the cloud network; empty: the shipped one.")
]
Listed = Annotated[Path | None, typer.Option("--list", help="Text file with one scene name a line.")]
Frames = Annotated[int, typer.Option(min=0, help="Frames of each scene, spread evenly; 0 for all.")]
Split = Annotated[str, typer.Option(help="Photographs with this value in the column split; empty: all.")]
LabelIds = Annotated[
    str,
    typer.Option(
        "--label-ids",
        help="What numbers of true labels mean: dataset (ids of the label file), index (from 0), index1 (from 1), "
        "nyu40, color, or auto, which refuses where several fit; empty: dataset.",
    ),
]
CloudUnit = Annotated[
    str, typer.Option("--unit", help="Unit of a cloud file: m, cm, mm, km, ft, in; empty: metres, if that can be.")
]
CloudColumns = Annotated[
    str, typer.Option("--columns", help="Columns of a cloud as text or array, as 'x y z r g b label', - for others.")
]
Labels = Annotated[
    str,
    typer.Option("--labels", help="Label file with the classes, or a checkpoint that has them; empty: scannet20."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ColorTopic = Annotated[str, typer.Option(help="Topic of a bag's images; empty finds it.")]
DepthTopic = Annotated[str, typer.Option("--depth-topic", help="Topic of a bag's depth images; empty finds it.")]
CameraInfoTopic = Annotated[
    str, typer.Option("--camera-info-topic", help="Topic of the calibration of a bag's images; empty finds it.")
]
PoseTopic = Annotated[
    str,
    typer.Option(
        "--pose-topic",
        help="Topic of a bag's poses: PoseStamped, PoseWithCovarianceStamped or Odometry; empty takes pose, else TF.",
    ),
]
CloudTopic = Annotated[str, typer.Option(help="Topic of a bag's clouds; empty finds it.")]
Jobs = Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each; on a GPU always 1.")]
Rows = Annotated[str, typer.Option(help="Only these rows, separated by commas; empty for all.")]
Seeds = Annotated[str, typer.Option(help="Only these seeds, such as 0,1; empty for all.")]
ReportOnly = Annotated[bool, typer.Option("--report-only", help="Only report the finished runs.")]
FixedFrame = Annotated[
    str, typer.Option("--fixed-frame", help="World frame of a bag with poses in TF; empty takes map, else odom.")
]

Up = Annotated[str, typer.Option(help="Direction against gravity in the cloud: auto finds it, or x,y,z.")]

# How a scene folder is read where its files do not say it (``scenes.reading``); meta.yaml in the folder has more keys.
Layout = Annotated[str, typer.Option(help="Layout of a scene folder, such as tum; empty finds it by its files.")]
DepthScale = Annotated[
    float, typer.Option(min=0, help="Depth values per metre of a scene folder or a bag, such as 5000; 0: as it says.")
]
Intrinsics = Annotated[
    str, typer.Option(help="fx,fy,cx,cy in pixels of a scene folder, or a file with them; empty: its own file.")
]


def classes_named(name: str, *weights: str):
    """The label space of a label file or of a checkpoint; empty: that of the first given weights, else scannet20.

    Raises BadInput for another file.
    """
    from wsss_ros.labels import labels_named

    return labels_named(name or next(filter(None, weights), "scannet20"))


def end_if_incomplete(console, unread, scenes: int = 0, what: str = "frame") -> None:
    """Raise BadInput, which gives status 1, where some input could not be read and is left out.

    ``unread`` has (name, reason) of frames, which are printed; or it counts those that are named before, as ``scenes``.
    """
    from wsss_ros.types import BadInput

    for name, reason in () if isinstance(unread, int) else unread:
        console.print(f"  left out: {name}: {reason}", markup=False, highlight=False)
    counts = {what: unread if isinstance(unread, int) else len(unread), "scene": scenes}
    left_out = " and ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count)
    if left_out:
        raise BadInput(f"{left_out} left out because of what is named above; the results are those of the others")


def reading_of(
    layout: str, depth_scale: float, intrinsics: str, unit: str = "", columns: str = "", label_ids: str = ""
):
    """How scene folders are read, from these options; None if all are empty. Raises BadInput."""
    from wsss_ros.scenes.reading import given_reading

    return given_reading(layout, depth_scale, intrinsics, unit, columns, label_ids)
