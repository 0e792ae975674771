"""A scene as a stream of ROS 2 messages, in time order and serialised (CDR), without ROS installed.

Messages are rosbags' dataclasses of the Jazzy definitions. A bag is this stream written down; the
replay node publishes the same bytes.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import simplejpeg
from jaxtyping import Float32, Float64, UInt8
from pydantic import Field
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros import geometry
from wsss_ros.config import Config
from wsss_ros.geometry.voxel_map import VoxelMap
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput, Camera, Cloud, Frame, Scene

log = logging.getLogger("wsss_ros")

IMAGE, JPEG, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
POSE, CLOUD, TF = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
STRING = "std_msgs/msg/String"
UINT32, FLOAT32 = 6, 7  # of PointField


class BagConfig(Config):
    """What of a scene goes into the stream, and under which names."""

    compressed: bool = Field(False, description="Colour as JPEG on color/image_raw/compressed, in place of rgb8.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="Quality of those JPEGs.")
    depth: Literal["16UC1", "32FC1"] = Field("16UC1", description="Depth in millimetres (16UC1) or metres (32FC1).")
    namespace: str = Field("", description="Put before every topic but /tf.")
    map_frame: str = Field("map", description="Frame of poses and clouds.")
    camera_frame: str = Field("camera_optical", description="Frame of images.")
    frames: int = Field(0, ge=0, description="At most so many frames; 0 takes all.")
    every: int = Field(1, ge=1, description="Every n-th frame.")
    cloud_every: int = Field(10, ge=1, description="The cloud so far follows every n-th of those frames, and the last.")
    up: str = Field("auto", description="Up in the scene: 'x,y,z', 'auto' (known or found), 'none' (no levelling).")
    rate_hz: float = Field(0.0, ge=0, le=1000, description="Stamp frames afresh at this rate; 0 keeps their stamps.")
    gap_s: float = Field(3.0, ge=0, le=3600, description="Silence between two scenes of one recording.")


class Topic(NamedTuple):
    """A topic as it is offered: best effort or reliable, latched (transient local) or not."""

    name: str
    msgtype: str
    reliable: bool = True
    latched: bool = False
    depth: int = 10


class Raw(NamedTuple):
    """One serialised message (CDR with its 4-byte header) and the time it was recorded at."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes | memoryview


@runtime_checkable
class Recording(Protocol):
    """What can be played: a bag, or a scene that is turned into messages while it plays."""

    topics: tuple[Topic, ...]

    def raw(self) -> Iterator[Raw]: ...


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The message definitions of ROS 2 Jazzy. Shared: copy before registering more."""
    return get_typestore(Stores.ROS2_JAZZY)


def make(msgtype: str, **fields: object) -> object:
    return typestore().types[msgtype](**fields)


def stamp_message(stamp_ns: int) -> object:
    return make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def header(stamp_ns: int, frame_id: str) -> object:
    return make("std_msgs/msg/Header", stamp=stamp_message(stamp_ns), frame_id=frame_id)


def image_message(head: object, image: np.ndarray, encoding: str) -> object:
    """``image`` is H x W or H x W x C, of the encoding's type, little-endian."""
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    data = image.reshape(-1).view(np.uint8)
    step = len(data) // height
    return make(IMAGE, header=head, height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data)


def jpeg_message(head: object, rgb: UInt8[np.ndarray, "H W 3"], quality: int) -> object:
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="444")
    return make(JPEG, header=head, format="rgb8; jpeg compressed bgr8", data=np.frombuffer(data, np.uint8))


def depth_message(head: object, depth_m: Float32[np.ndarray, "H W"], encoding: str) -> object:
    """16UC1: millimetres, 0 where missing or beyond 65.5 m. 32FC1: metres, NaN where missing."""
    known = np.isfinite(depth_m) & (depth_m > 0)
    if encoding == "32FC1":
        return image_message(head, np.where(known, depth_m, np.float32(np.nan)).astype("<f4"), encoding)
    millimetres = np.rint(np.where(known, depth_m, 0).astype(np.float64) * 1000)
    return image_message(head, np.where(millimetres < 65535, millimetres, 0).astype("<u2"), encoding)


def info_message(head: object, camera: Camera) -> object:
    k = camera.matrix()
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return make(
        INFO,
        header=head,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def pose_message(head: object, world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    x, y, z = map(float, world_from_camera[:3, 3])
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=_quaternion(world_from_camera),
    )
    return make(POSE, header=head, pose=pose)


def tf_message(head: object, child: str, world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    x, y, z = map(float, world_from_camera[:3, 3])
    transform = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=_quaternion(world_from_camera),
    )
    stamped = make("geometry_msgs/msg/TransformStamped", header=head, child_frame_id=child, transform=transform)
    return make(TF, transforms=[stamped])


def _quaternion(world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    x, y, z, w = map(float, geometry.matrix_to_quaternion(world_from_camera[:3, :3]))
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def cloud_message(head: object, cloud: Cloud, labels: UInt8[np.ndarray, "N"] | None = None) -> object:
    """x y z, `rgb` (float32 holding 0x00RRGGBB) where there are colours, `label` (uint32) where given."""
    names = ["x", "y", "z"] + ["rgb"] * (cloud.rgb is not None) + ["label"] * (labels is not None)
    columns = np.empty((len(cloud), len(names)), "<u4")
    columns[:, :3] = np.ascontiguousarray(cloud.xyz).view("<u4")
    if cloud.rgb is not None:
        columns[:, 3] = cloud.rgb.astype("<u4") @ np.array([1 << 16, 1 << 8, 1], "<u4")
    if labels is not None:
        columns[:, -1] = labels
    kinds = [UINT32 if name == "label" else FLOAT32 for name in names]
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=kind, count=1)
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    return make(
        CLOUD,
        header=head,
        height=1,
        width=len(cloud),
        fields=fields,
        is_bigendian=False,
        point_step=4 * len(names),
        row_step=4 * len(names) * len(cloud),
        data=columns.reshape(-1).view(np.uint8),
        is_dense=bool(np.isfinite(cloud.xyz).all()),
    )


def tags_message(names: Sequence[str], stamp_ns: int | None = None) -> object:
    """What a person says: ``chair, table``; with a stamp ``@SECONDS.NANOS chair, table``, of the image it is about."""
    about = "" if stamp_ns is None else f"@{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} "
    return make(STRING, data=about + ", ".join(names))


@dataclass
class SceneRecording:
    """A scene as a recording: each view's messages under one stamp, and the cloud as it grows.

    A tag file in the scene's folder is played as a person would speak: ``tags/image`` after each image that has tags,
    ``tags/scene`` with every cloud where tags were given for the whole. Tags that follow from labels are not played.

    Where the scene has its own cloud, the part seen so far is sent (all of it where there is no
    depth to tell); else the frames are fused into voxels. The world is turned so that z points up.
    Raises BadInput for a scene without frames or poses, or with stamps that do not increase.
    """

    scene: Scene
    config: BagConfig = BagConfig()

    def __post_init__(self) -> None:
        _check_names(self.config)
        wanted = range(0, len(self.scene), self.config.every)
        self.indices = wanted[: self.config.frames or None]
        if not self.indices:
            raise BadInput(f"scene '{self.scene.name}' has no frame with a usable pose; there is nothing to record")
        first = self.scene.frame(self.indices[0])
        self._truth = self.scene.cloud_truth() if self.scene.cloud is not None else None
        self._tags: TagFile | None = getattr(self.scene, "tag_file", None)
        self._level = leveling(self.scene, self.config.up)
        self.topics = tuple(self._offered(first))

    def __len__(self) -> int:
        """Number of views."""
        return len(self.indices)

    def name(self, topic: str) -> str:
        """The full name of a topic of DESIGN; /tf is one for the whole machine."""
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
        if self.scene.frame_truth(self.indices[0]) is not None:
            yield Topic(self.name("ground_truth/semantic/image_raw"), IMAGE)
        if self.scene.cloud is not None or first.depth_m is not None:
            yield Topic(self.name("cloud"), CLOUD, latched=True, depth=1)
        if self._truth is not None:
            yield Topic(self.name("ground_truth/cloud"), CLOUD, latched=True, depth=1)
        if self._tags is not None:
            yield Topic(self.name("tags/image"), STRING, depth=100)
            yield Topic(self.name("tags/scene"), STRING, depth=100)

    def raw(self) -> Iterator[Raw]:
        offered = {topic.name: topic.msgtype for topic in self.topics}
        for stamp_ns, topic, message in self.messages():
            name = self.name(topic)
            if name in offered:
                yield Raw(name, offered[name], stamp_ns, typestore().serialize_cdr(message, offered[name]))

    def messages(self) -> Iterator[tuple[int, str, object]]:
        """(stamp_ns, relative topic, message) of every view, then of the cloud where it is due."""
        growing = _SeenCloud(self.scene, self._level) if self.scene.cloud is not None else _FusedCloud()
        before = -1
        for count, index in enumerate(self.indices, start=1):
            frame = self._stamped(_turned(self.scene.frame(index), self._level), count - 1)
            before = self._later(frame, before)
            for topic, message in self._view(frame, self.scene.frame_truth(index)):
                yield frame.stamp_ns, topic, message
            if self._tags is not None and (names := self._tags.image(frame.name)):
                yield frame.stamp_ns, "tags/image", tags_message(names, frame.stamp_ns)
            growing.add(frame)
            if count % self.config.cloud_every == 0 or count == len(self.indices):
                for topic, message in self._cloud(frame.stamp_ns, *growing.so_far(self._truth)):
                    yield frame.stamp_ns, topic, message
                if self._tags is not None and self._tags.given_scene:
                    yield frame.stamp_ns, "tags/scene", tags_message(self._tags.given_scene)

    def _stamped(self, frame: Frame, position: int) -> Frame:
        if not self.config.rate_hz:
            return frame
        return replace(frame, stamp_ns=round((1 + position / self.config.rate_hz) * 1e9))

    def _later(self, frame: Frame, before: int) -> int:
        if frame.stamp_ns > before:
            return frame.stamp_ns
        raise BadInput(
            f"scene '{self.scene.name}': frame '{frame.name}' is stamped {frame.stamp_ns} ns, not after the one "
            f"before it ({before} ns); give a rate to stamp the frames afresh (wsss bag --rate 30)"
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
    """The points of the scene's own cloud that some frame so far has seen."""

    def __init__(self, scene: Scene, level: Float64[np.ndarray, "3 3"]) -> None:
        self.cloud = replace(scene.cloud, xyz=(scene.cloud.xyz @ level.T).astype(np.float32))
        self.seen = np.zeros(len(self.cloud), bool)

    def add(self, frame: Frame) -> None:
        judged = frame.depth_m is not None and frame.camera is not None
        self.seen[geometry.link(self.cloud, frame).point if judged else slice(None)] = True

    def so_far(self, truth: UInt8[np.ndarray, "N"] | None) -> tuple[Cloud, UInt8[np.ndarray, "M"] | None]:
        rgb = None if self.cloud.rgb is None else self.cloud.rgb[self.seen]
        return Cloud(self.cloud.xyz[self.seen], rgb), None if truth is None else truth[self.seen]


class _FusedCloud:
    """Voxels fused from the frames, for a scene without a cloud of its own."""

    def __init__(self) -> None:
        self.voxels = VoxelMap()

    def add(self, frame: Frame) -> None:
        if frame.depth_m is not None and frame.camera is not None:
            self.voxels.add(frame)

    def so_far(self, truth: None) -> tuple[Cloud, None]:
        return self.voxels.cloud(), None


def leveling(scene: Scene, up: str = "auto", views: int = 12) -> Float64[np.ndarray, "3 3"]:
    """The rotation of the scene's world that makes z point up, as REP-105 wants of `map`.

    ``up`` is 'x,y,z', 'none', or 'auto': what the scene knows, else found from the floor of some views.
    Raises BadInput when it has to be found and there is neither a cloud nor depth.
    """
    if up == "none":
        return np.eye(3)
    if up != "auto":
        return geometry.upright(geometry.parse_up(up))
    if scene.world_up is not None:
        return geometry.upright(np.asarray(scene.world_up, np.float64))
    points, poses = _sampled_points(scene, views)
    found = geometry.find_up(points, poses[:, :3, 3], geometry.camera_up(poses))
    log.info("scene '%s': up found as %s; its world is turned upright", scene.name, np.round(found, 3))
    return geometry.upright(found)


def _sampled_points(scene: Scene, views: int) -> tuple[np.ndarray, np.ndarray]:
    """World points (N x 3) of some frames spread over the scene, and all those frames' poses (V x 4 x 4)."""
    chosen = np.unique(np.linspace(0, len(scene) - 1, views).astype(int))
    frames = [_posed(scene.frame(int(index))) for index in chosen]
    clouds = [
        geometry.unproject(frame.depth_m, frame.camera, frame.world_from_camera)[0]
        for frame in frames
        if frame.depth_m is not None and frame.camera is not None
    ]
    if not clouds and scene.cloud is None:
        raise BadInput(
            f"scene '{scene.name}': which way is up is unknown, and without depth it cannot be found; "
            f"give it (wsss bag --up 0,0,1) or keep the world as it is (--up none)"
        )
    points = np.concatenate(clouds) if clouds else scene.cloud.xyz.astype(np.float64)
    return points[:: 1 + len(points) // 300_000], np.stack([frame.world_from_camera for frame in frames])


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
        raise BadInput(f"namespace '{config.namespace}': wanted letters, digits, '_' and '/', such as 'robot1'")
