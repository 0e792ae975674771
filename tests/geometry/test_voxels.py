"""Voxels against their slow twin and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import geometry as reference

from wsss_ros import geometry
from wsss_ros.geometry import voxels
from wsss_ros.types import BadInput

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 300), st.sampled_from([0.02, 0.5, 3.0]), st.sampled_from([np.float32, np.float64]))
def test_voxels_match_their_twin(seed, count, size, dtype):
    xyz = np.random.default_rng(seed).normal(scale=1.5, size=(count, 3)).astype(dtype)
    first, voxel = geometry.voxel_downsample(xyz, size)
    first_twin, voxel_twin = reference.voxel_downsample(xyz, size)
    assert np.array_equal(first, first_twin)
    assert np.array_equal(voxel, voxel_twin)


def test_voxels_by_hand_and_bad_points():
    xyz = np.array([[-0.1, 0, 0], [0.1, 0, 0], [0.9, 0.9, 0.9], [-0.9, 0.5, 0.5], [1.0, 0, 0]])
    first, voxel = geometry.voxel_downsample(xyz, 1.0)
    assert first.tolist() == [0, 1, 4]
    assert voxel.tolist() == [0, 1, 1, 0, 2]
    for bad in (np.nan, np.inf, -1e9):
        with pytest.raises(BadInput, match="point .* is not finite or more than"):
            geometry.voxel_downsample(np.array([[0, 0, 0], [0, bad, 0]]), 0.02)
    with pytest.raises(BadInput, match="expected metres above 0"):
        geometry.voxel_downsample(xyz, 0.0)


def test_readonly_arrays_share_one_compiled_kernel():
    xyz = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    geometry.voxel_downsample(xyz, 0.1)
    kernels = len(voxels._assign_voxels.signatures)
    geometry.voxel_downsample(np.frombuffer(xyz.tobytes(), np.float32).reshape(-1, 3), 0.1)
    assert len(voxels._assign_voxels.signatures) == kernels


def test_voxels_far_from_the_origin_are_counted_from_near_the_points():
    """UTM coordinates: 4 cm voxels would be out of range. 1024 m are a whole number of voxels of this size."""
    xyz, shift = np.random.default_rng(0).normal(size=(500, 3)), np.array([488, 4541, 0]) * 1024.0
    near, far = geometry.voxel_downsample(xyz, 0.0625), geometry.voxel_downsample(xyz + shift, 0.0625)
    assert np.array_equal(near[0], far[0]) and np.array_equal(near[1], far[1])


def test_the_local_origin_is_near_the_first_finite_point():
    xyz = np.full((9_000, 3), np.nan)
    assert geometry.local_origin(xyz).tolist() == [0, 0, 0]
    xyz[8_000] = [500_000, -700, 511]
    assert geometry.local_origin(xyz).tolist() == [488 * 1024, -1024, 0]


def test_compact_positions_keep_half_a_millimetre():
    xyz = np.array([[16_000.1234, 0, 0], [np.nan, 0, 0]])
    near = geometry.compact(xyz)
    assert near.dtype == np.float32 and abs(near[0, 0] - xyz[0, 0]) < 5e-4
    xyz[0, 1] = 20_000
    assert geometry.compact(xyz) is xyz
