"""A tree of coordinate frames whose transforms change over time, with the results of tf2 and without ROS.

Each frame has one parent. A dynamic transform is kept by stamp and interpolated: translation linearly, rotation by
slerp. A static one holds for all times. Numbers are float64; plain Python is faster than numpy on so few of them.
"""

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from wsss_ros.geometry.poses import matrix_to_quaternion
from wsss_ros.types import BadInput

WORLD_FRAMES = ("map", "odom")  # where the user names none; the second one where TF does not have the first one
CACHE_S = 10.0  # as in tf2
MOST_STAMPS = 50_000  # of one frame; a source whose clock stands still would fill the memory
DEEPEST = 1000  # more frames than this between a frame and its root are a loop, as in tf2
_QUATERNION_TOLERANCE = 0.01  # of the squared length, as in tf2

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x y z w
Pose = tuple[Vector, Quaternion]
Why = Literal["frame", "connection", "future", "past", "loop"]


class LookupFailed(BadInput):
    """There is no transform between two frames at a time.

    ``why``: ``frame`` (one is unknown), ``connection`` (no path between them), ``future`` or ``past`` (the time is
    outside what has come), ``loop`` (a frame is its own ancestor).
    """

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why

    @property
    def may_come(self) -> bool:
        """Whether a transform that comes later may make this lookup possible."""
        return self.why in ("frame", "connection", "future")


class _Edge(NamedTuple):
    """The transform of a frame to its parent: ``rotation`` first, then ``translation``."""

    parent: str
    translation: Vector
    rotation: Quaternion


_Step = tuple[_Edge, _Edge | None, float]


@dataclass(slots=True)
class _History:
    """The transforms of one frame, oldest first. A static one has a single edge and no stamps."""

    static: bool
    stamps: list[int] = field(default_factory=list)
    edges: list[_Edge] = field(default_factory=list)


class TransformBuffer:
    """Transforms of all frames, of the last ``cache_s`` seconds of each; None keeps all, for a recording.

    It keeps what tf2 keeps: a transform that comes again is stored once, one out of order is put in its place, one
    older than the cache is refused. A frame that turns from dynamic to static or back loses its earlier transforms.
    Where the parent changes between two stamps, the older one holds. The methods may be called from several threads.
    """

    def __init__(self, cache_s: float | None = CACHE_S) -> None:
        self._cache_ns = None if cache_s is None else round(cache_s * 1e9)
        self._frames: dict[str, _History] = {}
        self._names: set[str] = set()
        self._lock = threading.Lock()

    # --- transforms come ---

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Iterable[float],
        rotation: Iterable[float],
        static: bool = False,
    ) -> bool:
        """Add one transform ``parent_from_child``, as a TransformStamped has it.

        Args:
            parent: frame of the result (``header.frame_id``); a leading slash is ignored.
            child: the frame that is described (``child_frame_id``).
            stamp_ns: when it holds; of a static one it has no meaning.
            translation: x y z in metres.
            rotation: quaternion x y z w; a squared length that differs from 1 by less than 0.01 is normalised.
            static: whether it holds for all times.

        Returns:
            False for a transform that is older than the cache; it is not used.

        Raises:
            BadInput: an empty name, the same name twice, NaN or infinite values, another length of the quaternion.
        """
        edge = _Edge(parent.removeprefix("/"), *check_transform(parent, child, translation, rotation))
        child = child.removeprefix("/")
        with self._lock:
            self._names.update((edge.parent, child))
            history = self._frames.get(child)
            if history is None or history.static != static:
                history = self._frames[child] = _History(static)
            if static:
                history.edges = [edge]
                return True
            return self._insert(history, int(stamp_ns), edge)

    def _insert(self, history: _History, stamp_ns: int, edge: _Edge) -> bool:
        stamps, edges = history.stamps, history.edges
        if stamps and self._cache_ns is not None:
            oldest_ns = stamps[-1] - self._cache_ns
            stale = max(bisect_left(stamps, oldest_ns), len(stamps) - MOST_STAMPS)
            if stale > 0:
                del stamps[:stale], edges[:stale]
            if stamp_ns < oldest_ns:
                return False
        at = bisect_right(stamps, stamp_ns)
        if edge in edges[bisect_left(stamps, stamp_ns, 0, at) : at]:
            return True
        stamps.insert(at, stamp_ns)
        edges.insert(at, edge)
        return True

    def clear(self) -> None:
        """Forget the dynamic transforms, as after a jump of the clock. Static ones and the names stay."""
        with self._lock:
            for history in self._frames.values():
                history.stamps.clear()
                if not history.static:
                    history.edges.clear()

    # --- what is there ---

    def frames(self) -> list[str]:
        """The names of all frames, sorted."""
        with self._lock:
            return sorted(self._names)

    def parents(self) -> dict[str, str]:
        """The newest parent of each frame that has one."""
        with self._lock:
            return {name: history.edges[-1].parent for name, history in self._frames.items() if history.edges}

    def connected(self, first: str, second: str) -> bool:
        """Whether the newest transforms join two frames, at whatever time."""
        parents = self.parents()
        return _root(parents, first.removeprefix("/")) == _root(parents, second.removeprefix("/"))

    # --- lookups ---

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """``target_from_source``: the matrix that carries points of ``source`` to ``target`` at this time.

        The time is exact: the newest transform is never used instead.

        Raises:
            LookupFailed: an unknown frame (with the known ones), no path between the frames, or a time before or
                after the transforms of the path (with the times).
        """
        target, source = target.removeprefix("/"), source.removeprefix("/")
        with self._lock:
            for name in (target, source):
                if name not in self._names and target != source:
                    raise LookupFailed("frame", f"no frame '{name}' in TF: {_known(self._names)}")
            return matrix(*self._path(target, source, int(stamp_ns)))

    def _path(self, target: str, source: str, stamp_ns: int) -> Pose:
        from_source, stopped = self._way_up(source, target, (), stamp_ns)
        if target in from_source:
            return _chain(from_source, target)
        from_target, stopped_too = self._way_up(target, source, from_source, stamp_ns)
        common = next(reversed(from_target))
        if common not in from_source:
            raise stopped_too or stopped or self._not_connected(target, source)
        to_target = _inverse(_chain(from_target, common))
        return to_target if common == source else _compose(to_target, _chain(from_source, common))

    def _way_up(
        self, start: str, sought: str, known: Container[str], stamp_ns: int
    ) -> tuple[dict[str, _Step | None], LookupFailed | None]:
        """The frames from ``start`` up to the root, to ``sought`` or to one in ``known``, each with the step to it.

        Also the reason when the way ends because a frame has no transform at this time.
        """
        way: dict[str, _Step | None] = {start: None}
        frame = start
        while frame != sought and frame not in known and (history := self._frames.get(frame)) is not None:
            step = _step(history, stamp_ns)
            if step is None:
                return way, _outside(history, frame, stamp_ns)
            frame = step[0].parent
            if frame in way:
                raise LookupFailed("loop", f"a loop in TF: '{frame}' is its own ancestor; two nodes publish it")
            way[frame] = step
        return way, None

    def _not_connected(self, target: str, source: str) -> LookupFailed:
        parents = {name: history.edges[-1].parent for name, history in self._frames.items() if history.edges}
        return LookupFailed(
            "connection",
            f"no path in TF: '{target}' is in the tree of '{_root(parents, target)}', '{source}' in that of "
            f"'{_root(parents, source)}'; a transform between the two trees is missing",
        )


def _known(names: set[str]) -> str:
    if not names:
        return "no transform has come yet"
    return f"known frames are {', '.join(sorted(names))}"


def _root(parents: dict[str, str], frame: str) -> str:
    for _ in range(DEEPEST):
        if frame not in parents:
            break
        frame = parents[frame]
    return frame


def check_transform(parent: str, child: str, translation: Iterable[float], rotation: Iterable[float]) -> Pose:
    """The transform with a quaternion of length 1. Raises BadInput as ``TransformBuffer.add`` does."""
    parent, child = parent.removeprefix("/"), child.removeprefix("/")
    if not parent or not child or parent == child:
        raise BadInput(f"transform from '{child}' to '{parent}': expected two different names that are not empty")
    x, y, z = map(float, translation)
    i, j, k, w = map(float, rotation)
    squared = i * i + j * j + k * k + w * w
    if not math.isfinite(x + y + z + squared):
        raise BadInput(f"transform from '{child}' to '{parent}' with NaN or infinite values; its source has to set it")
    if abs(squared - 1) >= _QUATERNION_TOLERANCE:
        raise BadInput(
            f"transform from '{child}' to '{parent}' with quaternion {[i, j, k, w]} of length "
            f"{math.sqrt(squared):.4g}; expected length 1 (the identity is x y z w = 0 0 0 1)"
        )
    scale = 1 / math.sqrt(squared)
    return (x, y, z), (i * scale, j * scale, k * scale, w * scale)


def _step(history: _History, stamp_ns: int) -> _Step | None:
    """The edge before this time, the one after it and the share of that; None outside the stamps.

    Without the one after it, the first one holds. At a stamp that came twice, the choice is that of tf2.
    """
    stamps, edges = history.stamps, history.edges
    if history.static:
        return edges[0], None, 0.0
    if not stamps or not stamps[0] <= stamp_ns <= stamps[-1]:
        return None
    if stamp_ns == stamps[-1]:
        return edges[-1], None, 0.0
    if stamp_ns == stamps[0]:
        return edges[0], None, 0.0
    newer = bisect_right(stamps, stamp_ns)
    before, after, since = edges[newer - 1], edges[newer], stamps[newer - 1]
    if before.parent != after.parent:
        return before, None, 0.0
    return before, after, (stamp_ns - since) / (stamps[newer] - since)


def _chain(way: dict[str, _Step | None], end: str) -> Pose:
    """The transform from the first frame of the way to ``end``."""
    pose = _IDENTITY
    for frame, step in way.items():
        if step is not None:
            pose = _compose(_between(*step), pose)
        if frame == end:
            break
    return pose


def _between(before: _Edge, after: _Edge | None, share: float) -> Pose:
    if after is None or not share:
        return before.translation, before.rotation
    (x, y, z), (u, v, w) = before.translation, after.translation
    between = x + (u - x) * share, y + (v - y) * share, z + (w - z) * share
    return between, _slerp(before.rotation, after.rotation, share)


def _outside(history: _History, frame: str, stamp_ns: int) -> LookupFailed:
    if not history.stamps:
        return LookupFailed("future", f"no transform of '{frame}' in TF since the clock jumped back")
    first, last = history.stamps[0], history.stamps[-1]
    parent = history.edges[-1].parent
    if stamp_ns > last:
        why: Why = "future"
        text = f"the newest from '{frame}' to '{parent}' is of {_seconds(last)}, {_seconds(stamp_ns - last)} earlier"
    else:
        why = "past"
        text = f"the oldest from '{frame}' to '{parent}' is of {_seconds(first)}, {_seconds(first - stamp_ns)} later"
    return LookupFailed(why, f"no transform in TF at this time: asked for {_seconds(stamp_ns)}, {text}")


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9 // 10**6:03d} s"


# --- rotations as quaternions x y z w of length 1 ---

_IDENTITY: Pose = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def _compose(first: Pose, then: Pose) -> Pose:
    """``a_from_b`` and ``b_from_c`` to ``a_from_c``."""
    (x, y, z), p = first
    u, v, w = _rotate(p, then[0])
    return (x + u, y + v, z + w), _multiply(p, then[1])


def _inverse(pose: Pose) -> Pose:
    (x, y, z), (i, j, k, w) = pose
    back = (-i, -j, -k, w)
    return _rotate(back, (-x, -y, -z)), back


def _rotate(q: Quaternion, vector: Vector) -> Vector:
    """``v + 2 w (u x v) + 2 u x (u x v)`` with ``u`` the vector part of the quaternion."""
    i, j, k, w = q
    x, y, z = vector
    a, b, c = 2 * (j * z - k * y), 2 * (k * x - i * z), 2 * (i * y - j * x)
    return x + w * a + j * c - k * b, y + w * b + k * a - i * c, z + w * c + i * b - j * a


def _multiply(p: Quaternion, q: Quaternion) -> Quaternion:
    a, b, c, d = p
    i, j, k, w = q
    return (
        d * i + a * w + b * k - c * j,
        d * j + b * w + c * i - a * k,
        d * k + c * w + a * j - b * i,
        d * w - a * i - b * j - c * k,
    )


def _slerp(p: Quaternion, q: Quaternion, share: float) -> Quaternion:
    """Spherical interpolation on the shorter way."""
    a, b, c, d = p
    i, j, k, w = q
    dot = a * i + b * j + c * k + d * w
    if dot < 0:
        i, j, k, w, dot = -i, -j, -k, -w, -dot
    angle = math.acos(min(dot, 1.0))
    if angle < 1e-7:  # the same to double precision, and the sine below is too small to divide by
        s, t = 1 - share, share
    else:
        s, t = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    return s * a + t * i, s * b + t * j, s * c + t * k, s * d + t * w


def between(
    first: Float64[np.ndarray, "4 4"], second: Float64[np.ndarray, "4 4"], share: float
) -> Float64[np.ndarray, "4 4"]:
    """The pose between two poses: translation interpolated linearly, rotation by slerp.

    Args:
        first: the result at ``share`` 0.
        second: the result at ``share`` 1.
        share: of the time between both.
    """
    before, after = (
        _Edge("", tuple(pose[:3, 3]), tuple(matrix_to_quaternion(pose[:3, :3]))) for pose in (first, second)
    )
    return matrix(*_between(before, after, share))


def matrix(translation: Vector, rotation: Quaternion) -> Float64[np.ndarray, "4 4"]:
    """The 4x4 matrix of a translation x y z and a quaternion x y z w of any length but 0."""
    i, j, k, w = rotation
    s = 2 / (i * i + j * j + k * k + w * w)
    x, y, z = translation
    return np.array(
        (
            (1 - s * (j * j + k * k), s * (i * j - k * w), s * (i * k + j * w), x),
            (s * (i * j + k * w), 1 - s * (i * i + k * k), s * (j * k - i * w), y),
            (s * (i * k - j * w), s * (j * k + i * w), 1 - s * (i * i + j * j), z),
            (0.0, 0.0, 0.0, 1.0),
        )
    )
