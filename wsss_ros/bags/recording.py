"""A scene as a stream of ROS 2 messages, in time order and serialised (CDR), without ROS installed.

``writing`` stores this stream in a bag; the replay node publishes the same bytes.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8
from pydantic import Field
from rosbags.typesys.store import Typestore

from wsss_ros import geometry
from wsss_ros.bags.cdr import (
    CLOUD,
    IMAGE,
    INFO,
    JPEG,
    POSE,
    STRING,
    TF,
    cloud_message,
    depth_message,
    header,
    image_message,
    info_message,
    jpeg_message,
    pose_message,
    tags_message,
    tf_message,
    typestore,
)
from wsss_ros.config import Config
from wsss_ros.geometry.voxel_map import VoxelMap
from wsss_ros.scenes.derived import fuse, upright_rotation
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput, Cloud, Frame, Scene

_log = logging.getLogger("wsss_ros")


class BagConfig(Config):
    """The content of the stream of a scene, and its names of topics and frames."""

    compressed: bool = Field(False, description="Colour as JPEG on color/image_raw/compressed, in place of rgb8.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="Quality of those JPEGs.")
    depth: Literal["16UC1", "32FC1"] = Field("16UC1", description="Depth in millimetres (16UC1) or metres (32FC1).")
    namespace: str = Field("", description="Put before every topic but /tf.")
    map_frame: str = Field("map", description="Frame of poses and clouds.")
    camera_frame: str = Field("camera_optical", description="Frame of images.")
    frames: int = Field(0, ge=0, description="At most this many frames; 0 takes all.")
    every: int = Field(1, ge=1, description="Every n-th frame.")
    cloud_every: int = Field(10, ge=1, description="The cloud so far follows every n-th of those frames, and the last.")
    up: str = Field("auto", description="Up in the scene: 'x,y,z', 'auto' (known or found), 'none' (no levelling).")
    rate_hz: float = Field(0.0, ge=0, le=1000, description="Give frames new stamps at this rate; 0 keeps their stamps.")
    tags: bool = Field(True, description="Play the tags of a tag file in the scene's folder.")
    gap_s: float = Field(3.0, ge=0, le=3600, description="Silence between two scenes of one recording.")


class Topic(NamedTuple):
    """A topic with its quality of service: reliable or best effort, latched (transient local) or not, queue depth."""

    name: str
    msgtype: str
    reliable: bool = True
    latched: bool = False
    depth: int = 10


class Raw(NamedTuple):
    """One serialised message (CDR with its 4-byte header) and the time at which it was recorded."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes | memoryview

    def decoded(self, types: Typestore) -> Any:
        """The message. Raises BadInput, which names its topic and its time, for damaged bytes."""
        try:
            return types.deserialize_cdr(self.data, self.msgtype)
        except Exception as error:  # the readers that rosbags generates raise of many kinds
            damaged = f"the message of {self.stamp_ns / 1e9:.3f} s is damaged: it cannot be read as {self.msgtype}"
            raise BadInput(f"{self.topic}: {damaged} ({type(error).__name__}: {error})") from error

    def stamped(self, types: Typestore) -> tuple[Any, bool]:
        """The message, and whether its header has no stamp; it then has the time of the recording."""
        message = self.decoded(types)
        stamp = message.header.stamp
        if stamp.sec or stamp.nanosec:
            return message, False
        stamp.sec, stamp.nanosec = divmod(self.stamp_ns, 10**9)
        return message, True


@runtime_checkable
class Recording(Protocol):
    """A recording that can be played: a bag, or a scene whose messages are made while it plays."""

    topics: tuple[Topic, ...]

    def raw(self) -> Iterator[Raw]:
        """Serialised messages in time order."""


@dataclass
class SceneRecording:
    """A scene as a recording: the messages of each frame with one stamp, and the cloud seen so far.

    Tags of a tag file in the scene's folder are played as a person would give them, unless ``config.tags`` is false:
    ``tags/image`` after each image with tags, ``tags/scene`` with every cloud if the file has tags for the scene. Tags
    that are derived from labels are not played. A tag file with a fault is reported and not played: the rest is.

    If the scene has its own cloud, the points seen so far are sent (all points if frames have no depth); else the
    frames are fused into voxels. The world is rotated so that z points up.
    Raises BadInput for a scene without frames or poses, or with stamps that do not increase.
    """

    scene: Scene
    config: BagConfig = BagConfig()

    def __post_init__(self) -> None:
        """Check the configuration and the first frame; the other frames are not decoded."""
        _check_names(self.config)
        taken = range(0, len(self.scene), self.config.every)
        self.indices = taken[: self.config.frames or None]
        if not self.indices:
            raise BadInput(f"scene '{self.scene.name}' has no frame with a usable pose; there is nothing to record")
        first = self.scene.frame(self.indices[0])
        self._truth = self.scene.cloud_truth() if self.scene.cloud is not None else None
        self._tags = self._readable_tags() if self.config.tags else None
        self._level = upright_rotation(self.scene, self.config.up)
        self.topics = tuple(self._offered(first))

    def _readable_tags(self) -> TagFile | None:
        try:
            return getattr(self.scene, "tag_file", None)
        except BadInput as error:
            _log.warning("no tags are recorded or played, only images and clouds: %s", error)
            return None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    def name(self, topic: str) -> str:
        """The full name of a topic: a relative name is put into the namespace, an absolute one (/tf) is not."""
        namespace = self.config.namespace.strip("/")
        return topic if topic.startswith("/") else f"/{namespace}/{topic}" if namespace else f"/{topic}"

    def _offered(self, first: Frame) -> Iterator[Topic]:
        color = ("color/image_raw/compressed", JPEG) if self.config.compressed else ("color/image_raw", IMAGE)
        yield Topic(self.name(color[0]), color[1], reliable=False, depth=5)
        if first.camera is not None:
            yield Topic(self.name("color/camera_info"), INFO)
        if first.depth_m is not None:
            yield Topic(self.name("depth/image_rect"), IMAGE, reliable=False, depth=5)
        yield Topic(self.name("pose"), POSE)
        yield Topic("/tf", TF, depth=100)
        if any(self.scene.frame_truth(index) is not None for index in self.indices):
            yield Topic(self.name("ground_truth/semantic/image_raw"), IMAGE)
        if self.scene.cloud is not None or first.depth_m is not None:
            yield Topic(self.name("cloud"), CLOUD, latched=True, depth=1)
        if self._truth is not None:
            yield Topic(self.name("ground_truth/cloud"), CLOUD, latched=True, depth=1)
        if self._tags is not None:
            yield Topic(self.name("tags/image"), STRING, depth=100)
            yield Topic(self.name("tags/scene"), STRING, depth=100)

    def raw(self) -> Iterator[Raw]:
        """Serialised messages in time order. Raises BadInput for a frame that cannot be recorded."""
        offered = {topic.name: topic.msgtype for topic in self.topics}
        for stamp_ns, topic, message in self.messages():
            name = self.name(topic)
            if name in offered:
                yield Raw(name, offered[name], stamp_ns, typestore().serialize_cdr(message, offered[name]))

    def messages(self) -> Iterator[tuple[int, str, object]]:
        """(stamp_ns, relative topic, message) of every frame, and of the cloud after every ``cloud_every`` frames."""
        growing: _SeenCloud | _FusedCloud
        growing = _SeenCloud(self.scene, self._level) if self.scene.cloud is not None else _FusedCloud()
        before = -1
        for count, index in enumerate(self.indices, start=1):
            frame = self._stamped(_turned(self.scene.frame(index), self._level), count - 1)
            before = self._later(frame, before)
            for topic, message in self._view(frame, self.scene.frame_truth(index)):
                yield frame.stamp_ns, topic, message
            if self._tags is not None and (tags := self._tags.image_list(frame.name)) and tags.written:
                yield frame.stamp_ns, "tags/image", tags_message(tags.written, frame.stamp_ns)
            growing.add(frame)
            if count % self.config.cloud_every == 0 or count == len(self.indices):
                for topic, message in self._cloud(frame.stamp_ns, *growing.so_far(self._truth)):
                    yield frame.stamp_ns, topic, message
                if self._tags is not None and (tags := self._tags.given_scene) and tags.written:
                    yield frame.stamp_ns, "tags/scene", tags_message(tags.written)

    def _stamped(self, frame: Frame, position: int) -> Frame:
        if not self.config.rate_hz:
            return frame
        return replace(frame, stamp_ns=round((1 + position / self.config.rate_hz) * 1e9))

    def _later(self, frame: Frame, before: int) -> int:
        if frame.stamp_ns > before:
            return frame.stamp_ns
        raise BadInput(
            f"scene '{self.scene.name}': frame '{frame.name}' is stamped {frame.stamp_ns} ns, not after the one "
            f"before it ({before} ns); give a rate for new stamps (wsss bag --rate 30)"
        )

    def _view(self, frame: Frame, truth: UInt8[np.ndarray, "H W"] | None) -> Iterator[tuple[str, object]]:
        config = self.config
        camera_head, map_head = header(frame.stamp_ns, config.camera_frame), header(frame.stamp_ns, config.map_frame)
        yield "/tf", tf_message(map_head, config.camera_frame, frame.world_from_camera)
        yield "pose", pose_message(map_head, frame.world_from_camera)
        if frame.camera is not None:
            yield "color/camera_info", info_message(camera_head, frame.camera)
        if frame.depth_m is not None:
            yield "depth/image_rect", depth_message(camera_head, frame.depth_m, config.depth)
        if config.compressed:
            yield "color/image_raw/compressed", jpeg_message(camera_head, frame.rgb, config.jpeg_quality)
        else:
            yield "color/image_raw", image_message(camera_head, frame.rgb, "rgb8")
        if truth is not None:
            yield "ground_truth/semantic/image_raw", image_message(camera_head, truth, "mono8")

    def _cloud(
        self, stamp_ns: int, cloud: Cloud, labels: UInt8[np.ndarray, "N"] | None
    ) -> Iterator[tuple[str, object]]:
        if not len(cloud):
            return
        head = header(stamp_ns, self.config.map_frame)
        yield "cloud", cloud_message(head, cloud)
        if labels is not None:
            yield "ground_truth/cloud", cloud_message(head, cloud, labels)


class _SeenCloud:
    """The points of the scene's own cloud that the frames have seen so far."""

    def __init__(self, scene: Scene, level: Float64[np.ndarray, "3 3"]) -> None:
        self.cloud = replace(scene.cloud, xyz=geometry.compact(scene.cloud.xyz @ level.T))
        self.seen = np.zeros(len(self.cloud), bool)

    def add(self, frame: Frame) -> None:
        judged = frame.depth_m is not None and frame.camera is not None
        self.seen[geometry.link(self.cloud, frame).point if judged else slice(None)] = True

    def so_far(self, truth: UInt8[np.ndarray, "N"] | None) -> tuple[Cloud, UInt8[np.ndarray, "M"] | None]:
        rgb = None if self.cloud.rgb is None else self.cloud.rgb[self.seen]
        return Cloud(self.cloud.xyz[self.seen], rgb), None if truth is None else truth[self.seen]


class _FusedCloud:
    """The cloud fused from the frames so far, for a scene without a cloud of its own."""

    def __init__(self) -> None:
        self.voxels = VoxelMap()

    def add(self, frame: Frame) -> None:
        fuse(self.voxels, frame)

    def so_far(self, truth: UInt8[np.ndarray, "N"] | None) -> tuple[Cloud, None]:
        return self.voxels.cloud(), None


def _posed(frame: Frame) -> Frame:
    if frame.world_from_camera is None:
        raise BadInput(f"frame '{frame.name}' has no pose; a recording needs one for every frame")
    return frame


def _turned(frame: Frame, level: Float64[np.ndarray, "3 3"]) -> Frame:
    turn = np.eye(4)
    turn[:3, :3] = level
    return replace(frame, world_from_camera=turn @ _posed(frame).world_from_camera)


def _check_names(config: BagConfig) -> None:
    if not re.fullmatch(r"/?([A-Za-z]\w*(/[A-Za-z]\w*)*)?/?", config.namespace):
        raise BadInput(f"namespace '{config.namespace}': expected letters, digits, '_' and '/', such as 'robot1'")
