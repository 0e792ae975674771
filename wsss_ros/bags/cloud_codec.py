"""Clouds read from and written to the bytes of sensor_msgs/PointCloud2.

Functions take any object with the fields of the message, such as a message of rclpy or rosbags; neither is imported
here. A message that cannot be used raises BadInput. Its text up to the first colon is constant (see codec.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt8, UInt32

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
# The types that a field may have when it is read. The colour is the field `rgb`, else `rgba`, else three fields.
FLOATS, NUMBERS = (FLOAT32, FLOAT64), tuple(_KINDS)
_COLORS, _LABELS = (INT32, UINT32, FLOAT32), (UINT8, UINT16, UINT32)
_SEPARATE = (("r", "g", "b"), ("red", "green", "blue"))
_WIDE = (INT32, UINT32, FLOAT64)  # types of positions that float32 cannot hold


class PointField(NamedTuple):
    """The fields of sensor_msgs/PointField; its ``count`` is 1."""

    name: str
    offset: int
    datatype: int


def point_dtype(names: Sequence[str], positions: np.dtype | type = np.float32) -> np.dtype:
    """The layout of a point with the fields x y z and some of rgb label confidence, without gaps between them.

    ``positions`` is float32 or float64, the type of x y z. With float64 the size of a point is a multiple of 8 bytes.
    """
    if np.dtype(positions) == np.float32:
        return np.dtype([(name, _WRITTEN[name][0]) for name in names])
    kinds = ["<f8" if name in "xyz" else _WRITTEN[name][0] for name in names]
    packed = np.dtype(list(zip(names, kinds, strict=True)))
    offsets = [packed.fields[name][1] for name in names]
    size = -(-packed.itemsize // 8) * 8
    return np.dtype({"names": list(names), "formats": kinds, "offsets": offsets, "itemsize": size})


def point_fields(dtype: np.dtype) -> list[PointField]:
    """The PointFields of a layout made by ``point_dtype``."""
    fields = ((name, *dtype.fields[name][:2]) for name in dtype.names)
    return [PointField(name, at, FLOAT64 if kind.itemsize == 8 else _WRITTEN[name][1]) for name, kind, at in fields]


SEMANTIC_POINT, SEMANTIC_POINT_64 = (point_dtype(tuple(_WRITTEN), kind) for kind in (np.float32, np.float64))


# --- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadCloud:
    """The points of a message, their indices in the message (``kept``), and its height and width in points.

    Points that are not finite are left out, and those at (0, 0, 0) where there are several, or the cloud is organised:
    LiDAR drivers write that where a ray has no return. ``kept`` is None if no point is left out. ``gather`` maps values
    of the message's points to the kept points, ``spread`` maps them back.
    """

    cloud: Cloud
    kept: Int64[np.ndarray, "N"] | None
    height: int
    width: int

    @property
    def dropped(self) -> int:
        """Number of points that are left out."""
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
    """Read the points in metres, with their colours, if any.

    The cloud may be organised or not, with any order of fields and any padding. ``positions`` are the types that x y z
    may have, FLOATS or NUMBERS. The result has float64 positions for float64 and for integers of 4 bytes, else float32.
    The colour is 0x00RRGGBB in ``rgb`` or ``rgba`` as float32, uint32 or int32, or three fields ``r g b`` or ``red
    green blue``: uint8, uint16 in 0..255 or 0..65535, or float32 in 0..1 or 0..255. Raises BadInput for missing fields,
    other types, and too few bytes.
    """
    points = _structured(message, positions)
    colored = "r" in points.dtype.names
    wide = any(field.name in ("x", "y", "z") and field.datatype in _WIDE for field in message.fields)
    xyz = np.empty((len(points), 3), np.float64 if wide else np.float32)
    rgb = np.empty((len(points), 3), points.dtype["r"].newbyteorder("=")) if colored else None
    words = _words(points) if colored else None
    if words is not None:
        fields = points.dtype.fields
        _read_words(readonly(words), fields["x"][1] // 4, fields["b"][1] // 4, xyz.view(np.uint32), rgb)
    else:
        _move([points[name] for name in points.dtype.names], [*xyz.T, *(rgb.T if colored else ())])
    kept = _usable(xyz, organised=message.height > 1)
    if kept is not None:
        xyz, rgb = xyz[kept], None if rgb is None else rgb[kept]
    cloud = Cloud(xyz, rgb if rgb is None or rgb.dtype == np.uint8 else _as_bytes(rgb), stamp_ns(message.header))
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


def coarse_positions(read: ReadCloud) -> str:
    """What is wrong with positions that are too far from the origin for float32, or ""."""
    xyz = read.cloud.xyz
    farthest = np.abs(xyz).max(initial=0)
    step_m = float(np.spacing(farthest))
    if xyz.dtype != np.float32 or step_m < 2e-3:
        return ""
    return (
        f"coarse coordinates: float32 positions {farthest:,.0f} m from the origin are rounded to {step_m:.2g} m, so "
        "labels suffer; publish x y z as float64, or the cloud in a frame near the robot, such as odom"
    )


def cloud_to_labels(message: Any) -> UInt8[np.ndarray, "N"]:
    """The field ``label`` of every point, in the message's order; a value above 255 becomes 254, which is not a class.

    Raises BadInput as ``cloud_to_ids``.
    """
    values = cloud_to_ids(message)
    return np.where(values > UNLABELLED, UNLABELLED - 1, values).astype(np.uint8)


def cloud_to_ids(message: Any) -> Integer[np.ndarray, "N"]:
    """The field ``label`` of every point, in the message's order.

    Raises BadInput when the field is missing or not an unsigned integer, and for too few bytes.
    """
    field = next((field for field in message.fields if field.name == "label"), None)
    kind = _KINDS[field.datatype] if field and field.datatype in _LABELS else None
    if kind is None or field.offset + np.dtype(kind).itemsize > message.point_step:
        raise BadInput("cloud labels: no field 'label' of uint8, uint16 or uint32 inside the point; expected one")
    _check_layout(message, {field.name: field for field in message.fields})
    if not message.height or not message.width:
        return np.zeros(0, np.uint8)
    return _strided(message, np.dtype((">" if message.is_bigendian else "<") + kind), field.offset)


def all_finite(xyz: Float[np.ndarray, "N 3"]) -> bool:
    """Whether every value is finite. Takes one pass over the memory, unless float32 values are beyond 1e19."""
    flat = xyz.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat))) or bool(np.isfinite(flat).all())


def _usable(xyz: np.ndarray, organised: bool) -> np.ndarray | None:
    """The indices of the points to keep, or None for all. Float64 beyond the range of float32 counts as infinite."""
    at_origin = organised or _several_at_origin(xyz)
    if not at_origin and xyz.dtype == np.float32 and all_finite(xyz):
        return None
    x, y, z = np.abs(xyz.T)
    farthest = np.maximum(np.maximum(x, y), z)  # NaN if one of them is
    usable = farthest <= np.finfo(np.float32).max
    if at_origin:
        usable &= farthest > 0
    return None if usable.all() else np.flatnonzero(usable)


def _several_at_origin(xyz: np.ndarray) -> bool:
    """Whether several points are at (0, 0, 0). Most clouds have no x of 0, so that one column is enough to look at."""
    zero = np.flatnonzero(xyz[:, 0] == 0)
    return len(zero) > 1 and int((~xyz[zero].any(axis=1)).sum()) > 1


def _as_bytes(rgb: np.ndarray) -> UInt8[np.ndarray, "N 3"]:
    """Colours as bytes. Of float32 they are in 0..1 if none is above 1; of uint16 in 0..65535 if one is above 255."""
    if rgb.dtype == np.uint16:
        return (rgb if rgb.max(initial=0) <= 255 else (rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
    scale = 1 if np.nanmax(rgb, initial=0) > 1 else 255
    return np.clip(np.rint(np.nan_to_num(rgb) * np.float32(scale)), 0, 255).astype(np.uint8)


def _structured(message: Any, positions: Sequence[int]) -> np.ndarray:
    """A flat array of the points with the fields x y z and, for a cloud with colours, r g b as bytes."""
    fields = {field.name: field for field in message.fields}
    _check_layout(message, fields, positions)
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = ["x", "y", "z"], [], []
    for name in names:
        formats.append(order + _KINDS[fields[name].datatype])
        offsets.append(fields[name].offset)
    if (color := fields.get("rgb") or fields.get("rgba")) is not None:
        names = names + ["r", "g", "b"]
        formats += ["u1"] * 3
        offsets += [color.offset + place for place in ((1, 2, 3) if message.is_bigendian else (2, 1, 0))]
    elif separate := _separate_colors(fields, message.point_step):
        names = names + ["r", "g", "b"]
        formats += [order + _KINDS[field.datatype] for field in separate]
        offsets += [field.offset for field in separate]
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    return _strided(message, dtype, 0)


def _separate_colors(fields: dict[str, Any], point_step: int) -> list[Any] | None:
    """The three fields of the colour, of one type that can be read; None without them."""
    for names in _SEPARATE:
        found = [fields[name] for name in names if name in fields]
        kinds = {field.datatype for field in found}
        if len(found) == 3 and kinds in ({UINT8}, {UINT16}, {FLOAT32}):
            size = np.dtype(_KINDS[kinds.pop()]).itemsize
            return found if all(field.offset + size <= point_step for field in found) else None
    return None


def _row_step(message: Any) -> int:
    """Bytes from row to row. Without padding it follows from the width: some drivers fill in 0 or the whole size."""
    tight = message.width * message.point_step
    return tight if len(message.data) == message.height * tight else message.row_step


def _strided(message: Any, dtype: np.dtype, offset: int) -> np.ndarray:
    """A flat array with one ``dtype`` for each point; a view of the message if the rows have no padding."""
    strides = (_row_step(message) if message.height > 1 else 0, message.point_step)
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
    row, step = message.width * message.point_step, _row_step(message)
    needed = (step * (message.height - 1) if message.height > 1 else 0) + row
    if len(message.data) < needed or (message.height > 1 and step < row):
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
    plain = all(fields[name][0] == np.dtype("<f4") for name in "xyz")
    plain = plain and all(fields[name][:2] == (np.dtype("u1"), blue + at) for at, name in enumerate("bgr"))
    aligned = not (x % 4 or blue % 4 or step % 4) and (y, z) == (x + 4, x + 8)
    if not (plain and aligned and len(points) and points.flags.c_contiguous):
        return None
    return points.view(np.uint32).reshape(len(points), step // 4)


# --- writing ---------------------------------------------------------------------------------------


def write_points(
    points: np.ndarray,
    xyz: Float[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"] | None = None,
    labels: UInt8[np.ndarray, "N"] | None = None,
) -> None:
    """Fill ``points``, whose layout ``point_dtype`` made for x y z of the type of ``xyz``, and for rgb and label."""
    values, words = _views(points)
    if rgb is None:
        _move([*xyz.T], [*values[:, :3].T])
    else:
        _write_words(readonly(xyz), readonly(rgb), values, words, points.dtype.fields["rgb"][1] // 4)
    if labels is not None:
        points["label"] = labels


def write_semantic_points(
    points: np.ndarray,
    read: ReadCloud,
    labels: UInt8[np.ndarray, "N"],
    confidence: Float32[np.ndarray, "N"],
    space: LabelSpace,
) -> None:
    """Fill ``points``, an array of ``semantic_point(read)`` with one row for each point of the message, in its order.

    The colour is that of the class. Points that were left out get NaN, label 255 and confidence 0.
    """
    xyz, label = read.spread(read.cloud.xyz, np.nan), read.spread(labels, UNLABELLED)
    class_color = _packed(space.colorize(np.arange(256, dtype=np.uint8)))
    values, words = _views(points)
    columns = (readonly(column) for column in (xyz, label, read.spread(confidence, 0), class_color))
    _write_semantic_words(*columns, values, words, words.view(np.float32), points.dtype.fields["rgb"][1] // 4)


def semantic_point(read: ReadCloud) -> np.dtype:
    """The layout of a labelled point with positions of the type that was read, so that none loses digits."""
    return SEMANTIC_POINT if read.cloud.xyz.dtype == np.float32 else SEMANTIC_POINT_64


def _views(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points as rows of numbers of the type of x, and as rows of uint32."""
    kinds, size = (points.dtype["x"], np.dtype(np.uint32)), points.dtype.itemsize
    values, words = (points.view(kind).reshape(len(points), size // kind.itemsize) for kind in kinds)
    return values, words


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
def _write_words(xyz, rgb, values, words, color):
    for n in range(len(xyz)):
        values[n, 0], values[n, 1], values[n, 2] = xyz[n, 0], xyz[n, 1], xyz[n, 2]
        words[n, color] = (np.uint32(rgb[n, 0]) << 16) | (np.uint32(rgb[n, 1]) << 8) | np.uint32(rgb[n, 2])


@compiled
def _write_semantic_words(xyz, label, confidence, class_color, values, words, floats, color):
    for n in range(len(xyz)):
        values[n, 0], values[n, 1], values[n, 2] = xyz[n, 0], xyz[n, 1], xyz[n, 2]
        words[n, color], words[n, color + 1] = class_color[label[n]], label[n]
        floats[n, color + 2] = confidence[n]
