"""Posed RGB-D frames lying in a folder as images and text: what the ScanNet and the plain folder readers share."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8
from PIL import Image

from wsss_ros.geometry import check_pose
from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes.images import read_bytes, read_depth, read_rgb
from wsss_ros.types import BadInput, Camera, Frame

_FRAME_RATE_HZ = 30
_START_NS = 1_000_000_000  # of frame 0, for ROS takes 0 for "no time"
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class FrameFiles:
    """The files of one view; ``number`` is its place in the recording."""

    number: int
    name: str
    color: Path
    depth: Path
    pose: Path


@dataclass(frozen=True)
class Rig:
    """The depth camera and the colour camera beside it, both at native size.

    ``color`` is None where the colour image is registered to the depth image already and of its size.
    """

    depth: Camera
    color: Camera | None = None


def list_frames(colors: Iterable[Path], depths: Iterable[Path], poses: Iterable[Path]) -> tuple[list[FrameFiles], int]:
    """Match files by the number their names hold, in numeric order; gaps are fine.

    Also returns how many numbers lack one of the three files. Files without a number are ignored.
    """
    color, depth, pose = (
        {int(stem): path for path in paths if (stem := _number(path)).isdecimal()} for paths in (colors, depths, poses)
    )
    whole = sorted(color.keys() & depth.keys() & pose.keys())
    incomplete = len(color.keys() | depth.keys() | pose.keys()) - len(whole)
    return [FrameFiles(n, color[n].name.split(".")[0], color[n], depth[n], pose[n]) for n in whole], incomplete


def _number(path: Path) -> str:
    return path.name.split(".")[0].removeprefix("frame-")


class PosedFrames:
    """The frames of one folder with a usable pose; images are decoded when asked for.

    Frames with a lost pose (-inf or NaN) are left out, as are incomplete ones; ``skipped`` counts them
    by cause, and one warning each names the ``scene``. ``stamps_ns`` maps frame numbers to time; where it has none,
    the numbers count at 30 Hz from 1 s on. Raises BadInput naming the file for a pose that is no rigid 4x4 matrix.
    """

    def __init__(
        self, scene: str, files: list[FrameFiles], incomplete: int, rig: Rig | None, stamps_ns: dict[int, int]
    ) -> None:
        poses = [_read_pose(file.pose) for file in files]
        self.files = [file for file, pose in zip(files, poses, strict=True) if pose is not None]
        self.poses = [pose for pose in poses if pose is not None]
        self.rig, self.stamps_ns = rig, stamps_ns
        self.skipped = +Counter({"lost pose": len(files) - len(self.files), "file missing": incomplete})
        for cause, count in self.skipped.items():
            _log.warning("%s: %d of %d frames left out: %s", scene, count, len(files) + incomplete, cause)

    def __len__(self) -> int:
        return len(self.files)

    def number(self, index: int) -> int:
        return self.files[index].number

    def name(self, index: int) -> str:
        return self.files[index].name

    def stamp_ns(self, index: int) -> int:
        number = self.files[index].number
        return self.stamps_ns.get(number, stamp_of_number(number))

    def depth_size(self, index: int) -> tuple[int, int]:
        """(width, height), without decoding the image."""
        return image_size(self.files[index].depth)

    def frame(self, index: int) -> Frame:
        """One view on the depth camera's pixels; depth the colour camera did not see counts as missing.

        Raises BadInput naming the file that is missing, broken or of the wrong size.
        """
        file = self.files[index]
        depth_m = read_depth(file.depth)
        height, width = depth_m.shape
        rgb = read_rgb(file.color, at_least=(width, height) if self.rig.color else None)
        if self.rig.color is None and rgb.shape[:2] != depth_m.shape:
            raise BadInput(
                f"{file.color} is {rgb.shape[1]}x{rgb.shape[0]} and {file.depth.name} is {width}x{height}; "
                "wanted one size, depth registered to colour, or the intrinsics of both cameras"
            )
        try:
            return view(self.rig, rgb, depth_m, self.poses[index].copy(), self.stamp_ns(index), file.name)
        except BadInput as error:
            raise BadInput(f"{file.color}: {error}") from error


def view(
    rig: Rig,
    rgb: UInt8[np.ndarray, "h w 3"],
    depth_m: Float32[np.ndarray, "H W"],
    world_from_camera: Float64[np.ndarray, "4 4"],
    stamp_ns: int,
    name: str,
) -> Frame:
    """A frame on the depth camera's pixels. ``depth_m`` is changed: 0 where the colour camera did not see."""
    camera = rig.depth.resized(depth_m.shape[1], depth_m.shape[0])
    if rig.color is not None:
        rgb, seen = color_on_depth(rgb, rig.color, camera)
        depth_m *= seen
    return Frame(rgb, camera, depth_m, world_from_camera, stamp_ns, name)


def stamp_of_number(number: int) -> int:
    """Nanoseconds of a frame nobody gave a time: its number at 30 Hz, from 1 s on."""
    return _START_NS + number * 1_000_000_000 // _FRAME_RATE_HZ


# --- colour and depth cameras ----------------------------------------------------------------------


def color_on_depth(
    rgb: UInt8[np.ndarray, "h w 3"], color: Camera, depth: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Resample a colour image onto the depth camera's pixels, averaging over areas; also which pixels colour saw.

    Both cameras are taken to look the same way from the same place, as ScanNet's do but for millimetres, so
    a pixel maps by the intrinsics alone: ``u' = fx'/fx (u - cx) + cx'``. Unseen borders repeat the edge.
    Images that agree within half a pixel are returned as they are.
    """
    height, width = rgb.shape[:2]
    color = color.resized(width, height)
    u, v = _to_color(color, depth, np.arange(depth.width), np.arange(depth.height))
    if (width, height) == (depth.width, depth.height) and _agree(u) and _agree(v):
        return rgb, np.ones((height, width), bool)
    seen = np.outer((v >= -0.5) & (v <= height - 0.5), (u >= -0.5) & (u <= width - 0.5))
    edges = _to_color(color, depth, np.array([-0.5, depth.width - 0.5]), np.array([-0.5, depth.height - 0.5]))
    (left, right), (top, bottom) = (edge + 0.5 for edge in edges)
    border = int(np.ceil(max(0, -left, -top, right - width, bottom - height)))
    if border > max(width, height) or not seen.any():
        raise BadInput(f"colour {color} and depth {depth} do not see the same; check the files of their intrinsics")
    image = Image.fromarray(np.pad(rgb, ((border, border), (border, border), (0, 0)), "edge") if border else rgb)
    box = tuple(float(edge) + border for edge in (left, top, right, bottom))
    return np.array(image.resize((depth.width, depth.height), Image.Resampling.HAMMING, box)), seen


def labels_on_depth(labels: UInt8[np.ndarray, "h w"], color: Camera, depth: Camera) -> UInt8[np.ndarray, "H W"]:
    """Labels in the colour camera's view, at any size, read at the depth camera's pixels; unlabelled where unseen."""
    height, width = labels.shape
    pixels = _to_color(color.resized(width, height), depth, np.arange(depth.width), np.arange(depth.height))
    u, v = (np.rint(along).astype(np.int64) for along in pixels)
    seen = np.outer((v >= 0) & (v < height), (u >= 0) & (u < width))
    return np.where(seen, labels[np.ix_(v.clip(0, height - 1), u.clip(0, width - 1))], np.uint8(UNLABELLED))


def _agree(along: Float64[np.ndarray, "K"]) -> bool:
    return bool(np.abs(along - np.arange(len(along))).max() < 0.5)


def _to_color(
    color: Camera, depth: Camera, columns: Shaped[np.ndarray, "K"], rows: Shaped[np.ndarray, "L"]
) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "L"]]:
    """Where the depth camera's columns and rows lie in the colour image."""
    u = (columns - depth.cx) * (color.fx / depth.fx) + color.cx
    v = (rows - depth.cy) * (color.fy / depth.fy) + color.cy
    return u, v


# --- text files ------------------------------------------------------------------------------------


def read_matrix(path: Path) -> Float64[np.ndarray, "R R"]:
    """A 3x3 or 4x4 matrix from text. Raises BadInput naming the file."""
    text = read_bytes(path, "a 3x3 or 4x4 matrix as text")
    try:
        values = np.array(text.split(), np.float64)
        return values.reshape({9: (3, 3), 16: (4, 4)}[len(values)])
    except (ValueError, KeyError) as error:
        raise BadInput(f"{path}: {len(text.split())} words; wanted the 9 or 16 numbers of a matrix") from error


def _read_pose(path: Path) -> Float64[np.ndarray, "4 4"] | None:
    """world_from_camera, or None where tracking was lost."""
    pose = read_matrix(path)
    if not np.isfinite(pose).all():
        return None
    try:
        check_pose(pose)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return pose


def read_intrinsics(path: Path) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels from a matrix file. Raises BadInput naming it."""
    k = read_matrix(path)
    fx, fy, cx, cy = (float(k[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (np.isfinite([fx, fy, cx, cy]).all() and min(fx, fy, cx, cy) > 0):
        got = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
        raise BadInput(f"{path}: {got} is no camera; wanted positive numbers of pixels")
    return fx, fy, cx, cy


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the head of an image file."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError) as error:
        raise BadInput(f"{path}: cannot be decoded ({error}); wanted a JPEG or PNG image") from error
