"""Projection, visibility and links against their slow twins, by hand, and as round trips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import geometry as reference
from support.random_views import SMALL, random_depth, random_pose

from wsss_ros import geometry
from wsss_ros.types import BadInput, Camera, Cloud, Frame

SEEDS = st.integers(0, 2**32 - 1)


def test_project_by_hand():
    camera = Camera(100.0, 200.0, 50.0, 60.0, 101, 121)
    pose = np.eye(4)
    pose[2, 3] = -1  # the camera stands one metre behind the origin
    uv, depth = geometry.project(np.array([[0, 0, 1.0], [0.2, -0.1, 3], [0, 0, -1], [0, 0, -2]]), camera, pose)
    assert np.allclose(depth, [2, 4, 0, -1])
    assert np.allclose(uv[:2], [[50, 60], [55, 55]])
    assert np.isnan(uv[2:]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_project_matches_its_twin(seed):
    rng = np.random.default_rng(seed)
    pose = random_pose(rng)
    points = (pose[:3, 3] + rng.normal(scale=2, size=(40, 3))).astype(np.float32)
    uv, depth = geometry.project(points, SMALL, pose)
    uv_twin, depth_twin = reference.project(points, SMALL, pose)
    assert np.allclose(depth, depth_twin, atol=1e-12)
    assert np.allclose(uv, uv_twin, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_unproject_matches_its_twin_and_projects_back(seed):
    rng = np.random.default_rng(seed)
    pose, depth_m = random_pose(rng), random_depth(rng)
    points, pixel = geometry.unproject(depth_m, SMALL, pose)
    points_twin, pixel_twin = reference.unproject(depth_m, SMALL, pose)
    assert np.array_equal(pixel, pixel_twin)
    assert np.allclose(points, points_twin, atol=1e-12)
    uv, depth = geometry.project(points, SMALL, pose)
    assert np.allclose(uv, np.stack([pixel % 8, pixel // 8], 1), atol=1e-9)
    assert np.allclose(depth, depth_m.ravel()[pixel], atol=1e-12)
    assert geometry.visible(uv, depth, depth_m).all()
    in_camera, _ = geometry.unproject(depth_m, SMALL)
    assert np.allclose(geometry.transform(pose, in_camera), points, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 5), st.sampled_from([0.2, 3.0, np.inf]))
def test_unproject_of_some_pixels_matches_its_twin(seed, stride, max_depth_m):
    rng = np.random.default_rng(seed)
    pose, depth_m = random_pose(rng), random_depth(rng)
    points, pixel = geometry.unproject(depth_m, SMALL, pose, stride, max_depth_m)
    points_twin, pixel_twin = reference.unproject(depth_m, SMALL, pose, stride, max_depth_m)
    assert np.array_equal(pixel, pixel_twin)
    assert np.allclose(points, points_twin, atol=1e-12)


def test_cameras_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="depth image of 4x4 with a camera of 8x6"):
        geometry.unproject(np.ones((4, 4), np.float32), SMALL)
    for camera in (Camera(0.0, 0.0, 0.0, 0.0, 8, 6), Camera(np.nan, 8.0, 3.0, 3.0, 8, 6)):
        with pytest.raises(BadInput, match="uncalibrated"):
            geometry.unproject(np.ones((6, 8), np.float32), camera)
        with pytest.raises(BadInput, match="uncalibrated"):
            geometry.project(np.ones((1, 3)), camera, np.eye(4))


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 0.5))
def test_visible_matches_its_twin(seed, tolerance):
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-2, 10, (60, 2))
    depth = np.where(rng.random(60) < 0.8, rng.uniform(-1, 6, 60), 0)
    depth_image = np.where(rng.random((6, 8)) < 0.8, np.float32(depth[:48].reshape(6, 8)), random_depth(rng))
    expected = reference.visible(uv, depth, depth_image, tolerance)
    assert np.array_equal(geometry.visible(uv, depth, depth_image, tolerance), expected)


@pytest.mark.parametrize(
    ("u", "v", "z", "seen"),
    [
        (0.0, 0.0, 2.0, True),
        (-0.5, -0.5, 2.0, True),  # the outer edge of the first pixel belongs to it
        (-0.51, 0.0, 2.0, False),
        (1.49, 1.49, 2.05, True),
        (1.5, 0.0, 2.0, False),  # right of the image
        (0.0, 0.0, 2.06, False),  # hidden
        (0.0, 0.0, 1.94, False),  # floating before the surface
        (1.0, 0.0, 0.01, False),  # depth missing
        (0.0, 1.0, 2.0, False),  # depth NaN
        (0.0, 0.0, -2.0, False),  # behind the camera
        (np.nan, np.nan, 2.0, False),
    ],
)
def test_visible_by_hand(u, v, z, seen):
    image = np.array([[2, 0], [np.nan, 2]], np.float32)
    assert geometry.visible(np.array([[u, v]]), np.array([z]), image, 0.05 + 1e-9).tolist() == [seen]


def test_link_keeps_what_is_seen_at_sub_pixel_positions():
    pose = random_pose(np.random.default_rng(1))
    in_camera = np.array([[0.1, 0.05, 2], [0.1, 0.05, 2.5], [0, 0, -2], [9, 0, 2]])
    cloud = Cloud(geometry.transform(pose, in_camera).astype(np.float32))
    frame = Frame(np.zeros((6, 8, 3), np.uint8), SMALL, np.full((6, 8), 2, np.float32), pose)
    links = geometry.link(cloud, frame)
    assert links.point.tolist() == [0]
    assert np.allclose(links.uv, [[3.3 + 0.05 * 9, 2.6 + 0.025 * 8]], atol=1e-5)
    assert len(geometry.link(cloud, frame, tolerance=0.6)) == 2


def test_link_names_what_the_frame_lacks():
    rgb, cloud = np.zeros((6, 8, 3), np.uint8), Cloud(np.zeros((1, 3), np.float32))
    with pytest.raises(BadInput, match="no depth and no pose"):
        geometry.link(cloud, Frame(rgb, SMALL))
    with pytest.raises(BadInput, match="no camera"):
        geometry.link(cloud, Frame(rgb, None, np.ones((6, 8), np.float32), np.eye(4)))
    with pytest.raises(BadInput, match="lost tracking"):
        geometry.link(cloud, Frame(rgb, SMALL, np.ones((6, 8), np.float32), np.full((4, 4), -np.inf)))
