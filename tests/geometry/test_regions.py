"""Regions of a cloud: the kernels against slow twins, order and threads, shapes worked out by hand, unusable clouds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regions as reference
from reference.neighbors import knn

from wsss_ros.config import build
from wsss_ros.geometry import region_kernels
from wsss_ros.geometry import regions as module
from wsss_ros.geometry.normals import ball_planes, cpu_tree, normals, planes
from wsss_ros.geometry.regions import PRESETS, RegionSettings, regions
from wsss_ros.types import BadInput

NAMES = sorted(PRESETS)
each_way = pytest.mark.parametrize("name", NAMES)


def corner(seed=0, count=900, noise=0.002):
    """Floor and two walls of 1.5 m, coloured by face, with the number of the face of each point."""
    random = np.random.default_rng(seed)
    xyz, face = random.random((count, 3)) * 1.5, random.integers(0, 3, count)
    xyz[np.arange(count), face] = 0
    xyz += random.normal(size=xyz.shape) * noise
    return xyz.astype(np.float32), (face * 100 + random.integers(0, 30, (3, count))).T.astype(np.uint8), face


def sets(region):
    """A partition without its names."""
    return {frozenset(np.flatnonzero(region == name).tolist()) for name in np.unique(region[region >= 0])}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), kind=st.sampled_from(["random", "flat", "grid"]))
def test_normals_equal_the_twin(seed, count, kind):
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, 3)).astype(np.float32)
    points[:, 2] *= 0 if kind == "flat" else 1
    points = np.round(points) if kind == "grid" else points
    tree = cpu_tree(points)
    found = planes(tree, points, 9, 4), ball_planes(tree, points, 1.0)[0]
    expected = reference.planes(points, 9), reference.ball_planes(points, 1.0)
    for ours, (normal, curvature) in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.curvature, curvature, atol=1e-6)
        has_plane = np.abs(normal).any(axis=1)
        assert (np.linalg.norm(ours.normal, axis=1) > 0.5).tolist() == has_plane.tolist()
    sure = _has_one_plane(points, 9)
    assert (np.abs((found[0].normal * expected[0][0]).sum(axis=1))[sure] > 1 - 1e-7).all()
    assert found[0].neighbor.tolist() == reference.knn(points, points, min(4, count))[0].tolist()


def _has_one_plane(points, count):
    """Where the two smallest eigenvalues differ enough for a unique normal."""
    index = reference.knn(points, points, min(count, len(points)))[0]
    values = np.array([np.linalg.eigvalsh(np.cov(points[i].T.astype(float), bias=True)) for i in index])
    return (values[:, 1] - values[:, 0] > 1e-4 * values[:, 2]) & (len(points) > 2)


def test_normals_equal_those_of_open3d():
    open3d = pytest.importorskip("open3d")
    points = corner(count=3000)[0].astype(np.float64)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals()
    agree = np.abs((normals(points).normal * np.asarray(cloud.normals)).sum(axis=1))
    assert np.quantile(agree, 0.01) > 1 - 1e-6


def test_normals_of_a_plane_by_hand():
    grid = np.stack([*np.meshgrid(np.arange(5.0), np.arange(5.0)), np.zeros((5, 5))], axis=-1).reshape(-1, 3)
    found = normals(grid + [0, 0, 7.0], neighbor_count=6, viewpoint=(2, 2, 0))
    np.testing.assert_allclose(found.normal, np.tile([0, 0, -1.0], (25, 1)), atol=1e-12)
    np.testing.assert_allclose(found.curvature, 0, atol=1e-12)
    assert normals(np.zeros((0, 3))).normal.shape == (0, 3)


def test_growing_equals_the_twin():
    points = corner(count=600, noise=0.02)[0]
    surface = planes(cpu_tree(points), points, 12, 8)
    for order in (np.arange(600), np.argsort(surface.curvature, kind="stable")):
        region = np.full(600, -1)
        arguments = surface.neighbor, surface.normal, surface.curvature, order, np.cos(np.radians(15)), 0.02
        count = region_kernels.grow_smooth(*arguments, region)
        expected = reference.grow_smooth(*arguments)
        assert count == len(expected) > 3
        assert sets(region) == set(map(frozenset, expected))


def test_planar_growing_equals_the_twin():
    points = corner(count=600, noise=0.02)[0]
    surface = planes(cpu_tree(points), points, 12, 8)
    for distance in (2.0, 0.03):
        region = np.full(600, -1)
        arguments = points, surface.neighbor, surface.normal, np.arange(600), np.cos(np.radians(20)), distance, 15
        count = region_kernels.grow_planes(*arguments, region)
        expected = reference.grow_planes(*arguments)
        assert count == len(expected) > 2
        assert (region < 0).any()
        assert sets(region) == set(map(frozenset, expected))


@pytest.mark.parametrize("weights", [(0.4, 1.0, 0.2), (1.0, 0.0, 0.5)])
def test_supervoxels_equal_the_twin(weights):
    points, colors, _ = corner(count=800, noise=0.01)
    chosen = RegionSettings(kind="vccs", voxel_m=0.1, spatial=weights[0], normal=weights[1], color=weights[2])
    voxels = module._voxels(module._units(points, colors), chosen)
    seeds, steps = module._supervoxel_seeds(voxels, chosen), int(1.8 * 0.5 / 0.1) - 1
    expected = reference.supervoxels(
        voxels.cell, voxels.xyz, voxels.planes.normal, voxels.rgb, seeds, chosen.seed_m, weights, steps
    )
    assert len(seeds) > 8
    assert module._supervoxels(voxels, chosen).tolist() == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), majority=st.sampled_from([0.5, 0.7]))
def test_joining_equals_the_twin(data, majority):
    number = st.lists(st.integers(-1, 3), min_size=1, max_size=30)
    supervoxel = np.array(data.draw(number))
    grown = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=len(supervoxel), max_size=len(supervoxel))))
    assert sets(module._joined(supervoxel, grown, majority)) == sets(reference.joined(supervoxel, grown, majority))


@each_way
def test_any_order_of_the_points_gives_the_same_partition(name):
    points, colors, _ = corner(count=2500, noise=0.01)
    chosen = PRESETS[name].model_copy(update={"seeds": "curvature"})
    shuffled = np.random.default_rng(1).permutation(len(points))
    plain, other = regions(points, colors, chosen), regions(points[shuffled], colors[shuffled], chosen)
    back = np.empty_like(other)
    back[shuffled] = other
    assert sets(plain) == sets(back)
    assert plain.max() >= 0


@each_way
def test_points_far_from_the_origin_give_the_same_partition(name):
    points, colors, _ = corner()
    far = points.astype(np.float64) + [500_000, 4_000_000, 0]
    assert sets(regions(points, colors, PRESETS[name])) == sets(regions(far, colors, PRESETS[name]))


@each_way
def test_any_number_of_threads_gives_the_same_regions(name):
    points, colors, _ = corner(count=3000)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(regions(points, colors, PRESETS[name]).tolist())
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_wypr_finds_the_faces_of_a_corner():
    points, _, face = corner(count=6000)
    region = regions(points, None, RegionSettings())
    assert region.max() == 2
    assert (region >= 0).all()
    pure = sum(np.bincount(face[region == number]).max() for number in range(3))
    assert pure > 0.97 * len(points)


def test_growing_from_flat_points_alone_stops_at_the_edges():
    points, _, face = corner(count=6000)
    region = regions(points, None, RegionSettings(kind="growing", angle_deg=10, curvature=0.01))
    largest = np.argsort(np.bincount(region[region >= 0]))[-3:]
    assert sorted(np.bincount(face[region == number]).argmax() for number in largest) == [0, 1, 2]


def test_supervoxels_keep_to_colours_and_connected_surface():
    """Two plates: the colour divides the first one; nothing flows over the gap to the second one."""
    grid = np.stack([*np.meshgrid(np.arange(60) * 0.02, np.arange(60) * 0.02), np.zeros((60, 60))], axis=-1)
    plate = grid.reshape(-1, 3)
    points = np.concatenate([plate, plate + [0, 0, 0.6]])
    colors = np.zeros((len(points), 3), np.uint8)
    colors[(points[:, 0] > 0.58) & (points[:, 2] < 0.1)] = 255
    region = regions(points, colors, RegionSettings(kind="vccs", spatial=0.1, color=5.0))
    for number in range(region.max() + 1):
        own = region == number
        assert len(set(points[own, 2])) == 1
        dark = (colors[own] == 0).mean()
        assert dark < 0.2 or dark > 0.8
    assert (region >= 0).all()
    assert region.max() > 4


def test_small_regions_are_none():
    points, colors, _ = corner(count=4000)
    loose = np.random.default_rng(3).random((40, 3)).astype(np.float32) + 5
    both, colors = np.concatenate([points, loose]), np.concatenate([colors, np.zeros((40, 3), np.uint8)])
    assert (regions(both, colors, RegionSettings(kind="growing"))[-40:] == -1).all()
    dropped = regions(both, colors, RegionSettings(kind="vccs", drop_below=60))
    assert np.bincount(dropped[dropped >= 0]).min() >= 60


@pytest.mark.parametrize("name", ["densify", "densify_s3dis"])
def test_the_superpoints_of_densify_equal_the_twin(name):
    """GrowSP's steps one after the other: voxels, supervoxels, growing, majority, small ones dropped."""
    points, colors, _ = corner(count=1000, noise=0.006)
    chosen = PRESETS[name]
    degrees, least = {"densify": (5, 30), "densify_s3dis": (3, 10)}[name]
    units = module._units(points, colors)
    voxels = module._voxels(units, chosen)
    normal, curvature = reference.ball_planes(voxels.xyz, 0.15)
    seeds = module._supervoxel_seeds(voxels, chosen)
    weights = 0.4, 1.0, 0.2
    supervoxel = reference.supervoxels(voxels.cell, voxels.xyz, normal, voxels.rgb, seeds, 0.5, weights, 17)
    neighbor, order = knn(voxels.xyz, voxels.xyz, 15)[0], np.argsort(curvature, kind="stable")
    reached = reference.grow_smooth(neighbor, normal, curvature, order, np.cos(np.radians(degrees)), 1)
    grown = np.full(len(voxels.xyz), -1)
    for number, own in enumerate(reached):
        grown[list(own)] = number
    joined = reference.joined(supervoxel, grown, 0.5)
    joined[[(joined == each).sum() < least for each in joined]] = -1
    found = regions(points, colors, chosen)
    assert sets(found) == sets(joined[voxels.of_unit][units.of_point])
    assert found.max() > 0


@pytest.mark.parametrize("name, least", [("densify", 30), ("densify_s3dis", 10)])
def test_superpoints_of_few_voxels_are_dropped(name, least):
    """Two plates, far from each other, at a right angle, with a point in the middle of each of their voxels."""
    plates = []
    for axis, count in ((0, least - 1), (2, least)):
        flat = np.stack(np.divmod(np.arange(count), 6), axis=1) * 0.05 + 0.025
        plates.append(np.insert(flat, axis, 0.025 + 3 * axis, axis=1))
    region = regions(np.concatenate(plates), None, PRESETS[name])
    assert region.tolist() == [-1] * (least - 1) + [0] * least


def test_a_region_of_too_many_voxels_leaves_its_supervoxels_apart(monkeypatch):
    points, colors, _ = corner(count=6000)
    merged = regions(points, colors, PRESETS["densify"]).max()
    monkeypatch.setattr(module, "_MOST_VOXELS", 100)
    assert regions(points, colors, PRESETS["densify"]).max() > merged + 5


@each_way
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 30])
def test_few_points_end_well(name, count):
    points, colors, _ = corner(count=max(count, 1))
    region = regions(points[:count], colors[:count], PRESETS[name])
    assert len(region) == count
    assert region.max(initial=-1) < count


@each_way
def test_degenerate_clouds_end_well(name):
    line = np.zeros((300, 3), np.float32)
    line[:, 0] = np.linspace(0, 3, 300)
    same = np.ones((300, 3), np.float32)
    for points in (line, same, line + line[:, [1, 0, 2]] * 3):
        assert len(regions(points, None, PRESETS[name])) == 300


@each_way
def test_points_without_a_place_have_no_region_and_change_nothing(name):
    points, colors, _ = corner()
    bad = np.full((4, 3), [[np.nan, 0, 0], [np.inf, 0, 0], [0, -np.inf, 0], [1e30, 0, 0]], np.float32)
    region = regions(np.concatenate([points, bad]), np.concatenate([colors, colors[:4]]), PRESETS[name])
    assert (region[-4:] == -1).all()
    assert region[:-4].tolist() == regions(points, colors, PRESETS[name]).tolist()


def test_points_at_one_place_share_their_region():
    points, colors, _ = corner()
    twice = regions(np.concatenate([points, points]), np.concatenate([colors, colors]), RegionSettings())
    assert twice[: len(points)].tolist() == twice[len(points) :].tolist()
    assert twice[: len(points)].tolist() == regions(points, colors, RegionSettings()).tolist()


def test_regions_are_numbered_in_the_order_of_the_points():
    points, colors, _ = corner()
    region = regions(points, colors, RegionSettings(kind="vccs", drop_below=20))
    first = np.unique(region, return_index=True)[1][1:]
    assert (np.diff(first) > 0).all()
    assert region.max() + 1 == len(first)


def test_settings_and_normals_refuse_what_makes_no_sense():
    with pytest.raises(BadInput, match="angle_deg"):
        build(RegionSettings, {"angle_deg": 91})
    with pytest.raises(BadInput, match="remove these points"):
        normals(np.full((3, 3), np.nan))
    with pytest.raises(BadInput, match="1 or more"):
        normals(np.zeros((3, 3)), neighbor_count=0)
