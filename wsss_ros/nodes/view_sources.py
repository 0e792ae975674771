"""Poses of the camera as messages of the topic ``pose``, and what the sources of a view have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float64

from wsss_ros.bags import codec
from wsss_ros.bags.cdr import POSE
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import SMALL_SENSOR
from wsss_ros.nodes.ros_packages import quaternion_to_matrix


class Pose(NamedTuple):
    """A pose of the camera, and the frame of the world that it is in."""

    frame_id: str
    world_from_camera: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Need:
    """What cannot be made without a part (``purpose``), and whether its silence matters now."""

    purpose: str
    now: Callable[[], bool] = lambda: True


def poses_published(node: Node, topic: str) -> bool:
    """Whether a topic has a publisher of PoseStamped. slam_toolbox publishes PoseWithCovarianceStamped on ``/pose``."""
    return any(end.topic_type == POSE for end in node.get_publishers_info_by_topic(topic))


class PoseTopic:
    """Poses of the topic ``pose``; only those in ``frame_id``, where it is not empty."""

    def __init__(self, node: Node, frame_id: str = "") -> None:
        self._node, self._frame_id = node, frame_id

    def start(self, put: Callable[[int, Pose], None], need: Need) -> None:
        """Subscribe until the node is deactivated. ``put(stamp_ns, pose)`` is called with each pose that is sound."""

        def on_pose(message: PoseStamped) -> None:
            matrix = codec.stamped_pose_to_matrix(message, self._frame_id, quaternion_to_matrix)
            put(codec.stamp_ns(message.header), Pose(message.header.frame_id.removeprefix("/"), matrix))

        self._node.subscribe(PoseStamped, "pose", on_pose, SMALL_SENSOR, need.purpose, need.now)
