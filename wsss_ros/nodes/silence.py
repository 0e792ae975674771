"""Why an input is silent: who publishes it, with which type and QoS, and which other topics could be meant."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rclpy.node import NodeNameNonExistentError
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from wsss_ros.node_set import FURTHER_ARGUMENTS, TOPIC_ARGUMENTS
from wsss_ros.nodes.qos import describe
from wsss_ros.types import few_of

LABEL_IMAGES = "semantic/image_raw"
MOST_NAMED = 3  # topics or publishers in one sentence
# What a topic of our own results or of ground truth is called; these are not meant.
_OURS = re.compile(r"semantic|ground_truth|label|mask|recorded/")
_DEPTH = re.compile(r"depth|disparity")
_LABELS = re.compile(r"label|semantic|segment|mask")  # of label images of any model
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # what rmw calls a node whose publisher is discovered before its name
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class Publisher(NamedTuple):
    """A publisher of a topic."""

    node: str
    type: str
    qos: QoSProfile


class Graph:
    """What a node sees of the others."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def publishers(self, topic: str) -> list[Publisher]:
        """Publishers of a topic."""
        return [
            Publisher(_node_name(end), end.topic_type, end.qos_profile)
            for end in self._node.get_publishers_info_by_topic(topic)
        ]

    def published(self, kind: str) -> list[str]:
        """Names of the topics of this type that have publishers in other nodes."""
        own = self._node.get_fully_qualified_name()
        named = [topic for topic, kinds in self._node.get_topic_names_and_types() if kind in kinds]
        known = {topic for topic in named if any(each.node != own for each in self.publishers(topic))}
        return sorted(known | self._published_by_nodes(kind))

    def _published_by_nodes(self, kind: str) -> set[str]:
        """The same from each node. rclpy applies the remaps of this node to the name in ``publishers``, not here."""
        found: set[str] = set()
        for name, space in set(self._node.get_node_names_and_namespaces()):
            if (name, space) == (self._node.get_name(), self._node.get_namespace()):
                continue
            try:
                topics = self._node.get_publisher_names_and_types_by_node(name, space)
            except NodeNameNonExistentError:  # it has just ended
                continue
            found |= {topic for topic, kinds in topics if kind in kinds}
        return found


def _node_name(end: Any) -> str:
    if end.node_name == _UNKNOWN:
        return "a node without a known name"
    return f"{end.node_namespace.rstrip('/')}/{end.node_name}"


def type_name(kind: type) -> str:
    """Name of a message type, such as sensor_msgs/msg/Image."""
    package = "tf2_msgs" if getattr(kind, "raw", False) else kind.__module__.partition(".")[0]  # raw: see tf_message.py
    return f"{package}/msg/{kind.__name__}"


def reason(topic: str, name: str, kind: str, profiles: Sequence[QoSProfile], graph: Graph) -> str:
    """Why nothing comes on ``topic``, and what to do.

    ``name`` is the topic as the node calls it, before namespace and remaps; ``profiles`` have the QoS of its
    subscriptions.
    """
    publishers = graph.publishers(topic)
    if not publishers:
        return _other_topics(topic, name, kind, graph)
    fitting = [each for each in publishers if each.type == kind]
    if not fitting:
        return f"{_names(each.node for each in publishers)} publishes {publishers[0].type} there, expected {kind}"
    reasons = [_incompatible(each, profiles) for each in fitting]
    if all(reasons):
        return f"{reasons[0]}; set {_fitting_override(topic, fitting[0].qos)}"
    offers = _names(f"{each.node} ({describe(each.qos)})" for each in fitting)
    return f"published by {offers}: does it run, and does every process load the DDS profile config/fastdds.xml?"


def similar(name: str, topics: Iterable[str]) -> list[str]:
    """Those topics that could be meant by ``name``, the nearest first: depth for depth, colour for colour."""
    if name.endswith(LABEL_IMAGES):
        return [topic for topic in topics if _LABELS.search(topic) and "color" not in topic][:MOST_NAMED]
    kind = "depth" if "depth" in name else "color" if "color" in name else ""
    fitting = [topic for topic in topics if not _OURS.search(topic) and _is_kind(kind, topic)]
    return sorted(fitting, key=lambda topic: -difflib.SequenceMatcher(None, name, topic).ratio())[:MOST_NAMED]


def _is_kind(kind: str, topic: str) -> bool:
    if kind == "depth":
        return bool(_DEPTH.search(topic))
    if kind == "color":
        return not _DEPTH.search(topic) and "infra" not in topic
    return True


def _other_topics(topic: str, name: str, kind: str, graph: Graph) -> str:
    others = similar(name, (other for other in _published(kind, graph) if other != topic))
    if not others:
        return f"nobody publishes it, nor another topic of its type ({kind}); start its source"
    argument = (FURTHER_ARGUMENTS if name == LABEL_IMAGES else TOPIC_ARGUMENTS).get(name)
    remap = f"{argument}:={others[0]}" if argument else f"--ros-args -r {name}:={others[0]}"
    has = "has a publisher" if len(others) == 1 else "have publishers"
    return f"nobody publishes it; {_names(others)} {has}: remap with {remap}"


def _published(kind: str, graph: Graph) -> list[str]:
    """Topics of this type; of images also those that are published in another transport only."""
    topics = graph.published(kind)
    if kind == _IMAGE:
        topics += [topic.rpartition("/")[0] for topic in graph.published(_COMPRESSED)]
    return sorted(set(topics))


def _incompatible(publisher: Publisher, profiles: Sequence[QoSProfile]) -> str:
    """Why the QoS of a publisher fits none of the subscriptions; empty where it fits one."""
    why = ""
    for profile in profiles:
        compatibility, why = qos_check_compatible(publisher.qos, profile)
        if compatibility != QoSCompatibility.ERROR:
            return ""
    if not profiles:
        return ""
    offered, asked = describe(publisher.qos), describe(profiles[0])
    return f"the QoS of {publisher.node} ({offered}) does not fit what is asked for ({asked}; {_plain(why)})"


def _fitting_override(topic: str, offered: QoSProfile) -> str:
    """The parameters of the node with which its subscription takes what is offered."""
    policies = {"reliability": offered.reliability.name.lower(), "durability": offered.durability.name.lower()}
    weak = {name: value for name, value in policies.items() if value in ("best_effort", "volatile")}
    return " and ".join(f"qos_overrides.{topic}.subscription.{name}:={value}" for name, value in weak.items())


def _plain(why: str) -> str:
    return why.replace("ERROR: ", "").strip(" ;").lower()


def _names(names: Iterable[str]) -> str:
    return few_of(names, MOST_NAMED)
