"""Bags: what is written is what is read, whole or broken off; nothing partial passes for whole."""

import contextlib
import logging
import os
import sqlite3
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import simplejpeg
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation
from support.paths import ROOT
from support.tiny_scene import SECOND, TinyScene, write_scene_folder

from wsss_ros import geometry
from wsss_ros.bags.bag import Bag, read_bag
from wsss_ros.bags.cdr import depth_message, header, typestore
from wsss_ros.bags.messages import leveling
from wsss_ros.bags.recording import BagConfig, SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Frame


def by_topic(path: Path) -> dict[str, list]:
    messages: dict[str, list] = {}
    for topic, stamp_ns, message in read_bag(path):
        messages.setdefault(topic, []).append((stamp_ns, message))
    return messages


def stamp_ns(message: object) -> int:
    return message.header.stamp.sec * SECOND + message.header.stamp.nanosec


def columns(message: object) -> dict[str, np.ndarray]:
    """A slow, literal reading of a PointCloud2 by its field table."""
    kinds = {7: "<f", 6: "<I"}
    data = message.data.tobytes()
    starts = range(0, message.width * message.point_step, message.point_step)

    def column(kind: str, offset: int) -> np.ndarray:
        return np.array([struct.unpack_from(kind, data, start + offset)[0] for start in starts])

    return {field.name: column(kinds[field.datatype], field.offset) for field in message.fields}


# --- what is written is what is read ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name, storage", [("a.mcap", None), ("a.db3", None), ("a", None), ("a", "sqlite3"), ("a.b", "mcap")]
)
def test_every_message_comes_back(tmp_path, name, storage):
    scene = TinyScene()
    path = write_bag(scene, tmp_path / name, storage=storage)
    assert os.listdir(tmp_path) == [name]
    assert path.is_file() == (path.suffix in (".mcap", ".db3"))
    wanted, got = list(SceneRecording(scene).raw()), list(Bag(path).raw())
    assert len(wanted) == 5 * 6 + 2
    assert [raw[:3] for raw in got] == [raw[:3] for raw in wanted]
    assert all(bytes(a.data) == bytes(b.data) for a, b in zip(got, wanted, strict=True))
    opened = Bag(path)
    assert opened.message_count == len(wanted) and not opened.broken
    assert opened.topics == SceneRecording(scene).topics
    assert (opened.start_ns, opened.end_ns) == (scene.frame(0).stamp_ns, scene.frame(4).stamp_ns)


def test_messages_hold_the_scene(tmp_path):
    scene = TinyScene()
    got = by_topic(write_bag(scene, tmp_path / "a.mcap", BagConfig(up="none")))
    for index in range(len(scene)):
        frame = scene.frame(index)
        color, depth, info, pose, tf, truth = (
            got[topic][index][1]
            for topic in (
                "/color/image_raw",
                "/depth/image_rect",
                "/color/camera_info",
                "/pose",
                "/tf",
                "/ground_truth/semantic/image_raw",
            )
        )
        assert {stamp_ns(m) for m in (color, depth, info, pose, truth, tf.transforms[0])} == {frame.stamp_ns}
        assert got["/pose"][index][0] == frame.stamp_ns
        assert {m.header.frame_id for m in (color, depth, info, truth)} == {"camera_optical"}
        assert (color.encoding, color.height, color.width, color.step, color.is_bigendian) == ("rgb8", 24, 32, 96, 0)
        assert np.array_equal(color.data.reshape(24, 32, 3), frame.rgb)
        assert (depth.encoding, depth.step) == ("16UC1", 64)
        millimetres = depth.data.view("<u2").reshape(24, 32)
        assert millimetres[0, :5].tolist() == [0, 1234, 0, 0, 2000]
        assert (truth.encoding, truth.step) == ("mono8", 32)
        assert np.array_equal(truth.data.reshape(24, 32), scene.frame_truth(index))
        assert info.k.tolist() == [20, 0, 15.5, 0, 21, 11.5, 0, 0, 1] and (info.width, info.height) == (32, 24)
        assert info.p.tolist() == [20, 0, 15.5, 0, 0, 21, 11.5, 0, 0, 0, 1, 0]
        assert info.r.tolist() == np.eye(3).ravel().tolist()
        check_pose(pose.pose.position, pose.pose.orientation, frame.world_from_camera)
        transform = tf.transforms[0]
        assert pose.header.frame_id == transform.header.frame_id == "map"
        assert transform.child_frame_id == "camera_optical"
        check_pose(transform.transform.translation, transform.transform.rotation, frame.world_from_camera)


def check_pose(position: object, orientation: object, pose: np.ndarray) -> None:
    assert np.allclose([position.x, position.y, position.z], pose[:3, 3])
    rotation = Rotation.from_quat([orientation.x, orientation.y, orientation.z, orientation.w]).as_matrix()
    assert np.allclose(rotation, pose[:3, :3], atol=1e-12)


def test_the_cloud_grows_with_what_was_seen(tmp_path):
    scene = TinyScene()
    got = by_topic(write_bag(scene, tmp_path / "a.mcap", BagConfig(up="none", cloud_every=2)))
    assert [at for at, _ in got["/cloud"]] == [scene.frame(i).stamp_ns for i in (1, 3, 4)]
    seen = np.zeros(len(scene.cloud), bool)
    sent = iter(zip(got["/cloud"], got["/ground_truth/cloud"], strict=True))
    for index in range(5):
        seen[geometry.link(scene.cloud, scene.frame(index)).point] = True
        if index in (1, 3, 4):
            (_, cloud), (_, truth) = next(sent)
            assert 0 < cloud.width == seen.sum() < len(scene.cloud)
            assert cloud.header.frame_id == "map" and cloud.height == 1 and cloud.is_dense
            fields = columns(truth)
            assert list(fields) == ["x", "y", "z", "rgb", "label"] and list(columns(cloud)) == ["x", "y", "z", "rgb"]
            xyz = np.stack([fields[axis] for axis in "xyz"], axis=1)
            assert np.array_equal(xyz.astype(np.float32), scene.cloud.xyz[seen])
            assert np.array_equal(fields["label"], scene.cloud_truth()[seen])
            red, green, blue = scene.cloud.rgb[seen].astype(np.uint32).T
            assert np.array_equal(truth.data.view("<u4").reshape(-1, 5)[:, 3], red << 16 | green << 8 | blue)


def test_without_a_cloud_of_its_own_the_frames_are_fused(tmp_path):
    scene = TinyScene(has_cloud=False, scale=8)
    got = by_topic(write_bag(scene, tmp_path / "a.mcap", BagConfig(up="none", cloud_every=5)))
    assert "/ground_truth/cloud" not in got
    ((_, cloud),) = got["/cloud"]
    z = columns(cloud)["z"]
    assert cloud.width > 100 and np.median(np.abs(z - 2)) < 0.15


def test_without_depth_there_is_no_depth_topic_and_the_whole_cloud(tmp_path):
    scene = TinyScene(has_depth=False)
    got = by_topic(write_bag(scene, tmp_path / "a.mcap"))
    assert "/depth/image_rect" not in got and got["/cloud"][-1][1].width == len(scene.cloud)
    assert "/cloud" not in by_topic(write_bag(TinyScene(has_depth=False, has_cloud=False), tmp_path / "b.mcap"))


def test_compressed_colour_namespace_frames_and_float_depth(tmp_path):
    config = BagConfig(compressed=True, namespace="/robot1", frames=2, every=2, depth="32FC1", up="none", rate_hz=10)
    got = by_topic(write_bag(TinyScene(), tmp_path / "a.mcap", config))
    assert set(got) == {
        "/tf",
        *(
            f"/robot1/{topic}"
            for topic in (
                "color/image_raw/compressed",
                "color/camera_info",
                "depth/image_rect",
                "pose",
                "cloud",
                "ground_truth/semantic/image_raw",
                "ground_truth/cloud",
            )
        ),
    }
    assert [at for at, _ in got["/robot1/pose"]] == [1_000_000_000, 1_100_000_000]
    jpeg = got["/robot1/color/image_raw/compressed"][1][1]
    assert "jpeg" in jpeg.format
    difference = simplejpeg.decode_jpeg(jpeg.data.tobytes(), "RGB").astype(int) - TinyScene().frame(2).rgb
    assert np.abs(difference).mean() < 12  # noise is JPEG's worst case; another frame differs by 85
    depth = got["/robot1/depth/image_rect"][1][1]
    metres = depth.data.view("<f4").reshape(24, 32)
    assert depth.encoding == "32FC1" and np.isnan(metres[0, 0]) and metres[0, 1] == np.float32(1.2344)
    with pytest.raises(BadInput, match="namespace 'ro bot'"):
        SceneRecording(TinyScene(), BagConfig(namespace="ro bot"))


@given(st.lists(st.floats(-1, 80, width=32) | st.sampled_from([0.0, float("nan"), float("inf")]), min_size=1))
@settings(max_examples=60, deadline=None)
def test_depth_is_rounded_to_millimetres_or_missing(depths):
    message = depth_message(header(0, "c"), np.array([depths], np.float32), "16UC1")
    for metres, got in zip(depths, message.data.view("<u2"), strict=True):
        millimetres = round(metres * 1000) if np.isfinite(metres) else 0
        assert got == (millimetres if 0 < millimetres < 65535 else 0)


def test_the_world_is_turned_upright(tmp_path):
    tilted = TinyScene(world_up=(0.0, -np.sin(1.1), -np.cos(1.1)))
    assert np.allclose(leveling(tilted) @ tilted.world_up, [0, 0, 1])
    got = by_topic(write_bag(tilted, tmp_path / "a.mcap"))
    turned = np.eye(4)
    turned[:3, :3] = leveling(tilted)
    pose = got["/pose"][3][1].pose
    check_pose(pose.position, pose.orientation, turned @ tilted.frame(3).world_from_camera)
    fields, points = columns(got["/cloud"][-1][1]), tilted.cloud.xyz @ leveling(tilted).T
    xyz = np.stack([fields[axis] for axis in "xyz"], axis=1)
    assert all(np.abs(points - point).sum(axis=1).min() < 1e-5 for point in xyz[::200])
    assert np.allclose(leveling(tilted, "1,0,0") @ [1, 0, 0], [0, 0, 1])
    with pytest.raises(BadInput, match="which way is up"):
        leveling(TinyScene(world_up=None, has_depth=False, has_cloud=False))


def test_the_kitchen_becomes_level(tmp_path, kitchen, labels):
    scene = open_scene(kitchen, labels)
    path = write_bag(scene, tmp_path / "kitchen.mcap", BagConfig(every=10, cloud_every=10))
    cloud = by_topic(path)["/cloud"][-1][1]
    xyz = cloud.data.view("<f4").reshape(cloud.width, -1)[:, :3]
    assert np.all(np.ptp(xyz, axis=0)[:2] > 2) and 1.5 < np.ptp(xyz[:, 2]) < 2.6
    floor = xyz[xyz[:, 2] < np.percentile(xyz[:, 2], 1) + 0.1]
    normal = np.linalg.svd(floor - floor.mean(axis=0), full_matrices=False)[2][2]
    assert len(floor) > 1000 and abs(normal[2]) > np.cos(np.radians(3))


def test_a_scene_folder_round_trip(tmp_path, labels, scene_folder):
    scene = open_scene(scene_folder, labels)
    got = by_topic(write_bag(scene, tmp_path / "a.mcap"))
    assert np.array_equal(got["/color/image_raw"][1][1].data.reshape(24, 32, 3), scene.frame(1).rgb)
    assert len(got["/pose"]) == len(scene) and got["/ground_truth/cloud"]


@pytest.fixture
def scene_folder(tmp_path, labels) -> Path:
    return write_scene_folder(tmp_path / "scene", labels)


def test_ros_reads_the_messages_as_they_were_meant(tmp_path):
    serialization = pytest.importorskip("rclpy.serialization", reason="rclpy is not installed")
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    kinds = {"Image": Image, "CameraInfo": CameraInfo, "PointCloud2": PointCloud2, "PoseStamped": PoseStamped}
    done = set()
    for raw in SceneRecording(TinyScene()).raw():
        if kind := kinds.get(raw.msgtype.split("/")[-1]):
            message = serialization.deserialize_message(bytes(raw.data), kind)
            ours = typestore().deserialize_cdr(raw.data, raw.msgtype)
            assert (message.header.stamp.sec, message.header.frame_id) == (ours.header.stamp.sec, ours.header.frame_id)
            if hasattr(ours, "data"):
                assert bytes(message.data) == ours.data.tobytes()
            if kind is CameraInfo:
                assert np.array_equal(message.k, ours.k) and message.roi.do_rectify is False
            if kind is PointCloud2:
                assert [(f.name, f.offset) for f in message.fields] == [(f.name, f.offset) for f in ours.fields]
            if kind is PoseStamped:
                assert message.pose.orientation.w == ours.pose.orientation.w
            done.add(kind)
    assert done == set(kinds.values())


def test_metadata_is_what_rosbag2_wants(tmp_path):
    path = write_bag(TinyScene(), tmp_path / "out")
    assert sorted(os.listdir(path)) == ["metadata.yaml", "out.mcap"]
    told = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (told["version"], told["storage_identifier"], told["relative_file_paths"]) == (9, "mcap", ["out.mcap"])
    assert told["message_count"] == 32 and told["starting_time"]["nanoseconds_since_epoch"] == 1_700_000_000 * SECOND
    topics = {t["topic_metadata"]["name"]: t for t in told["topics_with_message_count"]}
    assert topics["/pose"]["message_count"] == 5
    offered = {name: t["topic_metadata"]["offered_qos_profiles"][0] for name, t in topics.items()}
    for name in ("/cloud", "/ground_truth/cloud"):
        assert (offered[name]["durability"], offered[name]["reliability"]) == ("transient_local", "reliable")
    color = offered["/color/image_raw"]
    assert (color["durability"], color["reliability"]) == ("volatile", "best_effort")
    assert offered["/pose"]["reliability"] == "reliable"
    # one file alone is played too: it carries the same description
    alone = write_bag(TinyScene(), tmp_path / "alone.mcap").read_bytes()
    assert b"topics_with_message_count" in alone
    assert alone[:8] == alone[-8:] == b"\x89MCAP0\r\n"


# --- what cannot be written ------------------------------------------------------------------------


def test_stamps_must_increase_unless_made_afresh(tmp_path, caplog):
    standing = TinyScene(step_ns=0)
    with pytest.raises(BadInput, match="frame 'frame 1' is stamped .* --rate"):
        write_bag(standing, tmp_path / "a.mcap")
    assert os.listdir(tmp_path) == ["a.mcap.partial"] and "not complete" in caplog.text
    write_bag(standing, tmp_path / "a.mcap", BagConfig(rate_hz=30))
    assert os.listdir(tmp_path) == ["a.mcap"]


def test_scenes_one_after_the_other(tmp_path):
    scenes = [TinyScene(), TinyScene(frames=3, has_cloud=False)]
    config = BagConfig(rate_hz=2, gap_s=4)
    written = write_bag(scenes, tmp_path / "two.mcap", config)
    stamps = [stamp for topic, stamp, _ in read_bag(written) if topic == "/pose"]
    assert np.diff(stamps).tolist() == [SECOND // 2] * 4 + [SECOND // 2 + 4 * SECOND] + [SECOND // 2] * 2
    with pytest.raises(BadInput, match="2 scenes at 0.0 images a second"):
        write_bag(scenes, tmp_path / "no_rate.mcap")


def test_an_empty_scene_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no frame with a usable pose"):
        write_bag(TinyScene(frames=0), tmp_path / "a.mcap")
    assert os.listdir(tmp_path) == []


def test_what_exists_is_kept_unless_told(tmp_path):
    path = write_bag(TinyScene(), tmp_path / "a.mcap")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        write_bag(TinyScene(frames=2), path)
    assert path.read_bytes() == before
    assert Bag(write_bag(TinyScene(frames=2), path, overwrite=True)).message_count == 14
    folder = tmp_path / "precious"
    folder.mkdir()
    with pytest.raises(BadInput, match="not a bag; it is not overwritten"):
        write_bag(TinyScene(), folder, overwrite=True)
    with pytest.raises(BadInput, match="named as mcap, but sqlite3"):
        write_bag(TinyScene(), tmp_path / "b.mcap", storage="sqlite3")


def test_progress_counts_views(tmp_path):
    told = []
    write_bag(TinyScene(), tmp_path / "a.mcap", progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 5) for i in range(6)]


FULL_DISK = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from support.tiny_scene import TinyScene
from wsss_ros.bags.bag import Bag, read_bag
from wsss_ros.bags.recording import SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput
scene = TinyScene(frames=20, scale=8)
list(SceneRecording(scene).raw())  # caches are written before the disk fills up
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))
for name in ("a.mcap", "b.db3", "c"):
    try:
        write_bag(scene, f"{sys.argv[1]}/{name}")
    except BadInput as error:
        print(error)
"""


def test_a_full_disk_leaves_a_marked_partial(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(ROOT), str(ROOT / "tests")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = told.stdout.splitlines()
    assert len(lines) == 3, told.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.mcap.partial", "b.db3.partial", "c.partial"]
    for name, line in zip(("a.mcap", "b.db3", "c"), lines, strict=True):
        assert "could not be written completely" in line and f"{name}.partial" in line and "make room" in line
        with pytest.raises(BadInput, match="no such bag"):
            Bag(tmp_path / name)
    for name in ("a.mcap.partial", "c.partial"):
        salvaged = Bag(tmp_path / name)
        assert "breaks off" in salvaged.broken and 20 < salvaged.message_count < 124
        assert len(list(salvaged.raw())) == salvaged.message_count
    with pytest.raises(BadInput):  # SQLite keeps nothing of what was not committed
        Bag(tmp_path / "b.db3.partial")


# --- what cannot be read, or only in part ----------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, list]:
    path = write_bag(TinyScene(frames=3), tmp_path_factory.mktemp("whole") / "a.mcap")
    return path.read_bytes(), list(Bag(path).raw())


@given(share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_bag_cut_anywhere_gives_its_whole_messages(tmp_path_factory, whole, share):
    data, messages = whole
    path = tmp_path_factory.mktemp("cut") / "a.mcap"
    path.write_bytes(data[: int(share * (len(data) - 1))])
    try:
        opened = Bag(path)
    except BadInput:
        first = data.index(bytes(messages[0].data)) + len(messages[0].data)
        assert path.stat().st_size < first
        return
    got = list(opened.raw())
    assert "breaks off" in opened.broken and str(len(got)) in opened.broken
    assert len(got) == opened.message_count and [raw[:3] for raw in got] == [raw[:3] for raw in messages[: len(got)]]
    assert all(bytes(a.data) == bytes(b.data) for a, b in zip(got, messages, strict=False))
    if len(got) < len(messages):  # the next message was really cut
        assert bytes(messages[len(got)].data) not in path.read_bytes()


def test_a_broken_bag_is_told_once_and_keeps_its_qos(tmp_path, whole, caplog):
    data, messages = whole
    (tmp_path / "a.mcap").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        read = list(read_bag(tmp_path / "a.mcap"))
    assert 0 < len(read) < len(messages)
    assert [record.getMessage() for record in caplog.records].count(Bag(tmp_path / "a.mcap").broken) == 1
    assert Bag(tmp_path / "a.mcap").topics == SceneRecording(TinyScene()).topics
    assert read[1][2].header.frame_id == "map"


def test_a_broken_folder_is_read_file_by_file(tmp_path, whole):
    path = write_bag(TinyScene(frames=3), tmp_path / "a")
    file = path / "a.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    opened = Bag(path)
    assert 0 < opened.message_count < len(whole[1]) and "breaks off" in opened.broken


def compressed(path: Path, raws: list) -> Path:
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        topics = {raw.topic: raw.msgtype for raw in raws}
        connections = {t: writer.add_connection(t, k, typestore=typestore()) for t, k in topics.items()}
        for raw in raws:
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
    return path / f"{path.name}.mcap"


def test_a_cut_zstd_bag(tmp_path):
    raws = list(SceneRecording(TinyScene(frames=20, scale=8)).raw())
    file = compressed(tmp_path / "z", raws)
    assert Bag(tmp_path / "z").message_count == len(raws)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    got = list(Bag(file).raw())
    assert len(raws) // 3 < len(got) < len(raws)
    assert all(bytes(a.data) == bytes(b.data) and a[:3] == b[:3] for a, b in zip(got, raws, strict=False))


def record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def handmade(profile: str = "ros2", compression: str = "lz4") -> bytes:
    """An MCAP after the specification, with one chunk, out-of-order messages and no end."""
    definition = text("std_msgs/msg/String") + text("ros2msg") + text("string data")
    inner = record(0x03, struct.pack("<H", 1) + definition)
    inner += record(0x04, struct.pack("<HH", 7, 1) + text("/said") + text("cdr") + struct.pack("<I", 0))
    for at, word in ((30, b"late\0"), (10, b"soon\0")):
        cdr = b"\0\1\0\0" + struct.pack("<I", len(word)) + word
        inner += record(0x05, struct.pack("<HIQQ", 7, 0, at, at) + cdr)
    packed = lz4.frame.compress(inner) if compression == "lz4" else inner
    chunk = struct.pack("<QQQI", 10, 30, len(inner), 0) + text(compression) + struct.pack("<Q", len(packed)) + packed
    return b"\x89MCAP0\r\n" + record(0x01, text(profile) + text("by hand")) + record(0x06, chunk)


@pytest.mark.parametrize("compression", ["lz4", ""])
def test_a_handmade_mcap_without_an_end(tmp_path, compression):
    (tmp_path / "a.mcap").write_bytes(handmade(compression=compression))
    got = [(topic, at, message.data) for topic, at, message in read_bag(tmp_path / "a.mcap")]
    assert got == [("/said", 10, "soon"), ("/said", 30, "late")]


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "not a rosbag2"),
        (b"x, y, z\n1, 2, 3\n", "not a rosbag2 .it starts with b'x, y, z"),
        (b"#ROSBAG V2.0\nmore", "ROS 1 bag, convert it with rosbags-convert"),
        (b"SQLite format 3\0" + b"\0" * 100, "broken and cannot be read"),
        (handmade(profile="protobuf"), "profile 'protobuf'; wanted one of 'ros2'"),
        (handmade(compression="own"), "no complete message"),
        (b"\x89MCAP0\r\n", "no complete message"),
    ],
)
def test_foreign_files(tmp_path, content, told):
    (tmp_path / "a.mcap").write_bytes(content)
    with pytest.raises(BadInput, match=told):
        Bag(tmp_path / "a.mcap")


def test_foreign_places(tmp_path):
    with pytest.raises(BadInput, match="no such bag"):
        read_bag(tmp_path / "nothing.mcap")
    with pytest.raises(BadInput, match="not a bag; looked for metadata.yaml"):
        read_bag(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "o.db3")) as other:
        other.execute("create table t(a)")
    with pytest.raises(BadInput, match="cannot be read"):
        read_bag(tmp_path / "o.db3")


def test_damage_in_the_middle_is_told_with_how_far_it_got(tmp_path):
    path = write_bag(TinyScene(frames=20, scale=8), tmp_path / "a.mcap")
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place : place + 400_000] = b"\xff" * 400_000  # more than one view: a record's length is hit
    path.write_bytes(data)
    got = 0
    with pytest.raises(BadInput, match=r"damaged after \d+ of 124 messages"):
        for _ in Bag(path).raw():
            got += 1
    assert 40 < got < 80


def test_types_of_others(tmp_path):
    with Writer(tmp_path / "a", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        store = get_typestore(Stores.ROS2_JAZZY)
        store.register(get_types_from_msg("uint32 count\nstring name", "other_msgs/msg/Thing"))
        thing = writer.add_connection("/thing", "other_msgs/msg/Thing", typestore=store)
        message = store.types["other_msgs/msg/Thing"](count=7, name="seven")
        writer.write(thing, 5, store.serialize_cdr(message, "other_msgs/msg/Thing"))
    ((topic, at, message),) = read_bag(tmp_path / "a")
    assert (topic, at, message.count, message.name) == ("/thing", 5, 7, "seven")
    assert "other_msgs/msg/Thing" not in typestore().types


def test_a_frame_without_pose_is_named(tmp_path):
    class Lost(TinyScene):
        def frame(self, index: int) -> Frame:
            return replace(super().frame(index), world_from_camera=None)

    with pytest.raises(BadInput, match="frame 'frame 0' has no pose"):
        write_bag(Lost(), tmp_path / "a.mcap")


def test_the_command(tmp_path, scene_folder):
    from typer.testing import CliRunner

    from wsss_ros.cli.main import app

    def wsss(*arguments: object) -> tuple[int, str]:
        told = CliRunner().invoke(app, ["bag", *map(str, arguments)])
        return told.exit_code, told.output

    out = tmp_path / "out.mcap"
    status, told = wsss(scene_folder, out, "--every", 2, "--namespace", "robot1", "--compressed")
    assert status == 0 and "ros2 bag play" in told, told
    assert "/robot1/color/image_raw/compressed" in {topic.name for topic in Bag(out).topics}
    assert len(by_topic(out)["/robot1/pose"]) == 3
    status, told = wsss(scene_folder, out)
    assert status == 2 and "exists already" in told and "--overwrite" in told
    assert wsss(scene_folder, out, "--overwrite", "--storage", "sqlite3")[0] == 2
    assert wsss(scene_folder, tmp_path / "folder", "--storage", "sqlite3")[0] == 0
    assert sorted(os.listdir(tmp_path / "folder")) == ["folder.db3", "metadata.yaml"]
    status, told = wsss(tmp_path, tmp_path / "b.mcap")
    assert status == 2 and "wanted one scene folder" in told


# --- tags ------------------------------------------------------------------------------------------


def spoken(recording: SceneRecording) -> list[tuple[int, str, str]]:
    """(stamp_ns, topic, text) of every tag, as they are serialised."""
    raws = [raw for raw in recording.raw() if "tags/" in raw.topic]
    assert {raw.msgtype for raw in raws} <= {"std_msgs/msg/String"}
    return [(raw.stamp_ns, raw.topic, typestore().deserialize_cdr(raw.data, raw.msgtype).data) for raw in raws]


def test_a_tag_file_is_spoken_beside_its_images(scene_folder, labels, tmp_path):
    assert not spoken(SceneRecording(open_scene(scene_folder, labels))), "labels are not what a person said"
    names = [open_scene(scene_folder, labels).frame(index).name for index in range(5)]
    (scene_folder / "tags.csv").write_text(f'scene,"wall, chair"\n{names[1]},wall\n{names[3]},"chair, wall"\n')
    scene = open_scene(scene_folder, labels)
    stamps = [scene.frame(index).stamp_ns for index in range(5)]
    at = [f"@{stamp // SECOND}.{stamp % SECOND:09d}" for stamp in stamps]
    recording = SceneRecording(scene, BagConfig(namespace="robot1", cloud_every=3))
    assert spoken(recording) == [
        (stamps[1], "/robot1/tags/image", f"{at[1]} wall"),
        (stamps[2], "/robot1/tags/scene", "wall, chair"),
        (stamps[3], "/robot1/tags/image", f"{at[3]} wall, chair"),
        (stamps[4], "/robot1/tags/scene", "wall, chair"),
    ]
    path = write_bag(scene, tmp_path / "a.mcap", BagConfig(rate_hz=10, every=3))
    assert [m.data for _, m in by_topic(path)["/tags/image"]] == ["@1.100000000 wall, chair"]
    (topic,) = [topic for topic in Bag(path).topics if topic.name == "/tags/image"]
    assert (topic.reliable, topic.latched) == (True, False)


def test_without_tags_for_the_whole_only_images_are_spoken_of(scene_folder, labels):
    name = open_scene(scene_folder, labels).frame(2).name
    (scene_folder / "tags.json").write_text(f'{{"frames": {{"{name}": ["chair"], "{name}9": ["wall"]}}}}')
    told = spoken(SceneRecording(open_scene(scene_folder, labels)))
    assert [text for _, _, text in told] == ["@1700000000.066666666 chair"]
