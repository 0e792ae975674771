"""The image segmenter as a process that reads /tf and /tf_static on real DDS, as they are published by a robot."""

import time

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from support.node_views import RELIABLE, answered, has_answer, send  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CAMERA, CLOCK, depths, view  # noqa: E402

from wsss_ros.bags import cdr, cloud_codec  # noqa: E402
from wsss_ros.bags.cdr import TF, typestore  # noqa: E402
from wsss_ros.geometry import unproject  # noqa: E402
from wsss_ros.nodes.recorded_topics import message_class  # noqa: E402

pytestmark = pytest.mark.slow
STATIC = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HALF_NS = 50_000_000  # TF comes half way between the images
OPTICAL = np.array([[0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1.0]])


def moved(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def x_at(stamp_ns: int) -> float:
    """The robot drives 1 m/s."""
    return stamp_ns / 1e9 - 1000


class Robot:
    """Publishes TF as a robot does; ``kind`` is the type of TF that this machine has."""

    def __init__(self, node) -> None:
        kind = message_class(TF)
        self._moving = node.create_publisher(kind, "/tf", 100)
        self._still = node.create_publisher(kind, "/tf_static", STATIC)
        self.publish(self._still, 0, "base", "camera_optical", OPTICAL)

    def publish(self, publisher, stamp_ns: int, parent: str, child: str, pose: np.ndarray) -> None:
        message = cdr.tf_message(cdr.header(stamp_ns, parent), child, pose)
        publisher.publish(bytes(typestore().serialize_cdr(message, TF)))

    def drive(self, stamp_ns: int, *edges: tuple[str, str]) -> None:
        for parent, child in edges:
            x = x_at(stamp_ns) if child == "base" else 5.0
            self.publish(self._moving, stamp_ns, parent, child, moved(x))

    def is_heard(self) -> bool:
        return self._moving.get_subscription_count() > 0 and self._still.get_subscription_count() > 0


@pytest.fixture(scope="module")
def robot(probe) -> Robot:
    return Robot(probe.node)


def without_pose(stamp: int) -> dict:
    return {topic: message for topic, message in view(stamp).items() if topic != "pose"}


@pytest.fixture(scope="module")
def points(probe, started, weights, robot):
    """The segmenter and its points. ``auto`` chooses TF: the topic pose has no publisher."""
    segmenter = started("image_segmenter", weights=weights["image"], sensor_timeout_s=1.0, **ON_ONE_THREAD)
    got = probe.collect(PointCloud2, segmenter.topic("semantic/points"), RELIABLE)

    def first_answer() -> bool:
        stamp = CLOCK.next()
        send(probe, segmenter, without_pose(stamp))
        for when in (stamp - HALF_NS, stamp + HALF_NS):
            robot.drive(when, ("map", "odom"), ("odom", "base"))
        time.sleep(0.2)
        return bool(got)

    until(first_answer, "never any points", lambda: len(got))
    assert robot.is_heard()
    return segmenter, got


def expected(stamp: int, x: float) -> np.ndarray:
    pose = moved(x) @ OPTICAL
    return unproject(depths(), CAMERA, pose, 2, 8.0)[0]


def xyz(message: PointCloud2) -> np.ndarray:
    found = np.frombuffer(message.data, cloud_codec.SEMANTIC_POINT)
    return np.stack([found[name] for name in "xyz"], axis=1)


def test_points_lie_where_the_robot_was_at_the_stamp_of_the_image(probe, points, robot):
    segmenter, got = points
    edges = ("map", "odom"), ("odom", "base")
    stamp = CLOCK.next()
    robot.drive(stamp - HALF_NS, *edges)
    send(probe, segmenter, without_pose(stamp))
    robot.drive(stamp + HALF_NS, *edges)  # after the image: it waits for this one
    message = answered(got, stamp)
    assert message.header.frame_id == "map"
    np.testing.assert_allclose(xyz(message), expected(stamp, 5.0 + x_at(stamp)), atol=1e-4)
    assert probe.values(segmenter)["pose_source"] == "tf, map"


def test_an_image_without_its_transform_has_no_points_and_the_reason_is_reported(probe, points, robot):
    segmenter, got = points
    CLOCK.now_ns += 2 * 10**9
    stamp = CLOCK.next()

    def ask() -> None:
        send(probe, segmenter, without_pose(stamp))

    status = probe.next_status(segmenter, "no pose of 'camera_optical' from TF", act=ask)
    assert "asked for" in status.message or "extrapolation" in status.message
    assert not has_answer(got, stamp)
    assert "no pose of 'camera_optical' from TF, so no semantic/points" in segmenter.text
