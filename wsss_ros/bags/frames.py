"""A recorded bag as frames and a cloud: what can be segmented without playing it to the nodes."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from wsss_ros.bags.bag import SUFFIXES, Bag
from wsss_ros.bags.messages import CLOUD, IMAGE, INFO, JPEG, POSE
from wsss_ros.geometry import quaternion_to_matrix
from wsss_ros.geometry.voxel_map import VoxelMap
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Camera, Cloud, Frame

# What the topics are called, whatever stands before: those of the nodes, with the compressed twin of colour.
COLOR, DEPTH, CAMERA, POSES, CLOUDS = "color/image_raw", "depth/image_rect", "color/camera_info", "pose", "cloud"
_COLORS = {"rgb8": (3, [0, 1, 2]), "bgr8": (3, [2, 1, 0]), "rgba8": (4, [0, 1, 2]), "bgra8": (4, [2, 1, 0])}
_COLORS["mono8"] = (1, [0, 0, 0])
_DEPTHS = {"16UC1": ("u2", 1000), "mono16": ("u2", 1000), "32FC1": ("f4", 1)}
_NUMBERS = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=1))
_TOLERANCE_NS = 20_000_000


@dataclass
class BagFrames:
    """The colour images of a bag, in time order, and its cloud. Each call reads the bag anew.

    The topic of images is the one that ends in ``color/image_raw`` or its ``/compressed``, else the only colour topic;
    ``color`` and ``cloud`` name others. Raises BadInput as ``Bag`` does, and here when there is no such topic.
    """

    path: Path
    color: str = ""
    cloud_topic: str = ""
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        self.name = self.path.resolve().name.removesuffix(self.path.suffix if self.path.is_file() else "")
        self._bag = Bag(self.path)
        self._types = self._bag.types()
        self.color = self._topic(self.color, (IMAGE, JPEG), (COLOR, f"{COLOR}/compressed"))
        self.cloud_topic = self._topic(self.cloud_topic, (CLOUD,), (CLOUDS,))
        if not self.color and not self.cloud_topic:
            there = ", ".join(topic.name for topic in self._bag.topics)
            sought = f"no topic '{COLOR}' or '{CLOUDS}'"
            raise BadInput(f"{self.path}: {sought}; it holds {there}; name one (--color, --cloud)")

    def __len__(self) -> int:
        """Number of colour images."""
        return sum(raw.topic == self.color for raw in self._bag.raw())

    def frames(self, chosen: set[int] | None = None) -> Iterator[Frame]:
        """Colour images, named by their number from 0; ``chosen`` are the numbers wanted, None for all."""
        index = 0
        for topic, message in self._messages(self.color):
            if chosen is None or index in chosen:
                yield Frame(self._rgb(topic, message), stamp_ns=_stamp(message), name=str(index))
            index += 1

    def cloud(self) -> Cloud | None:
        """The last cloud of the bag, else one fused from depth with poses and intrinsics; None without those."""
        if not self.cloud_topic:
            return self._fused()
        last = None
        for raw in self._bag.raw():
            last = raw if raw.topic == self.cloud_topic else last
        return None if last is None else read_cloud(self._types.deserialize_cdr(last.data, last.msgtype))

    def _fused(self) -> Cloud | None:
        kinds = {"depth": ((IMAGE,), DEPTH), "pose": ((POSE,), POSES), "camera": ((INFO,), CAMERA)}
        topics = {self._topic("", types, (end,), sole=False): name for name, (types, end) in kinds.items()}
        if "" in topics or not self.color:
            return None
        topics[self.color] = "color"
        voxels, sync = VoxelMap(), Synchronizer(("color", "depth", "pose", "camera"), _TOLERANCE_NS)
        for topic, message in self._messages(*topics):
            if (view := sync.add(topics[topic], _stamp(message), message)) is not None:
                voxels.add(self._view(**view))
        return voxels.cloud() if len(voxels) else None

    def _view(self, color: object, depth: object, pose: object, camera: object) -> Frame:
        fx, fy, cx, cy = (float(camera.k[i]) for i in (0, 4, 2, 5))
        at, turn = pose.pose.position, pose.pose.orientation
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = quaternion_to_matrix(np.array([turn.x, turn.y, turn.z, turn.w]))
        world_from_camera[:3, 3] = at.x, at.y, at.z
        rgb, depth_m = self._rgb(self.color, color), read_depth(depth)
        pinhole = Camera(fx, fy, cx, cy, int(camera.width), int(camera.height))
        return Frame(rgb, pinhole, depth_m, world_from_camera, _stamp(color))

    def _rgb(self, topic: str, message: object) -> UInt8[np.ndarray, "H W 3"]:
        try:
            return read_color(message)
        except BadInput as error:
            raise BadInput(f"{self.path}, {topic}: {error}") from error

    def _messages(self, *topics: str) -> Iterator[tuple[str, object]]:
        for raw in self._bag.raw():
            if raw.topic in topics:
                yield raw.topic, self._types.deserialize_cdr(raw.data, raw.msgtype)

    def _topic(self, named: str, types: tuple[str, ...], ends: tuple[str, ...], sole: bool = True) -> str:
        """The topic of that name, or one with such an end, or the only one of the types; empty where none is."""
        there = [topic.name for topic in self._bag.topics if topic.msgtype in types]
        if named:
            if named not in there:
                kinds = " or ".join(types)
                raise BadInput(f"{self.path}: no topic '{named}' of {kinds}; there are {', '.join(there) or 'none'}")
            return named
        plain = [name for name in there if "ground_truth" not in name and "semantic" not in name]
        for end in ends:
            if fits := [name for name in plain if f"/{name}".endswith(f"/{end}")]:
                return fits[0]
        plain = [name for name in plain if "depth" not in name]
        return plain[0] if sole and len(plain) == 1 else ""


def read_color(message: object) -> UInt8[np.ndarray, "H W 3"]:
    """An Image (rgb8 bgr8 rgba8 bgra8 mono8) or CompressedImage as RGB. Raises BadInput for any other."""
    if not hasattr(message, "encoding"):
        try:
            return np.array(Image.open(io.BytesIO(bytes(message.data))).convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise BadInput(f"{len(message.data)} bytes that do not decode ({error}); wanted a JPEG or PNG") from error
    if message.encoding not in _COLORS:
        raise BadInput(f"encoding '{message.encoding}'; wanted one of {', '.join(_COLORS)}")
    channels, order = _COLORS[message.encoding]
    return np.ascontiguousarray(_pixels(message, "u1", channels)[..., order])


def read_depth(message: object) -> Float32[np.ndarray, "H W"]:
    """A depth Image in metres, 0 where missing; the unit follows from the encoding. Raises BadInput for others."""
    if message.encoding not in _DEPTHS:
        raise BadInput(f"depth encoding '{message.encoding}'; wanted one of {', '.join(_DEPTHS)}")
    kind, steps_a_metre = _DEPTHS[message.encoding]
    depth_m = _pixels(message, kind, 1)[..., 0].astype(np.float32) / np.float32(steps_a_metre)
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = 0
    return depth_m


def read_cloud(message: object) -> Cloud:
    """The finite points of a PointCloud2 with their colours (``rgb`` or ``rgba``), any order of fields and padding."""
    fields = {item.name: item for item in message.fields}
    if missing := [name for name in "xyz" if name not in fields]:
        raise BadInput(f"a cloud with fields {', '.join(fields)} lacks {', '.join(missing)}")
    order, color = ">" if message.is_bigendian else "<", fields.get("rgb") or fields.get("rgba")
    names = {name: (order + _NUMBERS[fields[name].datatype], fields[name].offset) for name in "xyz"}
    if color is not None:
        names["color"] = (order + "u4", color.offset)
    formats, offsets = zip(*names.values(), strict=True)
    dtype = np.dtype(dict(names=list(names), formats=formats, offsets=offsets, itemsize=message.point_step))
    strides = (message.row_step if message.height > 1 else 0, message.point_step)
    data = np.frombuffer(message.data, np.uint8)
    try:
        points = np.ndarray((message.height, message.width), dtype, data, strides=strides).reshape(-1)
    except (TypeError, ValueError) as error:
        size = f"{message.height} x {message.width} points"
        raise BadInput(f"a cloud of {len(data)} bytes for {size} ({error})") from error
    xyz = np.stack([points[name].astype(np.float32) for name in "xyz"], axis=1)
    finite = np.isfinite(xyz).all(axis=1)
    rgb = None
    if color is not None:
        word = points["color"][finite]
        rgb = np.stack([word >> 16 & 255, word >> 8 & 255, word & 255], axis=1).astype(np.uint8)
    return Cloud(xyz[finite], rgb, _stamp(message))


def _pixels(message: object, kind: str, channels: int) -> np.ndarray:
    """A view (H, W, C) of the image, row padding left out."""
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    shape, data = (message.height, message.width, channels), np.frombuffer(message.data, np.uint8)
    try:
        return np.ndarray(shape, dtype, data, strides=(message.step, channels * dtype.itemsize, dtype.itemsize))
    except (TypeError, ValueError) as error:
        size = f"{message.width}x{message.height} pixels '{message.encoding}' with step {message.step}"
        raise BadInput(f"{len(data)} bytes for {size}; wanted step x height bytes") from error


def _stamp(message: object) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def is_bag(path: str | Path) -> bool:
    """Whether this is a bag by its looks: a file, or a folder with rosbag2's files."""
    path = Path(path)
    return path.is_file() or (path / "metadata.yaml").is_file() or any(any(path.glob(f"*{end}")) for end in SUFFIXES)
