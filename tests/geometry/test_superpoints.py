"""Hand-made features of regions: equal to a slow twin, shapes worked out by hand, clouds that lack something."""

import numpy as np
import pytest
from reference import superpoints as reference

from wsss_ros.geometry.superpoints import COLORS, HandMadeSettings, hand_made

DEFAULTS = HandMadeSettings()


def corner(seed=0, count=500):
    """Floor and two walls of 0.8 m, noisy, coloured, and a region for each with some points left out."""
    random = np.random.default_rng(seed)
    xyz, face = random.random((count, 3)) * 0.8, random.integers(0, 3, count)
    xyz[np.arange(count), face] = 0
    xyz += random.normal(size=xyz.shape) * 0.004
    region = np.where(random.random(count) < 0.1, -1, face)
    return xyz, random.integers(0, 256, (count, 3)).astype(np.uint8), region


def plane(normal_axis, edge=20, step=0.02):
    """A square grid across an axis, one point in each 2 cm."""
    flat = np.stack(np.meshgrid(np.arange(edge) * step, np.arange(edge) * step), axis=-1).reshape(-1, 2)
    return np.insert(flat, normal_axis, 0.01, axis=1)


@pytest.mark.parametrize("zeros", [False, True])
def test_the_features_equal_the_twin(zeros):
    points, colors, region = corner()
    chosen = HandMadeSettings(voxel_m=0.1, normal_radius_m=0.21, bins=7, zeros=zeros)
    found = hand_made(points, colors, region, chosen)
    expected = reference.hand_made(points.astype(np.float32), colors, region, 0.1, 0.21, 7, zeros)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert (found[:, COLORS:] > 0).sum() > 6


def test_a_plane_has_equal_normals_and_two_that_stand_on_each_other_have_none_but_products_of_0():
    floor, wall = plane(2), plane(0) + [0.5, 0, 0.5]
    points = np.concatenate([floor, wall])
    one_each = hand_made(points, None, np.repeat([0, 1], len(floor)), DEFAULTS)
    np.testing.assert_allclose(one_each[:, -1], 1)
    together = hand_made(points, None, np.zeros(len(points), np.int64), DEFAULTS)[0, COLORS:]
    cells = np.array([64, 64])  # of 5 cm in 0.4 m
    of_planes = (cells * (cells + 1) / 2).sum() / (128 * 129 / 2)
    np.testing.assert_allclose(together[-1], of_planes)
    np.testing.assert_allclose(together[4:6].sum(), 1 - of_planes)


def test_the_zeros_of_the_lower_triangle_are_one_for_each_pair():
    points = plane(2)
    found = hand_made(points, None, np.zeros(len(points), np.int64), HandMadeSettings(zeros=True))[0, COLORS:]
    np.testing.assert_allclose(found[5], 64 * 63 / 2 / 64**2)
    np.testing.assert_allclose(found[-1], 64 * 65 / 2 / 64**2)


def test_a_dense_part_of_a_region_counts_as_its_voxels():
    points, colors = plane(2), np.zeros((400, 3), np.uint8)
    colors[0] = 255
    points, colors = np.concatenate([points, points[[0] * 5000]]), np.concatenate([colors, colors[[0] * 5000]])
    found = hand_made(points, colors, np.zeros(len(points), np.int64), DEFAULTS)
    assert -0.5 < found[0, 0] < -0.48


def test_of_a_large_region_a_random_part_has_nearly_the_same_histogram():
    random = np.random.default_rng(0)
    points = random.normal(size=(20_000, 3))
    points *= 0.6 / np.linalg.norm(points, axis=1, keepdims=True)
    region = np.zeros(len(points), np.int64)
    all_of_it = hand_made(points, None, region, HandMadeSettings(most_voxels=20_000))
    part = hand_made(points, None, region, HandMadeSettings(most_voxels=300))
    again = hand_made(points, None, region, HandMadeSettings(most_voxels=300))
    assert part.tolist() == again.tolist()
    assert 0 < np.abs(part - all_of_it).max() < 0.02


def test_regions_and_clouds_without_something_have_zeros_there():
    points, colors, region = corner()
    without_colors = hand_made(points, None, region, DEFAULTS)
    assert (without_colors[:, :COLORS] == 0).all()
    assert without_colors[:, COLORS:].tolist() == hand_made(points, colors, region, DEFAULTS)[:, COLORS:].tolist()
    assert hand_made(points, colors, np.full(len(points), -1), DEFAULTS).shape == (0, 13)
    assert hand_made(points[:0], colors[:0], region[:0], DEFAULTS).shape == (0, 13)
    two = hand_made(np.array([[0.0, 0, 0], [5, 5, 5]]), None, np.array([0, 2]), DEFAULTS)  # region 1 has no point
    assert two.shape == (3, 13) and not two.any()


def test_points_that_are_not_finite_change_nothing_and_no_place_is_too_far():
    points, colors, region = corner()
    plain = hand_made(points, colors, region, DEFAULTS)
    with_bad = np.concatenate([points, np.full((3, 3), np.nan)]), np.concatenate([colors, colors[:3]])
    assert hand_made(*with_bad, np.append(region, [0, 1, 2]), DEFAULTS).tolist() == plain.tolist()
    far = hand_made(points + [500_000.0, 4_000_000.0, 0], colors, region, DEFAULTS)
    np.testing.assert_allclose(far, plain, atol=2e-3)
