"""The viewer as a node: what it shows of the topics, when it subscribes, and what it says where something is amiss."""

import re

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("viser", reason="the extra [view] is not installed")

from std_msgs.msg import String  # noqa: E402
from support.node_views import BEST_EFFORT, LATCHED  # noqa: E402
from support.view_messages import CLOCK, camera_info, cloud, header, image, pose, room  # noqa: E402
from support.viewer_client import ViewerClient  # noqa: E402
from support.waiting import until  # noqa: E402

from wsss_ros.bags.cloud_codec import read_cloud  # noqa: E402
from wsss_ros.labels import scannet20  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

SPACE = scannet20()
ROOM = room(500)


def semantic(stamp: int, frame_id: str = "map", count: int = 500, shift: int = 0):
    message = cloud(stamp, ROOM)
    read = read_cloud(message)
    labels = (np.arange(count) % 3 + shift).astype(np.uint8)
    return conversions.semantic_cloud_message(
        header(stamp, frame_id), read, labels, np.full(count, 0.5, np.float32), SPACE
    )


@pytest.fixture(scope="module")
def node(started):
    return started("viewer", port=0, sensor_timeout_s=1.0)


@pytest.fixture
def url(node, probe):
    return re.search(r"ready: (http://127\.0\.0\.1:\d+/)", node.text).group(1)


@pytest.fixture
def client(url):
    with ViewerClient(url) as made:
        yield made


def subscribers(probe, node, name: str) -> int:
    return probe.node.count_subscribers(node.topic(name))


def test_it_subscribes_only_while_somebody_looks(node, probe, url):
    for name in ("semantic_cloud", "semantic_overlay/image_raw", "cloud"):
        assert subscribers(probe, node, name) == 0
    with ViewerClient(url) as client:
        until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "never subscribed")
        until(lambda: subscribers(probe, node, "semantic_overlay/image_raw") == 1, "never subscribed")
        assert subscribers(probe, node, "cloud") == 0
        client.set("colour", "rgb")
        until(lambda: subscribers(probe, node, "cloud") == 1, "the colours were never asked for")
        client.set("colour", "class")
    until(lambda: subscribers(probe, node, "semantic_cloud") == 0, "nobody looks, and it still subscribes")
    until(lambda: subscribers(probe, node, "semantic_overlay/image_raw") == 0, "nobody looks, and it still subscribes")


def test_the_cloud_in_class_colours_and_in_those_of_the_camera(node, probe, client):
    stamp = CLOCK.next()
    probe.send(node.topic("semantic_cloud"), semantic(stamp), LATCHED)
    xyz, colors = client.cloud(500)
    assert np.array_equal(xyz, ROOM.xyz) and colors[1].tolist() == [*SPACE.colors[1]]
    client.set("colour", "rgb")
    probe.send(node.topic("cloud"), cloud(stamp, ROOM), LATCHED)
    probe.send(node.topic("semantic_cloud"), semantic(stamp), LATCHED)
    until(lambda: np.array_equal(client.nodes["/cloud"]["colors"], ROOM.rgb), "the colours never came")
    client.set("colour", "class")


def test_a_semantic_map_is_shown_in_place_of_the_cloud_while_somebody_publishes_one(node, probe, client):
    empty = semantic(CLOCK.next())  # as a map is before its first view
    empty.width, empty.row_step, empty.data = 0, 0, b""
    probe.send(node.topic("semantic_map"), empty, LATCHED)
    probe.send(node.topic("semantic_map"), semantic(CLOCK.next()), LATCHED)
    until(lambda: subscribers(probe, node, "semantic_map") == 1, "the map was never asked for")
    assert "empty semantic cloud" not in node.text
    assert np.array_equal(client.cloud(500)[0], ROOM.xyz) and subscribers(probe, node, "semantic_cloud") == 0
    probe.forget(node.topic("semantic_map"))
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "the cloud was never asked for again")


def test_the_legend_of_a_map_of_another_model_has_its_names(node, probe, client):
    names = String(data='{"0": "mur", "1": "chaise", "2": "wall"}')
    probe.send(node.topic("semantic_map"), semantic(CLOCK.next()), LATCHED)
    probe.send(node.topic("semantic_map/label_names"), names, LATCHED)
    for name in ("mur · 33 %", "chaise · 33 %", "wall · 33 %"):
        client.control(name)
    wall = [*SPACE.colors[SPACE.index("wall")]]
    until(lambda: client.nodes["/cloud"]["colors"][2].tolist() == wall, "a class has the colour of its name")
    assert client.nodes["/cloud"]["colors"][0].tolist() != wall
    for topic in ("semantic_map", "semantic_map/label_names"):
        probe.forget(node.topic(topic))
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "the cloud was never asked for again")
    probe.send(node.topic("semantic_cloud"), semantic(CLOCK.next()), LATCHED)
    client.control(f"{SPACE.names[1]} · 33 %")


def test_labels_that_no_class_has_are_reported(node, probe, client):
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "never subscribed")

    def send() -> None:
        probe.send(node.topic("semantic_cloud"), semantic(CLOCK.next(), shift=40), LATCHED)

    probe.next_status(node, "classes: 500 points have labels that 'scannet20' does not have", act=send)


def test_the_camera_with_its_picture_and_path(node, probe, client):
    until(lambda: subscribers(probe, node, "semantic_overlay/image_raw") == 1, "never subscribed")

    def send() -> bool:
        stamp = CLOCK.next()
        probe.send(node.topic("color/camera_info"), camera_info(stamp), BEST_EFFORT)
        probe.send(node.topic("pose"), pose(stamp, xyz=(float(stamp % 10**10) / 1e9, 2.0, 3.0)), BEST_EFFORT)
        probe.send(node.topic("semantic_overlay/image_raw"), image(stamp), BEST_EFFORT)
        return "/camera" in client.nodes and "/path" in client.nodes

    until(send, "no camera", lambda: client.updates)
    assert client.nodes["/camera"]["aspect"] == pytest.approx(64 / 48)


def test_what_is_missing_is_said_on_the_page_and_on_the_diagnostics(node, probe, client):
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "never subscribed")
    probe.next_status(node, f"no message on {node.topic('semantic_cloud')}", "so no cloud in the view")
    sentence = f"no message on {node.topic('semantic_cloud')}"
    until(lambda: any(sentence in str(control) for control in client.controls.values()), "the page does not say so")


def test_frames_that_differ_are_reported(node, probe, client):
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "never subscribed")

    def send() -> None:
        probe.send(node.topic("pose"), pose(CLOCK.next()), BEST_EFFORT)
        probe.send(node.topic("semantic_cloud"), semantic(CLOCK.next(), "odom"), LATCHED)

    probe.next_status(node, "the cloud is in 'odom' and the poses are in 'map'", "set fixed_frame to 'odom'", act=send)


def test_another_cloud_than_a_semantic_one_is_reported(node, probe, client):
    until(lambda: subscribers(probe, node, "semantic_cloud") == 1, "never subscribed")

    def send() -> None:
        probe.send(node.topic("semantic_cloud"), cloud(CLOCK.next(), ROOM), LATCHED)

    probe.next_status(node, "semantic cloud: fields x, y, z, rgb in 16 bytes", act=send)
