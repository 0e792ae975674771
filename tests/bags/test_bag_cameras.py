"""Bags as drivers record them: unregistered depth, distorted images, camera_info published once, turned cameras."""

from dataclasses import replace

import numpy as np
import pytest
from support.box_cameras import APART, REALSENSE, SIDES, Driver, off_surface, seen

from wsss_ros.bags import topics
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.bags.cdr import IMAGE
from wsss_ros.bags.frames import DEPTHS, BagFrames
from wsss_ros.bags.recording import Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput, Camera, Distortion

AZURE = Driver(
    Camera(152.0, 152.0, 95.5, 71.0, 192, 144, Distortion("polynomial", (0.09, -0.05, 4e-4, -2e-4, 0.02))),
    Camera(126.0, 126.0, 80.0, 80.0, 160, 160, Distortion("polynomial", (0.6, 0.1, 1e-4, 4e-5, 0.01, 0.9, 0.2, 0.02))),
    APART,
    color_topic="/rgb/image_raw",
    depth_topic="/depth/image_raw",
)
FISHEYE = replace(
    REALSENSE, color=replace(REALSENSE.color, distortion=Distortion("equidistant", (0.02, -0.01, 0.0, 0.0))),
    depth=replace(REALSENSE.depth, distortion=Distortion("equidistant", (0.02, -0.01, 0.0, 0.0))),
    depth_topic="/camera/camera/depth/image_raw",
)  # fmt: skip


@pytest.mark.parametrize("infos", ["stream", "once", "frozen"])
def test_the_cloud_of_unregistered_depth_is_in_its_place(infos, tmp_path):
    replace(REALSENSE, infos=infos).write(tmp_path / "bag")
    bag = BagFrames(tmp_path / "bag")
    check(bag, REALSENSE)


@pytest.mark.parametrize("driver", [AZURE, FISHEYE])
def test_raw_images_go_through_undistortion(driver, tmp_path):
    driver.write(tmp_path / "bag")
    check(BagFrames(tmp_path / "bag"), driver)


def test_a_bag_that_is_written_from_a_bag_keeps_the_distortion(labels, tmp_path):
    AZURE.write(tmp_path / "bag")
    path = write_bag(BagScene(tmp_path / "bag", labels), tmp_path / "again.mcap")
    again = BagFrames(path)
    again.cloud_topic = ""
    check(again, AZURE)


def check(bag: BagFrames, driver: Driver) -> None:
    """The views have the depth of the colour camera, and the fused cloud is on the box with the right colours."""
    views = list(bag.views())
    assert len(views) == driver.views
    for view in views:
        _, truth = seen(driver.color, view.world_from_camera)
        there = view.depth_m > 0
        assert view.camera == driver.color and view.depth_m.shape == truth.shape
        assert there.mean() > 0.5 and np.abs(view.depth_m - truth)[there].mean() < 0.01
    cloud = bag.cloud()
    assert len(cloud) > 1000
    assert np.quantile(off_surface(cloud.xyz), 0.99) < 0.01
    side = np.abs(np.abs(cloud.xyz) - (2.0, 1.6, 1.3)).argmin(axis=1)
    expected = SIDES[2 * side + (cloud.xyz[np.arange(len(side)), side] > 0)]
    assert (cloud.rgb == expected).all(axis=1).mean() > 0.93  # the rest is at the edges of the box


def test_unregistered_depth_without_what_registration_needs_is_refused(tmp_path):
    replace(REALSENSE, extrinsic=False).write(tmp_path / "apart")
    with pytest.raises(
        BadInput, match="image_rect_raw: depth not registered: depth is in frame 'camera_depth_opt.*align"
    ):
        next(BagFrames(tmp_path / "apart").views())
    registered = replace(
        REALSENSE, color_from_depth=np.eye(4), depth=REALSENSE.color, frames=("camera_color_optical_frame",) * 2
    )
    replace(registered, extrinsic=False).write(tmp_path / "same")
    (first, *_) = BagFrames(tmp_path / "same").views()
    _, truth = seen(REALSENSE.color, first.world_from_camera)
    np.testing.assert_allclose(first.depth_m, truth, atol=0.0006)  # as it is: whole millimetres


def test_what_is_odd_about_a_calibration_is_logged_once(tmp_path, caplog):
    odd = replace(REALSENSE.color, fy=100.0)
    replace(REALSENSE, color=odd).write(tmp_path / "bag")
    bag = BagFrames(tmp_path / "bag")
    list(bag.views()), list(bag.views())
    assert [record.message for record in caplog.records if "fx 152.0 is far from fy 100.0" in record.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("roll_deg", "turns"), [(0, 0), (90, 3), (180, 2), (-90, 1)])
def test_a_turned_camera_is_found_from_tf(roll_deg, turns, tmp_path):
    replace(REALSENSE, roll_deg=roll_deg).write(tmp_path / "bag")
    assert BagFrames(tmp_path / "bag").turns() == turns


class Topics(Bag):
    """A bag of which only the topics matter."""

    def __init__(self, *names):
        self.topics = [Topic(name, IMAGE) for name in names]

    def raw(self, topics=None):
        return iter(())


@pytest.mark.parametrize(
    ("depth", "others"),
    [
        ("/camera/aligned_depth_to_color/image_raw", ("/camera/depth/image_rect_raw", "/camera/color/image_raw")),
        ("/depth_to_rgb/image_raw", ("/depth/image_raw", "/rgb/image_raw", "/rgb_to_depth/image_raw")),
        ("/oak/stereo/image_raw", ("/oak/rgb/image_raw", "/oak/left/image_raw", "/stereo/left/image_raw")),
        ("/zed/zed_node/depth/depth_registered", ("/zed/zed_node/rgb/image_rect_color",)),
        ("/one/depth/image_rect", ("/two/aligned_depth_to_color/image_raw",)),
        ("", ("/rgb/image_raw", "/rgb_to_depth/image_raw")),
    ],
)
def test_the_depth_of_drivers_is_found_by_its_name(depth, others):
    bag = Topics(*others, *filter(None, [depth]))
    assert topics.depth(bag, (IMAGE,), DEPTHS, others[0]) == depth
