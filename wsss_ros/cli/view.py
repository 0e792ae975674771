"""``wsss view``: a bag, a scene or labelled files in the 3D viewer, in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import (
    CameraInfoTopic,
    CloudColumns,
    CloudTopic,
    CloudUnit,
    CloudWeights,
    ColorTopic,
    DepthScale,
    DepthTopic,
    Device,
    FixedFrame,
    ImageWeights,
    Intrinsics,
    LabelIds,
    Layout,
    PoseTopic,
    classes_named,
    reading_of,
)
from wsss_ros.labels import RECOMMENDED


def view(
    source: Annotated[
        Path,
        typer.Argument(
            help="A bag, a scene folder, a cloud file, what 'wsss segment' wrote, or a saved map.", exists=True
        ),
    ],
    host: Annotated[str, typer.Option(help="Address served on; 0.0.0.0 lets other machines look.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8081,
    image_weights: ImageWeights = "",
    cloud_weights: CloudWeights = "",
    segment: Annotated[
        bool, typer.Option("--segment/--as-recorded", help="Label what was recorded without labels.")
    ] = True,
    min_confidence: Annotated[
        float,
        typer.Option(
            min=-1, max=1, help="Labels with less confidence are unlabelled; -1: as the weights recommend, 0: none is."
        ),
    ] = RECOMMENDED,
    labels: Annotated[
        str,
        typer.Option(help="Label file with the classes, or a checkpoint; empty: those of the weights, else scannet20."),
    ] = "",
    color: ColorTopic = "",
    cloud: CloudTopic = "",
    depth_topic: DepthTopic = "",
    camera_info_topic: CameraInfoTopic = "",
    pose_topic: PoseTopic = "",
    fixed_frame: FixedFrame = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    unit: CloudUnit = "",
    columns: CloudColumns = "",
    label_ids: LabelIds = "",
    max_points: Annotated[int, typer.Option(min=1000, help="Of more points, every n-th is drawn.")] = 300_000,
    device: Device = "auto",
) -> None:
    """Show a recording in a browser: labelled cloud, camera with overlay, path, classes with counts, a time slider.

    Examples: wsss view scene.mcap · wsss view data/rooms/SCENE · wsss view out/labels · wsss view bag --as-recorded

    Live topics: wsss up viewer:=true. Ends with Ctrl-C.
    """
    from rich.console import Console

    from wsss_ros.viewer.show import serve

    console = Console(soft_wrap=True)
    space = classes_named(labels, image_weights, cloud_weights)
    weights = {"image": image_weights, "cloud": cloud_weights}
    networks = _networks(console, space, weights, min_confidence, device) if segment else None
    topics = dict(depth_topic=depth_topic, camera_info_topic=camera_info_topic, pose_topic=pose_topic)
    choices = dict(color=color, cloud_topic=cloud, fixed_frame=fixed_frame) | topics
    reading = reading_of(layout, depth_scale, intrinsics, unit, columns, label_ids)
    record = _opened(console, source, networks, space, reading, **choices)
    serve(record, host, port, max_points, lambda text: console.print(text, highlight=False, markup=False))


def _networks(console, labels, weights: dict[str, str], min_confidence: float, device: str):
    """The networks with these classes. Raises BadInput for given weights that have others."""
    from wsss_ros.inference import CloudSegmenter, ImageSegmenter
    from wsss_ros.types import BadInput
    from wsss_ros.viewer.networks import Networks

    networks: dict = {"image": ImageSegmenter(weights["image"], device)}
    networks["cloud"] = CloudSegmenter(weights["cloud"], device)
    for kind, network in networks.items():
        if network.labels.has_classes_of(labels):
            continue
        if weights[kind]:
            raise BadInput(
                f"{weights[kind]}: its classes are not those of '{labels.name}'; expected one label space for both "
                "networks and --labels: leave out --labels, or give weights with its classes"
            )
        text = f"the {kind} network that ships has other classes than '{labels.name}': it labels nothing here"
        console.print(f"{text}; --{kind}-weights gives one", highlight=False)
        networks[kind] = None
    return Networks(networks["image"], networks["cloud"], min_confidence)


def _opened(console, source: Path, networks, labels, reading, **choices: str):
    from rich.progress import Progress

    from wsss_ros.viewer.networks import Networks
    from wsss_ros.viewer.recorded import open_record

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def progress(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return open_record(source, networks or Networks(), labels, progress, reading, **choices)
