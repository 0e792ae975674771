"""Between ROS messages and numpy. Reading copies only what has to move; what cannot be used raises BadInput.

The first words of each BadInput, up to the colon, are constant: the nodes count drops by them.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from wsss_ros.geometry import quaternion_to_matrix
from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.types import BadInput, Camera, Cloud

# Bytes of a pixel and where its red, green and blue are.
COLOR_ENCODINGS = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
DEPTH_ENCODINGS = {"16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32FC1": ("f4", 1.0)}
IMAGE_TYPES = {"mono8": ("u1", 1), "rgb8": ("u1", 3), "bgr8": ("u1", 3), "16UC1": ("u2", 1), "32FC1": ("f4", 1)}

SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u4"), ("confidence", "<f4")]
)


def stamp_ns(header: Header) -> int:
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


# --- images ----------------------------------------------------------------------------------------


def image_to_rgb(message: Image) -> UInt8[np.ndarray, "H W 3"]:
    """Colour image as RGB; a view of the message where it is rgb8 without padding.

    Raises BadInput for an encoding other than rgb8 bgr8 rgba8 bgra8 mono8, and for too few bytes.
    """
    if message.encoding not in COLOR_ENCODINGS:
        raise BadInput(
            f"color encoding: got '{message.encoding}', wanted one of {', '.join(COLOR_ENCODINGS)}; convert it at the "
            "source, or remap color/image_raw to a topic with one of these"
        )
    channels, order = COLOR_ENCODINGS[message.encoding]
    pixels = _pixels(message, "u1", channels)
    if order == (0, 1, 2) and channels == 3:
        return np.ascontiguousarray(pixels)
    rgb = np.empty((message.height, message.width, 3), np.uint8)
    for to, source in enumerate(order):
        rgb[..., to] = pixels[..., source]
    return rgb


def compressed_to_rgb(message: CompressedImage) -> UInt8[np.ndarray, "H W 3"]:
    """A JPEG or PNG image as RGB, told by its first bytes. Raises BadInput when it cannot be decoded."""
    data = memoryview(message.data)
    try:
        if bytes(data[:2]) == b"\xff\xd8":
            return _decode_jpeg(data)
        if bytes(data[:8]) == b"\x89PNG\r\n\x1a\n":
            return _decode_png(data)
    except (ValueError, OSError, SyntaxError) as error:
        raise BadInput(f"compressed image: {len(data)} bytes that do not decode ({error}); is it cut off?") from error
    raise BadInput(
        f"compressed image: format '{message.format}', {len(data)} bytes that are neither JPEG nor PNG; "
        "publish JPEG or PNG, or set transport: raw"
    )


def image_to_depth_m(message: Image) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 where missing (0, NaN, infinite or negative). The unit follows from the encoding alone.

    Raises BadInput for an encoding other than 16UC1 mono16 (mm) and 32FC1 (m), and for too few bytes.
    """
    check_depth_encoding(message.encoding)
    kind, metres = DEPTH_ENCODINGS[message.encoding]
    values = _pixels(message, kind, 1)[..., 0]
    if kind == "u2":
        return values.astype(np.float32) * np.float32(metres)
    depth = values.astype(np.float32)  # native order, and never a view: it is written to
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth


def check_depth_encoding(encoding: str) -> None:
    if encoding not in DEPTH_ENCODINGS:
        raise BadInput(
            f"depth encoding: got '{encoding}', wanted 16UC1 (millimetres) or 32FC1 (metres); "
            "remap depth/image_rect to a depth image"
        )


def image_to_labels(message: Image) -> UInt8[np.ndarray, "H W"]:
    """A label image. Raises BadInput for an encoding other than mono8 and 8UC1, and for too few bytes."""
    if message.encoding not in ("mono8", "8UC1"):
        raise BadInput(
            f"label encoding: got '{message.encoding}', wanted mono8: a class index a pixel, 255 where unlabelled"
        )
    return np.ascontiguousarray(_pixels(message, "u1", 1)[..., 0])


def image_message(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """An image message of ``pixels`` (H W or H W C) in one of IMAGE_TYPES, which fixes their dtype."""
    kind, channels = IMAGE_TYPES[encoding]
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.step = width * channels * np.dtype(kind).itemsize
    _grow(message, np.dtype("<" + kind), height * width * channels).reshape(pixels.shape)[...] = pixels
    return message


def overlay(
    rgb: UInt8[np.ndarray, "H W 3"], colors: UInt8[np.ndarray, "H W 3"], alpha: float
) -> UInt8[np.ndarray, "H W 3"]:
    """``alpha`` of the class colour over the image."""
    share = round(alpha * 256)
    return ((rgb.astype(np.uint16) * (256 - share) + colors.astype(np.uint16) * share) >> 8).astype(np.uint8)


def _pixels(message: Image, kind: str, channels: int) -> np.ndarray:
    """A view (H, W, C) of the image's bytes, row padding left out, byte order as the message says."""
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    row = message.width * channels * dtype.itemsize
    size = len(message.data)
    if message.width == 0 or message.height == 0:
        raise BadInput(f"empty image: {message.width} x {message.height} pixels; check its source")
    if message.step < row or size < message.step * (message.height - 1) + row:
        raise BadInput(
            f"image size: {size} bytes with step {message.step} for {message.width} x {message.height} pixels "
            f"'{message.encoding}'; wanted a step of {row} or more and step x height bytes"
        )
    shape = (message.height, message.width, channels)
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), strides=strides)


def _decode_jpeg(data: memoryview) -> np.ndarray:
    import simplejpeg

    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def _decode_png(data: memoryview) -> np.ndarray:
    from PIL import Image as Picture

    picture = Picture.open(io.BytesIO(data))
    if picture.mode.startswith("I"):
        raise ValueError("16 bit samples, which is a depth image rather than a colour image")
    return np.array(picture.convert("RGB"))


# --- camera and pose -------------------------------------------------------------------------------


def camera_from_info(message: CameraInfo, height: int | None = None, width: int | None = None) -> Camera:
    """Raises BadInput for an uncalibrated camera and for one of another size than the image's."""
    fx, fy, cx, cy = (float(message.k[i]) for i in (0, 4, 2, 5))
    if not np.isfinite((fx, fy, cx, cy)).all() or fx <= 0 or fy <= 0:
        raise BadInput(f"camera_info uncalibrated: fx {fx}, fy {fy}, cx {cx}, cy {cy}; calibrate the camera")
    if height is not None and (message.height, message.width) != (height, width):
        raise BadInput(
            f"camera_info size: {message.width} x {message.height} for an image of {width} x {height}; "
            "remap color/camera_info to the one published with this image"
        )
    return Camera(fx, fy, cx, cy, int(message.width), int(message.height))


def is_distorted(message: CameraInfo) -> bool:
    """Whether lens distortion is stated, which the pinhole model here leaves out."""
    return any(abs(value) > 1e-9 for value in message.d)


def pose_to_matrix(message: Any, frame_id: str | None = None) -> Float64[np.ndarray, "4 4"]:
    """``world_from_camera`` of a PoseStamped. Raises BadInput for NaN, a quaternion that is zero or not of length 1,
    no frame, or another frame than ``frame_id``."""
    given = message.header.frame_id
    if not given or (frame_id and given != frame_id):
        raise BadInput(
            f"pose frame: got '{given}', wanted {repr(frame_id) if frame_id else 'the name of the map frame'}; "
            "publish the pose of the camera's optical frame in the map, or set frame_id"
        )
    at, turn = message.pose.position, message.pose.orientation
    pose = np.eye(4)
    pose[:3, 3] = at.x, at.y, at.z
    if not np.isfinite(pose).all():
        raise BadInput(f"pose position: {at.x}, {at.y}, {at.z}; wanted finite metres; send none while tracking is lost")
    try:
        pose[:3, :3] = quaternion_to_matrix(np.array([turn.x, turn.y, turn.z, turn.w]))
    except BadInput as error:
        raise BadInput(f"pose orientation: {error}") from error
    return pose


# --- clouds ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadCloud:
    """The finite points of a message, where they stood in it, and its organisation.

    ``kept`` is None where every point is finite. ``spread`` brings per-point results back to the message's points.
    """

    cloud: Cloud
    kept: Int64[np.ndarray, "N"] | None
    height: int
    width: int

    @property
    def dropped(self) -> int:
        return self.height * self.width - len(self.cloud)

    def spread(self, values: np.ndarray, fill: Any) -> np.ndarray:
        """``values`` of the kept points at their places, ``fill`` at those of the others."""
        if self.kept is None:
            return values
        full = np.full((self.height * self.width, *values.shape[1:]), fill, values.dtype)
        full[self.kept] = values
        return full


def read_cloud(message: PointCloud2) -> ReadCloud:
    """Finite points as float32 metres with their colours, if any; organised or not, any field order and padding.

    x y z are float32 or float64; the colour is 0x00RRGGBB in ``rgb`` or ``rgba`` as float32, uint32 or int32.
    Raises BadInput for missing fields, other types, and too few bytes.
    """
    points = _structured(message)
    colored = "r" in points.dtype.names
    xyz = np.empty((len(points), 3), np.float32)
    rgb = np.empty((len(points), 3), np.uint8) if colored else None
    words = _words(points) if colored else None
    if words is not None:
        fields = points.dtype.fields
        _read_words(readonly(words), fields["x"][1] // 4, fields["b"][1] // 4, xyz.view(np.uint32), rgb)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite and is left out
            _move([points[name] for name in points.dtype.names], [*xyz.T, *(rgb.T if colored else ())])
    kept = None
    if not _all_finite(xyz):
        finite = np.isfinite(xyz[:, 0]) & np.isfinite(xyz[:, 1]) & np.isfinite(xyz[:, 2])
        if not finite.all():
            kept = np.flatnonzero(finite)
            xyz, rgb = xyz[kept], None if rgb is None else rgb[kept]
    cloud = Cloud(xyz, rgb, stamp_ns(message.header))
    return ReadCloud(cloud, kept, int(message.height), int(message.width))


def cloud_to_labels(message: PointCloud2) -> UInt8[np.ndarray, "N"]:
    """The field ``label`` of every point, in the message's order; what is above 255 becomes 254, which no class is.

    Raises BadInput where the field is missing or no unsigned integer, or bytes are too few.
    """
    field = next((field for field in message.fields if field.name == "label"), None)
    kind = _LABEL_TYPES.get(field.datatype) if field else None
    if kind is None or field.offset + np.dtype(kind).itemsize > message.point_step:
        raise BadInput("cloud labels: no field 'label' of uint8, uint16 or uint32 inside the point; wanted one")
    _check_layout(message, {field.name: field for field in message.fields})
    if not message.height or not message.width:
        return np.zeros(0, np.uint8)
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    strides = (message.row_step if message.height > 1 else 0, message.point_step)
    data = np.frombuffer(message.data, np.uint8)
    values = np.ndarray((message.height, message.width), dtype, data, field.offset, strides).reshape(-1)
    return np.where(values > UNLABELLED, UNLABELLED - 1, values).astype(np.uint8)


def cloud_message(
    header: Header, xyz: Float32[np.ndarray, "N 3"], rgb: UInt8[np.ndarray, "N 3"] | None = None
) -> PointCloud2:
    """A cloud with fields x y z and, where given, rgb (float32, 0x00RRGGBB, as RViz and PCL read it)."""
    names = ("x", "y", "z") if rgb is None else ("x", "y", "z", "rgb")
    dtype = np.dtype([(name, SEMANTIC_POINT[name]) for name in names])
    message, points = _cloud_to_fill(header, dtype, 1, len(xyz))
    values = points.view(np.float32).reshape(len(xyz), len(names))
    if rgb is None:
        _move([*xyz.T], [*values.T])
    else:
        _write_words(readonly(xyz), readonly(rgb), values, values.view(np.uint32))
    message.is_dense = _all_finite(xyz)
    return message


def semantic_cloud_message(
    header: Header,
    read: ReadCloud,
    labels: UInt8[np.ndarray, "N"],
    confidence: Float32[np.ndarray, "N"],
    space: LabelSpace,
) -> PointCloud2:
    """x y z, rgb of the class, label and confidence, for every point of the message that was read, in its order.

    Points that were not finite stay at NaN with label 255 and confidence 0.
    """
    message, points = _cloud_to_fill(header, SEMANTIC_POINT, read.height, read.width)
    xyz, label = read.spread(read.cloud.xyz, np.nan), read.spread(labels, UNLABELLED)
    class_color = _packed(space.colorize(np.arange(256, dtype=np.uint8)))
    values = points.view(np.float32).reshape(len(xyz), len(SEMANTIC_POINT.names))
    columns = (readonly(column) for column in (xyz, label, read.spread(confidence, 0), class_color))
    _write_semantic_words(*columns, values, values.view(np.uint32))
    message.is_dense = read.kept is None
    return message


def warm_up(space: LabelSpace) -> None:
    """Compile what is compiled at first use now, and not at a robot's first cloud."""
    message = cloud_message(Header(), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8))
    semantic_cloud_message(Header(), read_cloud(message), np.zeros(1, np.uint8), np.zeros(1, np.float32), space)


def _structured(message: PointCloud2) -> np.ndarray:
    """A flat view of the points with fields x y z and, where there is colour, r g b as bytes."""
    fields = {field.name: field for field in message.fields}
    _check_layout(message, fields)
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = ["x", "y", "z"], [], []
    for name in names:
        formats.append(order + ("f4" if fields[name].datatype == PointField.FLOAT32 else "f8"))
        offsets.append(fields[name].offset)
    color = fields.get("rgb") or fields.get("rgba")
    if color is not None:
        names = names + ["r", "g", "b"]
        formats += ["u1"] * 3
        offsets += [color.offset + place for place in ((1, 2, 3) if message.is_bigendian else (2, 1, 0))]
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    strides = (message.row_step if message.height > 1 else 0, message.point_step)
    shape = (message.height, message.width)
    return np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), strides=strides).reshape(-1)


_LABEL_TYPES = {PointField.UINT8: "u1", PointField.UINT16: "u2", PointField.UINT32: "u4"}
_SIZES = {PointField.FLOAT32: 4, PointField.FLOAT64: 8, PointField.UINT32: 4, PointField.INT32: 4}


def _check_layout(message: PointCloud2, fields: dict[str, PointField]) -> None:
    missing = [name for name in "xyz" if name not in fields]
    if missing:
        raise BadInput(f"cloud fields: got {', '.join(fields) or 'none'}; wanted x, y, z, and rgb or rgba for colour")
    for name, field in fields.items():
        wanted = {"x": (7, 8), "y": (7, 8), "z": (7, 8), "rgb": (5, 6, 7), "rgba": (5, 6, 7)}.get(name)
        if wanted is None:
            continue
        if field.datatype not in wanted or field.offset + _SIZES[field.datatype] > message.point_step:
            kinds = "float32 or float64" if name in "xyz" else "float32, uint32 or int32"
            raise BadInput(
                f"cloud field types: '{name}' of datatype {field.datatype} at byte {field.offset} of "
                f"{message.point_step}; wanted {kinds} inside the point"
            )
    if not message.height or not message.width:
        return
    row = message.width * message.point_step
    needed = (message.row_step * (message.height - 1) if message.height > 1 else 0) + row
    if len(message.data) < needed or (message.height > 1 and message.row_step < row):
        raise BadInput(
            f"cloud size: {len(message.data)} bytes with row_step {message.row_step} for {message.width} x "
            f"{message.height} points of {message.point_step} bytes; "
            f"wanted a row_step of at least {row} and at least {needed} bytes"
        )


def _all_finite(xyz: Float32[np.ndarray, "N 3"]) -> bool:
    """False where a value is not finite; also for values beyond 1e19, which the caller then looks at one by one."""
    flat = xyz.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)))


def _packed(rgb: UInt8[np.ndarray, "N 3"]) -> np.ndarray:
    """0x00RRGGBB."""
    wide = np.zeros((len(rgb), 4), np.uint8)
    wide[:, 0], wide[:, 1], wide[:, 2] = rgb[:, 2], rgb[:, 1], rgb[:, 0]
    return wide.view("<u4")[:, 0]


def _move(sources: list[np.ndarray], targets: list[np.ndarray]) -> None:
    """Copy column by column, a stretch at a time: a strided pass over memory is slow, one over the cache is not."""
    for start in range(0, len(sources[0]), 16_384):
        for source, target in zip(sources, targets, strict=True):
            target[start : start + 16_384] = source[start : start + 16_384]


def _words(points: np.ndarray) -> np.ndarray | None:
    """The points as rows of uint32, where they are laid out as nearly all are: float32 x y z side by side, whole words,
    little-endian, without gaps between the points. None for any other layout."""
    fields, step = points.dtype.fields, points.dtype.itemsize
    x, y, z, blue = (fields[name][1] for name in "xyzb")
    plain = all(fields[name][0] == np.dtype("<f4") for name in "xyz") and fields["r"][1] == blue + 2
    aligned = not (x % 4 or blue % 4 or step % 4) and (y, z) == (x + 4, x + 8)
    if not (plain and aligned and len(points) and points.flags.c_contiguous):
        return None
    return points.view(np.uint32).reshape(len(points), step // 4)


@compiled
def _read_words(words, x, color, xyz, rgb):
    for n in range(len(words)):
        xyz[n, 0], xyz[n, 1], xyz[n, 2] = words[n, x], words[n, x + 1], words[n, x + 2]
        packed = words[n, color]
        rgb[n, 0], rgb[n, 1], rgb[n, 2] = (packed >> 16) & 255, (packed >> 8) & 255, packed & 255


@compiled
def _write_words(xyz, rgb, values, words):
    for n in range(len(xyz)):
        values[n, 0], values[n, 1], values[n, 2] = xyz[n, 0], xyz[n, 1], xyz[n, 2]
        words[n, 3] = (np.uint32(rgb[n, 0]) << 16) | (np.uint32(rgb[n, 1]) << 8) | np.uint32(rgb[n, 2])


@compiled
def _write_semantic_words(xyz, label, confidence, class_color, values, words):
    for n in range(len(xyz)):
        values[n, 0], values[n, 1], values[n, 2] = xyz[n, 0], xyz[n, 1], xyz[n, 2]
        words[n, 3], words[n, 4] = class_color[label[n]], label[n]
        values[n, 5] = confidence[n]


def _cloud_to_fill(header: Header, dtype: np.dtype, height: int, width: int) -> tuple[PointCloud2, np.ndarray]:
    """A message and a flat view of its points, to be written through."""
    message = PointCloud2(header=header, height=height, width=width)
    message.point_step, message.row_step = dtype.itemsize, dtype.itemsize * width
    message.fields = [_field(name, *dtype.fields[name][:2]) for name in dtype.names]
    return message, _grow(message, dtype, height * width)


def _field(name: str, dtype: np.dtype, offset: int) -> PointField:
    # "rgb" is written as uint32 but declared float32: the same bytes, and what RViz and PCL expect.
    whole = dtype.kind == "u" and name != "rgb"
    return PointField(name=name, offset=offset, datatype=PointField.UINT32 if whole else PointField.FLOAT32, count=1)


def _grow(message: Image | PointCloud2, dtype: np.dtype, count: int) -> np.ndarray:
    """A view to fill ``message.data``, grown in place: whatever is assigned to it is copied, or checked byte by byte
    (FACTS 7)."""
    if not count:
        return np.empty(0, dtype)
    data = message.data
    data.append(0)
    data *= dtype.itemsize * count
    return np.frombuffer(data, dtype)
