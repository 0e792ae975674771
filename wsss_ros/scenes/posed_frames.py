"""Posed RGB-D frames in a folder of images and text files; shared by the readers of ScanNet and of plain folders."""

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from wsss_ros.files import decode
from wsss_ros.geometry import check_pose
from wsss_ros.scenes.agreement import View
from wsss_ros.scenes.depth_files import depth_size
from wsss_ros.scenes.frame_match import check_shift
from wsss_ros.scenes.frame_names import FRAME_RATE_HZ, Series, frame_name, read_series, stamps_of
from wsss_ros.scenes.images import image_size, read_bytes, read_depth, read_rgb
from wsss_ros.scenes.rig import Rig, view
from wsss_ros.types import BadInput, Frame

Streams = tuple[Series, Series, Series]  # colour, depth and pose files
_LOOKED_AT = 20  # frames whose images may all be broken
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class FrameFiles:
    """The files of one frame; ``number`` is its position in the recording.

    ``pose`` is world_from_camera, the file with it, or None if it is lost. ``rig`` are cameras of this frame alone.
    """

    number: int
    name: str
    color: Path
    depth: Path
    pose: Path | Float64[np.ndarray, "4 4"] | None
    stamp_ns: int
    rig: Rig | None = None


def read_streams(colors: Iterable[Path], depths: Iterable[Path], poses: Iterable[Path]) -> Streams:
    """The colour, depth and pose files of a folder, each in order. Raises BadInput as ``read_series`` does."""
    return read_series(colors, "colour"), read_series(depths, "depth"), read_series(poses, "pose")


def list_frames(streams: Streams, rate_hz: float = FRAME_RATE_HZ) -> tuple[list[FrameFiles], Counter[str]]:
    """Match files by the number in their names; returns the complete frames in the order of their numbers.

    Numbers may have gaps; they count frames at ``rate_hz``. Also returns how many numbers lack one of the three files,
    by cause. Raises BadInput for streams that are shifted (``check_shift``).
    """
    for other in streams[1:]:
        check_shift(streams[0], other)
    color, depth, pose = (each.files for each in streams)
    complete = sorted(color.keys() & depth.keys() & pose.keys())
    incomplete = len(color.keys() | depth.keys() | pose.keys()) - len(complete)
    stamps = stamps_of(complete, False, rate_hz)
    files = []
    for at, (key, stamp_ns) in enumerate(zip(complete, stamps, strict=True)):
        number = key[0] if len(key) == 1 else at
        files.append(FrameFiles(number, frame_name(color[key]), color[key], depth[key], pose[key], stamp_ns))
    return files, +Counter({"file missing": incomplete})


def sizes_of(files: Sequence[FrameFiles]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of the colour and of the depth images, of the first frame whose images can be read.

    Raises BadInput with the fault of the first frame where none of the first ones can.
    """
    faults = []
    for file in files[:_LOOKED_AT]:
        try:
            return image_size(file.color), depth_size(file.depth)
        except BadInput as error:
            faults.append(error)
    raise faults[0]


class PosedFrames:
    """The frames of one folder that have a usable pose. An image is decoded when its frame is read.

    Frames with a lost pose (-inf or NaN) and incomplete frames are left out; ``skipped`` counts them by cause, and
    one warning for each cause names the ``scene``. ``missing`` counts incomplete frames by cause.
    ``read_depth`` reads a depth image in metres.
    Raises BadInput naming the file for a pose that is not a rigid 4x4 matrix.
    """

    def __init__(
        self,
        scene: str,
        files: list[FrameFiles],
        missing: Counter[str],
        rig: Rig | None,
        read_depth: Callable[[Path], Float32[np.ndarray, "H W"]] = read_depth,
    ) -> None:
        poses = [read_pose(file.pose) if isinstance(file.pose, Path) else file.pose for file in files]
        self.files = [file for file, pose in zip(files, poses, strict=True) if pose is not None]
        self.poses = [pose for pose in poses if pose is not None]
        self._rig, self._read_depth = rig, read_depth
        self.skipped = Counter({"lost pose": len(files) - len(self.files)}) + missing
        for cause, count in self.skipped.items():
            total = len(files) + missing.total()
            _log.warning("%s: %d of %d frames left out: %s", scene, count, total, cause)

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self.files)

    @property
    def rig(self) -> Rig:
        """The cameras of the frames. The folder must have frames."""
        assert self._rig is not None
        return self._rig

    def rig_of(self, index: int) -> Rig:
        """The cameras of one frame."""
        return self.files[index].rig or self.rig

    def number(self, index: int) -> int:
        """Number of a frame in the recording."""
        return self.files[index].number

    def name(self, index: int) -> str:
        """Name of a frame: that of its colour file, without suffixes."""
        return self.files[index].name

    def stamp_ns(self, index: int) -> int:
        """Time of a frame in nanoseconds."""
        return self.files[index].stamp_ns

    def depth_size(self, index: int) -> tuple[int, int]:
        """(width, height) of a depth image, without decoding it."""
        return depth_size(self.files[index].depth)

    def depth_m(self, index: int) -> Float32[np.ndarray, "H W"]:
        """The depth image of a frame in metres. Raises BadInput naming the file when it cannot be read."""
        return self._read_depth(self.files[index].depth)

    def view(self, index: int) -> View:
        """The depth image of a frame with its camera and pose. Raises BadInput when it cannot be read."""
        depth_m = self.depth_m(index)
        camera = self.rig_of(index).depth.resized(depth_m.shape[1], depth_m.shape[0])
        return View(depth_m, camera, self.poses[index])

    def frame(self, index: int) -> Frame:
        """One frame on the depth camera's pixels. Depth that the colour camera does not see becomes missing (0).

        Raises BadInput naming the file that is missing, broken or of the wrong size.
        """
        file = self.files[index]
        depth_m = self.depth_m(index)
        height, width = depth_m.shape
        rig = self.rig_of(index)
        rgb = read_rgb(file.color, at_least=(width, height) if rig.color else None)
        if rig.color is None and rgb.shape[:2] != depth_m.shape:
            raise BadInput(
                f"{file.color} is {rgb.shape[1]}x{rgb.shape[0]} and {file.depth.name} is {width}x{height}; "
                "expected one size, depth registered to colour, or the intrinsics of both cameras"
            )
        try:
            return view(rig, rgb, depth_m, self.poses[index].copy(), self.stamp_ns(index), file.name)
        except BadInput as error:
            raise BadInput(f"{file.color}: {error}") from error


# --- text files ------------------------------------------------------------------------------------


def read_pose(path: Path) -> Float64[np.ndarray, "4 4"] | None:
    """world_from_camera from a file with a 4x4 or 3x4 matrix, as text or npy; None if tracking was lost.

    Raises BadInput naming the file.
    """
    values = _numbers(path)
    if len(values) not in (12, 16):
        raise BadInput(f"{path}: {len(values)} words; expected a matrix of 16 or 12 numbers, world_from_camera")
    pose = np.eye(4)
    pose[: len(values) // 4] = values.reshape(-1, 4)
    if not np.isfinite(pose).all():
        return None
    try:
        check_pose(pose)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return pose


def _numbers(path: Path) -> Float64[np.ndarray, "N"]:
    data = read_bytes(path, "a 4x4 matrix")
    try:
        if path.suffix.lower() == ".npy":
            return np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64).ravel()
        words = re.sub(r"[\[\](),;]", " ", decode(data)).split()
        return np.array(words, np.float64)
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: {error}; expected a 4x4 matrix of numbers") from error
