"""``wsss fuse``: labels of many frames on one cloud."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsss_ros.cli.options import (
    CameraInfoTopic,
    ColorTopic,
    DepthScale,
    DepthTopic,
    Device,
    FixedFrame,
    Frames,
    ImageWeights,
    Intrinsics,
    Layout,
    PoseTopic,
    Up,
    classes_named,
    end_if_incomplete,
    reading_of,
)
from wsss_ros.labels import RECOMMENDED


def fuse(
    scene: Annotated[Path, typer.Argument(help="A scene folder or a bag, with poses.")],
    out: Annotated[Path, typer.Option(help="Folder to write; a fusion that was interrupted there continues.")],
    labels: Annotated[
        str,
        typer.Option(help="Labels of the frames: empty for our image network, a folder of label images, or a topic."),
    ] = "",
    label_names: Annotated[
        str,
        typer.Option(help="Names of the ids of a topic: 'wall, floor, 7:car'; empty: LabelInfo, else the label file."),
    ] = "",
    label_info_topic: Annotated[
        str, typer.Option(help="Topic of the vision_msgs/LabelInfo that names the ids of a topic; empty finds it.")
    ] = "",
    label_space: Annotated[
        str,
        typer.Option(help="Label file of the folder or topic, or a checkpoint; empty: as noted, else scannet20."),
    ] = "",
    label_ids: Annotated[
        str,
        typer.Option(help="What the numbers in a folder of label images mean, as in 'wsss evaluate'; empty: dataset."),
    ] = "",
    image_weights: ImageWeights = "",
    settings: Annotated[
        str, typer.Option(help="room_features, room_pseudo_truth, features, pseudo_truth (outdoors), or a YAML file.")
    ] = "room_features",
    visibility: Annotated[
        Literal["surfels", "depth"] | None,
        typer.Option(
            help="What hides a point: the surfels of the cloud, or the depth of the frame; default: settings."
        ),
    ] = None,
    frames: Frames = 0,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Every so many-th frame does not vote, and is compared with the map; 0: none.")
    ] = 0,
    min_confidence: Annotated[
        float,
        typer.Option(min=-1, max=1, help="Pixels with less confidence do not vote; -1: as the weights recommend."),
    ] = RECOMMENDED,
    color: ColorTopic = "",
    depth_topic: DepthTopic = "",
    camera_info_topic: CameraInfoTopic = "",
    pose_topic: PoseTopic = "",
    fixed_frame: FixedFrame = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    up: Up = "auto",
    device: Device = "auto",
) -> None:
    """Vote the labels of a scene's frames onto its cloud; write the semantic cloud, its votes and a picture."""
    from rich.console import Console

    from wsss_ros.bags.bag import is_bag
    from wsss_ros.bags.bag_scene import open_scene_or_bag
    from wsss_ros.cli.progress import bars
    from wsss_ros.fusion import settings_named
    from wsss_ros.geometry import parse_up
    from wsss_ros.label_files.fused import fuse_scene
    from wsss_ros.processes.signals import Interrupted
    from wsss_ros.types import BadInput

    console = Console(soft_wrap=True)
    chosen = settings_named(settings)
    given = None if up == "auto" else parse_up(up).tolist()
    if visibility is not None:
        chosen = chosen.model_copy(update={"visibility": visibility})
    of_topic = bool(labels) and is_bag(scene) and not Path(labels).is_dir()
    if label_ids and (of_topic or not labels):
        raise BadInput("--label-ids is for a folder of label images (--labels)")
    if of_topic:
        source, space = _topic(console, scene, labels, label_names, label_info_topic, label_space)
    elif label_names or label_info_topic:
        raise BadInput("--label-names and --label-info-topic are for label images on a topic of a bag (--labels)")
    else:
        source, space = _labels(scene, labels, label_space, label_ids, image_weights, min_confidence, device)
    of_bag = dict(color=color, depth_topic=depth_topic, camera_info_topic=camera_info_topic)
    of_bag |= dict(pose_topic=pose_topic, fixed_frame=fixed_frame)
    opened = open_scene_or_bag(scene, space, True, reading_of(layout, depth_scale, intrinsics), **of_bag)
    with bars(console) as progress:
        try:
            report = fuse_scene(opened, source(opened), out, chosen, frames, hold_out, progress, given)
        except Interrupted as stopped:
            console.print(f"{stopped}", highlight=False, markup=False)
            raise typer.Exit(128 + stopped.signal) from stopped
    _print(console, report, out)


def _labels(
    scene: Path,
    labels: str,
    label_space: str,
    label_ids: str,
    image_weights: str,
    min_confidence: float,
    device: str,
):
    """A function from the opened scene to the labels of its frames, and their label space."""
    from wsss_ros.evaluation.offline import noted_label_space
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.label_files.frame_labels import FileLabels, NetworkLabels
    from wsss_ros.label_files.labeller import Labeller
    from wsss_ros.scenes.derived import turns_of
    from wsss_ros.types import BadInput

    if not labels:
        if label_space:
            raise BadInput("--label-space is for label images from a folder or a topic; the network has its own")
        labeller = Labeller(ImageSegmenter(image_weights, device), min_confidence=min_confidence)
        return lambda opened: NetworkLabels(labeller, turns_of(opened)), labeller.labels
    folder = Path(labels)
    if folder.is_dir():
        noted = None if label_space else noted_label_space(folder)
        files = FileLabels(folder, noted or classes_named(label_space), label_ids or "dataset")
        return lambda opened: files, files.labels
    raise BadInput(f"{labels}: no such folder of label images, and {scene} is not a bag, which has topics")


def _topic(console, scene: Path, topic: str, label_names: str, label_info_topic: str, label_space: str):
    """As ``_labels``, for label images on a topic of a bag."""
    from wsss_ros.fusion.label_table import parse_names
    from wsss_ros.label_files.frame_labels import TopicLabels

    names = parse_names(label_names) if label_names.strip() else None
    found = TopicLabels(scene, topic, classes_named(label_space), names, label_info_topic)
    console.print(f"ids of {found.topic}: {found.meaning}", highlight=False)

    def source(opened):
        found.check_camera(opened.images)
        return found

    return source, found.labels


def _print(console, report, out: Path) -> None:
    from wsss_ros.cli.tables import iou_table
    from wsss_ros.evaluation.tables import percent
    from wsss_ros.label_files.fused import causes

    share = 100 * report.voted / max(report.points, 1)
    console.print(f"{report.frames} frames voted for {report.voted:,} of {report.points:,} points ({share:.1f} %)")
    for text in causes(report.left_out):
        console.print(f"frames left out: {text}", style="yellow", markup=False, highlight=False)
    held = report.held_out or {}
    scores = {} if report.scores is None else {"cloud IoU %": report.scores}
    scores |= {title: held[part] for part, title in _HELD.items() if part in held}
    if scores:
        made = iou_table(scores)
        made.add_row("accuracy", *(percent(score["accuracy"]) for score in scores.values()))
        console.print(made)
    if held:
        agreement = percent(held["agreement"])
        console.print(
            f"{held['frames']} frames held out: the map agrees with their labels at {agreement} % of the pixels"
        )
    console.print(f"results: {out}")
    end_if_incomplete(console, report.unread)


_HELD = {"single_frames": "held-out frames alone", "map": "the map in these frames"}
