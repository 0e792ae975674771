"""``wsss bag``: write a scene folder as a rosbag2."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsss_ros.cli.options import (
    CameraInfoTopic,
    DepthScale,
    DepthTopic,
    FixedFrame,
    Intrinsics,
    Labels,
    Layout,
    PoseTopic,
    classes_named,
    reading_of,
)


def bag(
    scene: Annotated[Path, typer.Argument(help="A scene folder of any layout (docs/data.md), or a bag of a robot.")],
    out: Annotated[Path, typer.Argument(help="OUT.mcap or OUT.db3 for one file; any other name for a folder.")],
    storage: Annotated[Literal["mcap", "sqlite3"] | None, typer.Option(help="By default from OUT.")] = None,
    compressed: Annotated[bool, typer.Option("--compressed", help="Colour as JPEG instead of raw.")] = False,
    depth: Annotated[Literal["16UC1", "32FC1"], typer.Option(help="Depth in millimetres or in metres.")] = "16UC1",
    namespace: Annotated[str, typer.Option(help="Namespace of all topics but /tf.")] = "",
    frames: Annotated[int, typer.Option(min=0, help="At most this many frames; 0 for all.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Every n-th frame.")] = 1,
    cloud_every: Annotated[int, typer.Option(min=1, help="Write the cloud so far after every n-th frame.")] = 10,
    up: Annotated[str, typer.Option(help="Up in the scene: 'x,y,z', 'auto' (known or found), 'none'.")] = "auto",
    rate: Annotated[float, typer.Option(min=0, max=1000, help="New stamps at this rate, Hz; 0 keeps them.")] = 0.0,
    color: Annotated[str, typer.Option(help="Topic of the images of a bag; empty finds it.")] = "",
    depth_topic: DepthTopic = "",
    camera_info_topic: CameraInfoTopic = "",
    pose_topic: PoseTopic = "",
    fixed_frame: FixedFrame = "",
    labels: Labels = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")] = False,
) -> None:
    """Write a scene as a bag that `ros2 bag play` and the replay node play.

    A bag of a robot is written with our topics: images with depth, and poses from a topic or from TF.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from wsss_ros.bags.bag import Bag
    from wsss_ros.bags.bag_scene import open_scene_or_bag
    from wsss_ros.bags.recording import BagConfig
    from wsss_ros.bags.writing import write_bag
    from wsss_ros.config import build

    options = dict(compressed=compressed, depth=depth, namespace=namespace, frames=frames, every=every)
    config = build(BagConfig, options | dict(cloud_every=cloud_every, up=up, rate_hz=rate), "wsss bag")
    topics = dict(depth_topic=depth_topic, camera_info_topic=camera_info_topic, pose_topic=pose_topic)
    topics |= dict(color=color, fixed_frame=fixed_frame)
    reading = reading_of(layout, depth_scale, intrinsics)
    console, opened = Console(), open_scene_or_bag(scene, classes_named(labels), True, reading, **topics)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("views", total=None)
        path = write_bag(
            opened,
            out,
            config,
            storage,
            overwrite,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    written = Bag(path)
    text = f"{path}: {written.message_count} messages, {written.seconds:.1f} s; play it with: ros2 bag play {path}"
    console.print(text, soft_wrap=True, highlight=False)
