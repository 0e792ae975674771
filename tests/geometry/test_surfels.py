"""Surfels: against the slow twin, of planes and lines, where there is no plane, and clouds that cannot be used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import fusion as reference

from wsss_ros.geometry.surfels import SurfelSettings, surfels
from wsss_ros.types import BadInput


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 90), flat=st.booleans(), most=st.sampled_from([3, 8, 32]))
def test_surfels_equal_the_twin(seed, count, flat, most):
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, 3)) * (0.3, 0.2, 0.0 if flat else 0.1)
    points = points.astype(np.float32)
    found = surfels(points, SurfelSettings(radius_m=0.1, max_radius_m=0.8, neighbors=most), (0, 1, 0))
    for i in range(count):
        expected = reference.surfel(points, i, 0.1, 0.8, most, None)
        if expected is None:
            assert found.normal[i].tolist() == [0, 1, 0] and found.radius_m[i].tolist() == [0.025, 0.025]
            continue
        np.testing.assert_allclose(found.radius_m[i], expected[3], atol=1e-6)
        for ours, theirs in zip((found.normal[i], found.bitangent[i], found.tangent[i]), expected[:3], strict=True):
            assert abs(ours @ theirs) == pytest.approx(1, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 50))
def test_the_directions_are_orthogonal(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3))
    found = surfels(points, up=(1, 2, 3))
    axes = np.stack([found.normal, found.tangent, found.bitangent], axis=1)
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (count, 3, 3)), atol=1e-9)


def test_a_wall_a_line_and_a_point():
    y, z = np.meshgrid(np.arange(0, 1, 0.05), np.arange(0, 1, 0.05))
    wall = np.stack([np.zeros(y.size), y.ravel(), z.ravel()], axis=1)
    found = surfels(wall)
    assert np.abs(found.normal[:, 0]) == pytest.approx(1)
    inner = (np.abs(wall[:, 1:] - 0.475) < 0.2).all(axis=1)
    assert found.radius_m[inner, 0] == pytest.approx(0.0625) and (found.radius_m[inner, 1] > 0.04).all()
    line = np.stack([np.arange(0, 9, 0.05), *np.zeros((2, 180))], axis=1)
    for cloud in (line, np.zeros((1, 3)), np.zeros((50, 3))):
        alone = surfels(cloud, up=(0, 0, 2))
        assert alone.normal.tolist() == [[0, 0, 1]] * len(cloud)
        assert (alone.radius_m == 0.0625).all()


def test_a_sparse_cloud_has_larger_surfels():
    x, y = np.meshgrid(np.arange(0, 9, 0.6), np.arange(0, 9, 0.6))
    found = surfels(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1))
    assert (found.radius_m[:, 0] == 0.25).all()  # of a neighbourhood of 1 m


def test_far_from_the_origin():
    near = np.random.default_rng(0).random((300, 3)) * (1, 1, 0.01)
    far = near + (500_000, 5_000_000, 0)
    difference = np.abs(surfels(far).radius_m - surfels(near).radius_m).max(axis=1)
    assert np.quantile(difference, 0.9) < 1e-6  # rounding may add or drop a neighbour


def test_clouds_without_surfels():
    assert len(surfels(np.zeros((0, 3))).normal) == 0
    with pytest.raises(BadInput, match="NaN"):
        surfels(np.full((3, 3), np.nan))
    with pytest.raises(BadInput, match="up is"):
        surfels(np.zeros((3, 3)), up=(0, 0, 0))
