"""The semantic mapper in this process: the frame and the classes of its first view, and images without a frame."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image  # noqa: E402
from support.view_messages import CAMERA, HEIGHT, WIDTH, camera_info, depths, frame, header  # noqa: E402

from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.label_views import PosedIds  # noqa: E402
from wsss_ros.nodes.view_sources import Pose  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

IDS = np.zeros((HEIGHT, WIDTH), np.uint8)


def view(stamp_ns: int) -> PosedIds:
    return PosedIds(IDS, depths(), CAMERA, frame().world_from_camera, stamp_ns)


def test_a_map_in_odom_goes_on_where_the_names_of_its_classes_came_before_its_first_view(built_mapper):
    node = built_mapper()
    node.inputs[""].frame_id = "odom"  # TF has no map
    node.names.take({0: "wall", 1: "sofa"})
    for stamp_ns in (1, 2):
        node.use_view(view(stamp_ns))
    assert node.map.views == 2 and node.space.names == ("wall", "sofa")
    node.inputs[""].frame_id = "map"  # localisation has started
    node.names.take({0: "wall", 1: "dog"})
    node.use_view(view(3))
    assert node.map.views == 1 and node.space.names == ("wall", "dog")
    node.inputs[""].frame_id = "odom"
    with pytest.raises(BadInput, match="the poses are in 'odom' and the map is in 'map'"):
        node.use_view(view(4))


def test_a_label_image_without_a_frame_does_not_hold_up_those_after_it(built_mapper):
    node = built_mapper(points="lidar", pose_source="tf", tf_wait_s=0.0)
    inputs, xyz = node.inputs[""], np.ones((5, 3), np.float32)
    for seconds in (1, 2):
        inputs._scans.put(conversions.cloud_message(header(seconds * 10**9, "lidar"), xyz))
    with pytest.raises(BadInput, match="frame_id of the image is empty"):
        inputs.on_labels(conversions.image_message(header(10**9, ""), IDS, "mono8"))
    inputs.on_labels(conversions.image_message(header(2 * 10**9, "camera"), IDS, "mono8"))
    assert node.health.dropped["label image without scan or pose"] == 1


def test_a_looped_bag_of_a_few_seconds_loses_no_image_whose_poses_came_before_it(built_mapper, monkeypatch):
    node, got = built_mapper(points="lidar", pose_source="topic", tf_wait_s=0.0), []
    monkeypatch.setattr(node, "submit", lambda job, use, matched: got.append(matched))
    inputs, xyz = node.inputs[""], np.ones((5, 3), np.float32)
    inputs._cameras.on_color_info(camera_info(0))
    for loop in range(2):
        for stamp_ns in range(0, 3 * 10**9, 10**8):  # images come 0.2 s after the poses of their time
            world_from_camera = frame((10.0 * loop, 0, stamp_ns / 1e9)).world_from_camera
            inputs.on_pose(10**9 + stamp_ns, Pose("map", world_from_camera))
            inputs._scans.put(conversions.cloud_message(header(10**9 + stamp_ns, "camera"), xyz))
            if stamp_ns >= 2 * 10**8:
                late = header(8 * 10**8 + stamp_ns, "camera")
                inputs.on_labels(conversions.image_message(late, IDS, "mono8"))
    assert node.health.dropped["label image without scan or pose"] == 0
    expected = [[10.0 * loop, 0, n / 10] for loop in range(2) for n in range(28)]
    assert np.array([matched.world_from_camera[:3, 3] for matched in got]) == pytest.approx(np.array(expected))


def test_all_cameras_around_a_lidar_share_its_scans_and_tf(built_mapper):
    node = built_mapper(points="lidar", cameras="front, left")
    received = [record.topic for record in node._inputs]
    assert [received.count(topic) for topic in ("/lidar/points", "/tf", "/front/color/camera_info")] == [1, 1, 1]
    assert node.trigger_deactivate() == node.trigger_activate()
    received = [record.topic for record in node._inputs]
    assert [received.count(topic) for topic in ("/lidar/points", "/tf", "/left/semantic/image_raw")] == [1, 1, 1]


def test_depth_that_waits_for_label_images_takes_little_memory(built_mapper):
    inputs = built_mapper().inputs[""].inputs
    given = conversions.image_message(header(0, "camera"), np.ones((480, 640), np.float32), "32FC1")
    for n in range(150):
        about = {"height": 480, "width": 640, "step": given.step, "encoding": "32FC1", "data": given.data}
        inputs.on_depth(Image(header=header(n * 33_000_000, "camera"), **about))
    assert 40 * len(given.data) < inputs.sync.pending * len(given.data) <= 64_000_000
