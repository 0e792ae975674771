"""What the readers of folders of posed RGB-D frames share: ``Listing``, the frames before any of them is decoded."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from os.path import isfile  # no error for a name that no file can have
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from wsss_ros.files import expanded, visible
from wsss_ros.scenes.agreement import FLIP_YZ
from wsss_ros.scenes.depth_files import DEPTH_EXTENSIONS, MILLIMETRES, depth_size
from wsss_ros.scenes.frame_match import match_depth
from wsss_ros.scenes.frame_names import SECOND_NS, Key, Series, frame_name, natural, read_series, stamps_of
from wsss_ros.scenes.images import image_size
from wsss_ros.scenes.intrinsics import Intrinsics, parse_intrinsics, read_intrinsics_file
from wsss_ros.scenes.posed_frames import FrameFiles, sizes_of
from wsss_ros.scenes.reading import Reading
from wsss_ros.scenes.rig import Rig
from wsss_ros.scenes.trajectories import Trajectory
from wsss_ros.types import BadInput

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
COLOR_FOLDERS = ("color", "colour", "rgb", "image", "images")
DEPTH_FOLDERS = ("depth", "depths")
POSE_FOLDERS = ("pose", "poses")
# Files with the intrinsics of the depth image, in order of preference; relative to the scene's folder.
DEPTH_INTRINSICS = ("camera-intrinsics.txt", "intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt")
_NAMES = ("intrinsics", "intrinsic", "camera_intrinsics", "camera", "camera_info", "calibration", "K", "cam_params")
ANY_INTRINSICS = tuple(f"{name}.{ending}" for name in _NAMES for ending in ("txt", "json", "yaml", "yml"))
Pose = Float64[np.ndarray, "4 4"]
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class Listing:
    """The frames of a folder, their cameras, and how their depth is stored.

    ``rig`` is None if each frame has its own. ``integers_per_metre`` are the depth values per metre, where these are
    whole numbers. ``missing`` counts frames left out by cause.
    """

    files: list[FrameFiles]
    rig: Rig | None
    missing: Counter[str] = field(default_factory=Counter)
    integers_per_metre: float = MILLIMETRES
    world_up: tuple[float, float, float] | None = None


def subfolder(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of the folders with these names inside ``folder``, in this case or another one, or None."""
    if (found := next((folder / name for name in names if (folder / name).is_dir()), None)) is not None:
        return found
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()} if folder.is_dir() else {}
    return next((there[name] for name in names if name in there), None)


def first_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of the files with these names that a folder has, or None."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def with_endings(paths: Iterable[Path], endings: Collection[str]) -> list[Path]:
    """The visible files with one of these extensions, in lower or upper case."""
    return [path for path in paths if path.suffix.lower() in endings and visible(path)]


def image_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folder of colour and that of depth images inside ``folder``, or None unless both are there."""
    colors, depths = subfolder(folder, COLOR_FOLDERS), subfolder(folder, DEPTH_FOLDERS)
    return None if colors is None or depths is None else (colors, depths)


def image_series(colors: Path, depths: Path) -> tuple[Series, Series]:
    """The colour images of one folder and the depth images of another one. Raises BadInput as ``read_series`` does."""
    color = read_series(with_endings(colors.iterdir(), IMAGES), "colour")
    return color, read_series(with_endings(depths.iterdir(), DEPTH_EXTENSIONS), "depth")


# --- poses -----------------------------------------------------------------------------------------


def to_ours(pose: Pose, reading: Reading, from_world: bool = False, opengl: bool = False) -> Pose:
    """world_from_camera with our axes and metres, from a pose as the files have it.

    ``from_world`` and ``opengl`` are what the layout has, where ``reading`` does not say otherwise.
    """
    from_world = reading.poses == "camera_from_world" if reading.poses else from_world
    opengl = reading.axes == "opengl" if reading.axes else opengl
    pose = np.linalg.inv(pose) if from_world else pose.copy()
    pose[:3, 3] *= reading.pose_scale
    return pose @ FLIP_YZ if opengl else pose


def with_reading(trajectory: Trajectory, reading: Reading, from_world: bool = False) -> Trajectory:
    """The trajectory with our conventions (see ``to_ours``)."""
    poses = [None if pose is None else to_ours(pose, reading, from_world) for pose in trajectory.poses]
    return replace(trajectory, poses=poses)


def list_folders(folder: Path, trajectory: Trajectory, reading: Reading) -> Listing:
    """The frames of a folder of colour and one of depth images, with the poses of one file; without cameras.

    Raises BadInput without these folders, and as ``join`` does.
    """
    found = image_folders(folder)
    if found is None:
        raise BadInput(
            f"{folder}: expected a folder {' or '.join(COLOR_FOLDERS)} and a folder {' or '.join(DEPTH_FOLDERS)}"
        )
    return join(image_series(*found), trajectory, reading, str(folder))


def join(images: tuple[Series, Series], trajectory: Trajectory, reading: Reading, where: str) -> Listing:
    """The frames of colour and depth images with the poses of a trajectory; a listing without cameras.

    Poses have times, which are interpolated, or numbers; without both the n-th pose is that of the n-th colour image.
    Raises BadInput, with what was found, for streams and poses that do not belong together.
    """
    color, depth = images
    pairs = match_depth(color, depth, reading.max_dt_s, where)
    posed = _poses_of(color, trajectory, reading, where)
    kept = [pair for pair in pairs if pair.color in posed]
    stamps = stamps_of([pair.color for pair in kept], color.is_time, reading.rate_hz)
    files = []
    for at, (pair, stamp_ns) in enumerate(zip(kept, stamps, strict=True)):
        path = color.files[pair.color]
        number = at if color.is_time or len(pair.color) > 1 else pair.color[0]
        pose = posed[pair.color]
        files.append(FrameFiles(number, frame_name(path), path, depth.files[pair.depth], pose, stamp_ns))
    within = f" within {reading.max_dt_s * 1000:g} ms" if color.is_time else ""
    missing = Counter({f"no depth{within}": len(color.files) - len(pairs), f"no pose{within}": len(pairs) - len(kept)})
    missing[f"depth without colour{within}"] = len(depth.files) - len(pairs)
    if pairs and not kept:
        raise BadInput(
            f"{where}: none of the {len(pairs)} frames has a pose{within}: {color.described()}, and "
            f"{trajectory.source} has {_span(trajectory)}; expected one clock and one unit of time for both"
        )
    return Listing(files, None, +missing)


def _poses_of(color: Series, trajectory: Trajectory, reading: Reading, where: str) -> dict[Key, Pose | None]:
    """The pose of each colour image that has one, None for a lost one."""
    if trajectory.keys is None:
        if len(trajectory.poses) != len(color.files):
            raise BadInput(
                f"{trajectory.source}: {len(trajectory.poses)} poses without times, and {color.described()}; expected "
                "one pose for each image, in their order, or a time in front of each pose"
            )
        return dict(zip(color.files, trajectory.poses, strict=True))
    if trajectory.is_time != color.is_time:
        kinds = {True: "times", False: "frame numbers"}
        raise BadInput(
            f"{where}: {trajectory.source} has {kinds[trajectory.is_time]}, and {color.described()}; expected times or "
            "numbers in both"
        )
    if not color.is_time:
        return {key: pose for key, pose in trajectory.by_key.items() if key in color.files}
    max_dt_ns = round(reading.max_dt_s * SECOND_NS)
    found = {key: trajectory.at(key[0], max_dt_ns) for key in color.files}
    return {key: pose for key, pose in found.items() if pose is not None}


def _span(trajectory: Trajectory) -> str:
    keys = list(trajectory.by_key)
    if not keys:
        return "no usable pose"
    first, last = (f"{key[0] / SECOND_NS:.3f} s" if trajectory.is_time else str(key[0]) for key in (keys[0], keys[-1]))
    return f"{len(keys)} poses from {first} to {last}"


# --- cameras ---------------------------------------------------------------------------------------


def given_intrinsics(reading: Reading) -> Intrinsics | None:
    """The intrinsics that a person gave as numbers or as a file, or None. Raises BadInput for other text."""
    text = reading.intrinsics.strip()
    if not text:
        return None
    path = expanded(text)
    if isfile(path):
        found = read_intrinsics_file(path, reading.rectified)
    elif re.fullmatch(r"[-+\d.eE,;\s\[\]()]+", text):
        found = parse_intrinsics(text, "intrinsics")
    else:
        raise BadInput(f"intrinsics '{text}': no such file; expected fx,fy,cx,cy in pixels, or the path of a file")
    return replace(found, size=reading.size or found.size)


def folder_intrinsics(folder: Path, reading: Reading, names: Iterable[str]) -> Intrinsics | None:
    """The intrinsics of the first of the named files that the folder has, or None. Raises BadInput naming the file."""
    there = [name for name in dict.fromkeys(names) if (folder / name).is_file()]
    if not there:
        return None
    path = folder / there[0]
    if len(there) > 1:
        _log.warning("%s: of its intrinsics files %s the first one is used", folder, ", ".join(there))
    found = read_intrinsics_file(path, reading.rectified)
    return replace(found, size=reading.size or found.size)


def find_intrinsics(
    folder: Path, reading: Reading, published: Intrinsics | None = None, names: Iterable[str] = ()
) -> Intrinsics:
    """The intrinsics of a folder: those given, those of its files, else the ``published`` ones of its data set.

    Raises BadInput, with the argument to give, if there are none: they are never guessed.
    """
    names = (*names, *DEPTH_INTRINSICS, *ANY_INTRINSICS)
    found = given_intrinsics(reading) or folder_intrinsics(folder, reading, names) or published
    if found is None:
        raise BadInput(
            f"{folder}: no intrinsics; expected one of {', '.join(DEPTH_INTRINSICS)}, or intrinsics.json, .yaml, .txt; "
            "or give them: --intrinsics fx,fy,cx,cy (pixels) or a file, or 'intrinsics: [fx, fy, cx, cy]' in meta.yaml"
        )
    if found is published:
        _log.info("%s: no intrinsics file; those %s are used", folder, found.source)
    if found.distortion is not None:
        _log.info("%s: the images have lens distortion; if they have none, say so: rectified: true", found.source)
    return found


def registered_rig(found: Intrinsics, color_size: tuple[int, int], depth_size: tuple[int, int]) -> Rig:
    """The cameras of depth that is registered to colour, of the same size or of another one."""
    camera = found.camera(*color_size)
    return Rig(camera) if color_size == depth_size else Rig(camera.resized(*depth_size), camera)


def one_rig(listing: Listing, found: Intrinsics) -> Rig | None:
    """The cameras of a folder whose frames share the intrinsics of registered images; None without frames."""
    if not listing.files:
        return None
    return registered_rig(found, *sizes_of(listing.files))


def with_cameras(listing: Listing, found: Intrinsics, integers_per_metre: float) -> Listing:
    """The listing with one camera for all frames. A depth scale in the intrinsics file comes before the given one."""
    return replace(listing, rig=one_rig(listing, found), integers_per_metre=found.depth_scale or integers_per_metre)


# --- frames that one file lists, with a pose for each ------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A frame as a file lists it: its colour image, where its depth may be, its pose (ours) and its camera."""

    color: Path
    depth: Path | None
    pose: Pose
    intrinsics: Intrinsics


def from_listed(frames: list[Listed], reading: Reading, where: str) -> Listing:
    """The frames in the order of the numbers or times of their names, without those whose images do not exist.

    Names of several series, or without numbers, are sorted, and their stamps count positions. Depth is registered to
    colour. Raises BadInput if no frame is left.
    """
    there = [frame for frame in frames if isfile(frame.color)]
    kept = [frame for frame in there if frame.depth is not None and isfile(frame.depth)]
    missing = Counter({"file missing": len(frames) - len(there), "no depth": len(there) - len(kept)})
    if frames and not there:
        raise BadInput(
            f"{where}: none of the images of its {len(frames)} frames exists; the first is {frames[0].color}"
        )
    if not kept:
        first = next((f"; the first is {frame.depth}" for frame in there if frame.depth is not None), "")
        raise BadInput(
            f"{where}: {len(frames)} frames, {len(there)} with their image and none with depth{first}; expected depth "
            "images, which scenes need: images alone are segmented with 'wsss segment FOLDER/images'"
        )
    files = []
    for number, (frame, stamp_ns) in enumerate(_in_order(kept, reading)):
        rig = registered_rig(frame.intrinsics, image_size(frame.color), depth_size(frame.depth))
        depth = frame.depth
        assert depth is not None
        files.append(FrameFiles(number, frame_name(frame.color), frame.color, depth, frame.pose, stamp_ns, rig))
    return Listing(files, None, +missing)


def _in_order(frames: list[Listed], reading: Reading) -> list[tuple[Listed, int]]:
    by_path = {frame.color: frame for frame in frames}
    try:
        series = read_series(by_path, "colour")
        ordered, is_time = series.files, series.is_time
    except BadInput:  # several series: a list names its frames one by one, so they need not be one series
        ordered, is_time = {}, False
    if len(ordered) != len(frames):
        ordered, is_time = {(at,): path for at, path in enumerate(sorted(by_path, key=natural))}, False
    stamps = stamps_of(list(ordered), is_time, reading.rate_hz)
    return [(by_path[path], stamp_ns) for path, stamp_ns in zip(ordered.values(), stamps, strict=True)]
