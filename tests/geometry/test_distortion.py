"""Lens distortion against values of OpenCV, against its twin, and as a round trip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import cameras as reference

from wsss_ros import geometry
from wsss_ros.geometry.distortion import distort, lens_of, rays, undistort
from wsss_ros.types import BadInput, Camera, Distortion

POINTS = np.array([[0.3, -0.2], [-0.55, 0.4], [0.0, 0.61]])
KINECT = (0.5, -2.6, 0.0007, -0.0002, 1.5, 0.39, -2.4, 1.4)
PRISM = (0.01, -0.02, 0.015, 0.003)
# What cv2.projectPoints and cv2.fisheye.projectPoints of OpenCV 5.0.0 return with the identity as camera matrix.
OPENCV = {
    "plumb_bob": (
        Distortion("polynomial", (-0.28, 0.09, 0.001, -0.002, -0.01)),
        [(0.288789709, -0.192569806), (-0.4913942353515625, 0.3571673984375), (-0.0007442, 0.5548487124253979)],
    ),
    "8 coefficients": (
        Distortion("polynomial", KINECT),
        [
            (0.30315232006172815, -0.2020278800411521),
            (-0.5628030021257547, 0.40956775154600344),
            (-7.442e-05, 0.6234586918082993),
        ],
    ),
    "12 coefficients": (
        Distortion("polynomial", (*KINECT, *PRISM)),
        [
            (0.30411432006172817, -0.2000271800411521),
            (-0.5624561271257548, 0.41714697029600345),
            (0.0008774118, 0.6294555670382993),
        ],
    ),
    "14 coefficients": (
        Distortion("polynomial", (0.1, -0.2, 0.0007, -0.0002, 0.05, 0.19, -0.4, 0.04, *PRISM, 0.03, -0.05)),
        [
            (0.3014723492699764, -0.19762686313466168),
            (-0.5437038527231225, 0.40225859486308363),
            (0.0008950299822874781, 0.6254328817106686),
        ],
    ),
    "equidistant": (
        Distortion("equidistant", (0.02, -0.01, 0.004, -0.0006)),
        [
            (0.2885786846575944, -0.1923857897717296),
            (-0.48591299681798955, 0.35339127041308327),
            (0, 0.5505901389621369),
        ],
    ),
}


@pytest.mark.parametrize("name", OPENCV)
def test_lenses_distort_as_opencv_does(name):
    distortion, expected = OPENCV[name]
    assert np.allclose(distort(distortion, POINTS), expected, rtol=0, atol=1e-14)
    assert np.allclose(undistort(distortion, np.array(expected)), POINTS, rtol=0, atol=1e-11)


small = st.floats(-0.005, 0.005)
LENSES = st.one_of(
    st.lists(st.floats(-0.15, 0.15), min_size=1, max_size=2).map(tuple),
    st.tuples(st.floats(-0.3, 0.1), st.floats(-0.1, 0.1), small, small, small),
    st.tuples(*[st.floats(-0.1, 0.1)] * 2, *[small] * 2, *[st.floats(-0.1, 0.1)] * 4, *[small] * 6),
).map(lambda values: Distortion("polynomial", values)) | st.tuples(*[st.floats(-0.05, 0.05)] * 4).map(
    lambda values: Distortion("equidistant", values)
)


@settings(max_examples=30, deadline=None)
@given(LENSES, st.integers(0, 2**32 - 1))
def test_lenses_match_their_twin_and_undistort_what_they_distort(distortion, seed):
    points = np.random.default_rng(seed).uniform(-0.9, 0.9, (20, 2))
    shown = distort(distortion, points)
    limit, radius = lens_of(distortion).limit, np.hypot(*points.T)
    reached = np.arctan(radius) if distortion.model == "equidistant" else radius
    steep = np.array([np.linalg.det(reference.derivatives(distortion, *point)) for point in points])
    assert np.isnan(shown[reached > limit]).all() and np.isnan(shown[steep < -1e-6]).all()
    within = (reached <= 0.95 * limit) & (steep > 0.1)  # where the inverse is not steep
    expected = np.array([reference.distort(distortion, *point) for point in points])
    assert np.allclose(shown[within], expected[within], rtol=0, atol=1e-12)
    assert np.allclose(undistort(distortion, shown[within]), points[within], rtol=0, atol=1e-8)


def test_a_point_outside_the_view_is_not_folded_back_into_the_image():
    """With k1 = -0.28 the distorted radius grows up to r = 1.09 and then falls: r = 1.89 would appear at the centre."""
    barrel = Distortion("polynomial", (-0.28,))
    assert lens_of(barrel).limit == pytest.approx(1 / np.sqrt(3 * 0.28))
    assert reference.distort(barrel, 1.88, 0)[0] < 0.05
    assert np.isnan(distort(barrel, np.array([[1.88, 0.0]]))).all()
    camera = Camera(300.0, 300.0, 160.0, 120.0, 320, 240, barrel)
    uv, depth = geometry.project(np.array([[1.88, 0, 1], [0.1, 0, 1]]), camera, np.eye(4))
    assert np.isnan(uv[0]).all() and depth[0] == 1
    assert uv[1] == pytest.approx((160 + 300 * 0.1 * (1 - 0.28 * 0.01), 120))


def test_rays_of_pixels_that_the_lens_does_not_reach_are_nan():
    barrel = Camera(100.0, 100.0, 100.0, 0.0, 201, 1, Distortion("polynomial", (-0.28,)))
    table = rays(barrel)
    farthest = 2 / 3 / np.sqrt(3 * 0.28)  # the largest distorted radius
    assert np.array_equal(np.isfinite(table[0, :, 0]), np.abs(np.arange(201) - 100) / 100 < farthest)
    assert rays(barrel) is table and not table.flags.writeable
    fisheye = Camera(100.0, 100.0, 0.0, 0.0, 200, 1, Distortion("equidistant", ()))
    assert np.allclose(rays(fisheye)[0, :157, 0], np.tan(np.arange(157) / 100))
    assert np.isnan(rays(fisheye)[0, 158:]).all()


@settings(max_examples=20, deadline=None)
@given(LENSES, st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_points_of_raw_images_project_to_their_pixels(distortion, seed, stride):
    rng = np.random.default_rng(seed)
    camera = Camera(11.0, 12.0, 4.2, 2.8, 10, 7, distortion)
    depth_m = np.where(rng.random((7, 10)) < 0.8, rng.uniform(0.5, 4, (7, 10)), 0).astype(np.float32)
    points, pixel = geometry.unproject(depth_m, camera, stride=stride)
    uv, depth = geometry.project(points, camera, np.eye(4))
    near = np.isfinite(uv[:, 0])
    assert near.mean() > 0.9
    assert np.allclose(uv[near], np.stack([pixel % 10, pixel // 10], 1)[near], atol=1e-6)
    assert np.allclose(depth, depth_m.ravel()[pixel], atol=1e-6)
    shown = np.isfinite(rays(camera)[..., 0]) & (depth_m > 0)
    on_grid = (np.arange(70) % 10 % stride == 0) & (np.arange(70) // 10 % stride == 0)
    assert np.array_equal(pixel, np.flatnonzero(shown.ravel() & on_grid))


def test_distortion_that_cannot_be_is_refused():
    for distortion in (Distortion("polynomial", (0.0,) * 15), Distortion("equidistant", (np.nan,))):
        with pytest.raises(BadInput, match="expected finite numbers, polynomial: at most 14"):
            distort(distortion, POINTS)
