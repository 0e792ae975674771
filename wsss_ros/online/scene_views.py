"""Views of a scene that is being collected: poses of the kept frames, times of the received views, surfaces seen."""

import zlib

import numpy as np
from jaxtyping import Float

from wsss_ros.geometry import unproject
from wsss_ros.types import Frame

MAX_REMEMBERED = 1 << 14  # views that tags can still refer to: nine minutes at 30 Hz
NO_FRAME = -1  # frame number of a view that no kept frame represents
_CELL_M, _MAX_CELLS = 0.2, 200_000


class KeptViews:
    """Poses of the kept frames, by number.

    The distance of another view counts in units of ``min_shift_m`` and ``min_turn_deg``, whichever is larger: a view
    at a distance of at most 1 is too near to be kept.
    """

    def __init__(self, min_shift_m: float, min_turn_deg: float) -> None:
        self._bounds = np.maximum([min_shift_m, np.radians(min_turn_deg)], 1e-9)
        self._poses = np.empty((16, 3, 4))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, world_from_camera: Float[np.ndarray, "4 4"]) -> None:
        """Add the pose of the next frame."""
        if self._count == len(self._poses):
            self._poses = np.concatenate([self._poses, np.empty_like(self._poses)])
        self._poses[self._count] = world_from_camera[:3]
        self._count += 1

    def nearest(self, world_from_camera: Float[np.ndarray, "4 4"]) -> tuple[int, float]:
        """Return number and distance of the nearest kept view; (NO_FRAME, infinity) where there is none."""
        if not self._count:
            return NO_FRAME, float("inf")
        difference = self._poses[: self._count] - world_from_camera[:3]
        shift_m = np.linalg.norm(difference[:, :, 3], axis=1)
        # the chord between two rotations: exactly 0 for equal ones, where the arc cosine of a trace is not
        chord = np.linalg.norm(difference[:, :, :3], axis=(1, 2)) / np.sqrt(8)
        turn = 2 * np.arcsin(np.minimum(chord, 1))
        distance = np.maximum(shift_m / self._bounds[0], turn / self._bounds[1])
        number = int(np.argmin(distance))
        return number, float(distance[number])


class ReceivedViews:
    """Times of the last MAX_REMEMBERED views; for each the kept frame that represents it, and its distance from it."""

    def __init__(self) -> None:
        self.count = 0
        self._stamp_ns = np.zeros(MAX_REMEMBERED, np.int64)
        self._number = np.zeros(MAX_REMEMBERED, np.int64)
        self._distance = np.zeros(MAX_REMEMBERED)

    def add(self, stamp_ns: int, number: int, distance: float) -> None:
        """Add a view; with all places taken it replaces the oldest one."""
        slot = self.count % MAX_REMEMBERED
        self._stamp_ns[slot], self._number[slot], self._distance[slot] = stamp_ns, number, distance
        self.count += 1

    def nearest(self, stamp_ns: int | None) -> tuple[int, int, float]:
        """Return stamp, frame number and distance of the view nearest in time; None means the last view.

        There must be a view. Of views at the same time the last one counts: a looped stream repeats its stamps, and a
        person tags what was shown last.
        """
        if stamp_ns is None:
            slot = (self.count - 1) % MAX_REMEMBERED
        else:
            # the bounds avoid an overflow
            difference_ns = np.abs(self._stamp_ns[: self.count] - max(-(2**61), min(stamp_ns, 2**61)))
            equal = np.flatnonzero(difference_ns == difference_ns.min())
            slot = equal[np.argmax((equal - self.count) % MAX_REMEMBERED)]
        return int(self._stamp_ns[slot]), int(self._number[slot]), float(self._distance[slot])


class SeenSurfaces:
    """The surfaces that a scene has seen, as cells of space, at most _MAX_CELLS and a view more."""

    def __init__(self, max_depth_m: float) -> None:
        self.max_depth_m = max_depth_m
        self._cells: set[tuple[int, ...]] = set()

    def add(self, frame: Frame) -> None:
        """Add the surfaces of a view with depth, camera and pose."""
        if len(self._cells) < _MAX_CELLS:
            self._cells.update(self._cells_of(frame))

    def share(self, frame: Frame) -> float:
        """Return the share of the surfaces of a view that was seen before; 1 for a view without surfaces."""
        if frame.depth_m is None or frame.camera is None:
            return 1.0
        cells = self._cells_of(frame)
        return sum(cell in self._cells for cell in cells) / len(cells) if cells else 1.0

    def _cells_of(self, frame: Frame) -> set[tuple[int, ...]]:
        """Cells in which the view sees a surface, from about 80 x 60 of its pixels."""
        stride = max(1, frame.camera.width // 80)
        xyz, _ = unproject(frame.depth_m, frame.camera, frame.world_from_camera, stride, self.max_depth_m)
        return set(map(tuple, np.unique(np.floor(xyz / _CELL_M).astype(np.int64), axis=0).tolist()))


def fingerprint(frame: Frame) -> int:
    """Return a checksum of picture and pose: equal for a view that a bag shows again, and for no other view."""
    some_rows = np.ascontiguousarray(frame.rgb[::4])
    return zlib.crc32(np.ascontiguousarray(frame.world_from_camera).data, zlib.crc32(some_rows.data))
