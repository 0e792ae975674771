"""A map of classes: the votes of labelled views and scans, kept for each voxel, in bounded memory.

Things move. A voxel that a later view looks through loses a share of its votes, and a voxel keeps ``max_votes`` at
most, so that a new class wins after as many views. Votes do not fade with time: a wall that nobody looks at stays.
"""

from collections import Counter
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.fusion import map_kernels as kernels
from wsss_ros.fusion.map_views import LabelledScan, LabelledView, SemanticCloud
from wsss_ros.fusion.votes import vote_weight
from wsss_ros.geometry import check_camera, check_pose, compact, invert, local_origin
from wsss_ros.geometry.compiled import readonly
from wsss_ros.geometry.distortion import distort, rays
from wsss_ros.geometry.voxels import table_size
from wsss_ros.types import BadInput, Camera

NOT_SEEN = kernels.NOT_SEEN  # instead of a label: no vote at all; UNLABELLED votes for no class
MOST_CLASSES = NOT_SEEN
SMALLEST_MAP = 10_000  # voxels: the least bound on a map
_NO_RAYS = readonly(np.zeros((0, 0, 2)))
_EVIDENCE = 200  # voxels that a view has to show or look through before it can contradict the map
_FORGOTTEN = 20  # a full map forgets one of so many voxels
_WEIGHTS = 256  # entries of the table of weights by depth
# The parts of a state.
STATE = {
    "key": np.int64,
    "mean": np.float32,
    "total": np.float32,
    "seen": np.int32,
    "counts": np.uint8,
    "classes": np.uint8,
    "votes": np.float32,
    "origin": np.float64,
    "clock": np.int64,
}
_FORGET_TEXT = "What a full map forgets: the voxels seen longest ago (oldest), or farthest from the camera (farthest)."


class SemanticMapConfig(Config):
    """Size of the voxels, range of the depth, bounds of the map, and how it changes."""

    voxel_size_m: float = Field(0.05, ge=0.01, le=2, description="Edge of a voxel; one point each.")
    max_voxels: int = Field(1_000_000, ge=SMALLEST_MAP, le=10_000_000, description="Bound on the map.")
    forget: Literal["oldest", "farthest"] = Field("oldest", description=_FORGET_TEXT)
    min_depth_m: float = Field(0.2, ge=0, le=10, description="Nearer pixels and points are ignored.")
    max_depth_m: float = Field(5.0, gt=0, le=200, description="Farther pixels and points are ignored.")
    pixel_stride: int = Field(1, ge=1, le=16, description="Every n-th pixel of a row and a column votes; 2 is faster.")
    vote_distance_m: float = Field(
        10.0, gt=0, le=1000, description="Votes from far away weigh less; from this distance on they weigh nothing."
    )
    min_votes: float = Field(1.0, ge=0, le=1000, description="Votes (about: views) before a voxel is published.")
    max_votes: float = Field(
        60.0,
        ge=2,
        le=10_000,
        description="A voxel with more votes keeps half of them, so that it can change its class.",
    )
    empty_keep: float = Field(
        0.6, ge=0, le=1, description="Share of its votes that a voxel keeps when a view looks through it; 1: all."
    )
    max_conflict: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A view that looks through a larger share of the voxels that it should see is refused; 1: none is.",
    )


_SMALL = SemanticMapConfig(max_voxels=SMALLEST_MAP)  # of the map that warms up


class SemanticMap:
    """Votes for classes by voxel. A full map forgets, see ``forget``. Not for use from several threads.

    It takes at most ``108 + 4 C`` bytes for each of ``max_voxels``, with C classes.

    Attributes:
        views: number of views and scans that voted.
        stamp_ns: stamp of the last of them.
        changes: number of changes of any kind.
        counts: ``voxels_forgotten``, ``voxels_emptied`` (removed because views looked through them),
            ``pixels_out_of_range`` (beyond 2^20 voxels from the map's origin), ``views_without_depth``.
    """

    _table: Any  # these arrays are described in map_kernels.py
    _rows: Any
    _free: Any
    _found: Any
    _rays: Any

    def __init__(self, config: SemanticMapConfig | None = None, classes: int = 20, dt_s: float = 0.5) -> None:
        """Create an empty map.

        Args:
            config: its settings.
            classes: number of classes, labels are below it.
            dt_s: labels this much older or newer than their points do not vote.

        Raises:
            BadInput: no class, or more than 254.
        """
        if not 0 < classes <= MOST_CLASSES:
            raise BadInput(f"{classes} classes of a semantic map; expected 1 to {MOST_CLASSES}")
        self.config, self.classes, self._dt_s = config or SemanticMapConfig(), classes, dt_s
        self.changes = 0
        self.clear()
        if self.config is not _SMALL:
            _warm_up()

    def clear(self) -> None:
        """Remove all voxels, reset the counts and free the memory."""
        bound = self.config.max_voxels
        self.views = self.stamp_ns = 0
        self.changes += 1
        self.counts: Counter[str] = Counter()
        self.origin: Float64[np.ndarray, "3"] | None = None
        slots = table_size(bound)
        self._table = self._rows = self._free = self._found = self._rays = None  # freed before new ones are made
        self._table = np.full(slots, -1, np.int64), np.empty(slots, np.int32)
        # Memory pages that are never written take no memory.
        mean, votes = np.zeros((bound, 3), np.float32), np.zeros((bound, self.classes), np.float32)
        self._rows = np.full(bound, -1, np.int64), mean, votes, np.zeros(bound, np.float32), np.zeros(bound, np.int32)
        self._free, self._sizes = np.zeros(bound, np.int32), np.zeros(3, np.int64)
        self._found, self._rays = np.zeros(bound, np.int32), np.zeros((bound, 3))

    def __len__(self) -> int:
        """Number of voxels in the map, those below ``min_votes`` included."""
        return int(self._sizes[kernels.COUNT])

    # --- views and scans ---

    def add(self, view: LabelledView) -> int:
        """Let a view vote, and weaken the voxels that it looks through.

        Returns:
            The number of pixels that voted.

        Raises:
            BadInput: camera or pose is not sound, sizes differ, or the view contradicts the map. The map is then
                unchanged.
        """
        self._check(view)
        pose = self._begin(view.world_from_camera)
        self._look(view.depth_m, view.camera, pose, view.world_from_camera)
        used = self._vote_pixels(view, pose)
        return self._end(used, view.stamp_ns)

    def add_scan(self, scan: LabelledScan) -> int:
        """The same for the points of a scan. Returns how many voted. Raises BadInput as ``add``."""
        check_pose(scan.world_from_camera)
        pose = self._begin(scan.world_from_camera)
        self._look(scan.depth_m, scan.camera, pose, scan.world_from_camera)
        xyz = scan.xyz - self.origin
        away_m = np.linalg.norm(xyz - pose[:3, 3], axis=1)
        weights = self._weight(away_m, scan.dt_s)
        weights[(away_m < self.config.min_depth_m) | (away_m > self.config.max_depth_m)] = 0
        used, start = 0, 0
        while start < len(xyz):
            start, voted, strayed = kernels.vote_points(
                readonly(xyz),
                readonly(scan.labels),
                readonly(weights),
                self.config.voxel_size_m,
                self.config.max_votes,
                *self._state(),
                self.views,
                start,
            )
            used += voted
            self.counts["pixels_out_of_range"] += strayed
            if start < len(xyz):
                self._forget(pose[:3, 3])
        return self._end(used, scan.stamp_ns)

    def cloud(self) -> SemanticCloud:
        """One point for each voxel with ``min_votes`` or more, stamped like the last view."""
        key, mean, votes, total, _ = self._rows
        top = int(self._sizes[kernels.TOP])
        rows, labels, confidence = np.empty(top, np.int32), np.empty(top, np.uint8), np.empty(top, np.float32)
        least = max(self.config.min_votes, 1e-6)
        count = kernels.winners(key, votes, total, top, least, rows, labels, confidence)
        xyz = mean[rows[:count]]
        if self.origin is not None and self.origin.any():
            xyz = compact(xyz.astype(np.float64) + self.origin)
        return SemanticCloud(xyz, labels[:count], confidence[:count], self.stamp_ns)

    # --- what is saved ---

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all voxels, for ``restore``. Of the votes those above 0: counts by voxel, classes, values."""
        used = self._used()
        key, mean, votes, total, seen = self._rows
        counts, nothing = np.empty(len(used), np.uint8), (np.empty(0, np.uint8), np.empty(0, np.float32))
        voted = kernels.pack(votes, used, counts, *nothing)
        classes, values = np.empty(voted, np.uint8), np.empty(voted, np.float32)
        kernels.pack(votes, used, counts, classes, values)
        rows = {"key": key[used], "mean": mean[used], "total": total[used], "seen": seen[used]}
        return rows | {
            "counts": counts,
            "classes": classes,
            "votes": values,
            "origin": np.zeros(3) if self.origin is None else self.origin,
            "clock": np.array([self.views, self.stamp_ns], np.int64),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Replace the map by a state. If it has more than ``max_voxels`` voxels, the newest are kept.

        Raises:
            BadInput: the parts do not fit together. The map is then unchanged, or empty where a voxel occurs twice.
        """
        self._check_state(state)
        state = newest(state, self.config.max_voxels)
        self.clear()
        count = len(state["key"])
        key, mean, votes, total, seen = self._rows
        key[:count], mean[:count], total[:count], seen[:count] = (
            state[name] for name in ("key", "mean", "total", "seen")
        )
        kernels.unpack(votes, *(readonly(state[name]) for name in ("counts", "classes", "votes")))
        self._sizes[[kernels.TOP, kernels.COUNT]] = count
        if not kernels.insert_rows(*self._table, key, count):
            self.clear()
            raise BadInput("saved map: a voxel occurs twice; use another file")
        self.origin = state["origin"].astype(np.float64) if count else None
        self.views, self.stamp_ns = map(int, state["clock"])

    def _check_state(self, state: dict[str, np.ndarray]) -> None:
        key, classes = state["key"], state["classes"]
        lengths = {len(state[name]) for name in ("key", "mean", "total", "seen", "counts")}
        fits = len(lengths) == 1 and state["counts"].sum(dtype=np.int64) == len(classes) == len(state["votes"])
        kinds = {name: dtype for name, dtype in STATE.items() if state[name].dtype != dtype}
        fits = fits and not kinds and state["mean"].shape == (len(key), 3) and state["origin"].shape == (3,)
        if not fits or (key < 0).any() or (classes >= self.classes).any():
            raise BadInput(f"saved map: its parts do not fit together, or it has more than {self.classes} classes")

    # --- steps ---

    def _begin(self, world_from_camera: np.ndarray) -> Float64[np.ndarray, "4 4"]:
        """The pose from the origin of the map, which is near its first camera."""
        if self.origin is None:
            self.origin = local_origin(world_from_camera[None, :3, 3])
        pose = world_from_camera.astype(np.float64)
        pose[:3, 3] -= self.origin
        return pose

    def _end(self, used: int, stamp_ns: int) -> int:
        if used:
            self.views, self.stamp_ns, self.changes = self.views + 1, stamp_ns, self.changes + 1
        else:
            self.counts["views_without_depth"] += 1
        return used

    def _check(self, view: LabelledView) -> None:
        check_camera(view.camera)
        check_pose(view.world_from_camera)
        shape = (view.camera.height, view.camera.width)
        if not view.labels.shape == view.depth_m.shape == shape:
            (height, width), (rows, columns) = view.labels.shape, view.depth_m.shape
            raise BadInput(
                f"labelled view: labels of {width}x{height}, depth of {columns}x{rows}, camera of "
                f"{shape[1]}x{shape[0]}; expected depth registered to the labels"
            )

    def _look(self, depth_m: np.ndarray, camera: Camera, pose: np.ndarray, given: np.ndarray) -> None:
        """Weaken the voxels that the view looks through. Raises BadInput where these are too many to be true."""
        config = self.config
        if not len(self) or (config.empty_keep == 1 and config.max_conflict == 1):
            return
        _, mean, _, _, _ = self._rows
        limits = _bounds(camera), max(config.min_depth_m, 1e-3), config.max_depth_m
        top = int(self._sizes[kernels.TOP])
        count = kernels.in_view(mean, self._rows[0], top, invert(pose), *limits, self._found, self._rays)
        found, seen = self._found[:count], self._rays[:count]
        uv = seen[:, :2] if camera.distortion is None else distort(camera.distortion, seen[:, :2])
        uv = uv * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        through = np.empty(count, np.bool_)
        z = np.ascontiguousarray(seen[:, 2])
        empty, shown = kernels.compare_depth(readonly(depth_m), uv, z, config.voxel_size_m, through)
        if empty + shown >= _EVIDENCE and empty > config.max_conflict * (empty + shown):
            x, y, w = given[:3, 3]
            raise BadInput(
                f"view contradicts the map: it looks through {100 * empty / (empty + shown):.0f} % of the voxels that "
                f"it should see from ({x:.2f}, {y:.2f}, {w:.2f}), so its pose or its depth is wrong and it is left "
                "out; if the place itself has changed, call ~/reset or raise max_conflict"
            )
        if empty and config.empty_keep < 1:
            least = np.float32(0.5 * min(config.min_votes, 1.0))
            removed = kernels.weaken(found, through, np.float32(config.empty_keep), least, *self._state())
            self.counts["voxels_emptied"] += removed

    def _vote_pixels(self, view: LabelledView, pose: np.ndarray) -> int:
        config, camera = self.config, view.camera
        intrinsics = (float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy))
        limits = (config.voxel_size_m, config.min_depth_m, config.max_depth_m)
        weights = self._weight(np.linspace(0, config.max_depth_m, _WEIGHTS), 0.0)
        table = _NO_RAYS if camera.distortion is None else rays(camera)
        depth, labels, row, used = readonly(view.depth_m), readonly(view.labels), 0, 0
        while True:
            row, voted, strayed = kernels.vote_rows(
                depth,
                labels,
                config.pixel_stride,
                intrinsics,
                table,
                pose,
                limits,
                weights,
                config.max_votes,
                *self._state(),
                self.views,
                row,
            )
            used += voted
            self.counts["pixels_out_of_range"] += strayed
            if row >= len(depth):
                return used
            self._forget(pose[:3, 3])

    def _weight(self, distance_m: np.ndarray, dt_s: float) -> Float32[np.ndarray, "N"]:
        limits = self.config.vote_distance_m, self._dt_s
        return vote_weight(distance_m, np.full(len(distance_m), float(dt_s)), *limits).astype(np.float32)

    def _forget(self, position: np.ndarray) -> None:
        """Make room: remove a share of the voxels."""
        used = self._used()
        _, mean, _, _, seen = self._rows
        count = min(len(used), max(self.config.max_voxels // _FORGOTTEN, 1))
        oldest = self.config.forget == "oldest"
        order = seen[used] if oldest else -((mean[used] - position) ** 2).sum(axis=1)
        chosen = used[np.argpartition(order, count - 1)[:count]]
        kernels.remove_rows(chosen, *self._state())
        self.counts["voxels_forgotten"] += count

    def _used(self) -> np.ndarray:
        return np.flatnonzero(self._rows[0][: self._sizes[kernels.TOP]] >= 0)

    def _state(self) -> tuple[Any, ...]:
        return *self._table, self._rows, self._free, self._sizes


@lru_cache(maxsize=1)
def _warm_up() -> None:
    """Compile the kernels now, not at the first view: seconds the first time, then milliseconds from the cache."""
    made, camera, pose = SemanticMap(_SMALL, 1), Camera(1.0, 1.0, 0.0, 0.0, 1, 1), np.eye(4)
    labels, depth_m = np.full((1, 1), NOT_SEEN, np.uint8), np.zeros((1, 1), np.float32)
    made.add(LabelledView(labels, depth_m, camera, pose))
    made.add_scan(LabelledScan(np.zeros((1, 3)), labels[0], depth_m, camera, pose))
    state, (key, mean, *_) = made._state(), made._rows
    kernels.in_view(mean, key, 0, pose, (0.0, 0.0, 0.0, 0.0), 0.1, 1.0, made._found, made._rays)
    kernels.compare_depth(readonly(depth_m), np.zeros((0, 2)), np.zeros(0), 1.0, np.zeros(0, np.bool_))
    kernels.weaken(made._found[:0], np.zeros(0, np.bool_), np.float32(1), np.float32(0), *state)
    kernels.remove_rows(np.zeros(0, np.int64), *state)
    made.restore(made.state())
    made.cloud()


def newest(state: dict[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    """The state with at most ``most`` voxels: those seen last."""
    if len(state["key"]) <= most:
        return state
    kept = np.zeros(len(state["key"]), bool)
    kept[np.argpartition(state["seen"], -most)[-most:]] = True
    voted = np.repeat(kept, state["counts"])
    rows = {name: state[name][kept] for name in ("key", "mean", "total", "seen", "counts")}
    return state | rows | {name: state[name][voted] for name in ("classes", "votes")}


def _bounds(camera: Camera) -> tuple[float, float, float, float]:
    """The least and largest x/z, and those of y/z, that the image shows."""
    if camera.distortion is not None:
        table = rays(camera)
        low, high = np.nanmin(table, axis=(0, 1)), np.nanmax(table, axis=(0, 1))
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])
    right, below = camera.width - camera.cx, camera.height - camera.cy
    return -camera.cx / camera.fx, right / camera.fx, -camera.cy / camera.fy, below / camera.fy
