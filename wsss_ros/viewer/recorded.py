"""Recorded things for the viewer, as views and clouds by time: a scene, a bag, a folder of ``wsss segment``, a map.

What is recorded with labels keeps them. The others get their labels from the networks, if there are any, when they are
shown for the first time.
"""

import functools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.bag_scene import depth_scale_of
from wsss_ros.evaluation.offline import NOTE, POINT_LABELS, noted_label_space
from wsss_ros.fusion.label_table import space_of
from wsss_ros.fusion.map_files import is_map_file, read_map
from wsss_ros.fusion.semantic_map import SMALLEST_MAP, SemanticMap, SemanticMapConfig
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene, ply
from wsss_ros.scenes.derived import cloud_of, turns_of, upright_rotation
from wsss_ros.scenes.images import read_rgb
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput, Camera, Cloud, Scene
from wsss_ros.viewer.networks import Networks, Progress
from wsss_ros.viewer.points import ShownPoints, placed
from wsss_ros.viewer.recorded_bag import BagRecord
from wsss_ros.viewer.stage import ShownView

_CACHED = 64  # labelled pictures
_log = logging.getLogger("wsss_ros")


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


def open_record(
    path: Path,
    networks: Networks,
    labels: LabelSpace,
    progress: Progress = lambda what, done, total: None,
    reading: Reading | None = None,
    **choices: str,
) -> Record:
    """Open a bag, a folder of ``wsss segment``, a saved semantic map or a scene. Raises BadInput for anything else.

    ``choices`` are the topics and the world frame of a bag, by the names that ``BagFrames`` has for them. ``reading``
    is that of ``scenes.open_scene``; of a bag, its depth scale.
    """
    path = Path(path)
    segmented, is_map = (path / NOTE).is_file(), is_map_file(path)
    if not segmented and not is_map and is_bag(path):
        return BagRecord(path, networks, labels, progress, depth_scale_of(path, reading), **choices)
    if reading is not None and (segmented or is_map):
        raise BadInput(
            f"{path} is not a scene folder; --layout, --depth-scale, --intrinsics and such do not apply to it"
        )
    if any(choices.values()):
        raise BadInput(f"{path} is not a bag; --color, --cloud, --fixed-frame and --*-topic are options of a bag")
    if is_map:
        return SavedMap(path, labels)
    if segmented:
        return SegmentedFolder(path)
    return SceneRecord(open_scene(path, labels, reading=reading), networks, labels, progress)


# --- a scene ---------------------------------------------------------------------------------------


class SceneRecord:
    """A scene, turned so that z points up. Its cloud is complete at all times."""

    def __init__(self, scene: Scene, networks: Networks, labels: LabelSpace, progress: Progress) -> None:
        self.name, self.labels = scene.name, labels
        self._scene, self._networks = scene, networks
        self._turn = np.eye(4)
        self._turn[:3, :3] = upright_rotation(scene)
        self._poses: list[np.ndarray | None] = []
        self._shown: list[int] = []  # the frames that can be read
        self.stamps_ns: list[int] = []
        cloud = cloud_of(scene, self._frames(progress))
        if not self.stamps_ns:  # the scene has a cloud of its own
            for _ in self._frames(progress):
                pass
        self._has_views = bool(self.stamps_ns)
        self.stamps_ns = self.stamps_ns or [cloud.stamp_ns]
        self._points = self._labelled(cloud)
        self._turns = turns_of(scene) if networks.images is not None else 0
        self._overlay = functools.lru_cache(_CACHED)(self._drawn)

    def points(self, index: int) -> ShownPoints | None:
        """The cloud of the scene."""
        return self._points

    def poses(self) -> Sequence[np.ndarray]:
        """The poses of the frames."""
        return [pose for pose in self._poses if pose is not None]

    def view(self, index: int) -> ShownView | None:
        """One frame; None for a cloud alone."""
        if not self._has_views:
            return None
        rgb, camera = self._overlay(index)
        return ShownView(rgb, camera, self._poses[index], self.stamps_ns[index])

    def _drawn(self, index: int) -> tuple[np.ndarray, Camera | None]:
        frame = self._scene.frame(self._shown[index])
        return self._networks.overlay(frame.rgb, self._turns), frame.camera

    def _frames(self, progress: Progress):
        for index in range(len(self._scene)):
            try:
                frame = self._scene.frame(index)
            except BadInput as error:
                _log.warning("%s: frame %d is left out: %s", self.name, index, error)
                continue
            self._shown.append(index)
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


# --- what semantic_mapper saved ---------------------------------------------------------------------


class SavedMap:
    """A semantic map that was saved: its cloud, with its own classes in the colours of ``labels``.

    Raises BadInput as ``read_map`` does.
    """

    def __init__(self, path: Path, labels: LabelSpace) -> None:
        about, state = read_map(path)
        self.name, self.labels = path.stem, space_of(about.classes, labels)
        config = SemanticMapConfig(max_voxels=max(len(state["key"]), SMALLEST_MAP))
        made = SemanticMap(config, len(about.classes))
        made.restore(state)
        cloud = made.cloud()
        if not len(cloud):
            raise BadInput(f"{path}: no voxel of {len(made)} has {config.min_votes:g} votes; there is nothing to show")
        self._points = ShownPoints(**placed(cloud.xyz), labels=cloud.labels, confidence=cloud.confidence)
        self.stamps_ns = [cloud.stamp_ns]

    def view(self, index: int) -> ShownView | None:
        """None: a map has no pictures."""
        return None

    def points(self, index: int) -> ShownPoints | None:
        """The cloud of the map."""
        return self._points

    def poses(self) -> Sequence[np.ndarray]:
        """None: a map has no poses."""
        return []


def _number(path: Path) -> tuple[int, str]:
    return (int(path.stem), "") if path.stem.isdecimal() else (0, path.stem)
