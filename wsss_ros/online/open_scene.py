"""A scene while it is being collected: which views are kept, which tags belong to them, when the scene ends.

Poses are those of a map whose z axis points up (REP-105), as in ScanNet. Kept frames go to disk at once. In memory
stay their poses, the voxels of the cloud and the times of the received views; each has a bound.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.labels import LabelSpace, TagList
from wsss_ros.online.scene_views import MAX_REMEMBERED, NO_FRAME, KeptViews, ReceivedViews, SeenSurfaces, fingerprint
from wsss_ros.online.settings import StoreConfig
from wsss_ros.scenes.scannet_write import SceneWriter
from wsss_ros.scenes.tags import scene_list
from wsss_ros.types import BadInput, Camera, Cloud, Frame

_NEARLY_AS_NEAR = 0.2  # of the bounds: 5 cm or 3 degrees, about what a robot that stands still seems to move


@dataclass
class FrameTags:
    """The tags of one kept frame, and the distance of the nearest view that was tagged for it (see ``KeptViews``).

    ``elsewhere`` are classes present in views farther away: they are in the scene, but perhaps not in the frame.
    """

    tags: TagList = TagList()
    nearest: float = float("inf")
    elsewhere: set[str] = field(default_factory=set)

    def add(self, tags: TagList, distance: float) -> None:
        """Replace the tags, unless the tagged view is clearly farther away than the one that gave them."""
        if distance <= self.nearest + _NEARLY_AS_NEAR:
            self.tags, self.nearest = tags, min(distance, self.nearest)
        else:
            self.elsewhere.update(tags.present)


class OpenScene:
    """One scene that takes views and tags until ``SceneStore.finish``. May be used from several threads.

    Attributes:
        lost: Why the scene ended early (a full disk); "" while it goes on.
        lock: Held by every method, and by the store while it finishes the scene.
        started_ns: Stamp of the first view.
        ended_ns: Latest stamp so far.
        fingerprints: Of the kept frames.
        seen: Fingerprints of the received views, kept or not, of the first MAX_REMEMBERED ones.
    """

    def __init__(self, writer: SceneWriter, config: StoreConfig, labels: LabelSpace) -> None:
        self.name, self.config, self.labels, self.lost = writer.folder.name, config, labels, ""
        self.writer, self.lock = writer, threading.RLock()
        self.started_ns = self.ended_ns = 0
        self._voxels = VoxelMap(
            VoxelMapConfig(
                voxel_size_m=config.voxel_size_m,
                max_points=config.max_points,
                max_depth_m=config.max_depth_m,
                min_hits=1,  # with few or small pictures most points are seen once; in the kitchen scene 6 % are
            )
        )
        self._views = KeptViews(config.min_shift_m, config.min_turn_deg)
        self._received = ReceivedViews()
        self._surfaces = SeenSurfaces(config.max_depth_m)
        self._camera: Camera | None = None
        self._first = np.zeros(3)  # position of the first view
        self._last_ns = 0
        self._paused, self._paused_ns = False, 0  # since the last view; before it, in all
        self.fingerprints: list[int] = []
        self.seen: set[int] = set()
        self._tags_of: dict[int, FrameTags] = {}
        self._scene_tags: TagList | None = None

    # --- views ---

    @property
    def frames(self) -> int:
        """Frames kept so far."""
        return len(self._views)

    @property
    def received(self) -> int:
        """Views received so far."""
        return self._received.count

    @property
    def cloud(self) -> Cloud:
        """The surfaces of all received views, kept or not."""
        with self.lock:
            return self._voxels.cloud()

    def add(self, frame: Frame) -> bool:
        """Take one view; return whether it is kept: it has depth within the range, and no kept view is too near.

        Raises BadInput for a view without depth, camera or pose and for one of another camera; the scene goes on
        without it. Raises BadInput when the disk is full; then the scene is ``lost``.
        """
        with self.lock:
            self._check(frame)
            fused = self._voxels.frames
            self._voxels.add(frame)
            number, distance = self._views.nearest(frame.world_from_camera)
            mark = fingerprint(frame)
            kept = distance > 1 and self._voxels.frames > fused and self.frames < self.config.max_frames
            if kept:
                number, distance = self._keep(frame, mark), 0.0
            self._note(frame, number if distance <= 1 else NO_FRAME, distance)
            if len(self.seen) < MAX_REMEMBERED:
                self.seen.add(mark)
            return kept

    def pause(self) -> None:
        """Do not count the time until the next view, neither as silence nor as duration of the scene."""
        with self.lock:
            self._paused = self.received > 0

    def end_reason(self, frame: Frame) -> str:
        """Return why a view does not belong to the scene any more, "" where it does. Call it before ``add``."""
        with self.lock:
            if not self.received:
                return ""
            if frame.camera is not None and frame.camera != self._camera:
                return f"another camera: {frame.camera}"
            return self._reason_of_time(frame) or self._reason_of_place(frame)

    def _check(self, frame: Frame) -> None:
        self._check_open()
        if self._camera not in (None, frame.camera):
            raise BadInput(f"{self.name}: {frame.camera} after {self._camera}; expected one camera: finish the scene")

    def _check_open(self) -> None:
        if not self.writer.open:
            raise BadInput(f"{self.name}: {self.lost or 'the scene is finished'}; start another")

    def _keep(self, frame: Frame, mark: int) -> int:
        try:
            number = self.writer.add(frame)
        except BadInput as error:
            self.lost = "" if self.writer.open else str(error)
            raise
        self._views.add(frame.world_from_camera)
        self.fingerprints.append(mark)
        return number

    def _note(self, frame: Frame, number: int, distance: float) -> None:
        """Remember when the view came and what it showed."""
        if not self.received:
            self._camera, self._first = frame.camera, frame.world_from_camera[:3, 3].copy()
            self.started_ns = self.ended_ns = frame.stamp_ns
        self._paused_ns += self._pause_before(frame)
        self._paused = False
        self._last_ns, self.ended_ns = frame.stamp_ns, max(self.ended_ns, frame.stamp_ns)
        self._received.add(frame.stamp_ns, number, distance)
        if self.config.end_overlap:
            self._surfaces.add(frame)

    def _reason_of_time(self, frame: Frame) -> str:
        pause_ns = self._pause_before(frame)
        silent_s = (frame.stamp_ns - self._last_ns - pause_ns) / 1e9
        lasted_ns = max(frame.stamp_ns, self.ended_ns) - self.started_ns  # views that a loop repeats count once
        lasted_s = (lasted_ns - self._paused_ns - pause_ns) / 1e9
        if 0 < self.config.end_silence_s < silent_s:
            return f"no view for {silent_s:.1f} s"
        if 0 < self.config.end_duration_s < lasted_s:
            return f"it lasted {lasted_s:.0f} s"
        return ""

    def _pause_before(self, frame: Frame) -> int:
        return max(0, frame.stamp_ns - self._last_ns) if self._paused else 0

    def _reason_of_place(self, frame: Frame) -> str:
        if frame.world_from_camera is None:
            return ""
        distance_m = np.linalg.norm(frame.world_from_camera[:3, 3] - self._first)
        if 0 < self.config.end_distance_m < distance_m:
            return f"a view {distance_m:.1f} m from the first one"
        share = self._surfaces.share(frame) if self.config.end_overlap else 1.0
        if share < self.config.end_overlap:
            return f"a view of which the scene saw {100 * share:.0f} %"
        return ""

    # --- tags ---

    @property
    def image_tags(self) -> int:
        """Number of frames with tags of their own: frames in which a class is present."""
        return sum(bool(each.tags.present) for each in self._tags_of.values())

    @property
    def tags(self) -> tuple[str, ...]:
        """Classes present in the scene, in the order of the label space."""
        return self.tag_list.present

    @property
    def tag_list(self) -> TagList:
        """Tags of the scene; if they name no present class, the classes of all its images are added."""
        with self.lock:
            of_images = [each.tags for each in self._tags_of.values()]
            elsewhere = [TagList(tuple(each.elsewhere)) for each in self._tags_of.values()]
            return scene_list(self._scene_tags, of_images + elsewhere, self.labels)

    def tags_by_frame(self) -> dict[str, list[str]]:
        """Return the tags of the frames, as ``tags.json`` has them."""
        with self.lock:
            written = {str(number): each.tags.written for number, each in sorted(self._tags_of.items())}
            return {number: names for number, names in written.items() if names}

    def tag_scene(self, names: Iterable[str]) -> None:
        """Set the tags of the scene, as ``LabelSpace.tag_list`` reads them.

        The last call counts, and no names remove the tags. Raises BadInput for a name that is not a class and for a
        class with two meanings.
        """
        tags = self.labels.tag_list(names)
        with self.lock:
            self._check_open()
            self._scene_tags = tags if tags.written else None

    def tag_image(self, names: Iterable[str], stamp_ns: int | None = None) -> int:
        """Set the tags of the view nearest to ``stamp_ns`` (None: the last view); return a frame number.

        That is the number of the kept frame that represents the view. A frame may represent several tagged views: the
        last call counts, unless an earlier one was about a view clearly nearer to the frame.

        Raises BadInput for names as in ``tag_scene``, for a time without a view within ``tag_tolerance_s``, and for a
        view that no kept frame represents.
        """
        tags = self.labels.tag_list(names)
        with self.lock:
            self._check_open()
            number, distance = self._view_at(stamp_ns)
            self._tags_of.setdefault(number, FrameTags()).add(tags, distance)
            return number

    def _view_at(self, stamp_ns: int | None) -> tuple[int, float]:
        if not self.received:
            raise BadInput(f"{self.name} has no view yet, so nothing can be tagged; let views come first")
        at_ns, number, distance = self._received.nearest(stamp_ns)
        difference_s = 0.0 if stamp_ns is None else abs(at_ns - stamp_ns) / 1e9
        if difference_s > self.config.tag_tolerance_s:
            raise BadInput(
                f"a tag for {stamp_ns / 1e9:.3f} s, and the nearest view of {self.name} is {difference_s:.3f} s away, "
                f"at {at_ns / 1e9:.3f} s; expected at most {self.config.tag_tolerance_s} s: "
                "use the clock of the images for the stamps of tags"
            )
        if number == NO_FRAME:
            why = "it holds its most frames" if self.frames >= self.config.max_frames else "it had no depth"
            raise BadInput(f"the view of {at_ns / 1e9:.3f} s is not kept in {self.name}: {why}; tag the whole scene")
        return number, distance

    # --- status ---

    def summary(self) -> dict:
        """Return the values for the status of the node."""
        return {
            "name": self.name,
            "frames": self.frames,
            "received": self.received,
            "points": len(self._voxels),
            "tags": self.tag_list.written,
            "image_tags": self.image_tags,
        }
