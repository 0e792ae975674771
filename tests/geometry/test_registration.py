"""Depth registered to a colour camera: against its twin, by hand, and on a furnished room seen by two cameras."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import cameras as reference
from scipy.spatial.transform import Rotation
from support.random_views import SMALL, random_depth

from wsss_ros import geometry
from wsss_ros.geometry import registration
from wsss_ros.geometry.distortion import rays
from wsss_ros.geometry.registration import MARGIN
from wsss_ros.types import BadInput, Camera, Distortion

COLOR = Camera(16.0, 15.0, 6.1, 5.2, 14, 11)
BARREL, FISHEYE = Distortion("polynomial", (-0.1, 0.01, 0.003, -0.002)), Distortion("equidistant", (0.03, -0.01))


def side_by_side(offset, turn_deg=(0, 0, 0)):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    pose[:3, 3] = offset
    return pose


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([None, BARREL, FISHEYE]),
    st.sampled_from([None, BARREL, FISHEYE]),
)
def test_registration_matches_its_twin(seed, fill_holes, of_depth, of_color):
    rng = np.random.default_rng(seed)
    depth_m, pose = random_depth(rng), side_by_side(rng.normal(scale=0.05, size=3), rng.normal(scale=8, size=3))
    depth_camera, color = replace(SMALL, distortion=of_depth), replace(COLOR, distortion=of_color)
    found = geometry.register(depth_m, depth_camera, color, pose, fill_holes)
    of_depth = rays(depth_camera).astype(np.float32)  # as the table of the kernel has them
    expected = reference.register(depth_m, of_depth, color, pose, fill_holes, MARGIN)
    assert np.allclose(found, expected, rtol=1e-6, atol=0)


def test_the_kernel_is_compiled_once_for_all_cameras():
    """What is prepared when a node starts is what its first view needs."""
    registration.prepare_registration()
    (prepared,) = registration._register.signatures
    for of_depth in (None, BARREL, FISHEYE):
        for of_color in (None, BARREL, FISHEYE):
            cameras = replace(SMALL, distortion=of_depth), replace(COLOR, distortion=of_color)
            geometry.register(random_depth(np.random.default_rng(0)), *cameras, np.eye(4, dtype=np.float32))
    assert registration._register.signatures == [prepared]


def test_a_camera_registered_to_itself_keeps_its_depth():
    depth_m = random_depth(np.random.default_rng(0))
    known = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, 0)
    assert np.array_equal(geometry.register(depth_m, SMALL, SMALL, np.eye(4), fill_holes=False), known)
    smooth = np.full((6, 8), 2, np.float32)
    assert np.array_equal(geometry.register(smooth, SMALL, SMALL, np.eye(4)), smooth)


def test_the_nearest_wins_and_the_baseline_shifts():
    """At depth 1 the shift is 4 pixels, at depth 2 it is 2: pixel 2 of the colour image shows both, and keeps 1."""
    camera = Camera(8.0, 8.0, 0.0, 0.0, 8, 1)
    depth_m = np.zeros((1, 8), np.float32)
    depth_m[0, 6], depth_m[0, 4], depth_m[0, 7] = 1, 2, 2
    found = geometry.register(depth_m, camera, camera, side_by_side((-0.5, 0, 0)), fill_holes=False)
    assert found.tolist() == [[0, 0, 1, 0, 0, 2, 0, 0]]


@pytest.mark.parametrize("times", [2, 3])
def test_a_larger_colour_image_has_no_holes(times):
    small, large = (
        Camera(20.0, 20.0, 9.5, 7.5, 20, 16),
        Camera(20.0, 20.0, 9.5, 7.5, 20, 16).resized(20 * times, 16 * times),
    )
    depth_m = np.full((16, 20), 1.5, np.float32)
    assert (geometry.register(depth_m, small, large, np.eye(4)) == 1.5).all()
    holes = geometry.register(depth_m, small, large, np.eye(4), fill_holes=False)
    assert (holes > 0).sum() == depth_m.size


def test_frames_decide_whether_depth_is_registered():
    depth_m, color = np.full((6, 8), 2, np.float32), ("color_optical", "color_optical")
    assert geometry.depth_on_color(depth_m, SMALL, SMALL, color) is depth_m
    assert geometry.depth_on_color(depth_m, None, SMALL, ("", "color_optical")) is depth_m
    apart = ("depth_optical", "color_optical")
    with pytest.raises(BadInput, match="^depth not registered: depth is in frame 'depth_optical'.*align_depth.enable"):
        geometry.depth_on_color(depth_m, SMALL, SMALL, apart)
    with pytest.raises(BadInput, match="^depth not registered: depth of 8x6 .* no depth/camera_info came"):
        geometry.depth_on_color(depth_m, None, SMALL, apart, np.eye(4))
    with pytest.raises(BadInput, match="no depth/camera_info came"):
        geometry.depth_on_color(depth_m, None, COLOR, color)
    pose = side_by_side((-0.4, 0, 0))
    found = geometry.depth_on_color(depth_m, SMALL, SMALL, apart, pose)
    assert np.array_equal(found, geometry.register(depth_m, SMALL, SMALL, pose)) and not np.array_equal(found, depth_m)
    assert geometry.depth_on_color(depth_m, SMALL, COLOR, color).shape == (11, 14)
    with pytest.raises(BadInput, match="depth image of 8x6 with a depth camera_info of 14x11"):
        geometry.register(depth_m, COLOR, SMALL, pose)
    with pytest.raises(BadInput, match="not rigid"):
        geometry.register(depth_m, SMALL, SMALL, 2 * np.eye(4))
