"""A scene while it is being collected: which views are kept, which tags belong to which of them, when it is over.

Poses are those of a map whose z points up (REP-105), as ScanNet's are. Kept frames go to disk at once; in memory stay
their poses, the cloud's voxels and the times of the views received, all of them bounded.
"""

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int64

from wsss_ros.geometry import unproject
from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.labels import LabelSpace
from wsss_ros.online.settings import StoreConfig
from wsss_ros.scenes.scannet_write import SceneWriter
from wsss_ros.types import BadInput, Camera, Cloud, Frame

REMEMBERED = 1 << 14  # views that tags can still be about: nine minutes at 30 Hz
_CELL_M, _MOST_CELLS = 0.2, 200_000  # of the surfaces seen, for ``end_overlap``
_NONE = -1  # number of no frame
_NEARLY_AS_NEAR = 0.2  # of the bounds: 5 cm or 3 degrees, about what a robot that stands still seems to move


class Views:
    """Poses of the kept frames, by number. How far off another view is counts in bounds: at most 1 is too near."""

    def __init__(self, min_shift_m: float, min_turn_deg: float) -> None:
        self._bounds = np.maximum([min_shift_m, np.radians(min_turn_deg)], 1e-9)
        self._poses = np.empty((16, 3, 4))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, world_from_camera: Float[np.ndarray, "4 4"]) -> None:
        if self._count == len(self._poses):
            self._poses = np.concatenate([self._poses, np.empty_like(self._poses)])
        self._poses[self._count] = world_from_camera[:3]
        self._count += 1

    def nearest(self, world_from_camera: Float[np.ndarray, "4 4"]) -> tuple[int, float]:
        """Number of the kept view most like this one, and how far off it is; (-1, infinity) where there is none."""
        if not self._count:
            return _NONE, float("inf")
        off = self._poses[: self._count] - world_from_camera[:3]
        shift_m = np.linalg.norm(off[:, :, 3], axis=1)
        # the chord between two rotations: exactly 0 for equal ones, where the arc cosine of a trace is not
        chord = np.linalg.norm(off[:, :, :3], axis=(1, 2)) / np.sqrt(8)
        turn = 2 * np.arcsin(np.minimum(chord, 1))
        far = np.maximum(shift_m / self._bounds[0], turn / self._bounds[1])
        number = int(np.argmin(far))
        return number, float(far[number])


class Received:
    """When the last ``REMEMBERED`` views came, and which kept frame stands for each, how far off (see ``Views``)."""

    def __init__(self) -> None:
        self.count = 0
        self._stamp_ns: Int64[np.ndarray, "R"] = np.zeros(REMEMBERED, np.int64)
        self._number: Int64[np.ndarray, "R"] = np.zeros(REMEMBERED, np.int64)
        self._far: Float64[np.ndarray, "R"] = np.zeros(REMEMBERED)

    def add(self, stamp_ns: int, number: int, far: float) -> None:
        slot = self.count % REMEMBERED
        self._stamp_ns[slot], self._number[slot], self._far[slot] = stamp_ns, number, far
        self.count += 1

    def nearest(self, stamp_ns: int | None) -> tuple[int, int, float]:
        """(stamp, number, far) of the view nearest in time; of views equally near, and for None, the last.

        There has to be one. Of a loop's equal stamps the last one is meant: that is what a person sees.
        """
        if stamp_ns is None:
            slot = (self.count - 1) % REMEMBERED
        else:
            off_ns = np.abs(self._stamp_ns[: self.count] - max(-(2**61), min(stamp_ns, 2**61)))  # no overflow
            equal = np.flatnonzero(off_ns == off_ns.min())
            slot = equal[np.argmax((equal - self.count) % REMEMBERED)]
        return int(self._stamp_ns[slot]), int(self._number[slot]), float(self._far[slot])


@dataclass
class Said:
    """The tags of one kept frame, and how far off the nearest view was that any were said about."""

    tags: tuple[str, ...] = ()
    nearest: float = float("inf")
    elsewhere: set[str] = field(default_factory=set)

    def hear(self, tags: tuple[str, ...], far: float) -> None:
        """The last word counts, unless it is about a view farther off: what that names is somewhere in the scene."""
        if far <= self.nearest + _NEARLY_AS_NEAR:
            self.tags, self.nearest = tags, min(far, self.nearest)
        else:
            self.elsewhere.update(tags)


class OpenScene:
    """One scene that views and tags are added to, until ``SceneStore.finish``. May be used from several threads.

    ``lost`` says why the scene had to be given up (a full disk), "" as long as it goes on. ``lock`` is held by every
    method, and by the store while it finishes the scene.
    """

    def __init__(self, writer: SceneWriter, config: StoreConfig, labels: LabelSpace) -> None:
        self.name, self.config, self.labels, self.lost = writer.folder.name, config, labels, ""
        self.writer, self.lock = writer, threading.RLock()
        self.began_ns = self.ended_ns = 0
        self._voxels = VoxelMap(
            VoxelMapConfig(
                voxel_size_m=config.voxel_size_m,
                max_points=config.max_points,
                max_depth_m=config.max_depth_m,
                min_hits=1,  # of few or small pictures most points are seen once; of the kitchen's 6 %
            )
        )
        self._views = Views(config.min_shift_m, config.min_turn_deg)
        self._received = Received()
        self._camera: Camera | None = None
        self._first: Float64[np.ndarray, "3"] = np.zeros(3)
        self._cells: set[tuple[int, ...]] = set()
        self._last_ns = 0
        self._rested, self._rested_ns = False, 0  # whether nobody looked since the last view; how long in all before
        self.fingerprints: list[int] = []  # of the kept frames
        self.seen: set[int] = set()  # of the views received, the first REMEMBERED of them
        self._said: dict[int, Said] = {}
        self._scene_tags: tuple[str, ...] = ()

    # --- views ---

    @property
    def frames(self) -> int:
        """Frames kept so far."""
        return len(self._views)

    @property
    def received(self) -> int:
        return self._received.count

    @property
    def cloud(self) -> Cloud:
        """The surfaces of all views received, kept or not."""
        with self.lock:
            return self._voxels.cloud()

    def add(self, frame: Frame) -> bool:
        """Take one view; returns whether it is kept: no kept one is as near, and it has depth within the range.

        Raises BadInput, and goes on as if it had not come, for a view without depth, camera or pose and for one of
        another camera; and when the disk is full: then the scene is ``lost``.
        """
        with self.lock:
            self._check(frame)
            fused = self._voxels.frames
            self._voxels.add(frame)
            number, far = self._views.nearest(frame.world_from_camera)
            mark = fingerprint(frame)
            kept = far > 1 and self._voxels.frames > fused and self.frames < self.config.max_frames
            if kept:
                number, far = self._keep(frame, mark), 0.0
            self._note(frame, number if far <= 1 else _NONE, far)
            if len(self.seen) < REMEMBERED:
                self.seen.add(mark)
            return kept

    def rest(self) -> None:
        """Until the next view nobody looks: that is no silence, and not part of how long the scene lasts."""
        with self.lock:
            self._rested = self.received > 0

    def over(self, frame: Frame) -> str:
        """Why a view no longer belongs to the scene, "" where it does: ask before ``add``."""
        with self.lock:
            if not self.received:
                return ""
            if frame.camera is not None and frame.camera != self._camera:
                return f"another camera: {frame.camera}"
            return self._late(frame) or self._elsewhere(frame)

    def _check(self, frame: Frame) -> None:
        self._check_open()
        if self._camera not in (None, frame.camera):
            raise BadInput(f"{self.name}: {frame.camera} after {self._camera}; wanted one camera: finish the scene")

    def _check_open(self) -> None:
        if not self.writer.open:
            raise BadInput(f"{self.name}: {self.lost or 'the scene is finished'}; begin another")

    def _keep(self, frame: Frame, mark: int) -> int:
        try:
            number = self.writer.add(frame)
        except BadInput as error:
            self.lost = "" if self.writer.open else str(error)
            raise
        self._views.add(frame.world_from_camera)
        self.fingerprints.append(mark)
        return number

    def _note(self, frame: Frame, number: int, far: float) -> None:
        """Remember when the view came and what it showed."""
        if not self.received:
            self._camera, self._first = frame.camera, frame.world_from_camera[:3, 3].copy()
            self.began_ns = self.ended_ns = frame.stamp_ns
        self._rested_ns += self._rest_before(frame)
        self._rested = False
        self._last_ns, self.ended_ns = frame.stamp_ns, max(self.ended_ns, frame.stamp_ns)
        self._received.add(frame.stamp_ns, number, far)
        if self.config.end_overlap and len(self._cells) < _MOST_CELLS:
            self._cells.update(_cells(frame, self.config.max_depth_m))

    def _late(self, frame: Frame) -> str:
        rest_ns = self._rest_before(frame)
        silent_s = (frame.stamp_ns - self._last_ns - rest_ns) / 1e9
        lasted_ns = max(frame.stamp_ns, self.ended_ns) - self.began_ns  # what a loop repeats counts once
        lasted_s = (lasted_ns - self._rested_ns - rest_ns) / 1e9
        if 0 < self.config.end_silence_s < silent_s:
            return f"no view for {silent_s:.1f} s"
        if 0 < self.config.end_duration_s < lasted_s:
            return f"it lasted {lasted_s:.0f} s"
        return ""

    def _rest_before(self, frame: Frame) -> int:
        return max(0, frame.stamp_ns - self._last_ns) if self._rested else 0

    def _elsewhere(self, frame: Frame) -> str:
        if frame.world_from_camera is None:
            return ""
        distance_m = np.linalg.norm(frame.world_from_camera[:3, 3] - self._first)
        if 0 < self.config.end_distance_m < distance_m:
            return f"a view {distance_m:.1f} m from the first one"
        share = self._overlap(frame)
        if share < self.config.end_overlap:
            return f"a view of which the scene saw {100 * share:.0f} %"
        return ""

    def _overlap(self, frame: Frame) -> float:
        """Share of the view's surfaces that the scene has seen; 1 where nobody asks, or the view shows none."""
        wanted = self.config.end_overlap and frame.depth_m is not None and frame.camera is not None
        cells = _cells(frame, self.config.max_depth_m) if wanted else []
        return sum(cell in self._cells for cell in cells) / len(cells) if cells else 1.0

    # --- tags ---

    @property
    def image_tags(self) -> int:
        """Frames with tags of their own."""
        return sum(bool(said.tags) for said in self._said.values())

    @property
    def tags(self) -> tuple[str, ...]:
        """Those of the scene; where nobody gave any, those of its images together. In the order of the label space."""
        with self.lock:
            heard = set().union(*(said.elsewhere.union(said.tags) for said in self._said.values()))
        return self._scene_tags or tuple(name for name in self.labels.names if name in heard)

    def tags_by_frame(self) -> dict[str, list[str]]:
        """As ``tags.json`` has them."""
        with self.lock:
            return {str(number): list(said.tags) for number, said in sorted(self._said.items()) if said.tags}

    def tag_scene(self, names: Iterable[str]) -> None:
        """All that is in the scene; the last word counts, and none takes it back. Raises BadInput: unknown class."""
        tags = self._classes(names)
        with self.lock:
            self._check_open()
            self._scene_tags = tags

    def tag_image(self, names: Iterable[str], stamp_ns: int | None = None) -> int:
        """All that is in the view received nearest to that time; None is the last one. Returns the number of a frame.

        That is the kept frame that stands for the view. Of what is said about several views that it stands for the
        last word counts, unless another was about a view clearly nearer to it. Raises BadInput for an unknown class,
        for a time without a view within ``tag_tolerance_s``, and for a view that no kept frame stands for.
        """
        tags = self._classes(names)
        with self.lock:
            self._check_open()
            number, far = self._view_at(stamp_ns)
            self._said.setdefault(number, Said()).hear(tags, far)
            return number

    def _classes(self, names: Iterable[str]) -> tuple[str, ...]:
        return self.labels.tags(self.labels.multi_hot(names))

    def _view_at(self, stamp_ns: int | None) -> tuple[int, float]:
        if not self.received:
            raise BadInput(f"{self.name} has no view yet that a tag could be about; let views come first")
        at_ns, number, far = self._received.nearest(stamp_ns)
        off_s = 0.0 if stamp_ns is None else abs(at_ns - stamp_ns) / 1e9
        if off_s > self.config.tag_tolerance_s:
            raise BadInput(
                f"a tag for {stamp_ns / 1e9:.3f} s, and the nearest view of {self.name} is {off_s:.3f} s away, at "
                f"{at_ns / 1e9:.3f} s; wanted at most {self.config.tag_tolerance_s} s: stamp tags by the images' clock"
            )
        if number == _NONE:
            why = "it holds its most frames" if self.frames >= self.config.max_frames else "it had no depth"
            raise BadInput(f"the view of {at_ns / 1e9:.3f} s is not kept in {self.name}: {why}; tag the whole scene")
        return number, far

    # --- for the store and the status ---

    def summary(self) -> dict:
        return {
            "name": self.name,
            "frames": self.frames,
            "received": self.received,
            "points": len(self._voxels),
            "tags": list(self.tags),
            "image_tags": self.image_tags,
        }


def fingerprint(frame: Frame) -> int:
    """Equal for a view that a bag shows once more: no camera takes the same picture from the same pose twice."""
    some_rows = np.ascontiguousarray(frame.rgb[::4])
    return zlib.crc32(np.ascontiguousarray(frame.world_from_camera), zlib.crc32(some_rows))


def _cells(frame: Frame, max_depth_m: float) -> set[tuple[int, ...]]:
    """The cells of space in which the view sees a surface, by about 80 x 60 of its pixels."""
    camera, step = frame.camera, max(1, frame.camera.width // 80)
    xyz, _ = unproject(frame.depth_m, camera, frame.world_from_camera, step, max_depth_m)
    return set(map(tuple, np.unique(np.floor(xyz / _CELL_M).astype(np.int64), axis=0).tolist()))
