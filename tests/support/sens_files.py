"""Writes ``.sens`` files, version 4, field by field as ScanNet documents them."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from wsss_ros.types import Camera

RAW, PNG, JPEG = 0, 1, 2
ZLIB = 1


def head(
    color: Camera,
    depth: Camera,
    frames: int,
    color_type: int = JPEG,
    depth_type: int = ZLIB,
    shift: float = 1000.0,
    sensor: bytes = b"StructureSensor",
    version: int = 4,
) -> bytes:
    parts = [struct.pack("<I", version), struct.pack("<Q", len(sensor)), sensor]
    for matrix in (_intrinsic(color), np.eye(4), _intrinsic(depth), np.eye(4)):
        parts += [struct.pack("<f", value) for value in matrix.ravel()]
    parts += [struct.pack("<i", color_type), struct.pack("<i", depth_type)]
    parts += [struct.pack("<I", size) for size in (color.width, color.height, depth.width, depth.height)]
    return b"".join([*parts, struct.pack("<f", shift), struct.pack("<Q", frames)])


def frame(pose: np.ndarray, color_us: int, depth_us: int, color: bytes, depth: bytes) -> bytes:
    parts = [struct.pack("<f", value) for value in np.asarray(pose).ravel()]
    parts += [struct.pack("<Q", value) for value in (color_us, depth_us, len(color), len(depth))]
    return b"".join([*parts, color, depth])


def imu(count: int) -> bytes:
    """The end of a file: motion measurements, which the reader ignores."""
    return struct.pack("<Q", count) + b"".join(struct.pack("<15dQ", *range(15), i) for i in range(count))


def encode_color(rgb: np.ndarray, color_type: int) -> bytes:
    if color_type == RAW:
        return rgb.tobytes()
    file = io.BytesIO()
    if color_type == PNG:
        Image.fromarray(rgb).save(file, "PNG")
    else:
        Image.fromarray(rgb).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def encode_depth(steps: np.ndarray, depth_type: int) -> bytes:
    data = steps.astype("<u2").tobytes()
    return zlib.compress(data) if depth_type == ZLIB else data


def recording(
    color: Camera,
    depth: Camera,
    frames: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    color_type: int = JPEG,
    depth_type: int = ZLIB,
    shift: float = 1000.0,
) -> bytes:
    """A file of frames (pose, rgb, depth steps), 33 ms apart from 1 s on."""
    parts = [head(color, depth, len(frames), color_type, depth_type, shift)]
    for number, (pose, rgb, steps) in enumerate(frames):
        images = encode_color(rgb, color_type), encode_depth(steps, depth_type)
        parts.append(frame(pose, 1_000_000 + 33_000 * number, 1_000_500 + 33_000 * number, *images))
    return b"".join([*parts, imu(3)])


def _intrinsic(camera: Camera) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = camera.matrix()
    return matrix
