"""Clouds read from and written to the bytes of sensor_msgs/PointCloud2.

Functions take any object with the fields of the message, such as a message of rclpy or rosbags; neither is imported
here. A message that cannot be used raises BadInput. Its text up to the first colon is constant (see codec.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt32

from wsss_ros.bags.codec import stamp_ns
from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.types import BadInput, Cloud

# The type codes of sensor_msgs/PointField.
INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = range(1, 9)
_KINDS = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=INT8))

# The written fields in their order: the type of the bytes, and the type that the field declares. The colour is
# 0x00RRGGBB, declared as float32, as RViz and PCL expect it.
_WRITTEN = {
    "x": ("<f4", FLOAT32),
    "y": ("<f4", FLOAT32),
    "z": ("<f4", FLOAT32),
    "rgb": ("<u4", FLOAT32),
    "label": ("<u4", UINT32),
    "confidence": ("<f4", FLOAT32),
}
# The types that a field may have when it is read. The colour is the field `rgb`, else `rgba`.
FLOATS, NUMBERS = (FLOAT32, FLOAT64), tuple(_KINDS)
_COLORS, _LABELS = (INT32, UINT32, FLOAT32), (UINT8, UINT16, UINT32)


class PointField(NamedTuple):
    """The fields of sensor_msgs/PointField; its ``count`` is 1."""

    name: str
    offset: int
    datatype: int


def point_dtype(names: Sequence[str]) -> np.dtype:
    """The layout of a point with some of the fields x y z rgb label confidence, without gaps."""
    return np.dtype([(name, _WRITTEN[name][0]) for name in names])


def point_fields(dtype: np.dtype) -> list[PointField]:
    """The PointFields of a layout made by ``point_dtype``."""
    return [PointField(name, dtype.fields[name][1], _WRITTEN[name][1]) for name in dtype.names]


SEMANTIC_POINT = point_dtype(tuple(_WRITTEN))


# --- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadCloud:
    """The finite points of a message, their indices in the message (``kept``), and its height and width in points.

    ``kept`` is None if every point is finite. ``gather`` maps values of the message's points to the kept points,
    ``spread`` maps them back.
    """

    cloud: Cloud
    kept: Int64[np.ndarray, "N"] | None
    height: int
    width: int

    @property
    def dropped(self) -> int:
        """Number of points that are not finite."""
        return self.height * self.width - len(self.cloud)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """The rows of the kept points; ``values`` has one row for each point of the message."""
        return values if self.kept is None else values[self.kept]

    def spread(self, values: np.ndarray, fill: Any) -> np.ndarray:
        """One row for each point of the message: ``values`` for the kept points, ``fill`` for the others."""
        if self.kept is None:
            return values
        full = np.full((self.height * self.width, *values.shape[1:]), fill, values.dtype)
        full[self.kept] = values
        return full


def read_cloud(message: Any, positions: Sequence[int] = FLOATS) -> ReadCloud:
    """Read the finite points in metres, with their colours, if any.

    The cloud may be organised or not, with any order of fields and any padding. ``positions`` are the types that x y z
    may have, FLOATS or NUMBERS; the colour is 0x00RRGGBB in ``rgb`` or ``rgba`` as float32, uint32 or int32. Raises
    BadInput for missing fields, other types, and too few bytes.
    """
    points = _structured(message, positions)
    colored = "r" in points.dtype.names
    xyz = np.empty((len(points), 3), np.float32)
    rgb = np.empty((len(points), 3), np.uint8) if colored else None
    words = _words(points) if colored else None
    if words is not None:
        fields = points.dtype.fields
        _read_words(readonly(words), fields["x"][1] // 4, fields["b"][1] // 4, xyz.view(np.uint32), rgb)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # float64 too large for float32 becomes infinite: left out
            _move([points[name] for name in points.dtype.names], [*xyz.T, *(rgb.T if colored else ())])
    kept = None
    if not all_finite(xyz):
        kept = np.flatnonzero(np.isfinite(xyz[:, 0]) & np.isfinite(xyz[:, 1]) & np.isfinite(xyz[:, 2]))
        xyz, rgb = xyz[kept], None if rgb is None else rgb[kept]
    cloud = Cloud(xyz, rgb, stamp_ns(message.header))
    return ReadCloud(cloud, kept, int(message.height), int(message.width))


def is_usual(message: Any) -> bool:
    """Whether it is read on the fast path: little-endian, adjacent float32 x y z, at multiples of 4 bytes, no gaps."""
    places = {field.name: field.offset for field in message.fields if field.datatype == FLOAT32}
    x, y, z = (places.get(name, -1) for name in "xyz")
    color = next((field.offset for field in message.fields if field.name in ("rgb", "rgba")), 0)
    adjacent = x >= 0 and (y, z) == (x + 4, x + 8) and not (x % 4 or color % 4 or message.point_step % 4)
    return adjacent and not message.is_bigendian and not has_padded_rows(message)


def has_padded_rows(message: Any) -> bool:
    """Whether the rows of an organised cloud have bytes behind their points."""
    return message.height > 1 and len(message.data) != message.height * message.width * message.point_step


def cloud_to_labels(message: Any) -> UInt8[np.ndarray, "N"]:
    """The field ``label`` of every point, in the message's order; a value above 255 becomes 254, which is not a class.

    Raises BadInput when the field is missing or not an unsigned integer, and for too few bytes.
    """
    field = next((field for field in message.fields if field.name == "label"), None)
    kind = _KINDS[field.datatype] if field and field.datatype in _LABELS else None
    if kind is None or field.offset + np.dtype(kind).itemsize > message.point_step:
        raise BadInput("cloud labels: no field 'label' of uint8, uint16 or uint32 inside the point; expected one")
    _check_layout(message, {field.name: field for field in message.fields})
    if not message.height or not message.width:
        return np.zeros(0, np.uint8)
    values = _strided(message, np.dtype((">" if message.is_bigendian else "<") + kind), field.offset)
    return np.where(values > UNLABELLED, UNLABELLED - 1, values).astype(np.uint8)


def all_finite(xyz: Float32[np.ndarray, "N 3"]) -> bool:
    """Whether every value is finite. Takes one pass over the memory, unless values are beyond 1e19."""
    flat = xyz.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat))) or bool(np.isfinite(flat).all())


def _structured(message: Any, positions: Sequence[int]) -> np.ndarray:
    """A flat array of the points with the fields x y z and, for a cloud with colours, r g b as bytes."""
    fields = {field.name: field for field in message.fields}
    _check_layout(message, fields, positions)
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = ["x", "y", "z"], [], []
    for name in names:
        formats.append(order + _KINDS[fields[name].datatype])
        offsets.append(fields[name].offset)
    color = fields.get("rgb") or fields.get("rgba")
    if color is not None:
        names = names + ["r", "g", "b"]
        formats += ["u1"] * 3
        offsets += [color.offset + place for place in ((1, 2, 3) if message.is_bigendian else (2, 1, 0))]
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    return _strided(message, dtype, 0)


def _strided(message: Any, dtype: np.dtype, offset: int) -> np.ndarray:
    """A flat array with one ``dtype`` for each point; a view of the message if the rows have no padding."""
    strides = (message.row_step if message.height > 1 else 0, message.point_step)
    data = np.frombuffer(message.data, np.uint8)
    return np.ndarray((message.height, message.width), dtype, data, offset, strides).reshape(-1)


def _check_layout(message: Any, fields: dict[str, Any], positions: Sequence[int] = FLOATS) -> None:
    missing = [name for name in "xyz" if name not in fields]
    if missing:
        raise BadInput(f"cloud fields: got {', '.join(fields) or 'none'}; expected x, y, z, and rgb or rgba for colour")
    types = dict.fromkeys("xyz", positions) | dict.fromkeys(("rgb", "rgba"), _COLORS)
    for name, field in fields.items():
        if name not in types:
            continue
        fits = field.datatype in types[name]
        if not fits or field.offset + np.dtype(_KINDS[field.datatype]).itemsize > message.point_step:
            kinds = "float32 or float64" if name in "xyz" else "float32, uint32 or int32"
            raise BadInput(
                f"cloud field types: '{name}' of datatype {field.datatype} at byte {field.offset} of "
                f"{message.point_step}; expected {kinds} inside the point"
            )
    if message.height and message.width:
        _check_size(message)


def _check_size(message: Any) -> None:
    row = message.width * message.point_step
    needed = (message.row_step * (message.height - 1) if message.height > 1 else 0) + row
    if len(message.data) < needed or (message.height > 1 and message.row_step < row):
        raise BadInput(
            f"cloud size: {len(message.data)} bytes with row_step {message.row_step} for {message.width} x "
            f"{message.height} points of {message.point_step} bytes; "
            f"expected a row_step of at least {row} and at least {needed} bytes"
        )


def _words(points: np.ndarray) -> np.ndarray | None:
    """The points as rows of uint32 if they have the usual layout, else None.

    The usual layout is: adjacent float32 x y z, every offset a multiple of 4 bytes, little-endian, no gaps between
    points.
    """
    fields, step = points.dtype.fields, points.dtype.itemsize
    x, y, z, blue = (fields[name][1] for name in "xyzb")
    plain = all(fields[name][0] == np.dtype("<f4") for name in "xyz") and fields["r"][1] == blue + 2
    aligned = not (x % 4 or blue % 4 or step % 4) and (y, z) == (x + 4, x + 8)
    if not (plain and aligned and len(points) and points.flags.c_contiguous):
        return None
    return points.view(np.uint32).reshape(len(points), step // 4)


# --- writing ---------------------------------------------------------------------------------------


def write_points(
    points: np.ndarray,
    xyz: Float32[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"] | None = None,
    labels: UInt8[np.ndarray, "N"] | None = None,
) -> None:
    """Fill ``points``, whose layout ``point_dtype`` made for x y z and for rgb and label where they are given."""
    values = points.view(np.float32).reshape(len(xyz), len(points.dtype.names))
    if rgb is None:
        _move([*xyz.T], [*values[:, :3].T])
    else:
        _write_words(readonly(xyz), readonly(rgb), values, values.view(np.uint32))
    if labels is not None:
        points["label"] = labels


def write_semantic_points(
    points: np.ndarray,
    read: ReadCloud,
    labels: UInt8[np.ndarray, "N"],
    confidence: Float32[np.ndarray, "N"],
    space: LabelSpace,
) -> None:
    """Fill ``points``, an array of SEMANTIC_POINT with one row for each point of the message ``read``, in its order.

    The colour is that of the class. Points that were not finite get NaN, label 255 and confidence 0.
    """
    xyz, label = read.spread(read.cloud.xyz, np.nan), read.spread(labels, UNLABELLED)
    class_color = _packed(space.colorize(np.arange(256, dtype=np.uint8)))
    values = points.view(np.float32).reshape(len(xyz), len(SEMANTIC_POINT.names))
    columns = (readonly(column) for column in (xyz, label, read.spread(confidence, 0), class_color))
    _write_semantic_words(*columns, values, values.view(np.uint32))


def _packed(rgb: UInt8[np.ndarray, "N 3"]) -> UInt32[np.ndarray, "N"]:
    """Each colour as one number, 0x00RRGGBB."""
    wide = np.zeros((len(rgb), 4), np.uint8)
    wide[:, 0], wide[:, 1], wide[:, 2] = rgb[:, 2], rgb[:, 1], rgb[:, 0]
    return wide.view("<u4")[:, 0]


def _move(sources: list[np.ndarray], targets: list[np.ndarray]) -> None:
    """Copy column by column, in blocks that fit the cache: strided access to memory is slow, to the cache it is not."""
    for start in range(0, len(sources[0]), 16_384):
        for source, target in zip(sources, targets, strict=True):
            target[start : start + 16_384] = source[start : start + 16_384]


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
