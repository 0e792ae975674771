"""Poses that jump: one outlier, a new place, a looped bag."""

import numpy as np
import pytest

from wsss_ros.fusion.pose_guard import PoseGuard
from wsss_ros.types import BadInput

STEP_NS = 100_000_000


def pose(x: float) -> np.ndarray:
    made = np.eye(4)
    made[0, 3] = x
    return made


def taken(guard: PoseGuard, places: list[float], start: int = 0) -> list[bool]:
    found = []
    for number, x in enumerate(places, start):
        try:
            guard.check(number * STEP_NS, pose(x))
            found.append(True)
        except BadInput:
            found.append(False)
    return found


def test_a_single_jump_of_5_m_is_left_out_and_the_path_goes_on():
    assert taken(PoseGuard(3.0), [0, 0.1, 5.1, 0.2, 0.5]) == [True, True, False, True, True]
    guard = PoseGuard(3.0)
    guard.check(0, pose(0))
    with pytest.raises(BadInput, match="pose jump: the camera is 5.0 m from its last place, faster than 3 m/s"):
        guard.check(STEP_NS, pose(5))


def test_a_place_where_poses_stay_is_believed_after_three_seconds():
    found = taken(PoseGuard(3.0), [0.0, *([5.0] * 40)])
    assert found.count(False) == 30 and all(found[31:])


def test_poses_that_jump_about_are_never_believed():
    assert not any(taken(PoseGuard(3.0), [0.0, *([5.0, 9.0] * 40)])[1:])


def test_speed_0_believes_all_and_stamps_that_go_back_start_over():
    assert all(taken(PoseGuard(0.0), [0, 50, 0, 50]))
    guard = PoseGuard(3.0)
    assert all(taken(guard, [0, 0.1, 0.2], start=100))
    assert all(taken(guard, [7, 7.1], start=0))


def test_a_slow_stream_may_move_farther_between_two_views():
    guard = PoseGuard(1.0)
    guard.check(0, pose(0))
    guard.check(6 * 10**9, pose(5))
