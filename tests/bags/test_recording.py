"""A scene as messages: each holds what the scene holds."""

import os
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation
from support.messages import by_topic, columns
from support.tiny_scene import SECOND, TinyScene

from wsss_ros import geometry
from wsss_ros.bags.bag import Bag, read_bag
from wsss_ros.bags.cdr import typestore
from wsss_ros.bags.codec import stamp_ns
from wsss_ros.bags.recording import BagConfig, SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.derived import upright_rotation
from wsss_ros.types import BadInput, Frame


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
        assert {stamp_ns(m.header) for m in (color, depth, info, pose, truth, tf.transforms[0])} == {frame.stamp_ns}
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


def test_frames_are_fused_where_the_scene_has_no_cloud(tmp_path):
    scene = TinyScene(has_cloud=False, scale=8)
    got = by_topic(write_bag(scene, tmp_path / "a.mcap", BagConfig(up="none", cloud_every=5)))
    assert "/ground_truth/cloud" not in got
    ((_, cloud),) = got["/cloud"]
    z = columns(cloud)["z"]
    assert cloud.width > 100 and np.median(np.abs(z - 2)) < 0.15


def test_without_depth_the_complete_cloud_is_sent_and_no_depth(tmp_path):
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


def test_the_world_is_turned_upright(tmp_path):
    tilted = TinyScene(world_up=(0.0, -np.sin(1.1), -np.cos(1.1)))
    assert np.allclose(upright_rotation(tilted) @ tilted.world_up, [0, 0, 1])
    got = by_topic(write_bag(tilted, tmp_path / "a.mcap"))
    turned = np.eye(4)
    turned[:3, :3] = upright_rotation(tilted)
    pose = got["/pose"][3][1].pose
    check_pose(pose.position, pose.orientation, turned @ tilted.frame(3).world_from_camera)
    fields, points = columns(got["/cloud"][-1][1]), tilted.cloud.xyz @ upright_rotation(tilted).T
    xyz = np.stack([fields[axis] for axis in "xyz"], axis=1)
    assert all(np.abs(points - point).sum(axis=1).min() < 1e-5 for point in xyz[::200])


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


def test_rclpy_reads_the_same_messages(tmp_path):
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


# --- what cannot be recorded ----------------------------------------------------------------------


def test_stamps_must_increase_unless_a_rate_gives_new_ones(tmp_path, caplog):
    standing = TinyScene(step_ns=0)
    with pytest.raises(BadInput, match="frame 'frame 1' is stamped .* --rate"):
        write_bag(standing, tmp_path / "a.mcap")
    assert os.listdir(tmp_path) == ["a.mcap.partial"] and "not complete" in caplog.text
    write_bag(standing, tmp_path / "a.mcap", BagConfig(rate_hz=30))
    assert os.listdir(tmp_path) == ["a.mcap"]


def test_an_empty_scene_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no frame with a usable pose"):
        write_bag(TinyScene(frames=0), tmp_path / "a.mcap")
    assert os.listdir(tmp_path) == []


def test_a_frame_without_pose_is_named(tmp_path):
    class Lost(TinyScene):
        def frame(self, index: int) -> Frame:
            return replace(super().frame(index), world_from_camera=None)

    with pytest.raises(BadInput, match="frame 'frame 0' has no pose"):
        write_bag(Lost(), tmp_path / "a.mcap")


# --- scenes one after the other -------------------------------------------------------------------


def test_scenes_one_after_the_other(tmp_path):
    scenes = [TinyScene(), TinyScene(frames=3, has_cloud=False)]
    config = BagConfig(rate_hz=2, gap_s=4)
    written = write_bag(scenes, tmp_path / "two.mcap", config)
    stamps = [stamp for topic, stamp, _ in read_bag(written) if topic == "/pose"]
    assert np.diff(stamps).tolist() == [SECOND // 2] * 4 + [SECOND // 2 + 4 * SECOND] + [SECOND // 2] * 2
    with pytest.raises(BadInput, match="2 scenes at 0.0 images a second"):
        write_bag(scenes, tmp_path / "no_rate.mcap")


# --- tags -----------------------------------------------------------------------------------------


def sent_tags(recording: SceneRecording) -> list[tuple[int, str, str]]:
    """(stamp_ns, topic, text) of every tag, as they are serialised."""
    raws = [raw for raw in recording.raw() if "tags/" in raw.topic]
    assert {raw.msgtype for raw in raws} <= {"std_msgs/msg/String"}
    return [(raw.stamp_ns, raw.topic, typestore().deserialize_cdr(raw.data, raw.msgtype).data) for raw in raws]


def test_tags_of_a_file_follow_their_images(scene_folder, labels, tmp_path):
    assert not sent_tags(SceneRecording(open_scene(scene_folder, labels))), "labels are not tags that a person gave"
    names = [open_scene(scene_folder, labels).frame(index).name for index in range(5)]
    (scene_folder / "tags.csv").write_text(f'scene,"wall, chair"\n{names[1]},wall\n{names[3]},"chair, wall"\n')
    scene = open_scene(scene_folder, labels)
    stamps = [scene.frame(index).stamp_ns for index in range(5)]
    at = [f"@{stamp // SECOND}.{stamp % SECOND:09d}" for stamp in stamps]
    recording = SceneRecording(scene, BagConfig(namespace="robot1", cloud_every=3))
    assert sent_tags(recording) == [
        (stamps[1], "/robot1/tags/image", f"{at[1]} wall"),
        (stamps[2], "/robot1/tags/scene", "wall, chair"),
        (stamps[3], "/robot1/tags/image", f"{at[3]} wall, chair"),
        (stamps[4], "/robot1/tags/scene", "wall, chair"),
    ]
    path = write_bag(scene, tmp_path / "a.mcap", BagConfig(rate_hz=10, every=3))
    assert [m.data for _, m in by_topic(path)["/tags/image"]] == ["@1.100000000 wall, chair"]
    (topic,) = [topic for topic in Bag(path).topics if topic.name == "/tags/image"]
    assert (topic.reliable, topic.latched) == (True, False)


def test_tags_can_be_left_out(scene_folder, labels):
    (scene_folder / "tags.csv").write_text('scene,"wall, chair"\n')
    scene = open_scene(scene_folder, labels)
    silent = SceneRecording(scene, BagConfig(tags=False))
    assert sent_tags(SceneRecording(scene)) and not sent_tags(silent)
    assert not any("tags" in topic.name for topic in silent.topics)


class FaultyTags(TinyScene):
    @property
    def tag_file(self):
        raise BadInput("tags.csv, line 1: 'foosball_table' is not a class")


def test_a_fault_in_the_tags_is_reported_and_the_images_are_sent(caplog):
    recording = SceneRecording(FaultyTags())
    assert not sent_tags(recording) and any(raw.topic == "/color/image_raw" for raw in recording.raw())
    (text,) = [record.getMessage() for record in caplog.records]
    assert text.startswith("no tags are recorded or played") and "line 1: 'foosball_table' is not a class" in text


def test_without_tags_of_the_scene_only_those_of_images_are_sent(scene_folder, labels):
    name = open_scene(scene_folder, labels).frame(2).name
    (scene_folder / "tags.json").write_text(f'{{"frames": {{"{name}": ["chair"], "{name}9": ["wall"]}}}}')
    sent = sent_tags(SceneRecording(open_scene(scene_folder, labels)))
    assert [text for _, _, text in sent] == ["@1700000000.066666666 chair"]


def test_absent_and_unknown_classes_are_sent_with_their_signs(scene_folder, labels):
    name = open_scene(scene_folder, labels).frame(2).name
    rows = f'unknown,frame,tags\n,scene,-bed\n"sink, desk",{name},"-sofa, chair"\n'
    (scene_folder / "tags.csv").write_text(rows)
    sent = sent_tags(SceneRecording(open_scene(scene_folder, labels), BagConfig(cloud_every=5)))
    assert [text for _, _, text in sent] == ["@1700000000.066666666 chair, -sofa, ?desk, ?sink", "-bed"]
