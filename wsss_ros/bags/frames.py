"""A recorded bag as frames and a cloud, to segment it without playing it to the nodes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from wsss_ros.bags import topics
from wsss_ros.bags.bag import Bag, bag_name
from wsss_ros.bags.bag_cameras import BagCamera, BagDepth, DepthReader, check_found
from wsss_ros.bags.bag_poses import BagPoses, has_transforms
from wsss_ros.bags.cdr import CLOUD, INFO, ODOMETRY, POSE
from wsss_ros.bags.cloud_codec import NUMBERS, read_cloud
from wsss_ros.bags.codec import color_to_rgb, stamp_ns
from wsss_ros.bags.topic_poses import TopicPoses
from wsss_ros.geometry import mounted_turns, up_in_frame
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.scenes.derived import fused
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Cloud, Frame, few_of

log = logging.getLogger("wsss_ros")
# The last parts of the topic names, as the nodes use them. Colour and depth may also be compressed.
COLOR, DEPTH, CAMERA, POSES, CLOUDS = "color/image_raw", "depth/image_rect", "color/camera_info", "pose", "cloud"
DEPTHS = (DEPTH, DEPTH + topics.COMPRESSED_DEPTH, DEPTH + topics.COMPRESSED)
_IMAGES, _POSE_TYPES = topics.IMAGE_TYPES, topics.POSE_TYPES
_TOLERANCE_NS = 20_000_000
_POSES = 64  # that say how the camera is mounted
_NAMED = 10  # images without a pose that a message names


def _color(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    return np.require(color_to_rgb(message), requirements="W")  # torch warns about read-only arrays


class UnreadView(NamedTuple):
    """A view of a bag: the number of its image among all, its stamp, and the function that decodes it."""

    name: str
    stamp_ns: int
    read: Callable[[], Frame]


class Placed(NamedTuple):
    """A cloud, the name of its frame, and centres of the cameras that saw it, where they are known."""

    cloud: Cloud
    frame_id: str
    cameras: Sequence[np.ndarray] = ()


@dataclass
class BagFrames:
    """The colour images of a bag, in time order, and its cloud. Each call reads the bag again.

    The topic of the images ends in ``color/image_raw`` or ``color/image_raw/compressed``, else it is the only colour
    topic. Depth, calibration and poses are those of this camera; depth of another optical frame is registered with both
    calibrations and TF (``geometry.depth_on_color``). ``color``, ``depth_topic``, ``camera_info_topic``,
    ``pose_topic`` and ``cloud_topic`` select other topics, ``depth_scale`` the values per metre of depth.
    Poses are those of a topic ``pose``, else of TF (``BagPoses``) in the world frame ``fixed_frame``, else of the only
    odometry (``TopicPoses``).
    Raises BadInput as ``Bag`` does, when the bag has neither images nor a cloud, and when it has several cameras and
    none is selected.
    """

    path: Path
    color: str = ""
    cloud_topic: str = ""
    fixed_frame: str = ""
    depth_topic: str = ""
    camera_info_topic: str = ""
    pose_topic: str = ""
    depth_scale: float | None = None
    name: str = field(init=False)
    several_cameras: str = field(init=False, default="")  # why no images are taken, where that is the reason
    _placed: Placed | None = field(init=False, default=None)  # the cloud that was read last

    def __post_init__(self) -> None:
        """Open the bag and find the topics."""
        self.path = Path(self.path)
        self.name = bag_name(self.path)
        self._bag = Bag(self.path)
        self._types = self._bag.types()
        self._said: set[str] = set()
        self._depth_m = DepthReader(self.depth_scale, lambda text: self._warn_once("unit of depth", text, "depth_m"))
        images, camera, poses = self.depth_topic, self.camera_info_topic, self.pose_topic
        known = {self.color: _IMAGES, self.cloud_topic: (CLOUD,), images: _IMAGES, camera: (INFO,), poses: _POSE_TYPES}
        for named, types in known.items():
            if named:
                topics.check_named(self._bag, named, types)
        self.cloud_topic = self.cloud_topic or topics.only(self._bag, (CLOUD,), (CLOUDS,))
        self.color = self.color or self._camera_topic()
        if not self.color and not self.cloud_topic:
            there = ", ".join(topic.name for topic in self._bag.topics)
            sought = f"no topic '{COLOR}' or '{CLOUDS}'"
            raise BadInput(f"{self.path}: {sought}; it holds {there}; name one (--color, --cloud)")

    def _camera_topic(self) -> str:
        try:
            return topics.camera(self._bag, _IMAGES, (COLOR, COLOR + topics.COMPRESSED))
        except BadInput as error:
            if not self.cloud_topic:
                raise
            self.several_cameras = str(error)
            log.warning("%s; only the cloud is taken", error)
            return ""

    def __len__(self) -> int:
        """Number of colour images."""
        return sum(1 for _ in self._bag.raw({self.color}))

    def frames(
        self, chosen: set[int] | None = None, broken: Callable[[BadInput], None] | None = None
    ) -> Iterator[Frame]:
        """The colour images as frames, named by their number from 0; ``chosen`` are the numbers to read, None for all.

        Raises BadInput naming bag and topic for an image that cannot be read. With ``broken``, it is left out, and the
        function is called with the error.
        """
        for index, (topic, message) in enumerate(self._stamped_messages(self.color)):
            if chosen is None or index in chosen:
                try:
                    rgb = self._read(topic, _color, message)
                except BadInput as error:
                    if broken is None:
                        raise
                    broken(error)
                    continue
                yield Frame(rgb, stamp_ns=stamp_ns(message.header), name=str(index))

    def turns(self) -> int:
        """How many quarter turns make the images upright, from the poses of the camera in a world whose z points up.

        0 without poses.
        """
        if self.camera_poses and isinstance(self.poses, TopicPoses):
            return mounted_turns(self.poses.matrices)
        return mounted_turns(self._some_poses()) if self.color and self.has_poses else 0

    def _some_poses(self) -> Iterator[np.ndarray]:
        """Poses at the stamps of some images, where they are known."""
        chosen = set(spread(len(self), _POSES))
        for raw in (raw for index, raw in enumerate(self._bag.raw({self.color})) if index in chosen):
            message = raw.decoded(self._types)
            with suppress(BadInput):
                yield self.poses.pose(message.header)

    def cloud(self) -> Cloud | None:
        """The last cloud of the bag, else a cloud fused from depth, poses and intrinsics; None without both.

        Raises BadInput naming bag and topic for a message that cannot be read.
        """
        self._placed = self._find_cloud()
        return None if self._placed is None else self._placed.cloud

    def _find_cloud(self) -> Placed | None:
        if not self.cloud_topic:
            return self._fused()
        last = None
        for raw in self._bag.raw({self.cloud_topic}):
            last = raw
        if last is None:
            return None
        message = last.decoded(self._types)
        cloud = self._read(last.topic, partial(read_cloud, positions=NUMBERS), message).cloud
        return Placed(cloud, message.header.frame_id)

    def up(self) -> tuple[float, float, float]:
        """The unit vector against gravity in the frame of ``cloud()``; (0, 0, 1) without a cloud.

        It is found from the points, the name of their frame, and the camera's path for a cloud that is fused here. A
        warning is logged where it is uncertain. Raises BadInput as ``cloud`` does.
        """
        placed = self._placed or self._find_cloud()
        if placed is None:
            return (0.0, 0.0, 1.0)
        path = np.array(placed.cameras) if placed.cameras else None
        found, problem = up_in_frame(placed.cloud.xyz, placed.frame_id, path)
        if problem:
            log.warning("%s: %s", self.path, problem)
        x, y, z = map(float, found.direction)
        return x, y, z

    def _fused(self) -> Placed | None:
        path, faults = list[np.ndarray](), list[BadInput]()

        def noted() -> Iterator[Frame]:
            for view in self.unread_views():
                try:
                    frame = view.read()
                except BadInput as error:
                    faults.append(error)
                    self._warn_once("views", f"image {view.name} is left out of the cloud: {error}")
                    continue
                path.append(frame.world_from_camera[:3, 3])
                yield frame
            if faults and not path:
                raise faults[0]

        if not self.has_views and self.color:
            log.warning("%s: no cloud, and none can be fused from depth: %s", self.path, self.missing())
        cloud = fused(noted()) if self.has_views else None
        return Placed(cloud, "map", path) if cloud is not None and len(cloud) else None

    # --- complete views ---

    @cached_property
    def parts(self) -> dict[str, str]:
        """The topics of complete views, by field of ``Frame``; empty for what the bag does not have."""
        return {
            "rgb": self.color,
            "depth_m": self.depth_topic or topics.depth(self._bag, _IMAGES, DEPTHS, self.color),
            "camera": self.camera_info_topic or topics.camera_info(self._bag, self.color, (CAMERA,)),
            "world_from_camera": self.pose_topic or self._pose_topic(),
        }

    def _pose_topic(self) -> str:
        """The topic ``pose``; else empty where TF has poses; else the only odometry."""
        if found := topics.companion(self._bag, (POSE,), (POSES,), self.color):
            return found
        odometry = topics.of_types(self._bag, (ODOMETRY,))
        if not odometry or self._tf_has_poses():
            return ""
        if len(odometry) > 1:
            raise BadInput(f"{self.path}: several topics of odometry: {', '.join(odometry)}; name one (--pose-topic)")
        log.info("%s: poses are those of the odometry %s", self.path, odometry[0])
        return odometry[0]

    def _tf_has_poses(self) -> bool:
        image = topics.first_message(self._bag, self.color) if self.color and has_transforms(self._bag) else None
        with suppress(BadInput):  # TF of other robots alone
            return image is not None and self.tf.has(image.header.frame_id)
        return False

    @property
    def has_poses(self) -> bool:
        """Whether the bag has poses, on a topic or in TF."""
        return bool(self.parts["world_from_camera"]) or has_transforms(self._bag)

    @property
    def camera_poses(self) -> str:
        """The topic with poses of the camera itself; empty where the poses are those of TF or of a body."""
        topic = self.parts["world_from_camera"]
        return topic if topic in topics.of_types(self._bag, (POSE,)) else ""

    @property
    def has_views(self) -> bool:
        """Whether the bag has images, depth, calibrations, and poses on a topic or in TF."""
        *images, _ = self.parts.values()
        return all(images) and self.has_poses

    def missing(self) -> str:
        """What the bag lacks for complete views, with the topics that could be meant; empty where it lacks nothing."""
        *images, _ = (bool(topic) for topic in self.parts.values())
        there = dict(zip(("images", "depth", "camera_info", "poses"), (*images, self.has_poses), strict=True))
        lacking = [part for part, found in there.items() if not found]
        return "; ".join(f"no {part}{topics.offer(self._bag, part, self.color)}" for part in lacking)

    def views(self) -> Iterator[Frame]:
        """The frames of ``unread_views``. Raises BadInput naming bag and topic for a message that cannot be read."""
        return (view.read() for view in self.unread_views())

    def unread_views(self) -> Iterator[UnreadView]:
        """The views with depth, camera and pose, in time order, before their images are decoded.

        Views without a pose at the stamp of the image are left out; one warning says how many, which, and why. Raises
        BadInput where no view has a pose.
        """
        missing, posed = dict[str, LookupFailed](), 0
        for name, view in self._matched():
            try:
                pose = self._read(self.parts["world_from_camera"] or self.color, self.poses.pose, view["rgb"].header)
            except LookupFailed as error:
                missing[name] = error
                continue
            posed += 1
            yield UnreadView(name, stamp_ns(view["rgb"].header), partial(self._frame, name, view, pose))
        if missing:
            self._report(missing, posed)
        self._depth_m.finish()

    def _report(self, missing: dict[str, LookupFailed], posed: int) -> None:
        """Say which images have no pose, once. Raises BadInput where none has one."""
        why = next(iter(missing.values()))
        if not posed:
            others = topics.listed(self._bag, _POSE_TYPES, but=(self.parts["world_from_camera"],))
            offer = "" if others == "none" else f", or a topic of poses (--pose-topic): {others}"
            raise BadInput(
                f"{self.path}: no image has a pose {self.poses.where}: {why}; or name the world frame "
                f"(--fixed-frame){offer}"
            )
        count_of = f"{len(missing)} of {posed + len(missing)} views have no pose {self.poses.where}"
        self._warn_once("poses", f"{count_of} and are left out (images {few_of(missing, _NAMED)}): {why}")

    def _warn_once(self, cause: str, text: str, part: str = "") -> None:
        if cause not in self._said:
            self._said.add(cause)
            log.warning("%s%s: %s", self.path, f", {self.parts[part]}" if part else "", text)

    def _matched(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and messages of each view, by field of ``Frame``, without its pose."""
        there = {part: self.parts[part] for part in ("rgb", "depth_m")}
        if not self.has_views:
            raise BadInput(f"{self.path}: no complete views: {self.missing()}")
        by_topic = {topic: part for part, topic in there.items()}
        sync, images, found = Synchronizer(tuple(there), _TOLERANCE_NS), count(), 0
        for topic, message in self._stamped_messages(*by_topic):
            part = by_topic[topic]
            item = (str(next(images)), message) if part == "rgb" else message
            if (view := sync.add(part, stamp_ns(message.header), item)) is not None:
                name, view["rgb"] = view["rgb"]
                found += 1
                yield name, view
        if 2 * found < (number := next(images)):
            text = f"{number - found} of {number} images have no depth within {_TOLERANCE_NS / 1e6:g} ms"
            self._warn_once("depth", f"{text} of their stamp and are left out: are the two synchronised?")

    def _frame(self, name: str, view: dict[str, Any], pose: np.ndarray) -> Frame:
        color, depth, info = (self.parts[part] for part in ("rgb", "depth_m", "camera"))
        header, stamp = view["rgb"].header, stamp_ns(view["rgb"].header)
        rgb, depth_m = self._read(color, _color, view["rgb"]), self._read(depth, self._depth_m, view["depth_m"])
        camera = self._read(info, lambda image: check_found(self._camera.at(stamp, image), info), rgb)
        on_color = partial(self._depth.on_color, depth_m, color_camera=camera, color_frame=header.frame_id)
        return Frame(rgb, camera, self._read(depth, on_color, view["depth_m"].header), pose, stamp, name)

    @cached_property
    def _camera(self) -> BagCamera:
        return self._read(
            self.parts["camera"], lambda info: BagCamera(self._bag, self._types, self.color, info), self.parts["camera"]
        )

    @cached_property
    def _depth(self) -> BagDepth:
        depth = self.parts["depth_m"]
        info = topics.camera_info(self._bag, depth, ())
        camera = self._read(info, lambda info: BagCamera(self._bag, self._types, depth, info), info)
        return BagDepth(camera, self._color_from_depth)

    def _color_from_depth(self, color_frame: str, depth_frame: str, stamp: int) -> np.ndarray | None:
        try:
            return self.tf.transforms.lookup(color_frame, depth_frame, stamp) if has_transforms(self._bag) else None
        except BadInput:
            return None

    @cached_property
    def tf(self) -> BagPoses:
        """The transforms of TF, and the poses of the camera from them."""
        return BagPoses(self._bag, self._types, self.color, self.fixed_frame)

    @cached_property
    def poses(self) -> BagPoses | TopicPoses:
        """The poses of the camera, from their topic or from TF."""
        topic = self.parts["world_from_camera"]
        if not topic:
            return self.tf
        msgtype = next(each.msgtype for each in self._bag.topics if each.name == topic)
        return TopicPoses(self._bag, self._types, topic, msgtype, self._camera_on)

    def _camera_on(self, body: str, camera: str, stamp: int) -> np.ndarray:
        """``body_from_camera`` at a time. Raises BadInput where TF does not have it."""
        if not has_transforms(self._bag):
            raise BadInput("the bag has no /tf_static")
        return self.tf.transforms.lookup(body, camera, stamp)

    # --- messages ---

    def texts(self, msgtype: str, ends: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Topic and text of each String on the topics that end so, in time order."""
        names = [topic.name for topic in self._bag.topics if topic.msgtype == msgtype]
        for topic, message in self._messages(*(name for name in names if name.endswith(ends))):
            yield topic, message.data

    def _read(self, topic: str, read: Callable[[Any], Any], message: object) -> Any:
        try:
            return read(message)
        except LookupFailed:
            raise
        except BadInput as error:
            raise BadInput(f"{self.path}, {topic}: {error}") from error

    def _stamped_messages(self, *topics: str) -> Iterator[tuple[str, Any]]:
        """Messages with a header. Those without a stamp get the time of their recording; a warning says so once."""
        for raw in self._bag.raw(topics):
            message, without = raw.stamped(self._types)
            if without:
                text = "messages have no stamp (header.stamp is 0); the times of their recording are taken"
                self._warn_once(raw.topic, f"{raw.topic}: {text}")
            yield raw.topic, message

    def _messages(self, *topics: str) -> Iterator[tuple[str, Any]]:
        for raw in self._bag.raw(topics):
            yield raw.topic, raw.decoded(self._types)
