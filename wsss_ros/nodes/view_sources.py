"""Where the parts of a view come from: colour images, depth images, calibrations, poses.

``view_inputs.py`` starts one source of each part and matches what they put. A source subscribes until the node is
deactivated, and puts each part from the executor's thread. A part that cannot be used raises BadInput there: the node
counts and reports it, and goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float64
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from wsss_ros.bags import codec
from wsss_ros.nodes import transport
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import COMPANION, SMALL_SENSOR
from wsss_ros.nodes.transport import ImageTransport, TransportConfig


class Pose(NamedTuple):
    """A pose of the camera, and the frame of the world that it is in."""

    frame_id: str
    world_from_camera: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Need:
    """What cannot be made without a part (``purpose``), and whether its silence matters now."""

    purpose: str
    now: Callable[[], bool] = lambda: True


@runtime_checkable
class MessageSource(Protocol):
    """Colour or depth images, or calibrations. A transport or a choice among topics is hidden behind it."""

    def start(self, put: Callable[[Any], None], need: Need) -> None:
        """Subscribe. ``put(message)`` is called with each message, from the executor's thread."""


@runtime_checkable
class PoseSource(Protocol):
    """Poses of the camera: a topic, or lookups of TF."""

    def start(self, put: Callable[[int, Pose], None], need: Need) -> None:
        """Subscribe. ``put(stamp_ns, pose)`` is called with each pose, from the executor's thread."""

    def expect(self, stamp_ns: int, camera_frame: str) -> None:
        """A colour image has come; ``camera_frame`` is the frame_id of its header.

        A source of lookups puts the pose of exactly this stamp, at once or when it is known. It drops the request, and
        reports why, where the pose cannot come any more. A topic does nothing: its poses come anyway.
        """


class TopicSource:
    """The messages of one topic."""

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile) -> None:
        self._node, self._kind, self._topic, self._qos = node, kind, topic, qos

    def start(self, put: Callable[[Any], None], need: Need) -> None:
        """Subscribe to the topic."""
        self._node.subscribe(self._kind, self._topic, put, self._qos, need.purpose, need.now)


class PoseTopic:
    """Poses of the topic ``pose``; only those in ``frame_id``, where it is not empty."""

    def __init__(self, node: Node, frame_id: str = "") -> None:
        self._node, self._frame_id = node, frame_id

    def start(self, put: Callable[[int, Pose], None], need: Need) -> None:
        """Subscribe to the topic."""

        def on_pose(message: PoseStamped) -> None:
            matrix = codec.stamped_pose_to_matrix(message, self._frame_id)
            put(codec.stamp_ns(message.header), Pose(message.header.frame_id, matrix))

        self._node.subscribe(PoseStamped, "pose", on_pose, SMALL_SENSOR, need.purpose, need.now)

    def expect(self, stamp_ns: int, camera_frame: str) -> None:
        """Nothing: poses come by themselves."""


def color_source(node: Node, config: TransportConfig, qos: QoSProfile) -> MessageSource:
    """Colour images. ``codec.color_to_rgb`` reads what it puts."""
    return ImageTransport(node, "color/image_raw", config.transport, qos)


def depth_source(node: Node, config: TransportConfig) -> MessageSource:
    """Depth images. ``codec.depth_to_m`` reads what it puts."""
    return ImageTransport(node, "depth/image_rect", config.depth_transport, COMPANION, transport.DEPTH)


def calibration_source(node: Node) -> MessageSource:
    """Calibrations of the colour camera."""
    return TopicSource(node, CameraInfo, "color/camera_info", SMALL_SENSOR)
