"""The table of image encodings, and functions that read images, cameras and poses from messages.

Functions take any object with the fields of the ROS message, such as a message of rclpy or rosbags; neither is imported
here. Pixels are copied only if necessary. A message that cannot be used raises BadInput. Its text up to the first colon
is constant: nodes count dropped messages by it. Clouds are in cloud_codec.py.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Shaped, UInt8

from wsss_ros.geometry import quaternion_to_matrix
from wsss_ros.scenes.images import decode_rgb
from wsss_ros.types import BadInput, Camera


class Encoding(NamedTuple):
    """An encoding of sensor_msgs/Image: how a pixel is stored, and how such an image can be used.

    ``rgb`` holds the channels of red, green and blue, None if it is not a colour image. ``steps_per_metre`` is the unit
    of depth, None if it is not a depth image. ``labels``: whether it may be a label image.
    """

    kind: str  # numpy's name of a channel's type, without the byte order
    channels: int
    rgb: tuple[int, int, int] | None = None
    steps_per_metre: int | None = None
    labels: bool = False

    def dtype(self, big_endian: bool = False) -> np.dtype:
        """The type of a channel."""
        return np.dtype((">" if big_endian else "<") + self.kind)


ENCODINGS = {
    "rgb8": Encoding("u1", 3, rgb=(0, 1, 2)),
    "bgr8": Encoding("u1", 3, rgb=(2, 1, 0)),
    "rgba8": Encoding("u1", 4, rgb=(0, 1, 2)),
    "bgra8": Encoding("u1", 4, rgb=(2, 1, 0)),
    "mono8": Encoding("u1", 1, rgb=(0, 0, 0), labels=True),
    "8UC1": Encoding("u1", 1, labels=True),
    "16UC1": Encoding("u2", 1, steps_per_metre=1000),
    "mono16": Encoding("u2", 1, steps_per_metre=1000),
    "32FC1": Encoding("f4", 1, steps_per_metre=1),
}
_PNG, _GREY_16_BIT = b"\x89PNG\r\n\x1a\n", b"\x10\x00"  # the first bytes; bit depth and colour type, from byte 24
# The formats of a compressed image, by the first bytes.
_FORMATS = {"JPEG": (b"\xff\xd8",), "PNG": (_PNG,), "TIFF": (b"II*\0", b"MM\0*"), "WebP": (b"RIFF",), "BMP": (b"BM",)}
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"  # ``format`` of a CompressedImage, as compressed_image_transport writes it


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


# --- images ----------------------------------------------------------------------------------------


def image_to_array(message: Any) -> Shaped[np.ndarray, "H W C"]:
    """A view of the stored channels, without the padding of rows.

    Raises BadInput for an encoding that is not in ENCODINGS, for an empty image and for too few bytes.
    """
    if message.encoding not in ENCODINGS:
        raise BadInput(f"image encoding: got '{message.encoding}', expected one of {', '.join(ENCODINGS)}")
    encoding = ENCODINGS[message.encoding]
    dtype = encoding.dtype(bool(message.is_bigendian))
    pixel = encoding.channels * dtype.itemsize
    row, size = message.width * pixel, len(message.data)
    if message.width == 0 or message.height == 0:
        raise BadInput(f"empty image: {message.width} x {message.height} pixels; check its source")
    if message.step < row or size < message.step * (message.height - 1) + row:
        raise BadInput(
            f"image size: {size} bytes with step {message.step} for {message.width} x {message.height} pixels "
            f"'{message.encoding}'; expected a step of {row} or more and step x height bytes"
        )
    shape = (message.height, message.width, encoding.channels)
    strides = (message.step, pixel, dtype.itemsize)
    return np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), strides=strides)


def color_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """An Image or a CompressedImage as RGB. Raises BadInput as ``image_to_rgb`` and ``compressed_to_rgb`` do."""
    return image_to_rgb(message) if hasattr(message, "encoding") else compressed_to_rgb(message)


def image_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """A colour image as RGB; a view of the message if it is rgb8 without padding.

    Raises BadInput for an encoding other than rgb8 bgr8 rgba8 bgra8 mono8, and for too few bytes.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None or encoding.rgb is None:
        known = ", ".join(name for name, each in ENCODINGS.items() if each.rgb)
        raise BadInput(
            f"color encoding: got '{message.encoding}', expected one of {known}; convert it at the source, or choose "
            "a topic with one of these (nodes: remap color/image_raw)"
        )
    pixels = image_to_array(message)
    if encoding.rgb == (0, 1, 2) and encoding.channels == 3:
        return np.ascontiguousarray(pixels)
    rgb = np.empty((message.height, message.width, 3), np.uint8)
    for channel, source in enumerate(encoding.rgb):
        rgb[..., channel] = pixels[..., source]
    return rgb


def compressed_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """An image of one of _FORMATS as RGB. Raises BadInput for another format and when it cannot be decoded."""
    data = memoryview(message.data)
    start = bytes(data[:26])
    if not any(start.startswith(first) for first in _FORMATS.values()):
        raise BadInput(
            f"compressed image: format '{message.format}', {len(data)} bytes that are not {', '.join(_FORMATS)}; "
            "publish JPEG or PNG, or use the raw images (nodes: transport: raw)"
        )
    if start.startswith(_PNG) and start[24:] == _GREY_16_BIT:
        raise BadInput("compressed image: a PNG of 16 bit samples, which is a depth image; expected a colour image")
    return decode_rgb(data, "compressed image")


def check_depth_encoding(encoding: str) -> None:
    """Raises BadInput unless images of this encoding hold depth."""
    if encoding not in ENCODINGS or ENCODINGS[encoding].steps_per_metre is None:
        raise BadInput(
            f"depth encoding: got '{encoding}', expected 16UC1 (millimetres) or 32FC1 (metres); "
            "choose a topic with depth images (nodes: remap depth/image_rect)"
        )


def image_to_depth_m(message: Any, as_on_disk: bool = False) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 where missing (0, NaN, infinite or negative in the message).

    The encoding determines the unit: millimetres for 16UC1 and mono16, metres for 32FC1. Millimetres are multiplied
    by 0.001, or, ``as_on_disk``, divided by 1000 as in depth images of scenes: the two differ by a float32 step at
    most. Raises BadInput for any other encoding, and for too few bytes.
    """
    check_depth_encoding(message.encoding)
    steps = np.float32(ENCODINGS[message.encoding].steps_per_metre)
    depth = image_to_array(message)[..., 0].astype(np.float32)  # a copy in native byte order: it is changed below
    if steps == 1:
        depth[~(np.isfinite(depth) & (depth > 0))] = 0
    elif as_on_disk:
        depth /= steps
    else:
        depth *= 1 / steps
    return depth


def depth_to_pixels(depth_m: Float32[np.ndarray, "H W"], encoding: str) -> Shaped[np.ndarray, "H W"]:
    """The pixels of a depth image. 16UC1: millimetres, 0 if missing or beyond 65.5 m. 32FC1: metres, NaN if missing."""
    known = np.isfinite(depth_m) & (depth_m > 0)
    dtype = ENCODINGS[encoding].dtype()
    if dtype.kind == "f":
        return np.where(known, depth_m, np.float32(np.nan)).astype(dtype)
    millimetres = np.rint(np.where(known, depth_m, 0).astype(np.float64) * ENCODINGS[encoding].steps_per_metre)
    return np.where(millimetres < 65535, millimetres, 0).astype(dtype)


def image_to_labels(message: Any) -> UInt8[np.ndarray, "H W"]:
    """The labels of a label image. Raises BadInput for an encoding other than mono8 and 8UC1, and for too few bytes."""
    if message.encoding not in ENCODINGS or not ENCODINGS[message.encoding].labels:
        raise BadInput(
            f"label encoding: got '{message.encoding}', expected mono8: one class index for each pixel, "
            "255 where unlabelled"
        )
    return np.ascontiguousarray(image_to_array(message)[..., 0])


# --- camera and pose -------------------------------------------------------------------------------


def camera_from_info(message: Any, height: int | None = None, width: int | None = None) -> Camera:
    """The pinhole camera of a sensor_msgs/CameraInfo.

    Raises BadInput for an uncalibrated camera and, if the image's ``height`` and ``width`` are given, for another size.
    """
    fx, fy, cx, cy = (float(message.k[i]) for i in (0, 4, 2, 5))
    if not np.isfinite((fx, fy, cx, cy)).all() or fx <= 0 or fy <= 0:
        raise BadInput(f"camera_info uncalibrated: fx {fx}, fy {fy}, cx {cx}, cy {cy}; calibrate the camera")
    if height is not None and (message.height, message.width) != (height, width):
        raise BadInput(
            f"camera_info size: {message.width} x {message.height} for an image of {width} x {height}; "
            "remap color/camera_info to the one published with this image"
        )
    return Camera(fx, fy, cx, cy, int(message.width), int(message.height))


def is_distorted(message: Any) -> bool:
    """Whether a CameraInfo has lens distortion, which ``camera_from_info`` ignores."""
    return any(abs(value) > 1e-9 for value in message.d)


def stamped_pose_to_matrix(message: Any, frame_id: str | None = None) -> Float64[np.ndarray, "4 4"]:
    """``world_from_camera`` of a geometry_msgs/PoseStamped.

    Raises BadInput as ``pose_to_matrix`` does, and when the message has no frame or another frame than ``frame_id``.
    """
    given = message.header.frame_id
    if not given or (frame_id and given != frame_id):
        raise BadInput(
            f"pose frame: got '{given}', expected {repr(frame_id) if frame_id else 'the name of the map frame'}; "
            "publish the pose of the camera's optical frame in the map, or set frame_id"
        )
    return pose_to_matrix(message.pose)


def pose_to_matrix(pose: Any) -> Float64[np.ndarray, "4 4"]:
    """The 4x4 matrix of a geometry_msgs/Pose. Raises BadInput for NaN and for a quaternion that is not of length 1."""
    at, turn = pose.position, pose.orientation
    matrix = np.eye(4)
    matrix[:3, 3] = at.x, at.y, at.z
    if not np.isfinite(matrix).all():
        raise BadInput(
            f"pose position: {at.x}, {at.y}, {at.z}; expected finite metres; send none while tracking is lost"
        )
    try:
        matrix[:3, :3] = quaternion_to_matrix(np.array([turn.x, turn.y, turn.z, turn.w]))
    except BadInput as error:
        raise BadInput(f"pose orientation: {error}") from error
    return matrix
