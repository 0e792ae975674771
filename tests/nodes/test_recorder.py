"""The recorder: what it writes, and when it ends by itself."""

import time

import pytest
from sensor_msgs.msg import CompressedImage, PointCloud2
from support.ros_probe import NodeProcess, Probe

from wsss_ros.bags.bag import read_bag
from wsss_ros.nodes.qos import MAP, SENSOR

pytestmark = pytest.mark.slow


def stamped(message, second: int):
    message.header.stamp.sec = second
    return message


def has_received(probe: Probe, recorder: NodeProcess, topic: str) -> bool:
    pairs = [pair for status in probe.diagnostics.get(recorder.path, []) for pair in status.values]
    return any(pair.key == f"received {topic}" and int(pair.value) > 0 for pair in pairs)


def test_it_ends_when_the_images_have_ended_and_the_last_cloud_is_answered(tmp_path, ros_environment):
    """The images come as JPEG; `wsss demo` records raw ones."""
    log, output = tmp_path / "log.txt", tmp_path / "bag"
    recorder = NodeProcess("recorder", ros_environment, log, output=str(output), end_when_quiet_s=0.5)
    probe = Probe(ros_environment)
    try:
        color = recorder.topic("color/image_raw/compressed")
        while not has_received(probe, recorder, color):
            probe.send(color, stamped(CompressedImage(), 1), SENSOR)
            time.sleep(0.1)
        probe.send(recorder.topic("cloud"), stamped(PointCloud2(), 1), MAP)
        probe.node.destroy_publisher(probe._publishers.pop(color))
        time.sleep(3.0)  # longer than it waits for a message
        assert recorder.process.poll() is None, "it does not wait for the result of the cloud"
        probe.send(recorder.topic("semantic_cloud"), stamped(PointCloud2(), 1), MAP)
        assert recorder.process.wait() == 0
    finally:
        recorder.end()
        probe.close()
    topics = {topic.rpartition("/")[2] for topic, _, _ in read_bag(output)}
    assert {"compressed", "cloud", "semantic_cloud"} <= topics
