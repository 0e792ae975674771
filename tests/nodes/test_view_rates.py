"""The image segmenter on real DDS, driven faster than its network: every semantic image has its points."""

import os
import time

import numpy as np
import pytest
import torch
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402
from support.node_views import BEST_EFFORT  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CLOCK, header, pose  # noqa: E402

from wsss_ros.bags import cdr, cloud_codec, codec  # noqa: E402
from wsss_ros.bags.cdr import TF, typestore  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.recorded_topics import message_class  # noqa: E402

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 320, 240
IMAGES = 6  # semantic images that are enough
AHEAD = 25  # images that the camera may be ahead of the newest labelled one; all queues are longer
LOST_S = 1.0  # a camera that waits goes on after this time: the images on their way may be lost
ALL = QoSProfile(depth=100)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SHIFT_S = 0.37  # of the stamps of TF against those of the images, in times between two images


def kept() -> dict[str, object]:
    """Parameters with which DDS loses no message, however busy the machine is. Colour stays newest wins."""
    space = f"/image_segmenter_test_{os.getpid()}"
    taken = {"depth/image_rect": "subscription", "color/camera_info": "subscription", "pose": "subscription"}
    ends = taken | {"semantic/image_raw": "publisher", "semantic/points": "publisher"}
    values = {"reliability": "reliable", "history": "keep_last", "depth": ALL.depth}
    return {
        f"qos_overrides.{space}/{topic}.{end}.{policy}": value
        for topic, end in ends.items()
        for policy, value in values.items()
    }


@pytest.fixture(scope="module")
def slow(started, labels, tmp_path_factory) -> NodeProcess:
    """A segmenter whose network takes longer than the time between two images."""
    torch.manual_seed(0)
    config = checkpoint.NetworkConfig("image", "resnet", {"width": 1.0})
    weights = tmp_path_factory.mktemp("slow") / "image.safetensors"
    checkpoint.save(weights, config.build(labels), config, labels)
    # On a busy machine a transform may be late. At 60 Hz the pose of a neighbouring image would do by default.
    exact = {"tf_wait_s": 10.0, "sync_tolerance_s": 0.005}
    return started("image_segmenter", weights=weights, **exact, **ON_ONE_THREAD, **kept())


@pytest.fixture(scope="module")
def messages() -> dict:
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    info = CameraInfo(header=header(0, "c"), width=WIDTH, height=HEIGHT)
    info.k = [300.0, 0.0, 159.5, 0.0, 300.0, 119.5, 0.0, 0.0, 1.0]
    return {
        "color/image_raw": conversions.image_message(header(0, "c"), rgb, "rgb8"),
        "depth/image_rect": conversions.image_message(
            header(0, "c"), np.full((HEIGHT, WIDTH), 1500, np.uint16), "16UC1"
        ),
        "color/camera_info": info,
        "pose": pose(0),
    }


def qos_of(topic: str) -> QoSProfile:
    return BEST_EFFORT if topic == "color/image_raw" else ALL


class Robot:
    """TF of a robot that drives 1 m/s along x of the map; its camera has a place on it."""

    def __init__(self, node) -> None:
        kind = message_class(TF)
        self._moving = node.create_publisher(kind, "/tf", 100)
        self._still = node.create_publisher(kind, "/tf_static", LATCHED)
        self._publish(self._still, 0, "base", "c", 0.0)

    def _publish(self, publisher, stamp_ns: int, parent: str, child: str, x: float) -> None:
        pose = np.eye(4)
        pose[0, 3] = x
        message = cdr.tf_message(cdr.header(stamp_ns, parent), child, pose)
        publisher.publish(bytes(typestore().serialize_cdr(message, TF)))

    def drive(self, stamp_ns: int) -> None:
        self._publish(self._moving, stamp_ns, "map", "base", x_at(stamp_ns))


def x_at(stamp_ns: int) -> float:
    return stamp_ns / 1e9 - 1000


@pytest.fixture(scope="module")
def robot(probe) -> Robot:
    return Robot(probe.node)


def drive(
    probe,
    node: NodeProcess,
    messages: dict,
    rate_hz: float,
    delay_s: dict[str, float],
    images: list[Image],
    robot: Robot | None = None,
) -> int:
    """Publish views at a rate, each stream with its delay, until there are IMAGES ``images``; returns how many views.

    The transforms of ``robot`` are the stream ``/tf``, at the same rate; their stamps are never those of images. On a
    busy machine the camera waits for the node, which is then still slower than the camera.
    """
    start, start_ns = time.monotonic() + 0.2, CLOCK.next() + 10**9
    late = {topic: round(delay_s.get(topic, 0.0) * rate_hz) for topic in (*messages, "/tf")}
    if robot is not None:
        robot.drive(start_ns - 10**9)
    number, count = 0, None  # of this moment, and of all views

    def may_go_on() -> bool:
        newest_ns = max((codec.stamp_ns(each.header) for each in images), default=start_ns)
        return number - (max(newest_ns, start_ns) - start_ns) / 1e9 * rate_hz <= AHEAD

    while count is None or number < count + max(late.values()):
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        since = time.monotonic()
        while not may_go_on() and time.monotonic() < since + LOST_S:
            time.sleep(0.005)
        start = max(start, time.monotonic() - number / rate_hz)
        for topic, message in messages.items():
            of = number - late[topic]
            if of >= 0 and (count is None or of < count):
                message.header.stamp = header(start_ns + round(1e9 * of / rate_hz), "").stamp
                probe.publish_without_waiting(node.topic(topic), message, qos_of(topic))
        if robot is not None and number >= late["/tf"]:
            robot.drive(start_ns + round(1e9 * (number - late["/tf"] + SHIFT_S) / rate_hz))
        number += 1
        if count is None and len(images) > IMAGES and number > rate_hz:
            count = number
    CLOCK.now_ns = start_ns + round(1e9 * number / rate_hz)
    if robot is not None:  # so that the last image has its transform
        robot.drive(start_ns + round(1e9 * (number + 1) / rate_hz))
    return count


def by_stamp(messages: list, after_ns: int) -> dict:
    """The messages by their stamps, without those that were sent before the drive, with stamps of an earlier test."""
    return {stamp: each for each in messages if (stamp := codec.stamp_ns(each.header)) > after_ns}


def arrived(images: list, points: list, after_ns: int) -> tuple[dict, dict]:
    """Images and points by stamp, once those that the node has published are here, and enough of them have points."""

    def enough() -> tuple[dict, dict] | None:
        seen, with_points = by_stamp(images, after_ns), by_stamp(points, after_ns)
        both = set(with_points) <= set(seen) and len(with_points) >= 0.95 * len(seen)
        return (seen, with_points) if both else None

    counts = lambda: (len(images), len(points))  # noqa: E731
    return until(enough, lambda: f"images and points: {counts()}; expected points of 95 %", counts, hang_s=30)


def until_settled(probe, node: NodeProcess) -> None:
    """Wait until all images that came are segmented, or dropped with a cause, and nothing changes any more."""
    before: list[str] = []

    def settled() -> bool:
        nonlocal before
        values = probe.values(node)
        names = (f"received {node.topic('color/image_raw')}", "processed", "dropped image replaced by a newer one")
        received, segmented, replaced = (int(values.get(name, 0)) for name in names)
        assert segmented + replaced <= received
        last, before = before, [values[name] for name in values if "processed" in name]
        return segmented + replaced == received and last == before

    until(settled, "images that were neither segmented nor replaced", lambda: before)


@pytest.mark.parametrize(
    "rate_hz, delay_s",
    [(30.0, {}), (60.0, {"depth/image_rect": 0.05, "pose": 0.1}), (60.0, {"color/image_raw": 0.1})],
    ids=["30 Hz", "depth and pose late", "depth and pose early"],
)
def test_semantic_images_have_their_points(probe, slow, messages, rate_hz, delay_s):
    images = probe.collect(Image, slow.topic("semantic/image_raw"), ALL)
    points = probe.collect(PointCloud2, slow.topic("semantic/points"), ALL)
    for topic, message in messages.items():
        probe.send(slow.topic(topic), message, qos_of(topic))
    before_ns = CLOCK.now_ns
    sent = drive(probe, slow, messages, rate_hz, delay_s, images)
    until_settled(probe, slow)
    seen, with_points = arrived(images, points, before_ns)
    assert IMAGES <= len(seen) < sent, "the network is slower than the camera"


@pytest.mark.parametrize("rate_hz", [30.0, 60.0])
def test_semantic_images_have_their_points_where_tf_is_late(probe, slow, messages, robot, rate_hz):
    views = {topic: message for topic, message in messages.items() if topic != "pose"}
    images = probe.collect(Image, slow.topic("semantic/image_raw"), ALL)
    points = probe.collect(PointCloud2, slow.topic("semantic/points"), ALL)
    for topic, message in views.items():
        probe.send(slow.topic(topic), message, qos_of(topic))
    probe.forget(slow.topic("pose"))  # without a publisher of the topic, `auto` takes TF
    until(lambda: probe.values(slow)["pose_source"].startswith("tf"), "the node still waits for the topic")
    before_ns = CLOCK.now_ns
    sent = drive(probe, slow, views, rate_hz, {"/tf": 0.1}, images, robot)
    until_settled(probe, slow)
    seen, with_points = arrived(images, points, before_ns)
    print(f"{rate_hz} Hz: {sent} images, {len(seen)} labelled, {len(with_points)} with points")
    assert IMAGES <= len(seen) < sent, "the network is slower than the camera"
    for stamp_ns, message in with_points.items():
        x = np.frombuffer(message.data, cloud_codec.SEMANTIC_POINT)["x"].astype(float)
        assert message.header.frame_id == "map"
        assert x.mean() == pytest.approx(x_at(stamp_ns) - 0.0025, abs=2e-4)  # every other pixel, from the first one
