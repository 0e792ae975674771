"""Messages of rclpy from arrays. How they are read is in bags/codec.py and bags/cloud_codec.py."""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from wsss_ros.bags.cloud_codec import (
    ReadCloud,
    all_finite,
    point_dtype,
    point_fields,
    read_cloud,
    semantic_point,
    write_points,
    write_semantic_points,
)
from wsss_ros.bags.codec import ENCODINGS
from wsss_ros.bags.label_images import write_colors, write_overlay
from wsss_ros.labels import LabelSpace


def image_message(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """An image message of ``pixels`` (H W or H W C) in one of ENCODINGS, which fixes their dtype."""
    message, filled = image_to_fill(header, pixels.shape, encoding)
    filled.reshape(pixels.shape)[...] = pixels
    return message


def image_to_fill(header: Header, shape: tuple[int, ...], encoding: str) -> tuple[Image, np.ndarray]:
    """An image message with the height and width of ``shape``, and a view of its pixels [H W C], to be filled."""
    height, width = shape[:2]
    dtype, channels = ENCODINGS[encoding].dtype(), ENCODINGS[encoding].channels
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.step = width * channels * dtype.itemsize
    return message, _grow(message, dtype, height * width * channels).reshape(height, width, channels)


def cloud_message(
    header: Header, xyz: Float[np.ndarray, "N 3"], rgb: UInt8[np.ndarray, "N 3"] | None = None
) -> PointCloud2:
    """A cloud with fields x y z of the type of ``xyz`` and, where given, rgb (float32, 0x00RRGGBB, as PCL reads it)."""
    dtype = point_dtype(("x", "y", "z") if rgb is None else ("x", "y", "z", "rgb"), xyz.dtype)
    message, points = _cloud_to_fill(header, dtype, 1, len(xyz))
    write_points(points, xyz, rgb)
    message.is_dense = all_finite(xyz)
    return message


def semantic_cloud_message(
    header: Header,
    read: ReadCloud,
    labels: UInt8[np.ndarray, "N"],
    confidence: Float32[np.ndarray, "N"],
    space: LabelSpace,
) -> PointCloud2:
    """Give every point of the message that was read, in its order: x y z, rgb of the class, label and confidence.

    x y z have the type that the message had. Points that were left out are NaN, with label 255 and confidence 0.
    """
    message, points = _cloud_to_fill(header, semantic_point(read), read.height, read.width)
    write_semantic_points(points, read, labels, confidence, space)
    message.is_dense = read.kept is None
    return message


def warm_up(space: LabelSpace) -> None:
    """Compile the numba kernels now instead of at a robot's first cloud."""
    message = cloud_message(Header(), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8))
    semantic_cloud_message(Header(), read_cloud(message), np.zeros(1, np.uint8), np.zeros(1, np.float32), space)
    labels, pixels = np.zeros((1, 1), np.uint8), np.zeros((1, 1, 3), np.uint8)
    write_colors(labels, space, pixels)
    write_overlay(pixels, labels, space, 0.5, pixels.copy())


def _cloud_to_fill(header: Header, dtype: np.dtype, height: int, width: int) -> tuple[PointCloud2, np.ndarray]:
    """A message and a flat view of its points, to be written through."""
    message = PointCloud2(header=header, height=height, width=width)
    message.point_step, message.row_step = dtype.itemsize, dtype.itemsize * width
    message.fields = [PointField(**field._asdict(), count=1) for field in point_fields(dtype)]
    return message, _grow(message, dtype, height * width)


def _grow(message: Image | PointCloud2, dtype: np.dtype, count: int) -> np.ndarray:
    """A view to fill ``message.data``, grown in place: an assigned value is copied or checked by byte (FACTS 7)."""
    if not count:
        return np.empty(0, dtype)
    data = message.data
    data.append(0)
    data *= dtype.itemsize * count
    return np.frombuffer(data, dtype)
