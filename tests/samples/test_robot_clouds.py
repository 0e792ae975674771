"""Training clouds as a robot gets them: accumulated, cut, thinned, tilted, scaled, noisy; off by default."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from support.painted_scene import PaintedScene, place

from wsss_ros import geometry
from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.labels import scannet20
from wsss_ros.samples import augment, clouds
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import CloudSamples, PairSamples
from wsss_ros.types import Camera, Frame


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return prepare([PaintedScene()], scannet20(), tmp_path_factory.mktemp("cache"), 0, 96, truth=True).scenes[0]


def test_by_default_a_sample_is_what_it_was(painted):
    """Written out: random points of the cloud, turned and mirrored; no other random number is drawn."""
    rng, wanted = np.random.default_rng(3), CloudAugment(points=700)
    kept = rng.choice(len(painted.xyz), 700, replace=False)
    matrix = augment.random_cloud_matrix(rng, 5.0, True)
    upright = geometry.transform(painted.upright_from_world, painted.xyz[kept])
    expected = ((upright - upright.mean(axis=0)) @ matrix.T).astype(np.float32)
    drawn = np.random.default_rng(3)
    sample = CloudSamples([painted], wanted, truth=True).sample(0, drawn)
    np.testing.assert_array_equal(sample["xyz"], expected)
    np.testing.assert_array_equal(sample["cloud_truth"], painted.cloud_truth[kept])
    assert drawn.random() == rng.random()


def test_an_accumulated_cloud_is_that_of_the_voxel_map(painted):
    """The same frames in the map of the robot's accumulator give the same points and colours."""
    seen = clouds.accumulate(painted, np.arange(3), 0.05)
    robot = VoxelMap(VoxelMapConfig(voxel_size_m=0.05, min_hits=1))
    for k in range(3):
        depth_m = painted.depth_mm[k].astype(np.float32) / 1000
        robot.add(Frame(painted.images[k].transpose(1, 2, 0).copy(), painted.camera(k), depth_m, painted.poses[k]))
    expected = robot.cloud()
    off, theirs = cKDTree(expected.xyz).query(seen.xyz)
    assert len(seen.xyz) == len(expected.xyz) == len(np.unique(theirs)) and off.max() < 1e-4
    assert np.abs(seen.rgb.astype(int) - expected.rgb[theirs]).max() <= 1
    assert seen.truth.shape == (len(seen.xyz),)
    near_border = np.abs(seen.rgb[:, 0].astype(int) - 127) < 12
    assert ((seen.rgb[:, 0] > 127) == seen.truth)[~near_border].all()


def test_many_frames_must_see_a_point_twice_and_few_need_not(painted):
    four = dataclasses.replace(
        painted,
        **{name: np.concatenate([getattr(painted, name)[:1], getattr(painted, name)])
           for name in ("image_tags", "image_known", "images", "depth_mm", "cameras", "poses", "links", "frame_truth")},
    )  # fmt: skip
    once, twice = clouds.accumulate(painted, np.arange(1, 3), 0.02), clouds.accumulate(four, np.arange(4), 0.02)
    everything = clouds.accumulate(painted, np.arange(3), 0.02)
    assert len(once.xyz) < len(everything.xyz) and len(twice.xyz) < len(everything.xyz)


def test_the_tags_of_an_accumulated_cloud_are_those_of_its_frames(painted):
    """Frame 0 shows wall and picture, the others the wall alone."""
    names = [scannet20().tags(clouds.accumulate(painted, np.array(run), 0.05).tags) for run in ([0, 1], [1, 2])]
    assert [set(each) for each in names] == [{"wall", "picture"}, {"wall"}]
    untagged = dataclasses.replace(painted, image_tags=painted.image_tags * np.array([[1], [0], [1]], np.float32))
    seen = clouds.accumulate(untagged, np.array([1, 2]), 0.05)
    assert np.array_equal(seen.tags, painted.tags) and np.array_equal(seen.known, painted.known)
    unknown = dataclasses.replace(painted, image_known=painted.image_tags)
    assert np.array_equal(clouds.accumulate(unknown, np.array([1, 2]), 0.05).known, painted.image_tags[1])


@given(seed=st.integers(0, 10_000), available=st.integers(1, 30), low=st.integers(1, 20), more=st.integers(0, 20))
def test_a_run_of_frames_is_consecutive_and_within_the_scene(seed, available, low, more):
    run = clouds.random_run(np.random.default_rng(seed), available, (low, low + more))
    assert min(low, available) <= len(run) <= min(low + more, available)
    assert (np.diff(run) == 1).all() and run[0] >= 0 and run[-1] < available


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_links_follow_an_accumulated_cloud_and_its_truth(painted, seed):
    wanted = CloudAugment(points=600, accumulated=1.0, frames=(1, 3), voxel_m=0.04, tilt_deg=20, noise_m=0.05)
    image = ImageAugment(long_side=(48, 120), crop=48, jitter=(0.0, 0.0, 0.0, 0.0))
    sample = PairSamples([painted], image, wanted, truth=True).sample(0, np.random.default_rng(seed))
    red, truth = 255 * sample["rgb"][:, 0], sample["cloud_truth"]
    assert ((red > 127) == truth)[(red - 127).abs() > 12].all()
    point, uv = sample["links_point"], sample["links_uv"]
    inside = ((uv > 2) & (uv < 45)).all(dim=1)
    shown = sample["images"][0, :, uv[inside, 1].round().long(), uv[inside, 0].round().long()].T
    off = np.abs(place(255 * shown.numpy()) - place(255 * sample["rgb"][point[inside]].numpy()))
    assert np.median(off, axis=0).max(initial=0) < 0.05


def test_a_cut_removes_the_points_above_a_height(painted):
    whole = geometry.transform(painted.upright_from_world, painted.xyz)[:, 2]
    wanted = CloudAugment(points=3000, cut=1.0, cut_m=(0.8, 1.2))
    for seed in range(5):
        cut = clouds.draw(painted, wanted, np.random.default_rng(seed))
        height = geometry.transform(painted.upright_from_world, cut.xyz)[:, 2] - np.quantile(whole, 0.01)
        assert 0.7 < height.max() < 1.2
    assert (height < 0.8).sum() > 1000


def test_thinning_keeps_one_point_of_each_voxel(painted):
    thin = clouds.draw(painted, CloudAugment(points=256, thinned_m=(0.2, 0.2)), np.random.default_rng(0))
    voxels = np.unique(np.floor(painted.xyz / 0.2), axis=0)
    assert len(np.unique(thin.xyz, axis=0)) == min(len(voxels), 256)


@given(seed=st.integers(0, 10_000))
def test_a_tilt_is_a_rotation_about_a_horizontal_axis(seed):
    turn = clouds.random_tilt(np.random.default_rng(seed), 30.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1) and turn[2, 2] >= math.cos(math.radians(30)) - 1e-12
    values, vectors = np.linalg.eig(turn)
    axis = vectors[:, np.abs(values - 1).argmin()].real
    assert abs(axis[2]) < 1e-6 or np.allclose(turn, np.eye(3))


def test_scaled_clouds_are_larger_or_smaller(painted):
    plain, scaled = (
        CloudSamples([painted], CloudAugment(points=500, scale=scale)).sample(0, np.random.default_rng(1))["xyz"]
        for scale in ((1.0, 1.0), (1.1, 1.1))
    )
    torch.testing.assert_close(scaled, 1.1 * plain, rtol=1e-5, atol=1e-5)


def test_noise_is_along_the_rays_and_grows_with_the_square_of_the_distance():
    rng, cameras = np.random.default_rng(0), np.array([[0.0, 0, 0], [100, 0, 0]])
    rays = rng.normal(size=(20_000, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    for distance, deviation in ((1.0, 0.25), (2.0, 1.0), (4.0, 4.0)):
        offset = clouds.camera_noise(rng, distance * rays, cameras)
        assert np.abs(np.cross(offset, rays)).max() < 1e-9
        assert (offset * rays).sum(1).std() == pytest.approx(deviation, rel=0.03)


def test_a_camera_needs_no_square_pixels():
    """The depth of a frame is sampled by rows and columns; colours of smaller images are read in proportion."""
    scene = PaintedScene()
    small = prepare([scene], scannet20(), "unused", 0, 48, truth=True).scenes[0]
    assert small.images.shape[2:] == (36, 48) and isinstance(small.camera(0), Camera)
    seen = clouds.accumulate(small, np.array([0]), 0.01)
    assert np.abs(place(seen.rgb) - seen.xyz).mean() < 0.03


def test_a_crop_is_an_upright_column(painted):
    """Its points are in a square around one of the points, at all heights; a column with few points is not taken."""
    whole = geometry.transform(painted.upright_from_world, painted.xyz)
    cropped = CloudAugment(points=20_000, crop_m=1.0)
    drawn = geometry.transform(painted.upright_from_world, clouds.draw(painted, cropped, np.random.default_rng(3)).xyz)
    middle = whole[np.random.default_rng(3).integers(len(whole)), :2]
    expected = whole[(np.abs(whole[:, :2] - middle) <= 0.5).all(axis=1)]
    assert 256 <= len(expected) < len(whole) / 2
    np.testing.assert_allclose(np.unique(drawn, axis=0), np.unique(expected, axis=0))
    tiny = clouds.draw(painted, CloudAugment(points=20_000, crop_m=0.01), np.random.default_rng(3))
    assert len(np.unique(tiny.xyz, axis=0)) == len(np.unique(painted.xyz, axis=0))
