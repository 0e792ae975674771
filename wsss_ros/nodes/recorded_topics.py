"""Topics of a recording as ROS sees them: their message class and their quality of service."""

import importlib

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from wsss_ros.bags.cdr import TF
from wsss_ros.bags.recording import Topic
from wsss_ros.nodes import tf_message


def message_class(msgtype: str) -> type:
    """The class of a message type such as ``sensor_msgs/msg/Image``.

    Raises ImportError or AttributeError where its package is not installed.
    """
    if msgtype == TF and (built := tf_message.message_class()) is not None:
        return built
    package, _, kind = msgtype.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


def quality(topic: Topic) -> QoSProfile:
    """The profile to publish or to record a topic with."""
    return QoSProfile(
        depth=topic.depth,
        reliability=ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
    )
