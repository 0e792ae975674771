"""The cloud segmenter as a process of its own on real DDS, with a tiny network."""

import os
import shutil
import signal

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support import ray_rooms  # noqa: E402
from support.node_views import BEST_EFFORT, LATCHED, answered, has_answer, until_answered  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CLOCK, cloud, header, room, set_to  # noqa: E402

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.inference import CloudSegmenter  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.types import Cloud  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(started, weights) -> NodeProcess:
    return started("cloud_segmenter", weights=weights["cloud"], points=1000, sensor_timeout_s=1.0, **ON_ONE_THREAD)


@pytest.fixture(scope="module")
def clouds(probe, node) -> list:
    return probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)


@pytest.fixture(scope="module")
def expected_cloud(weights):
    return CloudSegmenter(weights["cloud"], "cpu", "float32", points=1000)(room())


def test_cloud_results(probe, node, clouds, expected_cloud, labels):
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answer = answered(clouds, stamp)
    assert answer.header == header(stamp, "world") and (answer.height, answer.width) == (1, 3000)
    names = [(field.name, field.datatype) for field in answer.fields]
    assert names == [("x", 7), ("y", 7), ("z", 7), ("rgb", 7), ("label", 6), ("confidence", 7)]
    table = np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT)
    np.testing.assert_array_equal(np.stack([table["x"], table["y"], table["z"]], 1), room().xyz)
    np.testing.assert_array_equal(table["label"], expected_cloud[0])
    np.testing.assert_allclose(table["confidence"], expected_cloud[1], rtol=1e-4)
    painted = labels.colorize(expected_cloud[0]).astype(np.uint32)
    np.testing.assert_array_equal(table["rgb"], painted[:, 0] << 16 | painted[:, 1] << 8 | painted[:, 2])


def test_unsure_points_are_unlabelled_as_the_weights_recommend(probe, started, weights, expected_cloud, tmp_path):
    """And weights that are handed over bring their own recommendation, here none."""
    found, confidence = expected_cloud
    least = float(np.median(confidence))
    careful = tmp_path / "careful.safetensors"
    shutil.copy(weights["cloud"], careful)
    checkpoint.set_calibration(careful, 1.0, least)
    own = {"space": f"/careful_{os.getpid()}"}
    node = started("cloud_segmenter", **own, weights=str(careful), points=1000, **ON_ONE_THREAD)
    clouds = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)

    def table() -> np.ndarray:
        stamp = CLOCK.next()
        probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
        return np.frombuffer(answered(clouds, stamp).data, cloud_codec.SEMANTIC_POINT)

    points = table()
    unsure = points["confidence"] < np.float32(least)
    np.testing.assert_array_equal(points["label"], np.where(unsure, 255, found))
    assert 0.2 < unsure.mean() < 0.8 and not points["rgb"][unsure].any() and points["rgb"][~unsure].all()
    probe.send(node.topic("weights/cloud"), String(data=str(weights["cloud"])), LATCHED)
    until(lambda: probe.values(node).get("min_confidence") == "0")
    np.testing.assert_array_equal(table()["label"], found)


def test_a_late_subscriber_gets_the_last_semantic_cloud(probe, node, clouds):
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)
    late = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    answered(late, stamp)


def test_a_late_segmenter_gets_the_last_cloud(probe, node, clouds):
    stamp = CLOCK.next()
    assert probe.transition(node, "deactivate")
    probe.publish_without_waiting(node.topic("cloud"), cloud(stamp), LATCHED)
    assert probe.values(node)["state"] == "inactive"
    assert not has_answer(clouds, stamp)
    assert probe.transition(node, "activate")
    answered(clouds, stamp)


def organised(stamp: int) -> PointCloud2:
    """30 x 100 points, big-endian, float64, rgba as uint32 first, padded points and rows, some NaN."""
    dtype = np.dtype({"names": ["rgba", "z", "x", "y"], "formats": [">u4", ">f8", ">f8", ">f8"],
                      "offsets": [2, 8, 16, 27], "itemsize": 40})  # fmt: skip
    points, table = room(), np.zeros((30, 100), dtype)
    for axis, name in enumerate("xyz"):
        table[name] = points.xyz[:, axis].reshape(30, 100)
    table["z"][::7, ::5] = np.nan
    r, g, b = (points.rgb[:, c].astype(np.uint32) for c in range(3))
    table["rgba"] = (r << 16 | g << 8 | b).reshape(30, 100)
    rows = np.hstack([table.view(np.uint8).reshape(30, 4000), np.full((30, 12), 7, np.uint8)])
    message = PointCloud2(header=header(stamp, "world"), height=30, width=100, point_step=40, row_step=4012)
    message.is_bigendian = True
    message.fields = [
        conversions.PointField(name=name, offset=offset, datatype=kind, count=1)
        for name, offset, kind in (("rgba", 2, 5), ("z", 8, 8), ("x", 16, 8), ("y", 27, 8))
    ]
    message.data.frombytes(rows.tobytes())
    return message


def test_an_odd_organised_cloud_keeps_its_order(probe, node, clouds):
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), organised(stamp), LATCHED)
    answer = answered(clouds, stamp)
    assert (answer.height, answer.width, answer.is_dense) == (30, 100, False)
    table = np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT_64).reshape(30, 100)
    bad = np.zeros((30, 100), bool)
    bad[::7, ::5] = True
    assert (table["label"][bad] == 255).all() and (table["confidence"][bad] == 0).all()
    assert (table["label"][~bad] < 20).all()
    np.testing.assert_array_equal(table["x"][~bad], room().xyz[:, 0].reshape(30, 100)[~bad])
    assert int(probe.values(node)["points_not_finite"]) >= bad.sum()


BAD_CLOUDS = {
    "empty": (
        lambda s: cloud(s, Cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))),
        "empty cloud: 0 points",
    ),
    "all NaN": (
        lambda s: cloud(s, Cloud(np.full((9, 3), np.nan, np.float32), np.zeros((9, 3), np.uint8))),
        "empty cloud: ",
    ),
    "no fields": (lambda s: set_to(cloud(s), fields=[]), "cloud fields: got none"),
    "cut off": (lambda s: set_to(cloud(s), width=3001), "cloud size: "),
}


@pytest.mark.parametrize("case", BAD_CLOUDS)
def test_bad_input_is_reported_and_the_next_cloud_is_segmented(probe, node, clouds, case):
    spoil, text = BAD_CLOUDS[case]
    probe.send(node.topic("cloud"), spoil(CLOCK.next()), LATCHED)
    assert probe.next_status(node, text).level == b"\x01"
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)


def test_a_cloud_without_colours_is_segmented_with_a_warning(probe, node, clouds):
    """Weights that were trained on coloured clouds only."""
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), conversions.cloud_message(header(stamp, "w"), room().xyz), LATCHED)
    answered(clouds, stamp)
    assert probe.next_status(node, "no colours").level == b"\x01"
    assert "trained on coloured clouds only" in node.text
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)


def test_float64_far_from_the_origin_is_labelled_as_near_it_and_comes_back_to_the_digit(probe, node, clouds):
    """UTM coordinates. The same points at the origin, as float64, get the same labels."""
    exact = np.round(room().xyz.astype(np.float64) * 2**20) / 2**20
    tables = []
    for shift in (np.zeros(3), np.array([500_000.0, 4_649_776.0, 213.0])):
        stamp = CLOCK.next()
        probe.send(node.topic("cloud"), cloud(stamp, Cloud(exact + shift, room().rgb)), LATCHED)
        answer = answered(clouds, stamp)
        assert [field.datatype for field in answer.fields] == [8, 8, 8, 7, 6, 7]
        tables.append(np.frombuffer(answer.data, cloud_codec.SEMANTIC_POINT_64))
        for axis, name in enumerate("xyz"):
            np.testing.assert_array_equal(tables[-1][name], exact[:, axis] + shift[axis])
    for name in ("label", "confidence", "rgb"):
        np.testing.assert_array_equal(tables[0][name], tables[1][name])
    assert "coarse coordinates" not in node.text
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp, Cloud((exact + shift).astype(np.float32), room().rgb)), LATCHED)
    answered(clouds, stamp)
    probe.next_status(node, "coarse coordinates: float32 positions 4,649,779 m from the origin are rounded to 0.5 m")


def test_a_cloud_in_an_optical_frame_is_turned_upright(probe, node, clouds, weights):
    """Y points down in it, and z ahead. The network sees the room as it does in the map."""
    upright = ray_rooms.walked_cloud(ray_rooms.world("office"), frames=60, size=(16, 12))
    optical = np.stack([upright[:, 0], -upright[:, 2], upright[:, 1]], axis=1).astype(np.float32)
    expected = CloudSegmenter(weights["cloud"], "cpu", "float32", points=1000)(Cloud(optical), (0.0, -1.0, 0.0))
    stamp = CLOCK.next()
    message = conversions.cloud_message(header(stamp, "camera_color_optical_frame"), optical)
    probe.send(node.topic("cloud"), message, LATCHED)
    table = np.frombuffer(answered(clouds, stamp).data, cloud_codec.SEMANTIC_POINT)
    np.testing.assert_array_equal(table["label"], expected[0])
    values = probe.values(node)
    assert values["up"] == "0,-1,0" and float(values["up_certainty"]) > 0.8


def test_an_uncertain_up_is_told_once_on_the_console_and_while_it_lasts_on_the_diagnostics(probe, node, clouds):
    """A handful of points has no planes."""
    for _ in range(2):
        stamp = CLOCK.next()
        few = conversions.cloud_message(header(stamp, "shelf"), room().xyz[:8], room().rgb[:8])
        probe.send(node.topic("cloud"), few, LATCHED)
        answered(clouds, stamp)
        text = "up direction uncertain: too few planes; 0,0,1 is taken, which the frame 'shelf' suggests; set 'up' to"
        assert probe.next_status(node, text).level == b"\x01"
    assert node.text.count("which the frame 'shelf' suggests") == 1


def test_a_cloud_that_is_not_latched_is_taken_as_a_stream_too(probe, node, clouds):
    before = int(probe.values(node)[f"received {node.topic('cloud')}"])
    stream = probe.node.create_publisher(PointCloud2, node.topic("cloud"), BEST_EFFORT)
    until(lambda: stream.get_subscription_count() > 0, "nobody subscribes to the stream")
    sent = 0

    def publish() -> None:
        nonlocal sent
        stream.publish(cloud(CLOCK.next()))
        sent += 1

    until_answered(publish, clouds)  # the first ones may be lost: the two sides discover each other
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    answered(clouds, stamp)
    received = int(probe.values(node)[f"received {node.topic('cloud')}"])
    assert before + 2 <= received <= before + sent + 1, "none counts twice"
    probe.node.destroy_publisher(stream)


def test_the_log_has_the_weights(node, weights):
    version = checkpoint.load(weights["cloud"]).version
    assert f"ready: weights {version} of scannet20 on cpu" in node.text


def test_it_ends_in_order(node):
    """Last, for it ends the node."""
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.text and "internal error" not in node.text, node.text[-2000:]
