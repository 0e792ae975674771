"""Labelled points as the viewer shows them: their colours by mode, counts by class, and fewer points for a browser."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8

from wsss_ros.bags.cloud_codec import SEMANTIC_POINT, SEMANTIC_POINT_64, point_fields
from wsss_ros.bags.codec import stamp_ns
from wsss_ros.fusion.label_table import LabelTable
from wsss_ros.geometry import local_origin
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.types import BadInput, Cloud

MODES = ("class", "rgb", "confidence", "truth")
LIVE_MODES = MODES[:3]
_LAYOUTS = (SEMANTIC_POINT, SEMANTIC_POINT_64)  # the second one far from the origin
_GREY = 128  # of points that lack the value which a mode shows


@dataclass(frozen=True)
class ShownPoints:
    """Points with their labels. ``rgb``, ``confidence`` and ``truth`` are None where nobody knows them.

    ``origin`` is to be added to ``xyz`` to get the position in the map: float32 alone is too coarse far from it.
    """

    xyz: Float32[np.ndarray, "N 3"]
    labels: UInt8[np.ndarray, "N"]
    confidence: Float32[np.ndarray, "N"] | None = None
    rgb: UInt8[np.ndarray, "N 3"] | None = None
    truth: UInt8[np.ndarray, "N"] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stamp_ns: int = 0

    def __len__(self) -> int:
        return len(self.xyz)

    def rows(self, chosen: Any) -> "ShownPoints":
        """The points at these rows: a slice, indices or a mask."""
        taken = {
            name: None if values is None else values[chosen]
            for name, values in vars(self).items()
            if name not in ("origin", "stamp_ns")
        }
        return replace(self, **taken)

    @property
    def modes(self) -> tuple[str, ...]:
        """The colour modes for which these points have values."""
        labels = None if (self.labels == UNLABELLED).all() and self.rgb is not None else self.labels
        known = {"class": labels, "rgb": self.rgb, "confidence": self.confidence, "truth": self.truth}
        return tuple(mode for mode in MODES if known[mode] is not None)


def placed(xyz: Float[np.ndarray, "N 3"]) -> dict[str, Any]:
    """The fields ``xyz`` and ``origin`` of points at these positions of the map."""
    x, y, z = map(float, local_origin(xyz))
    return {"xyz": (xyz - (x, y, z)).astype(np.float32), "origin": (x, y, z)}


def read_semantic_points(message: Any, table: LabelTable | None = None) -> ShownPoints:
    """The finite points of a semantic cloud (x y z rgb label confidence), as the nodes publish it.

    Its ``rgb`` is the colour of the class, so the points have none. ``table`` turns its labels into those to show.
    Raises BadInput for a cloud of another layout.
    """
    given = [(field.name, field.offset, field.datatype) for field in message.fields]
    count = message.height * message.width
    layout = next((dtype for dtype in _LAYOUTS if given == [tuple(field) for field in point_fields(dtype)]), None)
    if layout is None or message.is_bigendian or message.point_step != layout.itemsize:
        raise BadInput(
            f"semantic cloud: fields {', '.join(name for name, _, _ in given)} in {message.point_step} bytes; expected "
            f"{' '.join(SEMANTIC_POINT.names)} in {' or '.join(str(dtype.itemsize) for dtype in _LAYOUTS)} bytes, as "
            "cloud_segmenter publishes them"
        )
    if len(message.data) < count * layout.itemsize:
        raise BadInput(f"semantic cloud size: {len(message.data)} bytes for {count} points; check what publishes it")
    values = np.frombuffer(message.data, layout, count)
    columns = layout.itemsize // layout["x"].itemsize
    xyz = np.ascontiguousarray(values.view(layout["x"]).reshape(count, columns)[:, :3])
    given_labels = values["label"]
    labels = np.minimum(given_labels, UNLABELLED).astype(np.uint8) if table is None else table.known(given_labels)
    points = ShownPoints(
        **placed(xyz), labels=labels, confidence=values["confidence"].copy(), stamp_ns=stamp_ns(message.header)
    )
    finite = np.isfinite(xyz).all(axis=1)
    return points if finite.all() else points.rows(finite)


def with_colors(points: ShownPoints, cloud: Cloud) -> ShownPoints:
    """The points with the colours of the cloud that they were made from; without them where the two differ in size."""
    return points if cloud.rgb is None or len(cloud) != len(points) else replace(points, rgb=cloud.rgb)


def thinned(points: ShownPoints, most: int) -> ShownPoints:
    """At most ``most`` of the points, spread evenly over their order."""
    if len(points) <= most:
        return points
    return points.rows(np.arange(most, dtype=np.int64) * len(points) // most)


def counts(labels: UInt8[np.ndarray, "N"], classes: int) -> Int64[np.ndarray, "K"]:
    """Number of points of each class, and of those without a class in the last of K = C + 1 entries."""
    found = np.bincount(labels, minlength=256)
    return np.append(found[:classes], found[classes:].sum())


def colored(
    points: ShownPoints, mode: str, space: LabelSpace, shown: Bool[np.ndarray, "K"], below_m: float = np.inf
) -> tuple[Float32[np.ndarray, "M 3"], UInt8[np.ndarray, "M 3"]]:
    """Positions and colours of the points to draw.

    ``shown`` says for each class, and last for unlabelled points, whether it is drawn; points higher than ``below_m``
    are not. A mode without values is grey. In the mode ``truth`` the classes are those of the truth.
    """
    labels = points.truth if mode == "truth" and points.truth is not None else points.labels
    drawn = np.append(shown, np.full(256 - len(shown), shown[-1]))[labels]
    if np.isfinite(below_m):
        drawn &= points.xyz[:, 2] + points.origin[2] <= below_m
    chosen: Any = slice(None) if drawn.all() else np.flatnonzero(drawn)
    return points.xyz[chosen], _colors(points, mode, space, labels)[chosen]


def _colors(points: ShownPoints, mode: str, space: LabelSpace, labels: np.ndarray) -> UInt8[np.ndarray, "N 3"]:
    if mode not in MODES:
        raise BadInput(f"colour mode: got '{mode}', expected one of {', '.join(MODES)}")
    if mode not in points.modes:
        return np.full((len(points), 3), _GREY, np.uint8)
    if mode == "rgb":
        return points.rgb
    if mode == "confidence":
        return _CONFIDENCE[np.rint(np.clip(np.nan_to_num(points.confidence), 0, 1) * 255).astype(np.uint8)]
    return class_colors(space)[labels]


def class_colors(space: LabelSpace) -> UInt8[np.ndarray, "256 3"]:
    """The colour of each label; unlabelled points are grey, since black would look like a hole."""
    table = space.colorize(np.arange(256, dtype=np.uint8))
    table[len(space) :] = _GREY
    return table


def _ramp() -> UInt8[np.ndarray, "256 3"]:
    """From dark blue (0) over green to yellow (1); brightness grows with the value."""
    stops = np.array([(48, 18, 99), (40, 90, 150), (35, 145, 140), (110, 200, 90), (253, 231, 37)], np.float64)
    at = np.linspace(0, len(stops) - 1, 256)
    return np.stack([np.interp(at, range(len(stops)), channel) for channel in stops.T], axis=1).round().astype(np.uint8)


_CONFIDENCE = _ramp()


class Trajectory:
    """The path of a camera, as at most ``most`` positions that are ``step_m`` apart; it gets coarser as it grows."""

    def __init__(self, step_m: float = 0.02, most: int = 4000) -> None:
        self._first_step_m = self.step_m = step_m
        self._most = most
        self.positions: list[np.ndarray] = []

    def add(self, position: Float64[np.ndarray, "3"]) -> bool:
        """Add a position. Returns False where it is too near to the last one."""
        if self.positions and np.linalg.norm(position - self.positions[-1]) < self.step_m:
            return False
        self.positions.append(np.array(position, np.float64))
        if len(self.positions) > self._most:
            self.positions = self.positions[::2]
            self.step_m *= 2
        return True

    def clear(self) -> None:
        """Forget the path."""
        self.positions, self.step_m = [], self._first_step_m

    def segments(self, origin: tuple[float, float, float]) -> Float32[np.ndarray, "M 2 3"]:
        """The path as lines between neighbouring positions, relative to ``origin``."""
        if len(self.positions) < 2:
            return np.zeros((0, 2, 3), np.float32)
        at = (np.stack(self.positions) - np.array(origin)).astype(np.float32)
        return np.stack([at[:-1], at[1:]], axis=1)
