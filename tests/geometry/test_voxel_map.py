"""The voxel map against a dict of lists, hand-made frames, bounds, and the real kitchen."""

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import geometry as reference
from support.random_views import SMALL, kitchen_frame, random_depth, random_pose

from wsss_ros import geometry
from wsss_ros.geometry import voxel_map
from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.types import BadInput, Camera, Distortion, Frame


def random_frame(rng: np.random.Generator, camera: Camera = SMALL) -> Frame:
    rgb = rng.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    return Frame(rgb, camera, random_depth(rng, camera), random_pose(rng), stamp_ns=int(rng.integers(1, 2**60)))


def flat_frame(depth_m: float = 1.0, color: int = 100, camera: Camera = SMALL, **changes) -> Frame:
    shape = (camera.height, camera.width)
    frame = Frame(np.full((*shape, 3), color, np.uint8), camera, np.full(shape, depth_m, np.float32), np.eye(4))
    return dataclasses.replace(frame, **changes)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([0.01, 0.5, 1.0]),
    st.integers(1, 3),
    st.sampled_from([0, 960]),
)
def test_it_matches_its_twin(seed, frames, size, min_hits, filled):
    """Small voxels and large; also where the bound of 1,000 voxels is reached within the frames."""
    rng = np.random.default_rng(seed)
    config = VoxelMapConfig(voxel_size_m=size, max_points=1_000, min_hits=min_hits)
    fast, slow = VoxelMap(config), reference.VoxelMap(config)
    wide = Camera(40.0, 40.0, 30.0, 7.5, filled // 16, 16)
    shown = [random_frame(rng, wide)] if filled else []
    shown += [random_frame(rng) for _ in range(frames)]
    for frame in shown + shown[:1]:
        assert fast.add(frame) == slow.add(frame)
        assert len(fast) == len(slow.voxels) <= 1_000
    cloud, (xyz, rgb) = fast.cloud(), slow.cloud()
    assert cloud.xyz.shape == xyz.shape
    assert np.allclose(cloud.xyz, xyz, atol=1e-5)
    assert np.abs(cloud.rgb - rgb).max(initial=0) <= 0.5 + 1e-9
    assert fast.full == (len(slow.voxels) == 1_000)
    assert fast.refused["pixels_map_full"] == slow.turned_away
    assert fast.frames == len(shown) + 1
    assert cloud.stamp_ns == shown[0].stamp_ns


def test_frames_of_a_camera_with_distortion_are_fused_where_its_rays_go():
    bent = dataclasses.replace(SMALL, distortion=Distortion("polynomial", (-0.2, 0.02, 0.003, -0.002)))
    frame = random_frame(np.random.default_rng(3), bent)
    fused = VoxelMap(VoxelMapConfig(voxel_size_m=0.005, min_hits=1, min_depth_m=0, max_depth_m=100))
    fused.add(frame)
    points, _ = geometry.unproject(frame.depth_m, bent, frame.world_from_camera)
    assert len(fused) == len(points) > 20
    assert np.allclose(np.sort(fused.cloud().xyz, axis=0), np.sort(points, axis=0), atol=1e-5)


def test_a_map_that_outgrows_its_table_keeps_every_voxel():
    camera = Camera(300.0, 300.0, 159.5, 119.5, 320, 240)
    rng = np.random.default_rng(0)
    frames = [flat_frame(camera=camera, depth_m=1.0)] * 2
    frames = [dataclasses.replace(f, depth_m=rng.uniform(1, 4, (240, 320)).astype(np.float32)) for f in frames]
    grid = VoxelMap(VoxelMapConfig(voxel_size_m=0.01, min_hits=1))
    for frame in frames + frames:
        grid.add(frame)
    points = np.concatenate([geometry.unproject(f.depth_m, f.camera)[0] for f in frames])
    first, voxel = geometry.voxel_downsample(points, 0.01)
    assert len(grid) == len(first) > voxel_map._FIRST_TABLE
    mean = np.stack([np.bincount(voxel, axis) for axis in points.T], 1) / np.bincount(voxel)[:, None]
    assert np.allclose(grid.cloud().xyz, mean, atol=1e-6)


def test_by_hand():
    """Two pixels fall into one voxel, one pixel into another."""
    camera = Camera(1.0, 1.0, 0.0, 0.0, 3, 1)
    rgb = np.array([[[10, 0, 0], [20, 0, 1], [90, 90, 90]]], np.uint8)
    pose = np.eye(4)
    pose[:3, 3] = 0.125, 0.25, -1
    frame = Frame(rgb, camera, np.array([[1.25, 1.25, 0]], np.float32), pose, stamp_ns=7)
    grid = VoxelMap(VoxelMapConfig(voxel_size_m=1.0, min_hits=1))
    assert grid.add(frame) == 2
    assert grid.add(dataclasses.replace(frame, rgb=rgb + 1)) == 0
    cloud = grid.cloud()
    assert np.allclose(cloud.xyz, [[0.125, 0.25, 0.25], [1.375, 0.25, 0.25]])
    assert cloud.rgb.tolist() == [[10, 0, 0], [20, 0, 2]]  # 10.5 and 0.5 round to even
    assert cloud.stamp_ns == 7


def test_min_hits_hides_what_was_seen_once():
    grid = VoxelMap(VoxelMapConfig(voxel_size_m=0.005, min_hits=2))
    grid.add(flat_frame())
    assert (len(grid), len(grid.cloud())) == (48, 0)
    grid.add(flat_frame())
    assert (len(grid), len(grid.cloud())) == (48, 48)


def test_depth_range_is_kept_and_frames_without_depth_are_counted():
    grid = VoxelMap(VoxelMapConfig(min_depth_m=0.5, max_depth_m=2.0, min_hits=1))
    for missing in (0.0, np.nan, np.inf, -1.0, 0.4, 2.1):
        assert grid.add(flat_frame(missing)) == 0
    assert (grid.frames, len(grid), grid.refused["frames_without_depth"]) == (0, 0, 6)
    assert grid.add(flat_frame(0.5)) > 0
    assert grid.add(flat_frame(2.0)) > 0
    assert (grid.frames, grid.refused["frames_without_depth"]) == (2, 6)
    assert len(VoxelMap(VoxelMapConfig()).cloud()) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"world_from_camera": None}, "no pose"),
        ({"depth_m": None}, "no depth"),
        ({"camera": None, "depth_m": None}, "no depth and no camera"),
        ({"camera": Camera(0.0, 0.0, 0.0, 0.0, 8, 6)}, "uncalibrated"),
        ({"depth_m": np.ones((3, 4), np.float32)}, "depth image of 4x3 with a camera of 8x6"),
        ({"rgb": np.zeros((12, 16, 3), np.uint8)}, "colour of 16x12 and depth of 8x6"),
        ({"world_from_camera": np.full((4, 4), np.nan)}, "NaN"),
        ({"world_from_camera": np.diag([2.0, 2, 2, 1])}, "not rigid"),
    ],
)
def test_frames_that_cannot_be_fused_are_refused_and_change_nothing(changes, why):
    grid = VoxelMap(VoxelMapConfig(min_hits=1))
    grid.add(flat_frame())
    before = grid.cloud()
    with pytest.raises(BadInput, match=why):
        grid.add(broken_frame(changes))
    assert grid.frames == 1
    assert np.array_equal(grid.cloud().xyz, before.xyz)


def broken_frame(changes: dict) -> Frame:
    """Set behind the constructor's back, which compares sizes only while types are checked."""
    frame = flat_frame(2.0)
    for name, value in changes.items():
        object.__setattr__(frame, name, value)
    return frame


def test_a_full_map_reports_it_once_and_keeps_refining(caplog):
    grid = VoxelMap(VoxelMapConfig(voxel_size_m=0.005, max_points=1_000, min_hits=1))
    camera = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        assert grid.add(flat_frame(color=100, camera=camera)) == 1_000
        assert grid.add(flat_frame(color=200, camera=camera)) == 0
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["the map is full at 1000 points; new surfaces are ignored"]
    assert grid.full
    assert set(grid.cloud().rgb.ravel().tolist()) == {150}
    assert grid.refused["pixels_map_full"] == 2 * (64 * 48 - 1_000)
    grid.clear()
    assert (len(grid), grid.full, grid.frames, len(grid.cloud()), sum(grid.refused.values())) == (0, False, 0, 0, 0)
    assert grid.add(flat_frame(color=50, camera=camera)) == 1_000


def test_a_runaway_pose_is_counted_and_not_mapped():
    far = np.eye(4)
    far[0, 3] = 1e9
    grid = VoxelMap(VoxelMapConfig(min_hits=1))
    assert grid.add(flat_frame(world_from_camera=far)) == 0
    assert grid.refused["pixels_out_of_range"] == 48


def test_read_only_and_strided_frames_are_taken():
    frame = flat_frame()
    rgb = np.frombuffer(frame.rgb.tobytes(), np.uint8).reshape(6, 8, 3)[..., ::-1]
    depth_m = np.frombuffer(frame.depth_m.T.tobytes(), np.float32).reshape(8, 6).T
    grid, plain = VoxelMap(VoxelMapConfig(min_hits=1)), VoxelMap(VoxelMapConfig(min_hits=1))
    grid.add(dataclasses.replace(frame, rgb=rgb, depth_m=depth_m))
    plain.add(frame)
    assert len(voxel_map._fuse_rows.signatures) == 1  # compiled at construction, never at a frame
    assert np.array_equal(grid.cloud().xyz, plain.cloud().xyz)


def test_the_kitchen_fits_its_frames(kitchen):
    """What was accumulated is seen again where the frames saw it, in their colours."""
    grid = VoxelMap(VoxelMapConfig())
    frames = [kitchen_frame(kitchen, number) for number in range(0, 600, 60)]
    for frame in frames:
        grid.add(frame)
    cloud = grid.cloud()
    assert 30_000 < len(cloud) < 300_000
    assert len(cloud) == len(geometry.voxel_downsample(cloud.xyz, 0.02)[0])  # means stay in their voxels
    links = geometry.link(cloud, frames[0])
    assert len(links) > 10_000
    column, row = np.rint(links.uv).astype(int).T.clip(0, [[639], [479]])
    seen, mapped = frames[0].rgb[row, column].astype(float), cloud.rgb[links.point]
    by_chance = np.median(np.abs(seen - np.random.default_rng(0).permutation(mapped)))
    assert np.median(np.abs(seen - mapped)) < 0.4 * by_chance


def test_a_map_far_from_the_origin_is_the_map_at_the_origin_shifted():
    """UTM coordinates, which float32 and the keys of 2 cm voxels cannot hold."""
    rng, shift = np.random.default_rng(0), np.array([488, 4541, 0]) * 1024.0
    near, far = VoxelMap(VoxelMapConfig(min_hits=1)), VoxelMap(VoxelMapConfig(min_hits=1))
    for frame in [random_frame(rng) for _ in range(4)]:
        near.add(frame)
        pose = frame.world_from_camera.copy()
        pose[:3, 3] += shift
        far.add(dataclasses.replace(frame, world_from_camera=pose))
    there, here = far.cloud(), near.cloud()
    assert far.refused["pixels_out_of_range"] == 0
    assert there.xyz.dtype == np.float64 and here.xyz.dtype == np.float32
    np.testing.assert_allclose(there.xyz - shift, here.xyz, atol=1e-6)
    np.testing.assert_array_equal(there.rgb, here.rgb)
    far.clear()
    far.add(flat_frame())
    assert far.cloud().xyz.dtype == np.float32, "a map that starts over has an origin of its own"
