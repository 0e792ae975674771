"""The table of image encodings, and functions that read images, cameras and poses from messages.

Functions take any object with the fields of the ROS message, such as a message of rclpy or rosbags; neither is imported
here. Pixels are copied only if necessary. A message that cannot be used raises BadInput. Its text up to the first colon
is constant: nodes count dropped messages by it. Clouds are in cloud_codec.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Integer, Shaped, UInt8

from wsss_ros.bags import compressed_depth
from wsss_ros.bags.compressed_depth import PNG, TIFF, source_encoding
from wsss_ros.bags.raw_colors import demosaic, to_8_bit, yuv_to_rgb
from wsss_ros.geometry import quaternion_to_matrix
from wsss_ros.geometry.camera_models import Calibration, camera_of
from wsss_ros.scenes.images import decode_grey, decode_rgb, grey_jpeg
from wsss_ros.types import BadInput, Camera

RotationOf = Callable[[np.ndarray], Float64[np.ndarray, "3 3"]]


class Encoding(NamedTuple):
    """An encoding of sensor_msgs/Image: how a pixel is stored, and how such an image can be used.

    ``rgb`` holds the channels of red, green and blue. ``packed`` holds the bytes of the first Y, of U and of V in two
    pixels of four bytes. ``planar`` is for a plane of Y and a plane of pairs: the places of U and V in a pair, and
    whether the second plane has half of the rows and columns. ``red_at`` is the row and column of red in the 2 x 2
    samples of a Bayer mosaic. An encoding with none of these four is not a colour image. ``steps_per_metre`` is the
    unit of depth, None if it is not a depth image. ``labels``: whether it may be a label image.
    """

    kind: str  # numpy's name of a channel's type, without the byte order
    channels: int
    rgb: tuple[int, int, int] | None = None
    steps_per_metre: int | None = None
    labels: bool = False
    packed: tuple[int, int, int] | None = None
    planar: tuple[int, int, bool] | None = None
    red_at: tuple[int, int] | None = None

    def dtype(self, big_endian: bool = False) -> np.dtype:
        """The type of a channel."""
        return np.dtype((">" if big_endian else "<") + self.kind)

    @property
    def color(self) -> bool:
        """Whether it can be read as a colour image."""
        return any(way is not None for way in (self.rgb, self.packed, self.planar, self.red_at))


_RGB, _BGR, _GREY = (0, 1, 2), (2, 1, 0), (0, 0, 0)
_UYVY, _YUYV = Encoding("u1", 2, packed=(1, 0, 2)), Encoding("u1", 2, packed=(0, 1, 3))
_RED_AT = {"rggb": (0, 0), "grbg": (0, 1), "gbrg": (1, 0), "bggr": (1, 1)}
# The names are those of sensor_msgs/image_encodings.hpp; nv12 is nv21 with U first, as GPU drivers publish it. Images
# that only say 8UC3 or 8UC4 hold BGR, as OpenCV and RViz read them.
ENCODINGS = {
    "rgb8": Encoding("u1", 3, rgb=_RGB),
    "bgr8": Encoding("u1", 3, rgb=_BGR),
    "rgba8": Encoding("u1", 4, rgb=_RGB),
    "bgra8": Encoding("u1", 4, rgb=_BGR),
    "mono8": Encoding("u1", 1, rgb=_GREY, labels=True),
    "8UC1": Encoding("u1", 1, rgb=_GREY, labels=True),
    "8UC3": Encoding("u1", 3, rgb=_BGR),
    "8UC4": Encoding("u1", 4, rgb=_BGR),
    "rgb16": Encoding("u2", 3, rgb=_RGB),
    "bgr16": Encoding("u2", 3, rgb=_BGR),
    "rgba16": Encoding("u2", 4, rgb=_RGB),
    "bgra16": Encoding("u2", 4, rgb=_BGR),
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "nv12": Encoding("u1", 1, planar=(0, 1, True)),
    "nv21": Encoding("u1", 1, planar=(1, 0, True)),
    "nv24": Encoding("u1", 1, planar=(0, 1, False)),
    **{f"bayer_{name}8": Encoding("u1", 1, red_at=at) for name, at in _RED_AT.items()},
    **{f"bayer_{name}16": Encoding("u2", 1, red_at=at) for name, at in _RED_AT.items()},
    "16UC1": Encoding("u2", 1, steps_per_metre=1000),
    "mono16": Encoding("u2", 1, rgb=_GREY, steps_per_metre=1000),
    "32FC1": Encoding("f4", 1, steps_per_metre=1),
    "64FC1": Encoding("f8", 1, steps_per_metre=1),
    "32SC1": Encoding("i4", 1),
}
IDS = ("mono8", "8UC1", "mono16", "16UC1", "32SC1")  # of label images of other models
_GREY_8_BIT, _GREY_16_BIT = b"\x08\x00", b"\x10\x00"  # bit depth and colour type of a PNG, from byte 24
# The formats of a compressed image, by the first bytes.
_FORMATS = {"JPEG": (b"\xff\xd8",), "PNG": (PNG,), "TIFF": TIFF, "WebP": (b"RIFF",), "BMP": (b"BM",)}
JPEG_FORMAT = "rgb8; jpeg compressed bgr8"  # ``format`` of a CompressedImage, as compressed_image_transport writes it


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


# --- images ----------------------------------------------------------------------------------------


def image_to_array(message: Any) -> Shaped[np.ndarray, "H W C"]:
    """A view of the stored channels, without the padding of rows; of a planar encoding only the plane of Y.

    Without padding the step follows from the width: some drivers fill in 0, or that of another encoding.
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
    step = row if size == row * message.height else message.step
    if step < row or size < step * (message.height - 1) + row:
        raise BadInput(
            f"image size: {size} bytes with step {message.step} for {message.width} x {message.height} pixels "
            f"'{message.encoding}'; expected a step of {row} or more and step x height bytes"
        )
    shape = (message.height, message.width, encoding.channels)
    strides = (step, pixel, dtype.itemsize)
    return np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), strides=strides)


def color_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """An Image or a CompressedImage as RGB. Raises BadInput as ``image_to_rgb`` and ``compressed_to_rgb`` do."""
    return image_to_rgb(message) if hasattr(message, "encoding") else compressed_to_rgb(message)


def image_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """A colour image as RGB; a view of the message if it is rgb8 without padding.

    Samples of 16 bits are scaled to 8. Raises BadInput for an encoding of ENCODINGS without colour, or another one,
    for too few bytes, and for a YUV or Bayer image whose size does not fit its pattern.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None or not encoding.color:
        known = ", ".join(name for name, each in ENCODINGS.items() if each.color)
        raise BadInput(
            f"color encoding: got '{message.encoding}', expected one of {known}; convert it at the source, or choose "
            "a topic with one of these (nodes: remap color/image_raw)"
        )
    if encoding.planar is not None:
        return yuv_to_rgb(*_planes(message, *encoding.planar))
    pixels = image_to_array(message)
    if encoding.packed is not None:
        return _packed_to_rgb(pixels, encoding.packed)
    if encoding.red_at is not None:
        return _bayer_to_rgb(pixels[..., 0], encoding.red_at)
    if pixels.dtype != np.uint8:
        pixels = to_8_bit(pixels.astype(np.uint16, copy=False))
    return _ordered(pixels, encoding.rgb)


def _ordered(pixels: UInt8[np.ndarray, "H W C"], channels: tuple[int, int, int]) -> UInt8[np.ndarray, "H W 3"]:
    if channels == _RGB and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for channel, source in enumerate(channels):
        rgb[..., channel] = pixels[..., source]
    return rgb


def _packed_to_rgb(pixels: UInt8[np.ndarray, "H W 2"], places: tuple[int, int, int]) -> UInt8[np.ndarray, "H W 3"]:
    height, width = pixels.shape[:2]
    if width % 2:
        raise BadInput(f"YUV size: a width of {width}; expected an even one, since two pixels share their colour")
    row = pixels.reshape(height, 2 * width)
    y, u, v = places
    return yuv_to_rgb(row[:, y::2], row[:, u::4], row[:, v::4])


def _bayer_to_rgb(mosaic: Shaped[np.ndarray, "H W"], red_at: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    if min(mosaic.shape) < 2:
        raise BadInput(f"Bayer size: {mosaic.shape[1]} x {mosaic.shape[0]}; expected at least 2 x 2 samples")
    rgb = demosaic(mosaic, red_at)
    return rgb if rgb.dtype == np.uint8 else to_8_bit(rgb)


def _planes(
    message: Any, u_at: int, v_at: int, halved: bool
) -> tuple[UInt8[np.ndarray, "H W"], UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """The planes Y, U and V of an image with a plane of Y and a plane of pairs below it.

    ``height`` counts the rows of the picture, or those of both planes where no bytes come after ``height`` rows.
    ``step`` may count the bytes of both planes; the planes then have no padding.
    """
    half, halves = (2, 3) if halved else (1, 6)  # all bytes: 3 or 6 times half of the plane of Y
    height, width, size = message.height, message.width, len(message.data)
    step = width if size * 2 == width * height * halves else message.step
    if step * height <= size < step * (height + 1) and height % 3 == 0:
        height = 2 * height // halves
    needed = step * height * halves // 2
    if not height or not width or step < width or size < needed or height % half or width % half:
        raise BadInput(
            f"YUV size: {size} bytes with step {step} for {message.width} x {message.height} pixels "
            f"'{message.encoding}'; expected {'even sides, ' if halved else ''}a step of {width} or more and "
            f"{needed} bytes"
        )
    row_of_pairs = 2 * step // half
    data = np.frombuffer(message.data, np.uint8)
    pairs = (height // half, width // half)
    y = np.ndarray((height, width), np.uint8, data, strides=(step, 1))
    u, v = (
        np.ndarray(pairs, np.uint8, data, offset=step * height + at, strides=(row_of_pairs, 2)) for at in (u_at, v_at)
    )
    return y, u, v


def compressed_to_rgb(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    """An image of one of _FORMATS as RGB.

    The colours are those of the file, since image_transport stores true colours and names them in ``format``. A grey
    PNG or JPEG whose ``format`` starts with a Bayer encoding is the mosaic. Raises BadInput for another format and when
    the image cannot be decoded.
    """
    data = memoryview(message.data)
    start = bytes(data[:26])
    if not any(start.startswith(first) for first in _FORMATS.values()):
        raise BadInput(
            f"compressed image: format '{message.format}', {len(data)} bytes that are not {', '.join(_FORMATS)}; "
            "publish JPEG or PNG, or use the raw images (nodes: transport: raw)"
        )
    source = ENCODINGS.get(source_encoding(message.format))
    bayer = source is not None and source.red_at is not None and start.startswith(_FORMATS["JPEG"])
    if bayer and (mosaic := grey_jpeg(bytes(data))) is not None:
        return _grey_to_rgb(mosaic, source)
    if start.startswith(PNG) and start[24:] in (_GREY_8_BIT, _GREY_16_BIT):
        if source is not None and (source.red_at is not None or source.rgb == _GREY):
            return _grey_to_rgb(decode_grey(bytes(data), "compressed image", "image"), source)
        if start[24:] == _GREY_16_BIT:
            raise BadInput("compressed image: a PNG of 16 bit samples, which is a depth image; expected a colour image")
    return decode_rgb(data, "compressed image")


def _grey_to_rgb(pixels: Shaped[np.ndarray, "H W"], source: Encoding) -> UInt8[np.ndarray, "H W 3"]:
    if source.red_at is not None:
        return _bayer_to_rgb(pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16), source.red_at)
    grey = pixels if pixels.dtype == np.uint8 else to_8_bit(pixels.astype(np.uint16))
    return grey[..., None].repeat(3, axis=2)


# --- depth and labels ------------------------------------------------------------------------------


def check_depth(message: Any) -> None:
    """Raises BadInput unless an Image has a depth encoding; a CompressedImage is checked when it is decoded."""
    if hasattr(message, "encoding"):
        check_depth_encoding(message.encoding)


def check_depth_encoding(encoding: str) -> None:
    """Raises BadInput unless images of this encoding hold depth."""
    if encoding not in ENCODINGS or ENCODINGS[encoding].steps_per_metre is None:
        raise BadInput(
            f"depth encoding: got '{encoding}', expected 16UC1 (millimetres) or 32FC1 (metres); "
            "choose a topic with depth images (nodes: remap depth/image_rect)"
        )


def depth_to_m(message: Any, as_on_disk: bool = False, per_metre: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres of an Image or a CompressedImage, as ``image_to_depth_m`` returns it.

    Raises BadInput as ``image_to_depth_m`` and ``compressed_depth.decode`` do.
    """
    if hasattr(message, "encoding"):
        return image_to_depth_m(message, as_on_disk, per_metre)
    encoding, pixels = compressed_depth.decode(message.format, memoryview(message.data))
    return _metres(pixels, encoding, as_on_disk, per_metre)


def image_to_depth_m(message: Any, as_on_disk: bool = False, per_metre: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 where missing (0, NaN, infinite or negative in the message).

    The encoding determines the unit: millimetres for 16UC1 and mono16, metres for 32FC1 and 64FC1. Millimetres are
    multiplied by 0.001, or, ``as_on_disk``, divided by 1000 as in depth images of scenes: the two differ by a float32
    step at most. ``per_metre`` gives another unit. Raises BadInput for any other encoding, and for too few bytes.
    """
    check_depth_encoding(message.encoding)
    return _metres(image_to_array(message)[..., 0], message.encoding, as_on_disk, per_metre)


def _metres(
    pixels: Shaped[np.ndarray, "H W"], encoding: str, as_on_disk: bool, per_metre: float
) -> Float32[np.ndarray, "H W"]:
    steps = np.float32(per_metre or ENCODINGS[encoding].steps_per_metre)
    with np.errstate(over="ignore"):  # float64 too large for float32 becomes infinite: missing
        depth = pixels.astype(np.float32)  # a copy in native byte order: it is changed below
    if pixels.dtype.kind == "f":
        depth[~(np.isfinite(depth) & (depth > 0))] = 0
    if steps != 1:
        depth = np.divide(depth, steps, depth) if as_on_disk else np.multiply(depth, 1 / steps, depth)
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


def image_to_ids(message: Any) -> Integer[np.ndarray, "H W"]:
    """The ids of a label image of any model. Raises BadInput for another encoding than IDS, and for too few bytes."""
    if message.encoding not in IDS:
        raise BadInput(
            f"label encoding: got '{message.encoding}', expected one of {', '.join(IDS)}: one id for each pixel; name "
            "the topic of the ids, not that of their colours"
        )
    pixels = image_to_array(message)[..., 0]
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


# --- camera and pose -------------------------------------------------------------------------------


def calibration_from_info(message: Any) -> Calibration:
    """The fields of a sensor_msgs/CameraInfo, without its header."""
    roi = message.roi
    return Calibration(
        width=int(message.width),
        height=int(message.height),
        k=tuple(map(float, message.k)),
        d=tuple(map(float, message.d)),
        model=message.distortion_model,
        r=tuple(map(float, message.r)),
        p=tuple(map(float, message.p)),
        binning_x=int(message.binning_x),
        binning_y=int(message.binning_y),
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        do_rectify=bool(roi.do_rectify),
    )


def camera_from_info(
    message: Any, height: int | None = None, width: int | None = None, rectified: bool = False
) -> Camera:
    """The camera of a sensor_msgs/CameraInfo: K and D of raw images, P of rectified ones (``is_rectified_topic``).

    Raises BadInput for an uncalibrated camera and, if the image's ``height`` and ``width`` are given, for another size.
    """
    size = None if height is None or width is None else (width, height)
    return camera_of(calibration_from_info(message), rectified, size)


def transform_parts(transform: Any) -> tuple[tuple[float, float, float], tuple[float, float, float, float]]:
    """Translation x y z and quaternion x y z w of a geometry_msgs/Transform."""
    move, turn = transform.translation, transform.rotation
    return (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)


def stamped_pose_to_matrix(
    message: Any, frame_id: str | None = None, rotation: RotationOf = quaternion_to_matrix
) -> Float64[np.ndarray, "4 4"]:
    """``world_from_camera`` of a geometry_msgs/PoseStamped.

    Raises BadInput as ``pose_to_matrix`` does, and when the message has no frame or another frame than ``frame_id``. A
    leading slash, as in ROS 1, does not count.
    """
    given = message.header.frame_id.removeprefix("/")
    if not given or (frame_id and given != frame_id.removeprefix("/")):
        raise BadInput(
            f"pose frame: got '{given}', expected {repr(frame_id) if frame_id else 'the name of the map frame'}; "
            "publish the pose of the camera's optical frame in the map, or set fixed_frame"
        )
    return pose_to_matrix(message.pose, rotation)


def pose_to_matrix(pose: Any, rotation: RotationOf = quaternion_to_matrix) -> Float64[np.ndarray, "4 4"]:
    """The 4x4 matrix of a geometry_msgs/Pose; ``rotation`` turns a quaternion x y z w into a matrix.

    Raises BadInput for NaN and for a quaternion that is not of length 1.
    """
    at, turn = pose.position, pose.orientation
    matrix = np.eye(4)
    matrix[:3, 3] = at.x, at.y, at.z
    if not np.isfinite(matrix).all():
        raise BadInput(
            f"pose position: {at.x}, {at.y}, {at.z}; expected finite metres; send none while tracking is lost"
        )
    try:
        matrix[:3, :3] = rotation(np.array([turn.x, turn.y, turn.z, turn.w]))
    except BadInput as error:
        raise BadInput(f"pose orientation: {error}") from error
    return matrix
