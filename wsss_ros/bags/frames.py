"""A recorded bag as frames and a cloud, to segment it without playing it to the nodes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import CLOUD, IMAGE, INFO, JPEG, POSE
from wsss_ros.bags.cloud_codec import NUMBERS, read_cloud
from wsss_ros.bags.codec import camera_from_info, color_to_rgb, depth_to_m, pose_to_matrix, stamp_ns
from wsss_ros.scenes.derived import fused
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Cloud, Frame

# The last parts of the topic names, as the nodes use them. Colour and depth may also be compressed.
COLOR, DEPTH, CAMERA, POSES, CLOUDS = "color/image_raw", "depth/image_rect", "color/camera_info", "pose", "cloud"
COMPRESSED, COMPRESSED_DEPTH = "/compressed", "/compressedDepth"  # the ends that image_transport gives such topics
_TOLERANCE_NS = 20_000_000


def _color(message: Any) -> UInt8[np.ndarray, "H W 3"]:
    return np.require(color_to_rgb(message), requirements="W")  # torch warns about read-only arrays


# The function that reads each field of a ``Frame`` from its message.
_READERS: dict[str, Callable[[Any], Any]] = {
    "rgb": _color,
    "depth_m": partial(depth_to_m, as_on_disk=True),
    "world_from_camera": lambda message: pose_to_matrix(message.pose),
    "camera": camera_from_info,
}


@dataclass
class BagFrames:
    """The colour images of a bag, in time order, and its cloud. Each call reads the bag again.

    The topic of the images ends in ``color/image_raw`` or ``color/image_raw/compressed``, else it is the only colour
    topic. ``color`` and ``cloud_topic`` select other topics. Raises BadInput as ``Bag`` does, and when the bag has
    neither images nor a cloud.
    """

    path: Path
    color: str = ""
    cloud_topic: str = ""
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Open the bag and find the topics."""
        self.path = Path(self.path)
        self.name = self.path.resolve().name.removesuffix(self.path.suffix if self.path.is_file() else "")
        self._bag = Bag(self.path)
        self._types = self._bag.types()
        self.color = self._topic(self.color, (IMAGE, JPEG), (COLOR, COLOR + COMPRESSED))
        self.cloud_topic = self._topic(self.cloud_topic, (CLOUD,), (CLOUDS,))
        if not self.color and not self.cloud_topic:
            there = ", ".join(topic.name for topic in self._bag.topics)
            sought = f"no topic '{COLOR}' or '{CLOUDS}'"
            raise BadInput(f"{self.path}: {sought}; it holds {there}; name one (--color, --cloud)")

    def __len__(self) -> int:
        """Number of colour images."""
        return sum(raw.topic == self.color for raw in self._bag.raw())

    def frames(self, chosen: set[int] | None = None) -> Iterator[Frame]:
        """The colour images as frames, named by their number from 0; ``chosen`` are the numbers to read, None for all.

        Raises BadInput naming bag and topic for an image that cannot be read.
        """
        for index, (topic, message) in enumerate(self._messages(self.color)):
            if chosen is None or index in chosen:
                rgb = self._read(topic, _color, message)
                yield Frame(rgb, stamp_ns=stamp_ns(message.header), name=str(index))

    def cloud(self) -> Cloud | None:
        """The last cloud of the bag, else a cloud fused from depth, poses and intrinsics; None without both.

        Raises BadInput naming bag and topic for a message that cannot be read.
        """
        if not self.cloud_topic:
            return self._fused()
        last = None
        for raw in self._bag.raw():
            last = raw if raw.topic == self.cloud_topic else last
        if last is None:
            return None
        message = self._types.deserialize_cdr(last.data, last.msgtype)
        return self._read(last.topic, partial(read_cloud, positions=NUMBERS), message).cloud

    def _fused(self) -> Cloud | None:
        topics = {
            "rgb": self.color,
            "depth_m": self._topic(
                "", (IMAGE, JPEG), (DEPTH, DEPTH + COMPRESSED_DEPTH, DEPTH + COMPRESSED), sole=False
            ),
            "world_from_camera": self._topic("", (POSE,), (POSES,), sole=False),
            "camera": self._topic("", (INFO,), (CAMERA,), sole=False),
        }
        if not all(topics.values()):
            return None
        cloud = fused(self._views(topics))
        return cloud if len(cloud) else None

    def _views(self, topics: dict[str, str]) -> Iterator[Frame]:
        """The frames with depth, camera and pose; ``topics`` are the topics by field of ``Frame``."""
        parts = {topic: part for part, topic in topics.items()}
        sync = Synchronizer(tuple(topics), _TOLERANCE_NS)
        for topic, message in self._messages(*parts):
            if (view := sync.add(parts[topic], stamp_ns(message.header), message)) is not None:
                read = {part: self._read(topics[part], _READERS[part], found) for part, found in view.items()}
                yield Frame(**read, stamp_ns=stamp_ns(view["rgb"].header))

    def _read(self, topic: str, read: Callable[[Any], Any], message: object) -> Any:
        try:
            return read(message)
        except BadInput as error:
            raise BadInput(f"{self.path}, {topic}: {error}") from error

    def _messages(self, *topics: str) -> Iterator[tuple[str, Any]]:
        for raw in self._bag.raw():
            if raw.topic in topics:
                yield raw.topic, self._types.deserialize_cdr(raw.data, raw.msgtype)

    def _topic(self, named: str, types: tuple[str, ...], ends: tuple[str, ...], sole: bool = True) -> str:
        """The topic ``named``, else one whose name ends in ``ends``, else (with ``sole``) the only one of the types.

        Empty without such a topic. Raises BadInput when ``named`` is not in the bag.
        """
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
        plain = sorted((name for name in plain if "depth" not in name.lower()), key=len)  # raw before compressed
        bases = {name.removesuffix(COMPRESSED) for name in plain}
        return plain[0] if sole and len(bases) == 1 else ""
