"""A bag for the viewer: pictures, poses and clouds by time."""

import bisect
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsss_ros.bags import cdr, topics
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_cameras import BagCamera
from wsss_ros.bags.bag_labels import names_of_cloud, names_of_images
from wsss_ros.bags.cloud_codec import NUMBERS, read_cloud
from wsss_ros.bags.codec import color_to_rgb, image_to_ids, pose_to_matrix, stamp_ns
from wsss_ros.bags.frames import BagFrames
from wsss_ros.evaluation import pictures
from wsss_ros.fusion.label_table import LabelTable, meaning_of, table_of
from wsss_ros.geometry import up_in_frame
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.images import decode_rgb, encode_jpeg
from wsss_ros.types import BadInput, Camera, Cloud
from wsss_ros.viewer.networks import UP, Networks, Progress
from wsss_ros.viewer.points import ShownPoints, read_semantic_points, with_colors
from wsss_ros.viewer.stage import ShownView

MOST_VIEWS, MOST_CLOUDS = 1000, 32  # of a bag are kept; of more, every second one goes
_WIDTH = 640  # pixels of the pictures of a bag in memory; wider ones are reduced by a whole factor
_POSE_TOLERANCE_NS = 50_000_000
_CACHED = 64  # labelled pictures

_log = logging.getLogger("wsss_ros")

Takes = dict[str, Callable[[Any], None]]  # the function for the messages of each topic


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
    """A bag: pictures of at most ``MOST_VIEWS`` views and at most ``MOST_CLOUDS`` clouds stay in memory.

    Our results are found by the ends of their topics' names, all else as in ``BagFrames``: images, calibration, poses
    from a topic or from TF, and the clouds, or one that is fused from depth. A semantic map in the bag is shown as it
    is, else a semantic cloud; else the clouds are, with labels from the networks. Pictures are the recorded overlay, or
    the colour image with recorded or new labels. Their classes are ``labels``; those of the map and of label images are
    the names that the bag has for them. Raises BadInput as ``BagFrames`` does for a bag without results, for a bag
    without messages to show, and for a message that cannot be read; a pose or a cloud that cannot be made is left out
    with a warning.
    """

    def __init__(
        self,
        path: Path,
        networks: Networks,
        labels: LabelSpace,
        progress: Progress,
        depth_scale: float | None = None,
        **choices: str,
    ) -> None:
        self.name, self.labels, self._networks = path.name, labels, networks
        self._pictures, self._clouds, self._semantic = _Kept(MOST_VIEWS), _Kept(MOST_CLOUDS), _Kept(MOST_CLOUDS)
        self._overlays, self._label_images = _Kept(MOST_VIEWS), _Kept(MOST_VIEWS)
        # Recorded labels and the classes that they mean, which the bag may name.
        self._cloud_table = self._image_table = table_of(dict(enumerate(labels.names)), labels.names)
        self._image_labels = labels
        self._matrices = _Kept(100_000)
        self._camera: Camera | None = None
        self._frame_id = ""
        self._turns = 0
        self._up: tuple[float, float, float] | None = None  # of a cloud that is fused here
        bag = Bag(path)
        takes = self._results(bag)
        frames = _camera_of(path, bool(takes), choices, depth_scale)
        self._cameras = None
        if frames is not None:
            takes |= self._inputs(frames)
            self._cameras = BagCamera(bag, bag.types(), frames.color, frames.parts["camera"]) if frames.color else None
        self._read(bag, takes, progress)
        shown = (self._overlays, self._pictures, self._semantic, self._clouds)
        if not any(kept.items for kept in shown):
            raise BadInput(f"{path}: no message to show on {', '.join(takes)}; record it again")
        self.stamps_ns = next(kept.stamps for kept in shown if kept.items)
        if frames is not None:
            self._complete(frames, progress)
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
            cloud, frame_id = self._clouds.items[at]
            points = self._networks.points(cloud, self._up or self._up_of(cloud, frame_id))
            self._labelled[at] = replace(points, stamp_ns=self._clouds.stamps[at])
        return self._labelled[at]

    # --- reading ---

    def _results(self, bag: Bag) -> Takes:
        """The function for each topic of our results. What names the labels on them is read."""
        names = [topic.name for topic in bag.topics if "ground_truth" not in topic.name]
        maps, images = (topics.ending(names, (end,)) for end in ("semantic_map", "semantic/image_raw"))
        takes: Takes = {
            "semantic_overlay/image_raw": lambda message: self._take_picture(message, self._overlays),
            "semantic/image_raw": self._take_labels,
            "semantic_map" if maps else "semantic_cloud": self._take_semantic,
        }
        if images:
            self._image_labels, self._image_table = self._meaning(names_of_images, bag, images[0])
        if maps:
            self.labels, self._cloud_table = self._meaning(names_of_cloud, bag, maps[0])
        return {name: take for end, take in takes.items() for name in topics.ending(names, (end,))}

    def _meaning(
        self, names: Callable[[Bag, str], dict[int, str] | None], bag: Bag, topic: str
    ) -> tuple[LabelSpace, LabelTable]:
        """The classes of the labels on a topic, and the table to them; without names those of the label space."""
        try:
            if (found := names(bag, topic)) is not None:
                return meaning_of(found, self.labels)
        except BadInput as error:
            _log.warning("%s: %s; its labels are read as classes of '%s'", topic, error, self.labels.name)
        return self.labels, self._cloud_table

    def _inputs(self, frames: BagFrames) -> Takes:
        """The function for each topic of the camera and of the clouds."""
        takes = {
            frames.color: lambda message: self._take_picture(message, self._pictures),
            frames.camera_poses: self._take_pose,
            frames.cloud_topic: self._take_cloud,
        }
        return {name: take for name, take in takes.items() if name}

    def _read(self, bag: Bag, takes: Takes, progress: Progress) -> None:
        types = bag.types()
        for count, raw in enumerate(bag.raw(takes), start=1):
            try:
                takes[raw.topic](raw.decoded(types))
            except BadInput as error:
                raise BadInput(f"{self.name}, {raw.topic}: {error}") from error
            progress("messages", count, None)

    def _complete(self, frames: BagFrames, progress: Progress) -> None:
        """Take the poses at the images and fuse a cloud, where the bag has no topic of them."""
        if not frames.camera_poses and frames.has_poses:
            self._take_poses_of_images(frames)
        if self._networks.images is not None:
            self._turns = frames.turns()
        if not self._clouds.items and not self._semantic.items and frames.has_views:
            progress("a cloud from the depth images", 0, None)
            try:
                if (cloud := frames.cloud()) is not None:
                    self._clouds.add(self.stamps_ns[0], (cloud, ""))
                    self._up = frames.up()
            except BadInput as error:  # the pictures can be shown all the same
                _log.warning("%s: no cloud from the depth images: %s", self.name, error)

    def _take_poses_of_images(self, frames: BagFrames) -> None:
        missing: list[BadInput] = []
        for stamp in self.stamps_ns if self._frame_id else ():
            try:
                self._matrices.add(stamp, frames.poses.pose(cdr.header(stamp, self._frame_id)))
            except BadInput as error:
                missing.append(error)
        if missing:
            text = "%s: %d of %d views have no pose %s: %s"
            _log.warning(text, self.name, len(missing), len(self.stamps_ns), frames.poses.where, missing[0])

    def _up_of(self, cloud: Cloud, frame_id: str) -> tuple[float, float, float]:
        if self._networks.clouds is None:
            return UP
        x, y, z = map(float, up_in_frame(cloud.xyz, frame_id)[0].direction)
        return x, y, z

    def _take_cloud(self, message: Any) -> None:
        if self._clouds.wants_next():
            cloud = read_cloud(message, NUMBERS).cloud
            if len(cloud):
                self._clouds.add(stamp_ns(message.header), (cloud, message.header.frame_id))

    def _take_semantic(self, message: Any) -> None:
        if message.height * message.width and self._semantic.wants_next():  # a map is empty before its first view
            points = read_semantic_points(message, self._cloud_table)
            self._semantic.add(points.stamp_ns, points)

    def _take_picture(self, message: Any, kept: _Kept) -> None:
        if kept.wants_next():
            rgb, stamp = color_to_rgb(message), stamp_ns(message.header)
            if self._camera is None and self._cameras is not None:
                self._camera = self._cameras.at(stamp, rgb)
            self._frame_id = message.header.frame_id
            step = -(-rgb.shape[1] // _WIDTH)
            kept.add(stamp, encode_jpeg(np.ascontiguousarray(rgb[::step, ::step]), 90, "420"))

    def _take_labels(self, message: Any) -> None:
        if self._label_images.wants_next():
            labels = self._image_table.known(image_to_ids(message))
            step = -(-labels.shape[1] // _WIDTH)
            self._label_images.add(stamp_ns(message.header), np.ascontiguousarray(labels[::step, ::step]))

    def _take_pose(self, message: Any) -> None:
        if self._matrices.wants_next():
            self._matrices.add(stamp_ns(message.header), pose_to_matrix(message.pose))

    # --- showing ---

    def _drawn(self, index: int) -> np.ndarray:
        if self._overlays.items:
            return decode_rgb(self._overlays.items[index], self.name)
        rgb = decode_rgb(self._pictures.items[index], self.name)
        labels = self._label_images.nearest(self.stamps_ns[index], 0)
        if labels is not None and labels.shape == rgb.shape[:2]:
            return pictures.overlay(rgb, labels, self._image_labels)
        return self._networks.overlay(rgb, self._turns)

    def _with_colors(self, points: ShownPoints) -> ShownPoints:
        """The points with the colours of the cloud they were made from, where the bag has it."""
        cloud = self._clouds.nearest(points.stamp_ns, 0)
        return points if cloud is None else with_colors(points, cloud[0])


def _camera_of(path: Path, has_results: bool, choices: dict[str, str], depth_scale: float | None) -> BagFrames | None:
    """The camera and the clouds of a bag; None where our results are all that can be shown."""
    try:
        return BagFrames(path, **choices, depth_scale=depth_scale)
    except BadInput:
        if has_results and not any(choices.values()):
            return None
        raise
