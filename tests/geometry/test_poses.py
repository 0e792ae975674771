"""Rigid motions and quaternions against their slow twins, by hand, and on the poses of the kitchen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import geometry as reference
from scipy.spatial.transform import Rotation
from support.random_views import random_pose

from wsss_ros import geometry
from wsss_ros.types import BadInput

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_invert_and_transform_undo_each_other(seed):
    rng = np.random.default_rng(seed)
    pose, xyz = random_pose(rng), rng.normal(size=(7, 3))
    there = geometry.transform(pose, xyz)
    assert np.allclose(there, [(pose @ [*p, 1])[:3] for p in xyz], atol=1e-12)
    assert np.allclose(geometry.transform(geometry.invert(pose), there), xyz, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_quaternions_round_trip_and_match_the_formula(seed):
    xyzw = Rotation.random(random_state=seed).as_quat()
    rotation = geometry.quaternion_to_matrix(xyzw)
    assert np.allclose(rotation, reference.quaternion_to_matrix(*xyzw), atol=1e-12)
    back = geometry.matrix_to_quaternion(rotation)
    assert back[3] >= 0
    assert np.allclose(back, xyzw * np.sign(xyzw[3]), atol=1e-12)


def test_quaternion_near_unit_length_is_normalised_and_others_are_refused():
    rotation = geometry.quaternion_to_matrix(np.array([0, 0, 0.7074, 0.7074]))
    assert np.allclose(rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    for bad, why in [
        ([0, 0, 0, 0], "never set"),
        ([0, 0, 1, 1], "length 1.414"),
        ([np.nan, 0, 0, 1], "finite"),
        ([0, 0, 1], "four"),
    ]:
        with pytest.raises(BadInput, match=why):
            geometry.quaternion_to_matrix(np.array(bad, float))
    assert np.allclose(geometry.quaternion_to_matrix(np.array([0, 0, 0, 2.0]), tolerance=1.0), np.eye(3))


def test_check_pose_accepts_rounded_text_and_names_every_fault():
    geometry.check_pose(np.round(random_pose(np.random.default_rng(0)), 3))
    mirror, scaled, lost = np.diag([1.0, 1, -1, 1]), np.diag([1.1, 1.1, 1.1, 1]), np.full((4, 4), -np.inf)
    moved = np.eye(4)
    moved[:3, 3] = 1, 2, 3
    with_nan = np.eye(4)
    with_nan[0, 3] = np.nan
    for bad, why in [
        (mirror, "not rigid"),
        (scaled, "off the identity by 0.21"),
        (lost, "lost tracking"),
        (with_nan, "NaN"),
        (moved.T, "transposed"),
        (np.eye(3), r"shape \(3, 3\)"),
    ]:
        with pytest.raises(BadInput, match=why):
            geometry.check_pose(bad)


def test_check_pose_accepts_real_poses(kitchen):
    paths = sorted(kitchen.glob("*.pose.txt"))
    assert len(paths) == 100
    for path in paths:
        geometry.check_pose(np.loadtxt(path))
