"""Recorded things for the viewer: a scene, a bag, or a folder that ``wsss segment`` wrote, as views and clouds by time.

What is recorded with labels keeps them. The others get their labels from the networks, if there are any, when they are
shown for the first time.
"""

import bisect
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from wsss_ros.bags.bag import is_bag, read_bag
from wsss_ros.bags.cloud_codec import NUMBERS, read_cloud
from wsss_ros.bags.codec import camera_from_info, color_to_rgb, image_to_labels, pose_to_matrix, stamp_ns
from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.offline import NOTE, POINT_LABELS, noted_label_space
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import RECOMMENDED, UNLABELLED, LabelSpace
from wsss_ros.scenes import open_scene, ply
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.images import decode_rgb, encode_jpeg, read_rgb
from wsss_ros.types import BadInput, Camera, Cloud, Frame, Scene
from wsss_ros.viewer.points import ShownPoints, placed, read_semantic_points, with_colors
from wsss_ros.viewer.stage import ShownView

MOST_VIEWS, MOST_CLOUDS = 1000, 32  # of a bag are kept; of more, every second one goes
_WIDTH = 640  # pixels of the pictures of a bag in memory; wider ones are reduced by a whole factor
_POSE_TOLERANCE_NS = 50_000_000
_CACHED = 64  # labelled pictures
UP = (0.0, 0.0, 1.0)

Progress = Callable[[str, int, int | None], None]


@runtime_checkable
class Record(Protocol):
    """Something recorded: views and clouds by time."""

    name: str
    labels: LabelSpace

    @property
    def stamps_ns(self) -> Sequence[int]:
        """The time of each view; one time for a record without views."""

    def view(self, index: int) -> ShownView | None:
        """The view number ``index``, with the colours of its labels; None without pictures."""

    def points(self, index: int) -> ShownPoints | None:
        """The newest cloud at the time of this view, z up; None before the first."""

    def poses(self) -> Sequence[np.ndarray]:
        """``world_from_camera`` of the views that have a pose, in their order."""


@dataclass
class Networks:
    """The networks that label what has no labels; None for one that is not to be used."""

    images: ImageSegmenter | None = None
    clouds: CloudSegmenter | None = None
    min_confidence: float = RECOMMENDED

    def overlay(self, rgb: np.ndarray) -> np.ndarray:
        """The picture with the colours of its labels, or as it is without a network."""
        if self.images is None:
            return rgb
        labels, confidence = self.images(Frame(rgb))
        sure = self.images.drop_unsure(labels, confidence, self.min_confidence)
        return pictures.overlay(rgb, sure, self.images.labels)

    def points(self, cloud: Cloud, up: tuple[float, float, float] = UP) -> ShownPoints:
        """The cloud with labels and confidence, or without a network with neither."""
        if self.clouds is None:
            unlabelled = np.full(len(cloud), UNLABELLED, np.uint8)
            return ShownPoints(**placed(cloud.xyz), labels=unlabelled, rgb=cloud.rgb)
        labels, confidence = self.clouds(cloud, up)
        sure = self.clouds.drop_unsure(labels, confidence, self.min_confidence)
        return ShownPoints(**placed(cloud.xyz), labels=sure, confidence=confidence, rgb=cloud.rgb)


def open_record(
    path: Path, networks: Networks, labels: LabelSpace, progress: Progress = lambda what, done, total: None
) -> Record:
    """Open a bag, a folder of ``wsss segment`` or a scene. Raises BadInput for anything else."""
    path = Path(path)
    if (path / NOTE).is_file():
        return SegmentedFolder(path)
    if is_bag(path):
        return BagRecord(path, networks, labels, progress)
    return SceneRecord(open_scene(path, labels), networks, labels, progress)


# --- a scene ---------------------------------------------------------------------------------------


class SceneRecord:
    """A scene, turned so that z points up. Its cloud is complete at all times."""

    def __init__(self, scene: Scene, networks: Networks, labels: LabelSpace, progress: Progress) -> None:
        self.name, self.labels = scene.name, labels
        self._scene, self._networks = scene, networks
        self._turn = np.eye(4)
        self._turn[:3, :3] = upright_rotation(scene)
        self._poses: list[np.ndarray | None] = []
        self.stamps_ns: list[int] = []
        cloud = cloud_of(scene, self._frames(progress))
        if not self.stamps_ns:  # the scene has a cloud of its own
            for _ in self._frames(progress):
                pass
        self._points = self._labelled(cloud)
        self._overlay = functools.lru_cache(_CACHED)(self._drawn)

    def points(self, index: int) -> ShownPoints | None:
        """The cloud of the scene."""
        return self._points

    def poses(self) -> Sequence[np.ndarray]:
        """The poses of the frames."""
        return [pose for pose in self._poses if pose is not None]

    def view(self, index: int) -> ShownView | None:
        """One frame."""
        rgb, camera = self._overlay(index)
        return ShownView(rgb, camera, self._poses[index], self.stamps_ns[index])

    def _drawn(self, index: int) -> tuple[np.ndarray, Camera | None]:
        frame = self._scene.frame(index)
        return self._networks.overlay(frame.rgb), frame.camera

    def _frames(self, progress: Progress):
        for index in range(len(self._scene)):
            frame = self._scene.frame(index)
            self.stamps_ns.append(frame.stamp_ns)
            pose = frame.world_from_camera
            self._poses.append(None if pose is None else self._turn @ pose)
            yield frame
            progress("frames", index + 1, len(self._scene))

    def _labelled(self, cloud: Cloud) -> ShownPoints | None:
        finite = np.isfinite(cloud.xyz).all(axis=1)
        if not finite.any():
            return None
        truth = self._scene.cloud_truth() if self._scene.cloud is not None else None
        x, y, z = map(float, self._turn[2, :3])
        points = replace(self._networks.points(cloud, (x, y, z)), truth=truth)
        if self._networks.clouds is None and truth is not None:
            points = replace(points, labels=truth)
        return replace(points, **placed(cloud.xyz @ self._turn[:3, :3].T)).rows(finite)


# --- a bag -----------------------------------------------------------------------------------------


@dataclass
class _Kept:
    """Items with stamps, at most ``most`` of them: beyond that every second one goes, also of those to come."""

    most: int
    stamps: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    step: int = 1
    seen: int = 0

    def wants_next(self) -> bool:
        """Count an item; returns whether it is to be kept."""
        self.seen += 1
        return (self.seen - 1) % self.step == 0

    def add(self, stamp: int, item: Any) -> None:
        self.stamps.append(stamp)
        self.items.append(item)
        if len(self.items) > self.most:
            self.stamps, self.items, self.step = self.stamps[::2], self.items[::2], self.step * 2

    def before(self, stamp: int) -> int | None:
        """Index of the newest item that is not after ``stamp``."""
        at = bisect.bisect_right(self.stamps, stamp) - 1
        return at if at >= 0 else None

    def nearest(self, stamp: int, tolerance: int) -> Any:
        """The item nearest to ``stamp`` within the tolerance, else None."""
        after = bisect.bisect_left(self.stamps, stamp)
        near = [at for at in (after - 1, after) if 0 <= at < len(self.stamps)]
        best = min(near, key=lambda at: abs(self.stamps[at] - stamp), default=None)
        return self.items[best] if best is not None and abs(self.stamps[best] - stamp) <= tolerance else None


class BagRecord:
    """A bag, read once: pictures of at most ``MOST_VIEWS`` views and at most ``MOST_CLOUDS`` clouds stay in memory.

    Topics are found by the ends of their names. A semantic cloud in the bag is shown as it is; else ``cloud`` is, with
    labels from the networks. Pictures are the recorded overlay, or the colour image with recorded or new labels.
    Raises BadInput for a bag without clouds and images, and for a message that cannot be read.
    """

    def __init__(self, path: Path, networks: Networks, labels: LabelSpace, progress: Progress) -> None:
        self.name, self.labels, self._networks = path.name, labels, networks
        self._pictures, self._clouds, self._semantic = _Kept(MOST_VIEWS), _Kept(MOST_CLOUDS), _Kept(MOST_CLOUDS)
        self._overlays, self._label_images = _Kept(MOST_VIEWS), _Kept(MOST_VIEWS)
        self._matrices = _Kept(100_000)
        self._camera: Camera | None = None
        for count, (topic, _, message) in enumerate(read_bag(path), start=1):
            self._take(topic, message)
            progress("messages", count, None)
        shown = (self._overlays, self._pictures, self._semantic, self._clouds)
        if not any(kept.items for kept in shown):
            raise BadInput(
                f"{path}: neither images nor clouds to show; expected topics that end in color/image_raw, "
                "semantic_overlay/image_raw, cloud or semantic_cloud"
            )
        self.stamps_ns = next(kept.stamps for kept in shown if kept.items)
        self._labelled: dict[int, ShownPoints] = {}
        self._overlay = functools.lru_cache(_CACHED)(self._drawn)

    def poses(self) -> Sequence[np.ndarray]:
        """All poses of the camera in the bag."""
        return self._matrices.items

    def view(self, index: int) -> ShownView | None:
        """The picture with the colours of its labels."""
        if not self._overlays.items and not self._pictures.items:
            return None
        stamp = self.stamps_ns[index]
        pose = self._matrices.nearest(stamp, _POSE_TOLERANCE_NS)
        return ShownView(self._overlay(index), self._camera, pose, stamp)

    def points(self, index: int) -> ShownPoints | None:
        """The newest semantic cloud at this time, else the newest cloud with labels of the network."""
        stamp = self.stamps_ns[index]
        if self._semantic.items:
            at = self._semantic.before(stamp)
            return None if at is None else self._with_colors(self._semantic.items[at])
        at = self._clouds.before(stamp)
        if at is None:
            return None
        if at not in self._labelled:
            points = self._networks.points(self._clouds.items[at])
            self._labelled[at] = replace(points, stamp_ns=self._clouds.stamps[at])
        return self._labelled[at]

    # --- reading ---

    def _take(self, topic: str, message: Any) -> None:
        take = next((take for end, take in self._TAKES if f"/{topic}".endswith(f"/{end}")), None)
        if take is None or "ground_truth" in topic:
            return
        try:
            take(self, message)
        except BadInput as error:
            raise BadInput(f"{self.name}, {topic}: {error}") from error

    def _take_cloud(self, message: Any) -> None:
        if self._clouds.wants_next():
            cloud = read_cloud(message, NUMBERS).cloud
            if len(cloud):
                self._clouds.add(stamp_ns(message.header), cloud)

    def _take_semantic(self, message: Any) -> None:
        if self._semantic.wants_next():
            points = read_semantic_points(message)
            self._semantic.add(points.stamp_ns, points)

    def _take_picture(self, message: Any, kept: _Kept) -> None:
        if kept.wants_next():
            rgb = color_to_rgb(message)
            step = -(-rgb.shape[1] // _WIDTH)
            kept.add(stamp_ns(message.header), encode_jpeg(np.ascontiguousarray(rgb[::step, ::step]), 90, "420"))

    def _take_labels(self, message: Any) -> None:
        if self._label_images.wants_next():
            labels = image_to_labels(message)
            step = -(-labels.shape[1] // _WIDTH)
            self._label_images.add(stamp_ns(message.header), np.ascontiguousarray(labels[::step, ::step]))

    def _take_pose(self, message: Any) -> None:
        if self._matrices.wants_next():
            self._matrices.add(stamp_ns(message.header), pose_to_matrix(message.pose))

    def _take_info(self, message: Any) -> None:
        self._camera = self._camera or camera_from_info(message)

    _TAKES: Sequence[tuple[str, Callable[["BagRecord", Any], None]]] = (
        ("semantic_overlay/image_raw", lambda self, message: self._take_picture(message, self._overlays)),
        ("color/image_raw", lambda self, message: self._take_picture(message, self._pictures)),
        ("color/image_raw/compressed", lambda self, message: self._take_picture(message, self._pictures)),
        ("semantic/image_raw", lambda self, message: self._take_labels(message)),
        ("color/camera_info", lambda self, message: self._take_info(message)),
        ("pose", lambda self, message: self._take_pose(message)),
        ("semantic_cloud", lambda self, message: self._take_semantic(message)),
        ("cloud", lambda self, message: self._take_cloud(message)),
    )

    # --- showing ---

    def _drawn(self, index: int) -> np.ndarray:
        if self._overlays.items:
            return decode_rgb(self._overlays.items[index], self.name)
        rgb = decode_rgb(self._pictures.items[index], self.name)
        labels = self._label_images.nearest(self.stamps_ns[index], 0)
        if labels is not None and labels.shape == rgb.shape[:2]:
            return pictures.overlay(rgb, labels, self.labels)
        return self._networks.overlay(rgb)

    def _with_colors(self, points: ShownPoints) -> ShownPoints:
        """The points with the colours of the cloud they were made from, where the bag has it."""
        cloud = self._clouds.nearest(points.stamp_ns, 0)
        return points if cloud is None else with_colors(points, cloud)


# --- what wsss segment wrote -----------------------------------------------------------------------


class SegmentedFolder:
    """The files of ``wsss segment`` for one scene: pictures without poses, and the labelled cloud.

    Raises BadInput for a folder with neither.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.resolve().name
        space = noted_label_space(folder)
        if space is None:
            raise BadInput(f"{folder / NOTE}: names no label space; write it again with wsss segment")
        self.labels = space
        self._files = sorted((folder / "overlay").glob("*.jpg"), key=_number)
        clouds = sorted(folder.glob(f"*{POINT_LABELS}"))
        self._points = self._read(clouds[0]) if clouds else None
        if not self._files and self._points is None:
            raise BadInput(f"{folder}: neither overlay/*.jpg nor *{POINT_LABELS}; expected what wsss segment writes")
        self.stamps_ns = [index * 100_000_000 for index in range(max(1, len(self._files)))]

    def view(self, index: int) -> ShownView | None:
        """One picture; its camera is not in the folder."""
        return ShownView(read_rgb(self._files[index]), stamp_ns=self.stamps_ns[index]) if self._files else None

    def points(self, index: int) -> ShownPoints | None:
        """The labelled cloud."""
        return self._points

    def poses(self) -> Sequence[np.ndarray]:
        """None: the poses are not in the folder."""
        return []

    def _read(self, path: Path) -> ShownPoints:
        vertices = ply.read(path)
        missing = {"x", "y", "z", "label", "confidence"} - set(vertices.dtype.names)
        if missing:
            raise BadInput(f"{path}: lacks {', '.join(sorted(missing))}; expected a cloud that wsss segment wrote")
        xyz = np.stack([vertices[name] for name in "xyz"], axis=1)
        labels = self.labels.from_ids(vertices["label"].astype(np.int64))
        confidence = vertices["confidence"].astype(np.float32)
        points = ShownPoints(**placed(xyz), labels=labels, confidence=confidence)
        return points.rows(np.isfinite(xyz).all(axis=1))


def _number(path: Path) -> tuple[int, str]:
    return (int(path.stem), "") if path.stem.isdecimal() else (0, path.stem)
