"""Bags whose poses are in TF: the camera's pose at the stamp of each image, in a bag with one camera or several."""

import logging

import numpy as np
import pytest
from support.robot_bags import STEP_NS, truth, without, write_robot_bag
from support.striped_scenes import StripedScene
from typer.testing import CliRunner

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_poses import BagPoses
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recording import BagConfig
from wsss_ros.bags.writing import write_bag
from wsss_ros.cli.main import app
from wsss_ros.samples.prepared import prepare
from wsss_ros.training.sources import SourceConfig, open_source
from wsss_ros.types import BadInput, Scene


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    return write_robot_bag(tmp_path_factory.mktemp("robot") / "bag")


def poses(path, **options) -> list[tuple[int, np.ndarray]]:
    return [(frame.stamp_ns, frame.world_from_camera) for frame in BagFrames(path, **options).views()]


def check(found, frame="map") -> None:
    for stamp_ns, pose in found:
        np.testing.assert_allclose(pose, truth(stamp_ns, frame), atol=1e-9)


def test_poses_are_interpolated_at_the_stamps_of_the_images(robot):
    found = poses(robot)
    assert [stamp for stamp, _ in found] == [number * STEP_NS for number in range(1, 11)]
    check(found)


def test_without_a_map_poses_are_in_odom_with_a_warning(tmp_path, caplog):
    path = write_robot_bag(tmp_path / "bag", with_map=False)
    with caplog.at_level(logging.WARNING):
        check(poses(path), "odom")
    (text,) = [record.getMessage() for record in caplog.records]
    assert "no path from 'map' to 'camera_optical'; poses are in 'odom'" in text


def test_the_user_names_the_world_frame(robot):
    check(poses(robot, fixed_frame="odom"), "odom")
    with pytest.raises(BadInput, match="no frame 'world' in TF: known frames are base_link, camera_optical, map, odom"):
        poses(robot, fixed_frame="world")


def test_images_before_the_first_transform_are_left_out_with_the_reason(tmp_path, caplog):
    path = write_robot_bag(tmp_path / "bag", tf_from_ns=3 * STEP_NS - 50)
    with caplog.at_level(logging.WARNING):
        found = poses(path)
    assert len(found) == 8
    check(found)
    assert "2 of 10 views have no pose in TF and are left out (images 0, 1): " in caplog.text
    assert "is of 0.299 s, 0.199 s later" in caplog.text


def test_of_two_cameras_the_user_names_one(tmp_path):
    path = write_robot_bag(tmp_path / "bag", cameras=("/front", "/rear/left"), count=3)
    with pytest.raises(BadInput, match=r"several cameras: /front/color/image_raw, /rear/left/color/image_raw; name"):
        BagFrames(path)
    rear = BagFrames(path, color="/rear/left/color/image_raw")
    assert rear.parts["depth_m"] == "/rear/left/depth/image_rect"
    assert rear.parts["camera"] == "/rear/left/color/camera_info"
    frames = list(rear.views())
    assert len(frames) == 3 and all((frame.depth_m == len("/rear/left") / 4).all() for frame in frames)


def test_a_namespaced_robot_has_its_own_tf(tmp_path):
    path = write_robot_bag(tmp_path / "bag", cameras=("/one/camera",), tf="/one", count=3)
    check(poses(path))
    bag = Bag(path)
    with pytest.raises(BadInput, match=r"no topic /tf in a namespace of '/two/image'; of its type there are /one/tf"):
        BagPoses(bag, bag.types(), "/two/image")


def test_poses_of_tf_equal_those_of_the_topic(labels, tmp_path):
    """The bags of `wsss bag` have both."""
    both = write_bag(StripedScene(0, labels), tmp_path / "both", BagConfig(camera_frame="optical"))
    tf_only = without(both, tmp_path / "tf", "/pose")
    assert "world_from_camera" not in {part for part, topic in BagFrames(tf_only).parts.items() if topic}
    for (stamp, pose), (other, expected) in zip(poses(tf_only), poses(both), strict=True):
        assert stamp == other
        np.testing.assert_allclose(pose, expected, atol=1e-12)


# --- a bag as a scene ---


def test_a_bag_is_a_scene_with_its_tags(labels, tmp_path):
    original = StripedScene(0, labels)
    original.tag_file = None
    path = without(write_bag(original, tmp_path / "both"), tmp_path / "bag", "/pose", "ground_truth/cloud")
    (path / "tags.csv").write_text(f'scene,"{", ".join(original.tags)}"\n1,{original.tags[0]}\n')
    scene = BagScene(path, labels)
    assert isinstance(scene, Scene) and len(scene) == 4
    assert set(scene.tags) == set(original.tags)
    assert [scene.image_tags(index) for index in range(4)] == [None, (original.tags[0],), None, None]
    for index in (2, 0, 3):  # also back
        frame, expected = scene.frame(index), original.frame(index)
        np.testing.assert_array_equal(frame.rgb, expected.rgb)
        np.testing.assert_allclose(frame.world_from_camera, expected.world_from_camera, atol=1e-12)
        assert (frame.stamp_ns, frame.name) == (expected.stamp_ns, str(index))


def test_tags_of_messages_go_to_their_images(labels, tmp_path):
    from support.striped_scenes import written

    from wsss_ros.scenes import open_scene

    written(tmp_path / "scenes", labels, [0])
    opened = open_scene(tmp_path / "scenes" / "scene0", labels)
    scene = BagScene(write_bag(opened, tmp_path / "bag"), labels)
    assert scene.tags == opened.tags
    assert [scene.image_tags(i) for i in range(len(scene))] == [opened.image_tags(i) for i in range(len(opened))]
    source = open_source(SourceConfig(path=str(tmp_path / "bag")), labels)
    prepared = prepare(source.scenes, labels, tmp_path / "cache", frames_per_scene=0)
    assert len(prepared.scenes[0].images) == 4 and prepared.scenes[0].links.min() > 0


def test_options_of_bags_are_refused_for_scenes(labels, tmp_path):
    from support.striped_scenes import written

    written(tmp_path / "scenes", labels, [0])
    with pytest.raises(BadInput, match="to which 'fixed_frame' does not apply"):
        open_source(SourceConfig(path=str(tmp_path / "scenes"), fixed_frame="odom"), labels)


def test_a_bag_without_poses_is_not_a_scene(labels, robot, tmp_path):
    path = without(robot, tmp_path / "bag", "/tf", "/tf_static")
    with pytest.raises(BadInput, match="a scene needs images, depth, camera_info and poses; the bag has no poses"):
        BagScene(path, labels)


def test_the_command_writes_the_bag_of_a_robot_with_a_pose_topic(robot, tmp_path):
    result = CliRunner().invoke(app, ["bag", str(robot), str(tmp_path / "out.mcap"), "--up", "none"])
    assert result.exit_code == 0, result.output
    written = BagFrames(tmp_path / "out.mcap")
    assert written.parts["world_from_camera"] == "/pose"
    check((frame.stamp_ns, frame.world_from_camera) for frame in written.views())
