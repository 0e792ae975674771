"""Poses of a camera over time, for images; the stamps of both may jump back, as in a looped bag."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from wsss_ros.geometry.poses import matrix_to_quaternion
from wsss_ros.geometry.transforms import LookupFailed, TransformBuffer
from wsss_ros.sync import JUMP_NS

_CAMERA = "camera"


@dataclass
class Poses:
    """The poses of one time, between two jumps: those of the last seconds. ``frame_id`` is the frame of the newest."""

    frame_id: str = ""
    oldest_ns: int | None = None
    newest_ns: int | None = None
    _buffer: TransformBuffer = field(default_factory=TransformBuffer)

    def at(self, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """``world_from_camera`` at this time, between two poses. Raises LookupFailed outside of them."""
        if self.newest_ns is None:
            raise LookupFailed("future", "no pose came")
        return self._buffer.lookup(self.frame_id, _CAMERA, stamp_ns)

    def add(self, frame_id: str, stamp_ns: int, world_from_camera: Float64[np.ndarray, "4 4"]) -> None:
        """Add a pose. One that is older than the poses of the last seconds is left out."""
        turn = matrix_to_quaternion(world_from_camera[:3, :3])
        if self._buffer.add(frame_id, _CAMERA, stamp_ns, world_from_camera[:3, 3], turn):
            self.frame_id = frame_id
            self.oldest_ns = stamp_ns if self.oldest_ns is None else min(self.oldest_ns, stamp_ns)
            self.newest_ns = stamp_ns if self.newest_ns is None else max(self.newest_ns, stamp_ns)


@dataclass
class PoseTrack:
    """The poses of a camera before and after a jump back of their stamps.

    The stamps of poses and of images jump one soon after the other, in any order. Poses of one time are never mixed
    with those of another: between two poses of different times the camera was anywhere. A jump is two poses in a row
    from more than a second ago; a single one is left out.
    """

    _now: Poses = field(default_factory=Poses)
    _before: Poses | None = None  # from the jump of the poses to that of the images
    _images_first: bool = False  # the images have jumped, and the poses are still to jump
    _suspect: tuple[str, int, Float64[np.ndarray, "4 4"]] | None = None

    def add(self, frame_id: str, stamp_ns: int, world_from_camera: Float64[np.ndarray, "4 4"]) -> None:
        """Add a pose."""
        pose, suspect, newest_ns = (frame_id, stamp_ns, world_from_camera), self._suspect, self._now.newest_ns
        back_ns = 0 if newest_ns is None else newest_ns - stamp_ns
        if back_ns > 0 and suspect is not None and abs(suspect[1] - stamp_ns) <= JUMP_NS:
            self._before = None if self._images_first else self._now
            self._now, self._images_first = Poses(), False
            self._now.add(*suspect)
        elif back_ns > JUMP_NS:
            self._suspect = pose
            return
        self._suspect = None
        self._now.add(*pose)

    def images_jumped(self) -> None:
        """The stamps of the images have jumped back."""
        if self._before is not None:
            self._before = None
            return
        self._now, self._images_first = Poses(), self._suspect is None
        if self._suspect is not None:
            self._now.add(*self._suspect)
            self._suspect = None

    def of_image(self, stamp_ns: int) -> Poses:
        """The poses of the time of the next image. Raises LookupFailed while none of them have come."""
        before, now = self._before, self._now
        if before is not None and before.newest_ns is not None and stamp_ns <= before.newest_ns:
            return before
        self._before = None  # the images have gone on to the time of the poses
        if self._images_first and now.oldest_ns is not None and stamp_ns < now.oldest_ns - JUMP_NS:
            raise LookupFailed("future", "the poses that came are of the time before the stamps jumped back")
        return now
