"""The image segmenter on real DDS, driven faster than its network: every semantic image has its points."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402
from support.node_views import BEST_EFFORT  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CLOCK, header, pose  # noqa: E402

from wsss_ros.bags import codec  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 320, 240
IMAGES = 6  # semantic images that are enough
ALL = QoSProfile(depth=1000)


@pytest.fixture(scope="module")
def slow(started, labels, tmp_path_factory) -> NodeProcess:
    """A segmenter whose network takes longer than the time between two images."""
    torch.manual_seed(0)
    config = checkpoint.NetworkConfig("image", "resnet", {"width": 1.0})
    weights = tmp_path_factory.mktemp("slow") / "image.safetensors"
    checkpoint.save(weights, config.build(labels), config, labels)
    return started("image_segmenter", weights=weights, **ON_ONE_THREAD)


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


def drive(
    probe, node: NodeProcess, messages: dict, rate_hz: float, delay_s: dict[str, float], enough: Callable[[], bool]
) -> int:
    """Publish views at a rate until it is enough, each stream with its delay; returns how many images."""
    start, start_ns = time.monotonic() + 0.2, CLOCK.next() + 10**9
    late = {topic: round(delay_s.get(topic, 0.0) * rate_hz) for topic in messages}
    number, count = 0, None  # of this moment, and of all views
    while count is None or number < count + max(late.values()):
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        for topic, message in messages.items():
            of = number - late[topic]
            if of >= 0 and (count is None or of < count):
                message.header.stamp = header(start_ns + round(1e9 * of / rate_hz), "").stamp
                probe.publish_without_waiting(node.topic(topic), message, BEST_EFFORT)
        number += 1
        if count is None and enough() and number > rate_hz:
            count = number
    CLOCK.now_ns = start_ns + round(1e9 * number / rate_hz)
    return count


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
        probe.send(slow.topic(topic), message, BEST_EFFORT)
    sent = drive(probe, slow, messages, rate_hz, delay_s, lambda: len(images) >= IMAGES)
    until_settled(probe, slow)
    seen = {codec.stamp_ns(message.header) for message in images}
    with_points = {codec.stamp_ns(message.header) for message in points}
    assert IMAGES <= len(seen) < sent, "the network is slower than the camera"
    assert with_points <= seen and len(with_points) >= 0.95 * len(seen)
