"""Quarter turns from the pose of a camera."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wsss_ros import geometry
from wsss_ros.types import BadInput

FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # level camera that looks along x of a z-up world


def pose(roll_deg, pitch_deg=0.0, yaw_deg=0.0):
    """A camera that is turned about its own axis by ``roll_deg``, clockwise as seen from behind it."""
    turn = np.eye(4)
    body = Rotation.from_euler("ZY", [yaw_deg, pitch_deg], degrees=True).as_matrix()
    turn[:3, :3] = body @ FORWARD @ Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    return turn


@given(st.integers(0, 3), st.floats(-40, 40), st.floats(-60, 60), st.floats(-180, 180))
def test_the_turned_image_is_upright(quarters, roll, pitch, yaw):
    """A camera rolled to the right sees the world turned to the left: up is at the left edge."""
    turns = geometry.quarter_turns(pose(90 * quarters + roll, pitch, yaw))
    assert turns == (-quarters) % 4
    image = np.zeros((5, 7))
    edge = {0: (0, 3), 1: (2, 0), 2: (4, 3), 3: (2, 6)}[quarters]  # where up is in the image
    image[edge] = 1
    row = np.argwhere(np.rot90(image, turns) == 1)[0][0]
    assert row == 0


def test_a_turn_holds_near_the_middle_and_while_looking_down():
    assert geometry.quarter_turns(pose(50)) == 3
    assert geometry.quarter_turns(pose(50), before=0) == 0
    assert geometry.quarter_turns(pose(65), before=0) == 3
    down = pose(90, 85)
    assert [geometry.quarter_turns(down, before=before) for before in (None, 0, 2)] == [0, 0, 2]


def test_many_views_decide_how_a_camera_is_mounted():
    drive = [pose(90 + 10 * np.sin(k), 20 * np.cos(k), 30 * k) for k in range(20)]
    assert geometry.mounted_turns(drive) == 3
    assert geometry.mounted_turns([*drive, *[pose(0, 85)] * 50]) == 3  # those that look down do not count
    assert geometry.mounted_turns([*drive, *[pose(0)] * 10]) == 0  # carried by hand
    assert geometry.mounted_turns([]) == 0
    optical_world = [np.linalg.inv(pose(0)) @ each for each in (pose(0, 0, yaw) for yaw in range(0, 360, 20))]
    assert geometry.mounted_turns(optical_world) == 0  # z of the world is not up: the views disagree


def test_up_of_another_world():
    y_up = pose(90)
    y_up[:3, :3] = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ y_up[:3, :3]
    assert geometry.quarter_turns(y_up, (0, 1, 0)) == 3


def test_the_option():
    assert [geometry.parse_turns(text) for text in ("auto", "0", "90", "180", "270")] == [None, 0, 3, 2, 1]
    with pytest.raises(BadInput, match="rotate '45'; expected auto, 0, 90, 180, 270"):
        geometry.parse_turns("45")
