"""Images of one topic in the transport that has a publisher: raw, compressed or compressedDepth.

Names and types are those of the ROS package image_transport: a topic TOPIC has its compressed images on
TOPIC/compressed, and compressed depth on TOPIC/compressedDepth.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import Field
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from wsss_ros.bags import codec
from wsss_ros.nodes.inputs import Input
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig

CHECK_S = 0.5  # between two looks at the publishers
SILENT_S = 2.0  # a publisher that sends nothing for longer loses to another one that sends
PROOF = 3  # so many images of another transport, and none of the one in use, are enough
COLOR, DEPTH = ("raw", "compressed"), ("raw", "compressedDepth", "compressed")  # the first that has a publisher wins
_REMEMBERED = 8  # stamps of the previous transport


class DepthTransportConfig(NodeConfig):
    """Parameters of nodes that take depth images."""

    depth_transport: Literal["auto", "raw", "compressedDepth", "compressed"] = Field(
        "auto", description="Transport of the depth images; auto: the first that has a publisher, unless it is silent."
    )


class TransportConfig(DepthTransportConfig):
    """Parameters of nodes that take images."""

    transport: Literal["auto", "raw", "compressed"] = Field(
        "auto", description="Transport of the colour images; auto: the first that has a publisher, unless it is silent."
    )


class Way(NamedTuple):
    """One way to get the images: a topic, as it is given to ``subscribe``, and the class of its messages."""

    topic: str
    kind: type
    full_name: str


class ImageTransport:
    """The images of ``topic``, each once. ``codec.color_to_rgb`` and ``codec.depth_to_m`` read what it puts.

    ``transport`` is one of ``known``, or auto: the first of ``known`` that has a publisher. A publisher that appears or
    vanishes later is followed. One that is silent loses to another one that sends; it is tried again once it has been
    gone or has a new publisher. Where only transports have publishers that cannot be read, the node reports which, and
    what to do.
    """

    def __init__(self, node: Node, topic: str, transport: str, qos: QoSProfile, known: tuple[str, ...] = COLOR) -> None:
        self._node, self._topic, self._transport, self._qos, self._known = node, topic, transport, qos, known
        self._base = node.resolve_topic_name(topic)
        self._ways = self._possible_ways()
        self._way: Way | None = None
        self._record: Input | None = None
        self._trials: dict[Way, Input] = {}  # of other transports, while the one in use is silent
        self._silent: dict[Way, frozenset] = {}  # their publishers when they were silent
        self._reported = ""
        self._put_stamps: deque[int] = deque(maxlen=_REMEMBERED)
        self._stamps_before: set[int] = set()

    def start(self, put: Callable[[Any], None], need: Any) -> None:
        """Subscribe until the node is deactivated. ``put(message)`` is called with each message.

        ``need.purpose`` is what cannot be made without the images, ``need.now()`` whether their silence matters.
        """
        self._put, self._need = put, need
        self._follow()
        self._timer = self._node.every(CHECK_S, self._follow)

    def stop(self) -> None:
        """Unsubscribe before the node is deactivated, for good."""
        self._node.destroy_timer(self._timer)
        self._end_trials()
        if self._record is not None:
            self._node.unsubscribe(self._record)
            self._record = None

    # --- topics ---

    def _possible_ways(self) -> list[Way]:
        names = self._known if self._transport == "auto" else (self._transport,)
        ways = [self._way_of(name) for name in names]
        if self._transport != "raw":  # a topic of compressed images that the user remapped to
            ways.append(Way(self._topic, CompressedImage, self._base))
        return ways

    def _way_of(self, transport: str) -> Way:
        if transport == "raw":
            return Way(self._topic, Image, self._base)
        own = f"{self._topic}/{transport}"
        name, expanded = (self._node.resolve_topic_name(own, only_expand=only) for only in (False, True))
        if name != expanded:  # remapped by itself
            return Way(own, CompressedImage, name)
        return Way(f"{self._base}/{transport}", CompressedImage, f"{self._base}/{transport}")

    def _publishers(self, way: Way) -> frozenset[tuple[int, ...]]:
        """The identities of the publishers of a way."""
        expected = f"sensor_msgs/msg/{way.kind.__name__}"
        ends = self._node.get_publishers_info_by_topic(way.full_name)
        return frozenset(tuple(each.endpoint_gid) for each in ends if each.topic_type == expected)

    # --- following ---

    def _follow(self) -> None:
        publishers = {way: found for way in self._ways if (found := self._publishers(way))}
        published = list(publishers)
        self._silent = {way: old for way, old in self._silent.items() if way in publishers and publishers[way] <= old}
        sending = [way for way in published if way not in self._silent]
        chosen = (*sending, *published, self._way or self._ways[0])[0]
        if chosen != self._way:
            self._switch(chosen)
        if not published:
            self._report_unreadable()
            return
        self._reported = ""
        self._try_others([way for way in published if way != self._way])

    # --- publishers that are silent ---

    def _try_others(self, others: list[Way]) -> None:
        """Listen to the other transports while the one in use is silent."""
        if not others or time.monotonic() - self._record.since <= SILENT_S:
            self._end_trials()
            return
        for way in set(others) - set(self._trials):
            record = self._node.subscribe(
                way.kind, way.topic, partial(self._tried, way), self._qos, self._need.purpose, lambda: False
            )
            self._trials[way] = record

    def _tried(self, way: Way, message: Any) -> None:
        """Take the other transport once it has sent some images, and the one in use none."""
        silent_s = time.monotonic() - self._record.since
        if way not in self._trials or silent_s <= SILENT_S or self._trials[way].received < PROOF:
            return
        text = f"{self._way.full_name} has a publisher that sends nothing for {silent_s:.0f} s"
        text += f"; {way.full_name} sends, so the images are taken from there"
        self._silent[self._way] = self._publishers(self._way)
        self._silent.pop(way, None)
        self._end_trials()
        self._switch(way)
        self._node.report_problem(f"silent {self._base}", text)
        self._receive(message)

    def _end_trials(self) -> None:
        while self._trials:
            self._node.unsubscribe(self._trials.popitem()[1])

    def _switch(self, way: Way) -> None:
        if self._record is not None:
            self._node.unsubscribe(self._record)
            self._node.get_logger().info(f"{self._base}: the images come on {way.full_name} now")
            self._stamps_before = set(self._put_stamps)
        self._way = way
        need = self._need
        self._record = self._node.subscribe(way.kind, way.topic, self._receive, self._qos, need.purpose, need.now)

    def _receive(self, message: Any) -> None:
        stamp_ns = codec.stamp_ns(message.header)
        if stamp_ns in self._stamps_before:  # it came in the previous transport
            self._stamps_before.discard(stamp_ns)
            return
        self._put_stamps.append(stamp_ns)
        self._put(message)

    # --- what cannot be read ---

    def _report_unreadable(self) -> None:
        others = self._others()
        if not others:
            return
        text = f"{self._base}: {advice(self._base, others, self._known, self._transport)}"
        self._record.problem = text
        if text != self._reported:
            self._reported = text
            self._node.report_problem(f"transport of {self._base}", text)

    def _others(self) -> list[str]:
        """The transports of the base topic that have publishers; ``raw`` for the topic itself."""
        found = []
        for name, _ in self._node.get_topic_names_and_types():
            child = name.removeprefix(f"{self._base}/")
            if (name == self._base or (child != name and "/" not in child)) and self._node.count_publishers(name):
                found.append("raw" if name == self._base else child)
        return found


def without_transport(topic: str) -> str:
    """The base name of a topic of images: without the end of its transport, where it has one."""
    base, _, end = topic.rpartition("/")
    return base if base and end in (*COLOR, *DEPTH) and end != "raw" else topic


def advice(base: str, others: list[str], known: tuple[str, ...], chosen: str) -> str:
    """What to do where only the transports ``others`` of the topic ``base`` have publishers."""
    readable = [name for name in others if name in known]
    if readable and chosen != "auto":
        return f"transport '{chosen}' is set, and only {', '.join(others)} has a publisher; set it to auto"
    first = next((name for name in others if name != "raw"), "raw")
    if first == "raw":
        return "its publishers have another type than sensor_msgs/msg/Image; remap to a topic of images"
    return (
        f"only its transport {', '.join(others)} has a publisher, and this node cannot read it; publish "
        f"{' or '.join(known)}, or run: ros2 run image_transport republish --ros-args -p in_transport:={first} "
        f"-p out_transport:=raw -r in/{first}:={base}/{first} -r out:={base}"
    )
