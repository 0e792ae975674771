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
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_cameras import BagCamera, BagDepth, check_found, info_topic
from wsss_ros.bags.bag_poses import BagPoses, has_transforms
from wsss_ros.bags.cdr import CLOUD, IMAGE, JPEG, POSE
from wsss_ros.bags.cloud_codec import NUMBERS, read_cloud
from wsss_ros.bags.codec import color_to_rgb, depth_to_m, pose_to_matrix, stamp_ns
from wsss_ros.geometry import mounted_turns, up_in_frame
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.scenes.derived import fused
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Cloud, Frame

log = logging.getLogger("wsss_ros")

# The last parts of the topic names, as the nodes use them. Colour and depth may also be compressed.
COLOR, DEPTH, CAMERA, POSES, CLOUDS = "color/image_raw", "depth/image_rect", "color/camera_info", "pose", "cloud"
DEPTHS = (DEPTH, DEPTH + topics.COMPRESSED_DEPTH, DEPTH + topics.COMPRESSED)
_TOLERANCE_NS = 20_000_000
_POSES = 64  # that say how the camera is mounted


def _color(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    return np.require(color_to_rgb(message), requirements="W")  # torch warns about read-only arrays


# The function that reads each field of a ``Frame`` from its message.
_READERS: dict[str, Callable[[Any], Any]] = {
    "rgb": _color,
    "depth_m": partial(depth_to_m, as_on_disk=True),
    "world_from_camera": lambda message: pose_to_matrix(message.pose),
}


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
    topic. ``color`` and ``cloud_topic`` select other topics. Depth, calibration and poses are those of this camera;
    depth of another optical frame is registered with both calibrations and TF (``geometry.depth_on_color``).
    Without a topic ``pose``, poses come from TF (``BagPoses``), in the world frame ``fixed_frame``.
    Raises BadInput as ``Bag`` does, when the bag has neither images nor a cloud, and when it has several cameras and
    none is selected.
    """

    path: Path
    color: str = ""
    cloud_topic: str = ""
    fixed_frame: str = ""
    name: str = field(init=False)
    _placed: Placed | None = field(init=False, default=None)  # the cloud that was read last

    def __post_init__(self) -> None:
        """Open the bag and find the topics."""
        self.path = Path(self.path)
        self.name = self.path.resolve().name.removesuffix(self.path.suffix if self.path.is_file() else "")
        self._bag = Bag(self.path)
        self._types = self._bag.types()
        self._warned = False
        colors, clouds = (IMAGE, JPEG), (CLOUD,)
        for named, types in ((self.color, colors), (self.cloud_topic, clouds)):
            if named:
                topics.check_named(self._bag, named, types)
        self.color = self.color or topics.camera(self._bag, colors, (COLOR, COLOR + topics.COMPRESSED))
        self.cloud_topic = self.cloud_topic or topics.only(self._bag, clouds, (CLOUDS,))
        if not self.color and not self.cloud_topic:
            there = ", ".join(topic.name for topic in self._bag.topics)
            sought = f"no topic '{COLOR}' or '{CLOUDS}'"
            raise BadInput(f"{self.path}: {sought}; it holds {there}; name one (--color, --cloud)")

    def __len__(self) -> int:
        """Number of colour images."""
        return sum(1 for _ in self._bag.raw({self.color}))

    def frames(self, chosen: set[int] | None = None) -> Iterator[Frame]:
        """The colour images as frames, named by their number from 0; ``chosen`` are the numbers to read, None for all.

        Raises BadInput naming bag and topic for an image that cannot be read.
        """
        for index, (topic, message) in enumerate(self._messages(self.color)):
            if chosen is None or index in chosen:
                rgb = self._read(topic, _color, message)
                yield Frame(rgb, stamp_ns=stamp_ns(message.header), name=str(index))

    def turns(self) -> int:
        """How many quarter turns make the images upright, from the poses of the camera in a world whose z points up.

        0 without poses.
        """
        if topic := self.parts["world_from_camera"]:
            return mounted_turns(self._read(topic, _READERS["world_from_camera"], m) for _, m in self._messages(topic))
        return mounted_turns(self._some_poses()) if self.color and has_transforms(self._bag) else 0

    def _some_poses(self) -> Iterator[np.ndarray]:
        """Poses from TF at the stamps of some images, where it has them."""
        chosen = set(spread(len(self), _POSES))
        for raw in (raw for index, raw in enumerate(self._bag.raw({self.color})) if index in chosen):
            message: Any = self._types.deserialize_cdr(raw.data, raw.msgtype)
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
        message: Any = self._types.deserialize_cdr(last.data, last.msgtype)
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
        path: list[np.ndarray] = []

        def noted() -> Iterator[Frame]:
            for frame in self.views():
                path.append(frame.world_from_camera[:3, 3])
                yield frame

        cloud = fused(noted()) if self.has_views else None
        return Placed(cloud, "map", path) if cloud is not None and len(cloud) else None

    # --- complete views ---

    @cached_property
    def parts(self) -> dict[str, str]:
        """The topics of complete views, by field of ``Frame``; empty for what the bag does not have."""
        return {
            "rgb": self.color,
            "depth_m": topics.depth(self._bag, (IMAGE, JPEG), DEPTHS, self.color),
            "camera": info_topic(self._bag, self.color, (CAMERA,)),
            "world_from_camera": topics.companion(self._bag, (POSE,), (POSES,), self.color),
        }

    @property
    def has_views(self) -> bool:
        """Whether the bag has images, depth, calibrations, and poses on a topic or in TF."""
        *images, pose = self.parts.values()
        return all(images) and (bool(pose) or has_transforms(self._bag))

    def views(self) -> Iterator[Frame]:
        """The frames of ``unread_views``. Raises BadInput naming bag and topic for a message that cannot be read."""
        return (view.read() for view in self.unread_views())

    def unread_views(self) -> Iterator[UnreadView]:
        """The views with depth, camera and pose, in time order, before their images are decoded.

        Views whose pose TF does not have at the stamp of the image are left out; one warning says how many, and why.
        Raises BadInput where no view has a pose.
        """
        missing: list[LookupFailed] = []
        posed = 0
        for name, view in self._matched():
            try:
                pose = self._read(*self._pose_of(view))
            except LookupFailed as error:
                missing.append(error)
                continue
            posed += 1
            yield UnreadView(name, stamp_ns(view["rgb"].header), partial(self._frame, name, view, pose))
        if missing and not posed:
            raise BadInput(f"{self.path}: no image has a pose: {missing[0]}; or name the world frame (--fixed-frame)")
        if missing and not self._warned:
            self._warned = True
            text = "%s: %d of %d views have no pose in TF and are left out: %s"
            log.warning(text, self.path, len(missing), posed + len(missing), missing[0])

    def _pose_of(self, view: dict[str, Any]) -> tuple[str, Callable[[Any], np.ndarray], Any]:
        """The topic, the function and the message that a view has its pose from."""
        if "world_from_camera" in view:
            return self.parts["world_from_camera"], _READERS["world_from_camera"], view["world_from_camera"]
        return self.color, self.poses.pose, view["rgb"].header

    def _matched(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and messages of each view, by field of ``Frame``; without a pose where TF has it."""
        there = {part: topic for part, topic in self.parts.items() if topic and part != "camera"}
        by_topic = {topic: part for part, topic in there.items()}
        sync, images = Synchronizer(tuple(there), _TOLERANCE_NS), count()
        for topic, message in self._messages(*by_topic):
            part = by_topic[topic]
            item = (str(next(images)), message) if part == "rgb" else message
            if (view := sync.add(part, stamp_ns(message.header), item)) is not None:
                name, view["rgb"] = view["rgb"]
                yield name, view

    def _frame(self, name: str, view: dict[str, Any], pose: np.ndarray) -> Frame:
        color, depth, info = (self.parts[part] for part in ("rgb", "depth_m", "camera"))
        header, stamp = view["rgb"].header, stamp_ns(view["rgb"].header)
        rgb, depth_m = self._read(color, _color, view["rgb"]), self._read(depth, _READERS["depth_m"], view["depth_m"])
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
        info = info_topic(self._bag, depth)
        camera = self._read(info, lambda info: BagCamera(self._bag, self._types, depth, info), info)
        return BagDepth(camera, self._color_from_depth)

    def _color_from_depth(self, color_frame: str, depth_frame: str, stamp: int) -> np.ndarray | None:
        try:
            return self.poses.transforms.lookup(color_frame, depth_frame, stamp) if has_transforms(self._bag) else None
        except BadInput:
            return None

    @cached_property
    def poses(self) -> BagPoses:
        """The poses of the camera from TF."""
        return BagPoses(self._bag, self._types, self.color, self.fixed_frame)

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

    def _messages(self, *topics: str) -> Iterator[tuple[str, Any]]:
        for raw in self._bag.raw(topics):
            yield raw.topic, self._types.deserialize_cdr(raw.data, raw.msgtype)
