"""The cloud accumulator as a process of its own on real DDS, with a tiny scene."""

import signal

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from support.node_views import LATCHED, answered, poses_between_the_views, send, until_answered  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402
from support.view_messages import BAD_VIEWS, CLOCK, camera_info, depth_image, depths, frame, header, pose, view  # noqa: E402

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.geometry.voxel_map import VoxelMap  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.cloud_accumulator import AccumulatorConfig  # noqa: E402
from wsss_ros.types import Cloud, Frame  # noqa: E402

pytestmark = pytest.mark.slow
PARAMETERS = {"min_hits": 1, "max_points": 4000, "publish_period_s": 0.2, "sensor_timeout_s": 1.0}


@pytest.fixture(scope="module")
def node(started) -> NodeProcess:
    return started("cloud_accumulator", **PARAMETERS)


@pytest.fixture(scope="module")
def maps(probe, node) -> list:
    got = probe.collect(PointCloud2, node.topic("cloud"), LATCHED)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), got)
    return got


def as_map(*frames: Frame) -> Cloud:
    made = VoxelMap(AccumulatorConfig(**PARAMETERS))
    for one in frames:
        made.add(one)
    return made.cloud()


def assert_is(message: PointCloud2, expected: Cloud) -> None:
    got = cloud_codec.read_cloud(message).cloud
    np.testing.assert_allclose(got.xyz, expected.xyz, atol=2e-3)
    np.testing.assert_array_equal(got.rgb, expected.rgb)


def test_accumulator_results(probe, node, maps):
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answer = answered(maps, stamp)
    assert answer.header == header(stamp, "map")
    assert_is(answer, as_map(frame()))
    count = len(maps)
    probe.values(node)  # two seconds
    assert len(maps) == count, "nothing new, nothing published"
    late = probe.collect(PointCloud2, node.topic("cloud"), LATCHED)
    answered(late, stamp)


BAD_FOR_MAP = [case for case in BAD_VIEWS if case not in ("depth of another size", "camera of another size")]


@pytest.mark.parametrize("case", BAD_FOR_MAP)
def test_bad_input_is_reported_and_the_next_view_is_fused(probe, node, maps, case):
    topic, spoil, text = BAD_VIEWS[case]
    stamp = CLOCK.next()
    send(probe, node, view(stamp) | {topic: spoil(stamp)})
    probe.next_status(node, text)
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


@pytest.mark.parametrize(
    "change",
    [
        {"depth/image_rect": lambda s: depth_image(s, depths()[:20])},
        {"color/camera_info": lambda s: camera_info(s, width=640)},
        {"pose": lambda s: pose(s, frame_id="odom")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_views_that_do_not_fit_together_are_reported(probe, node, maps, change):
    stamp = CLOCK.next()
    send(probe, node, view(stamp) | {topic: spoil(stamp) for topic, spoil in change.items()})
    texts = {
        "pose": "got 'odom', expected 'map'",
        "depth/image_rect": "depth not registered: depth of 64x20",
        "color/camera_info": "camera_info size: 640 x 48",
    }
    probe.next_status(node, texts[next(iter(change))])
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


def test_a_silent_topic_is_named_with_the_messages_received(probe, node, maps):
    def view_without_depth() -> None:
        messages = view(CLOCK.next())
        del messages["depth/image_rect"]
        send(probe, node, messages)

    silent = f"no message on {node.topic('depth/image_rect')} for "
    status = probe.next_status(node, silent, " received), so no cloud", act=view_without_depth)
    assert status.level == b"\x01" and "so no cloud" in status.message


def test_poses_that_fit_no_view_of_the_map_are_reported(probe, node, maps):
    text = "no stamps within 0.02 s of each other", "so no cloud: ", "stamp all by one clock"
    probe.next_status(node, *text, act=lambda: poses_between_the_views(probe, node))
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answered(maps, stamp)


def test_the_map_starts_over_when_the_stamps_jump_back(probe, node, maps):
    elsewhere, stamps = (0.5, 0.0, 0.0), iter(range(10**8, 10**12, 10**8))

    def view_of_long_ago() -> None:
        stamp = next(stamps)
        send(probe, node, view(stamp) | {"pose": pose(stamp, elsewhere)})

    probe.next_status(node, "the map starts over", act=view_of_long_ago)
    until_answered(view_of_long_ago, maps)
    assert codec.stamp_ns(maps[-1].header) < 10**12
    assert len(cloud_codec.read_cloud(maps[-1]).cloud) == len(as_map(frame(elsewhere)))
    until_answered(lambda: send(probe, node, view(CLOCK.next())), maps)


def test_it_stays_quiet_while_another_node_publishes_the_cloud(probe, node, maps):
    stamp = CLOCK.next()
    message = conversions.cloud_message(header(stamp, "map"), np.ones((1, 3), np.float32))
    probe.send(node.topic("cloud"), message, LATCHED)
    other = f"cloud has another publisher: /probe on {node.topic('cloud')}; this node stays quiet"
    send(probe, node, view(CLOCK.next()))
    assert probe.next_status(node, other).level == b"\x01"
    assert node.text.count(other) == 1
    count = len(maps)
    send(probe, node, view(CLOCK.next()))
    probe.values(node)  # two seconds
    assert len(maps) == count, "nothing is published next to the other one's"
    probe.forget(node.topic("cloud"))
    until_answered(lambda: send(probe, node, view(CLOCK.next())), maps)


def test_a_full_map_says_so(probe, node, maps):
    for step in range(1, 4):
        stamp = CLOCK.next()
        send(probe, node, view(stamp) | {"pose": pose(stamp, (10.0 * step, 0.0, 0.0))})
        answer = answered(maps, stamp)
    assert len(cloud_codec.read_cloud(answer).cloud) == PARAMETERS["max_points"]
    assert probe.next_status(node, "the map is full at 4000 points").level == b"\x01"


def restart(probe, node) -> None:
    for name in ("deactivate", "cleanup", "configure", "activate"):
        assert probe.transition(node, name)


def test_cleanup_empties_the_map(probe, node, maps):
    restart(probe, node)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), maps)
    assert_is(maps[-1], as_map(frame()))


def test_a_map_far_from_the_origin_says_that_it_is_float64(probe, node, maps):
    def far_view() -> None:
        stamp = CLOCK.next()
        send(probe, node, view(stamp) | {"pose": pose(stamp, (500_000.0, 0.0, 0.0))})

    restart(probe, node)
    until_answered(far_view, maps)
    assert {field.datatype for field in maps[-1].fields[:3]} == {PointField.FLOAT64}
    until(lambda: "m from the origin of 'map': x y z are float64" in node.text, lambda: node.text[-2000:])


def test_the_log_has_the_size_of_the_voxels(node):
    assert "ready: voxels of 0.02 m in frame 'map', at most 4000" in node.text


def test_it_ends_in_order(node):
    """Last, for it ends the node."""
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.text and "internal error" not in node.text, node.text[-2000:]
