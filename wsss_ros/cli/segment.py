"""``wsss segment``: labels for scenes, bags and pictures, as files."""

from pathlib import Path
from typing import Annotated, Literal

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
    Frames,
    ImageWeights,
    Intrinsics,
    Layout,
    Listed,
    PoseTopic,
    Up,
    end_if_incomplete,
    reading_of,
)
from wsss_ros.labels import RECOMMENDED


def segment(
    source: Annotated[Path, typer.Argument(help="A scene folder, a folder of them, a cloud file, a bag, or pictures.")],
    out: Annotated[Path, typer.Option(help="Folder to write, which must not exist yet.")],
    image_weights: ImageWeights = "",
    cloud_weights: CloudWeights = "",
    only: Annotated[Literal["2d", "3d"] | None, typer.Option(help="Segment images or clouds alone.")] = None,
    listed: Listed = None,
    frames: Frames = 0,
    pseudo_labels: Annotated[
        bool, typer.Option("--pseudo-labels", help="Labels to train on: only tagged classes can win.")
    ] = False,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Pseudo-labels with less confidence are written as unlabelled.")
    ] = 0.5,
    min_confidence: Annotated[
        float,
        typer.Option(
            min=-1, max=1, help="Labels with less confidence are unlabelled; -1: as the weights recommend, 0: none is."
        ),
    ] = RECOMMENDED,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Files of the ScanNet benchmark: 3d/SCAN.txt, 2d/SCAN_NNNNNN.png.")
    ] = False,
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
    rotate: Annotated[
        Literal["auto", "0", "90", "180", "270"],
        typer.Option(help="Degrees to the right that make images upright for the network; auto: as the poses say."),
    ] = "auto",
    up: Up = "auto",
    device: Device = "auto",
) -> None:
    """Write the labels of a scene, a set of scenes, a bag or of pictures as PLY and PNG files.

    Frames and scenes that cannot be read are left out and named at the end; the status is then 1.
    """
    from rich.console import Console

    from wsss_ros.cli.progress import bars
    from wsss_ros.geometry import parse_turns
    from wsss_ros.inference import CloudSegmenter, ImageSegmenter
    from wsss_ros.label_files import scannet_benchmark, writing
    from wsss_ros.label_files.labeller import Labeller
    from wsss_ros.scenes import pictures_without_poses
    from wsss_ros.types import BadInput

    if benchmark and (pseudo_labels or frames):
        raise BadInput("--benchmark takes neither --pseudo-labels nor --frames: every image has to be labelled")
    if min_confidence > 0 and (benchmark or pseudo_labels):
        raise BadInput("--min-confidence: the benchmark needs all labels, and --threshold is that of pseudo-labels")
    console = Console(soft_wrap=True)
    images = None if only == "3d" else ImageSegmenter(image_weights, device)
    no_cloud = only == "2d" or (images is not None and pictures_without_poses(source))
    clouds = None if no_cloud else CloudSegmenter(cloud_weights, device)
    of_bag = dict(color=color, cloud_topic=cloud, fixed_frame=fixed_frame, depth_topic=depth_topic)
    of_bag |= dict(camera_info_topic=camera_info_topic, pose_topic=pose_topic)
    least = threshold if pseudo_labels else None
    labeller = Labeller(images, clouds, least, min_confidence, parse_turns(rotate))
    reading = reading_of(layout, depth_scale, intrinsics, unit, columns)
    if benchmark and reading is not None:
        raise BadInput("--benchmark reads scans of ScanNet; leave out --layout and the like")
    opened, left_out = (
        ([], [])
        if benchmark
        else sources_of(source, listed, frames, labeller.labels, of_bag, up, pseudo_labels, reading)
    )
    with bars(console) as progress:
        if benchmark:
            scans, shown = _scans(source, listed), lambda name, done, total: progress("scans", done, total)
            written = scannet_benchmark.benchmark(scans, out, images, clouds, shown)
        else:
            written = writing.segment(opened, out, labeller, progress)
    _print(console, written, left_out, out)


def sources_of(
    path: Path,
    listed: Path | None,
    frames: int,
    labels,
    of_bag: dict[str, str],
    up: str,
    tagged: bool,
    reading=None,
) -> tuple[list, list]:
    """What to segment, and (name, reason) of the scenes that do not open."""
    from wsss_ros.bags.bag import is_bag
    from wsss_ros.bags.bag_scene import depth_scale_of
    from wsss_ros.bags.frames import BagFrames
    from wsss_ros.label_files.sources import Source
    from wsss_ros.scenes import open_all, pictures_without_poses
    from wsss_ros.types import BadInput

    found = pictures_without_poses(path)
    bag = is_bag(path) and not found
    if reading is not None and found:
        raise BadInput(f"{path}: pictures; --layout, --depth-scale, --intrinsics, --unit, --columns are for scenes")
    if bag:
        frames_of_bag = BagFrames(path, **of_bag, depth_scale=depth_scale_of(path, reading))
        return [Source.of_bag(frames_of_bag, frames, up)], []
    if any(of_bag.values()):
        raise BadInput(f"{path} is not a bag; --color, --cloud, --fixed-frame and --*-topic are options of a bag")
    if found:
        return [Source.of_pictures(path.absolute().stem, found, frames)], []
    scenes, left_out = open_all([path], labels, listed, reading=reading)
    return [Source.of_scene(scene, frames, up, tagged) for scene in scenes], left_out


def _scans(path: Path, listed: Path | None) -> list[Path]:
    """The folder of one scan, or those below a folder of scans."""
    from wsss_ros.scenes import scene_names
    from wsss_ros.types import BadInput

    if not path.is_dir():
        raise BadInput(f"{path}: no such folder; expected a scan of the benchmark or a folder of scans")
    is_scan = (path / "color").is_dir() or any(path.glob("*_vh_clean_2.ply"))
    scans = [path] if is_scan and listed is None else [path / name for name in scene_names(path, listed)]
    if not scans:
        raise BadInput(f"{listed or path}: names no scan; expected a scan of the benchmark or a folder of scans")
    return scans


def _print(console, written, left_out: list[tuple[str, str]], out: Path) -> None:
    console.print(f"scenes: {len(written.scenes)}; {written.images} images and {written.points:,} points labelled")
    for cause, count in written.left_out.items():
        console.print(f"[yellow]left out: {count} {cause}")
    failed = [*left_out, *written.failed]
    if failed:
        console.print(f"[yellow]scenes left out: {len(failed)}")
    for name, reason in failed:
        console.print(f"  {name}: {reason}", markup=False)
    console.print(f"results: {out}")
    end_if_incomplete(console, written.unread, len(left_out) + written.broken)
