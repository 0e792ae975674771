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
