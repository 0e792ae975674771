"""Posed RGB-D frames in a folder of images and text files; shared by the readers of ScanNet and of plain folders."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from wsss_ros.geometry import check_pose
from wsss_ros.scenes.images import image_size, read_bytes, read_depth, read_rgb
from wsss_ros.scenes.rig import Rig, view
from wsss_ros.types import BadInput, Frame

_FRAME_RATE_HZ = 30
_START_NS = 1_000_000_000  # stamp of frame 0; not 0, which means "no time" in ROS
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class FrameFiles:
    """The files of one frame; ``number`` is its position in the recording."""

    number: int
    name: str
    color: Path
    depth: Path
    pose: Path


def list_frames(colors: Iterable[Path], depths: Iterable[Path], poses: Iterable[Path]) -> tuple[list[FrameFiles], int]:
    """Match files by the number in their names; returns the complete frames in the order of their numbers.

    Numbers may have gaps. Also returns how many numbers lack one of the three files. Other file names are ignored.
    """
    color, depth, pose = (
        {int(stem): path for path in paths if (stem := _number(path)).isdecimal()} for paths in (colors, depths, poses)
    )
    complete = sorted(color.keys() & depth.keys() & pose.keys())
    incomplete = len(color.keys() | depth.keys() | pose.keys()) - len(complete)
    return [FrameFiles(n, color[n].name.split(".")[0], color[n], depth[n], pose[n]) for n in complete], incomplete


def _number(path: Path) -> str:
    return path.name.split(".")[0].removeprefix("frame-")


class PosedFrames:
    """The frames of one folder that have a usable pose. An image is decoded when its frame is read.

    Frames with a lost pose (-inf or NaN) and incomplete frames are left out; ``skipped`` counts them by cause, and
    one warning for each cause names the ``scene``. ``stamps_ns`` holds stamps by frame number; a frame without one gets
    ``stamp_of_number``.
    Raises BadInput naming the file for a pose that is not a rigid 4x4 matrix.
    """

    def __init__(
        self, scene: str, files: list[FrameFiles], incomplete: int, rig: Rig | None, stamps_ns: dict[int, int]
    ) -> None:
        poses = [_read_pose(file.pose) for file in files]
        self.files = [file for file, pose in zip(files, poses, strict=True) if pose is not None]
        self.poses = [pose for pose in poses if pose is not None]
        self._rig, self.stamps_ns = rig, stamps_ns
        self.skipped = +Counter({"lost pose": len(files) - len(self.files), "file missing": incomplete})
        for cause, count in self.skipped.items():
            _log.warning("%s: %d of %d frames left out: %s", scene, count, len(files) + incomplete, cause)

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self.files)

    @property
    def rig(self) -> Rig:
        """The cameras of the frames. The folder must have frames."""
        assert self._rig is not None
        return self._rig

    def number(self, index: int) -> int:
        """Number of a frame in the recording."""
        return self.files[index].number

    def name(self, index: int) -> str:
        """Name of a frame: that of its colour file, without suffixes."""
        return self.files[index].name

    def stamp_ns(self, index: int) -> int:
        """Time of a frame in nanoseconds."""
        number = self.files[index].number
        return self.stamps_ns.get(number, stamp_of_number(number))

    def depth_size(self, index: int) -> tuple[int, int]:
        """(width, height) of a depth image, without decoding it."""
        return image_size(self.files[index].depth)

    def frame(self, index: int) -> Frame:
        """One frame on the depth camera's pixels. Depth that the colour camera does not see becomes missing (0).

        Raises BadInput naming the file that is missing, broken or of the wrong size.
        """
        file = self.files[index]
        depth_m = read_depth(file.depth)
        height, width = depth_m.shape
        rgb = read_rgb(file.color, at_least=(width, height) if self.rig.color else None)
        if self.rig.color is None and rgb.shape[:2] != depth_m.shape:
            raise BadInput(
                f"{file.color} is {rgb.shape[1]}x{rgb.shape[0]} and {file.depth.name} is {width}x{height}; "
                "expected one size, depth registered to colour, or the intrinsics of both cameras"
            )
        try:
            return view(self.rig, rgb, depth_m, self.poses[index].copy(), self.stamp_ns(index), file.name)
        except BadInput as error:
            raise BadInput(f"{file.color}: {error}") from error


def stamp_of_number(number: int) -> int:
    """The stamp of a frame without a time, in nanoseconds: its number at 30 Hz, plus 1 s."""
    return _START_NS + number * 1_000_000_000 // _FRAME_RATE_HZ


# --- text files ------------------------------------------------------------------------------------


def read_matrix(path: Path) -> Float64[np.ndarray, "R R"]:
    """Read a 3x3 or 4x4 matrix from text. Raises BadInput naming the file."""
    text = read_bytes(path, "a 3x3 or 4x4 matrix as text")
    try:
        values = np.array(text.split(), np.float64)
        return values.reshape({9: (3, 3), 16: (4, 4)}[len(values)])
    except (ValueError, KeyError) as error:
        raise BadInput(f"{path}: {len(text.split())} words; expected a matrix of 9 or 16 numbers") from error


def _read_pose(path: Path) -> Float64[np.ndarray, "4 4"] | None:
    """world_from_camera, or None if tracking was lost. Raises BadInput naming the file."""
    pose = read_matrix(path)
    if not np.isfinite(pose).all():
        return None
    try:
        check_pose(pose)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return pose


def read_intrinsics(path: Path) -> tuple[float, float, float, float]:
    """Read fx, fy, cx, cy (pixels) from a file with a camera matrix. Raises BadInput naming the file."""
    k = read_matrix(path)
    fx, fy, cx, cy = (float(k[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (np.isfinite([fx, fy, cx, cy]).all() and min(fx, fy, cx, cy) > 0):
        got = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
        raise BadInput(f"{path}: {got} is not a camera; expected positive numbers of pixels")
    return fx, fy, cx, cy
