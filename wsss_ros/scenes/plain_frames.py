"""Layout ``frames``: one colour, depth and pose file for each frame, in one folder or in three."""

import re
from dataclasses import replace
from pathlib import Path

from wsss_ros.files import visible
from wsss_ros.scenes.depth_files import DEPTH_EXTENSIONS
from wsss_ros.scenes.frame_match import match_depth
from wsss_ros.scenes.intrinsics import Intrinsics, read_intrinsics_file
from wsss_ros.scenes.listing import (
    COLOR_FOLDERS,
    DEPTH_FOLDERS,
    IMAGES,
    POSE_FOLDERS,
    Listing,
    find_intrinsics,
    first_file,
    join,
    registered_rig,
    subfolder,
    to_ours,
    with_endings,
)
from wsss_ros.scenes.posed_frames import Streams, list_frames, read_pose, read_streams, sizes_of
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.rig import Rig
from wsss_ros.scenes.trajectories import Trajectory
from wsss_ros.types import BadInput

EXPECTS = "'frame-*.color.*', the folders color, depth and pose or '*.sens' (posed RGB-D frames)"
_COLOR_INTRINSICS = ("intrinsic/intrinsic_color.txt", "intrinsics_color.txt")
_WORDS = {"depth": r"depth", "pose": r"pose", "color": r"colou?r|rgb|image|img"}
_POSES = (".txt", ".npy", ".csv", ".json")


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    if any(folder.glob("frame-*.color.*")):
        return "frame-*.color.*"
    folders = _folders(folder)
    if folders is not None:
        return "the folders " + ", ".join(path.name for path in folders)
    flat = flat_files(folder)
    return "files named color, depth and pose" if all(flat.values()) else ""


def read(folder: Path, reading: Reading, published: Intrinsics | None = None) -> Listing:
    """The frames of a folder. Depth is in millimetres and poses are world_from_camera, unless ``reading`` differs.

    ``camera-intrinsics.txt`` (3x3) or ``intrinsic/intrinsic_depth.txt`` (4x4) holds the intrinsics of the depth image.
    Colour must be registered to it, unless ``intrinsic/intrinsic_color.txt`` exists as well.
    Raises BadInput naming the file.
    """
    streams = read_streams(*_streams(folder))
    color, depth, pose = streams
    if color.is_time:
        listing = _by_time(folder, streams, reading)
    else:
        match_depth(color, depth, reading.max_dt_s, str(folder))
        files, missing = list_frames(streams, reading.rate_hz)
        listing = Listing(files, None, missing)
    if not listing.files:
        raise BadInput(
            f"{folder}: no frame with colour, depth and pose ({len(color.files)} colour, {len(depth.files)} depth and "
            f"{len(pose.files)} pose files{_others(folder)}); expected frame-N.color.jpg, frame-N.depth.png, "
            "frame-N.pose.txt, or color/N.jpg, depth/N.png, pose/N.txt"
        )
    found = find_intrinsics(folder, reading, published)
    sizes = sizes_of(listing.files)
    color_camera = _color_camera(folder, reading, sizes[0])
    is_registered = color_camera is None and found.size == sizes[0]
    rig = registered_rig(found, *sizes) if is_registered else Rig(found.camera(*sizes[1]), color_camera)
    return replace(_ours(listing, reading), rig=rig, integers_per_metre=found.depth_scale or listing.integers_per_metre)


def _by_time(folder: Path, streams: Streams, reading: Reading) -> Listing:
    """Frames whose names are times: the nearest depth, and the pose interpolated."""
    color, depth, poses = streams
    trajectory = Trajectory(str(folder), [read_pose(p) for p in poses.files.values()], list(poses.files), poses.is_time)
    return join((color, depth), trajectory, reading, str(folder))


def _ours(listing: Listing, reading: Reading) -> Listing:
    """The listing with the conventions of poses that a person gave."""
    if not (reading.poses or reading.axes or reading.pose_scale != 1):
        return listing
    files = []
    for file in listing.files:
        pose = read_pose(file.pose) if isinstance(file.pose, Path) else file.pose
        files.append(replace(file, pose=None if pose is None else to_ours(pose, reading)))
    return replace(listing, files=files)


def _color_camera(folder: Path, reading: Reading, size: tuple[int, int]):
    path = first_file(folder, _COLOR_INTRINSICS)
    return None if path is None or reading.intrinsics else read_intrinsics_file(path, reading.rectified).camera(*size)


def _others(folder: Path) -> str:
    """The kinds of files in the folders of depth and poses that are not read, for messages."""
    found = []
    for names, endings in ((DEPTH_FOLDERS, DEPTH_EXTENSIONS), (POSE_FOLDERS, _POSES)):
        place = subfolder(folder, names)
        entries = filter(visible, place.iterdir()) if place is not None else ()
        if others := sorted({path.suffix.lower() for path in entries} - {*endings}):
            found.append(f"; {place.name} has {', '.join(others)}, and {', '.join(endings)} are read")
    return "".join(found)


def _folders(folder: Path) -> list[Path] | None:
    """The folders of colour, depth and poses, or None unless all are there."""
    found = [subfolder(folder, names) for names in (COLOR_FOLDERS, DEPTH_FOLDERS, POSE_FOLDERS)]
    return None if None in found else [path for path in found if path is not None]


def _streams(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Colour, depth and pose files."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected posed RGB-D frames")
    folders = None if any(folder.glob("frame-*.color.*")) else _folders(folder)
    if folders is None:
        flat = flat_files(folder)
        return flat["color"], flat["depth"], flat["pose"]
    endings = IMAGES, DEPTH_EXTENSIONS, _POSES
    colors, depths, poses = (with_endings(each.iterdir(), of) for each, of in zip(folders, endings, strict=True))
    return colors, depths, poses


def flat_files(folder: Path) -> dict[str, list[Path]]:
    """The colour, depth and pose files directly in a folder, by a word in their names."""
    endings = {"depth": DEPTH_EXTENSIONS, "pose": _POSES, "color": IMAGES}
    found: dict[str, list[Path]] = {kind: [] for kind in _WORDS}
    for path in folder.iterdir():
        for kind, words in _WORDS.items():
            if re.search(rf"(?:^|[^a-z])(?:{words})(?:[^a-z]|$)", path.stem.lower()):
                found[kind] += with_endings([path], endings[kind])
                break
    return found
