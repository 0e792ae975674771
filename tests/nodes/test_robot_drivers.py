"""The image segmenter on what the drivers of robots publish: its semantic cloud is as good as on our own bags."""

import contextlib
import os
import threading

import numpy as np
import pytest
from support.waiting import HANG_S, until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from support.robot_drivers import (  # noqa: E402
    DRIVERS,
    FAR_M,
    OWN,
    VIEWS,
    ColorNetwork,
    Driver,
    DriverRoom,
    messages,
)

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.geometry import quarter_turns  # noqa: E402
from wsss_ros.nodes import tf_message  # noqa: E402
from wsss_ros.nodes.image_segmenter import ImageSegmenterNode  # noqa: E402

RELIABLE = QoSProfile(depth=100)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ColorSegmenterNode(ImageSegmenterNode):
    """The node with a network that labels by colour."""

    def __init__(self, network: ColorNetwork, **options) -> None:
        self._network = network
        super().__init__(**options)

    def load(self, weights, labels):
        return self._network

    def dry_run(self, segmenter):
        return np.zeros((4, 4), np.uint8), np.ones((4, 4), np.float32)


class Robot:
    """A driver and the node, in one process on real DDS."""

    def __init__(self, driver: Driver, room: DriverRoom, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        options = [part for key, value in driver.parameters.items() for part in ("-p", f"{key}:={value}")]
        space = f"/{''.join(filter(str.isalnum, driver.name))}"
        remaps = ["-r", f"__ns:={space}", "-r", f"color/image_raw:={driver.color_topic}"]
        arguments = ["--ros-args", *remaps, *options, "-p", f"max_depth_m:={FAR_M}"]
        self.segmenter = ColorSegmenterNode(ColorNetwork(room), context=self.context, cli_args=arguments)
        self.driver = rclpy.create_node("driver", namespace=space, context=self.context)
        self.clouds: list[PointCloud2] = []
        self.driver.create_subscription(PointCloud2, "semantic/points", self.clouds.append, RELIABLE)
        self._publishers: dict = {}
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.segmenter, self.driver):
            self.executor.add_node(node)
        self.segmenter.start()
        self._ended = False
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        while not self._ended:
            self.executor.spin_once(timeout_sec=0.1)

    def publish(self, topic: str, message) -> None:
        """Publish a message, TF as bytes."""
        if topic not in self._publishers:
            kind = tf_message.message_class() if isinstance(message, bytes) else type(message)
            qos = LATCHED if topic == "/tf_static" else RELIABLE
            self._publishers[topic] = self.driver.create_publisher(kind, topic, qos)
        self._publishers[topic].publish(message)

    def close(self) -> None:
        self._ended = True
        self.thread.join(HANG_S)
        self.segmenter.close()
        for node in (self.segmenter, self.driver):
            node.destroy_node()
        rclpy.shutdown(context=self.context)


def play(driver: Driver, room: DriverRoom, domain: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and labels of all semantic clouds. The first view is sent until the node answers: it has to find all."""
    robot = Robot(driver, room, domain)
    try:
        until(lambda: robot.segmenter.active and robot.segmenter.has_subscribers(robot.segmenter.points))
        views = list(messages(driver, room))
        for number, view in enumerate(views):
            expected = max(0, number + 1 - (len(views) - VIEWS - 1))

            def answered(view=view, expected=expected) -> bool:
                for topic, message in view:
                    robot.publish(topic, message)
                with contextlib.suppress(AssertionError):
                    until(lambda: stamps(robot) >= expected, hang_s=0.5)
                return stamps(robot) >= expected

            until(answered, lambda: f"{driver.name}: no points; {robot.segmenter.status()}")
        latest = {codec.stamp_ns(cloud.header): cloud for cloud in robot.clouds}
        del latest[min(latest)]
        assert len(latest) == VIEWS
        assert {cloud.header.frame_id for cloud in latest.values()} == {"map"}
    finally:
        robot.close()
    points = [np.frombuffer(latest[stamp].data, cloud_codec.SEMANTIC_POINT) for stamp in sorted(latest)]
    xyz = [np.column_stack([each["x"], each["y"], each["z"]]) for each in points]
    return np.concatenate(xyz), np.concatenate([each["label"] for each in points]).astype(np.uint8)


def stamps(robot: Robot) -> int:
    return len({codec.stamp_ns(cloud.header) for cloud in robot.clouds})


@pytest.fixture(scope="module")
def room(labels) -> DriverRoom:
    return DriverRoom(labels)


@pytest.fixture(scope="module")
def domain(shared_ros_environment):
    before = dict(os.environ)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    yield int(shared_ros_environment["ROS_DOMAIN_ID"])
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def own(room, domain) -> tuple[float, int]:
    """The mIoU and the number of points of our own bag's conventions."""
    xyz, labels = play(OWN, room, domain)
    return room.score(xyz[::5], labels[::5]), len(xyz)


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_the_semantic_cloud_of_a_driver_is_as_good_as_that_of_our_own_bags(room, domain, own, driver):
    assert quarter_turns(room.pose(0, driver.turns)) == driver.turns
    xyz, labels = play(driver, room, domain)
    miou = room.score(xyz[::5], labels[::5])
    print(f"{driver.name}: mIoU {miou:.2f}, own bag {own[0]:.2f}; {len(xyz)} points, own bag {own[1]}")
    if driver.depth is None and driver.color.distortion is None:
        np.testing.assert_allclose(xyz, driver.points(room), atol=0.001)  # depth in whole millimetres
    assert own[0] > 95
    assert miou >= own[0] - 1
    assert len(xyz) > 0.8 * own[1]
