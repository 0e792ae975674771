"""The semantic mapper as a process of its own on real DDS, fed by a publisher of label images of another model."""

import signal
import time

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from support.node_views import LATCHED, answered, send, until_answered  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402
from support.view_messages import CLOCK, HEIGHT, WIDTH, camera_info, depth_image, depths, header, pose  # noqa: E402

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.fusion.map_files import AboutMap, read_map, write_map  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402

pytestmark = pytest.mark.slow
NAMES = "wall, floor, 62:chair, 300:couch"  # ids of another model
IDS, CLASSES = (0, 62, 300), (0, 2, 3)  # of the stripes below, and their places among the names
PARAMETERS = {
    "label_names": f"'{NAMES}'",
    "min_votes": 0.1,
    "publish_period_s": 0.2,
    "sensor_timeout_s": 1.0,
    "max_voxels": 20_000,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("maps") / "place.npz"


@pytest.fixture(scope="module")
def node(started, file) -> NodeProcess:
    return started("semantic_mapper", map_file=str(file), **PARAMETERS)


@pytest.fixture(scope="module")
def maps(probe, node) -> list:
    got = probe.collect(PointCloud2, node.topic("semantic_map"), LATCHED)
    until_answered(lambda: send(probe, node, view(CLOCK.next())), got)
    return got


def stripes() -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[:, WIDTH // 3 :], ids[:, 2 * WIDTH // 3 :] = IDS[1:]
    return ids


def labels(stamp: int, ids: np.ndarray | None = None, encoding: str = "mono16"):
    ids = stripes() if ids is None else ids
    kind = {"mono8": np.uint8, "mono16": np.uint16, "32SC1": np.int32}[encoding]
    return conversions.image_message(header(stamp, "camera_optical"), ids.astype(kind), encoding)


def view(stamp: int, xyz=(1.0, 2.0, 3.0), **others) -> dict:
    return {
        "semantic/image_raw": labels(stamp),
        "depth/image_rect": depth_image(stamp),
        "color/camera_info": camera_info(stamp),
        "pose": pose(stamp, xyz),
    } | others


def classes_by_place(message: PointCloud2) -> list[set[int]]:
    """The classes of the points in the left, middle and right third of the view at (1, 2, 3)."""
    points = np.frombuffer(message.data, cloud_codec.SEMANTIC_POINT)
    u = (points["x"] - 1) / (points["z"] - 3) * 60 + 31.5
    near = [(u > low + 2) & (u < low + WIDTH / 3 - 2) for low in (0, WIDTH / 3, 2 * WIDTH / 3)]
    return [set(points["label"][chosen].tolist()) for chosen in near]


def call(probe, node: NodeProcess, name: str):
    return probe.call(Trigger, f"{node.path}/{name}", Trigger.Request())


def saved(probe, node: NodeProcess, file) -> dict:
    """The parts of the map, after ~/save."""
    answer = call(probe, node, "save")
    assert answer.success and answer.message.startswith("map saved: ") and str(file) in answer.message
    return read_map(file)[1]


def same(one: dict, other: dict) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_label_images_of_another_model_become_a_map_of_its_classes(probe, node, maps):
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    answer = answered(maps, stamp)
    assert answer.header == header(stamp, "map")
    assert [field.name for field in answer.fields] == ["x", "y", "z", "rgb", "label", "confidence"]
    assert classes_by_place(answer) == [{each} for each in CLASSES]
    late = probe.collect(PointCloud2, node.topic("semantic_map"), LATCHED)
    answered(late, stamp)


def test_a_label_image_of_half_the_size_and_32_bits_is_taken(probe, node, maps):
    stamp = CLOCK.next()
    send(probe, node, view(stamp, **{"semantic/image_raw": labels(stamp, stripes()[::2, ::2], "32SC1")}))
    assert classes_by_place(answered(maps, stamp)) == [{each} for each in CLASSES]


BAD = {
    "jump of 5 m": lambda s: view(s, (6.0, 2.0, 3.0)),
    "pose with NaN": lambda s: view(s, (np.nan, 0.0, 0.0)),
    "other frame": lambda s: view(s, pose=pose(s, (1.0, 2.0, 3.0), frame_id="odom")),
    "depth all missing": lambda s: view(s, **{"depth/image_rect": depth_image(s, depths() * 0)}),
    "colours of the classes": lambda s: view(
        s,
        **{
            "semantic/image_raw": conversions.image_message(
                header(s, "camera_optical"), np.zeros((HEIGHT, WIDTH, 3), np.uint8), "rgb8"
            )
        },
    ),
    "labels of another shape": lambda s: view(s, **{"semantic/image_raw": labels(s, stripes()[:20])}),
    "seen through": lambda s: view(s, **{"depth/image_rect": depth_image(s, depths() + 1.9)}),
    "no known id": lambda s: view(s, **{"semantic/image_raw": labels(s, stripes() * 0 + 41)}),
}
TOLD = {
    "jump of 5 m": "pose jump: the camera is 5.0 m from its last place, faster than 5 m/s",
    "pose with NaN": "pose position: nan",
    "other frame": "pose frame: got 'odom', expected 'map'",
    "depth all missing": "depth all missing",
    "colours of the classes": "label encoding: got 'rgb8', expected one of mono8",
    "labels of another shape": "camera_info size: 64 x 48 for an image of 64 x 20",
    "seen through": "view contradicts the map: it looks through",
    "no known id": "label ids: 41 have no name in label_names (4 names); their pixels do not vote",
}


def test_bad_views_are_told_and_the_map_is_unharmed(probe, node, maps, file):
    for _ in range(3):
        stamp = CLOCK.next()
        send(probe, node, view(stamp))
        answered(maps, stamp)
    before = saved(probe, node, file)
    for case, make in BAD.items():  # one at a time: a newer view replaces one that waits

        def told(case=case, make=make) -> bool:
            send(probe, node, make(CLOCK.next()))
            time.sleep(0.1)
            return TOLD[case] in node.text

        until(told, case)

    def all_again() -> None:
        for make in BAD.values():
            send(probe, node, make(CLOCK.next()))
            time.sleep(0.05)

    assert probe.next_status(node, *TOLD.values(), act=all_again).level == b"\x01"
    assert same(before, saved(probe, node, file))
    stamp = CLOCK.next()
    send(probe, node, view(stamp))
    assert classes_by_place(answered(maps, stamp)) == [{each} for each in CLASSES]


def test_a_silent_depth_camera_is_named(probe, node, maps):
    def view_without_depth() -> None:
        messages = view(CLOCK.next())
        del messages["depth/image_rect"]
        send(probe, node, messages)

    silent = f"no message on {node.topic('depth/image_rect')} for "
    probe.next_status(node, silent, "so no semantic map", act=view_without_depth)


def test_a_looped_bag_goes_on_with_the_map(probe, node, maps, file):
    stamps = iter(range(10**8, 10**12, 10**8))
    have = len(saved(probe, node, file)["key"])
    text = "the stamps jumped back (a looped bag?); the map goes on"
    probe.next_status(node, text, act=lambda: send(probe, node, view(next(stamps))))
    assert len(saved(probe, node, file)["key"]) >= have
    until_answered(lambda: send(probe, node, view(CLOCK.next())), maps)


def test_save_reset_and_load(probe, node, maps, file):
    state, about = saved(probe, node, file), read_map(file)[0]
    assert about.classes == ("wall", "floor", "chair", "couch") and about.frame_id == "map"
    have = len(state["key"])
    kept = file.read_bytes()
    assert call(probe, node, "reset").message == f"map reset: {have} voxels removed"
    assert len(saved(probe, node, file)["key"]) == 0
    file.write_bytes(kept)
    until(lambda: maps[-1].width == 0, "the empty map is published")
    maps.clear()
    assert call(probe, node, "load").message.startswith(f"map loaded: {have} voxels, 4 classes, frame 'map', from ")
    until(lambda: maps, "the loaded map is published")
    assert classes_by_place(maps[-1]) == [{each} for each in CLASSES]
    assert same(state, saved(probe, node, file))


def test_a_damaged_or_other_file_is_refused_and_the_map_stays(probe, node, maps, file):
    state, about = saved(probe, node, file), read_map(file)[0]
    write_map(file, AboutMap(about.classes, about.frame_id, 0.2), state)
    answer = call(probe, node, "load")
    assert not answer.success and "voxels of 0.2 m, expected 0.05 m" in answer.message
    file.write_bytes(b"no map")
    answer = call(probe, node, "load")
    assert not answer.success and "not a semantic map" in answer.message
    assert same(state, saved(probe, node, file))


def test_it_resumes_from_the_file_and_saves_when_it_is_deactivated(probe, node, maps, file):
    for name in ("deactivate", "cleanup", "configure"):
        assert probe.transition(node, name)
    before, _ = read_map(file)[1], maps.clear()
    assert probe.transition(node, "activate")
    until(lambda: maps, "the map of the file is published")
    stamp = CLOCK.next()
    send(probe, node, view(stamp, (1.3, 2.0, 3.0)))
    answered(maps, stamp)
    assert probe.transition(node, "deactivate")
    assert set(before["key"]) < set(read_map(file)[1]["key"])


def test_the_log_says_what_it_works_with(node):
    assert "ready: voxels of 0.05 m in frame 'map', at most 20000, 4 classes of label_names" in node.text


def test_it_ends_in_order(node):
    """Last, for it ends the node."""
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.text and "internal error" not in node.text, node.text[-2000:]
