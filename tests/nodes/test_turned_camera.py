"""A camera that is mounted turned while ``rotate`` says otherwise is reported, with the value to set."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from scipy.spatial.transform import Rotation  # noqa: E402
from support.simulated_segmenter import START_NS, SimulatedSegmenter  # noqa: E402
from support.view_messages import camera_info, depth_image, image, pose  # noqa: E402

LEVEL = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # an optical frame that looks along x


def drive(node: SimulatedSegmenter, roll_deg: float, first_s: float = 0, seconds: float = 4) -> str:
    """Views at 2 Hz of a camera that turns on the spot, rolled by so many degrees about its optical axis."""
    for step in range(round(2 * seconds)):
        stamp = START_NS + round(1e9 * (first_s + step / 2))
        camera = Rotation.from_euler("z", 20 * step, degrees=True) * LEVEL
        camera *= Rotation.from_euler("z", roll_deg, degrees=True)
        messages = {
            "color/camera_info": camera_info(stamp),
            "pose": pose(stamp, xyzw=tuple(map(float, camera.as_quat()))),
            "depth/image_rect": depth_image(stamp),
            "color/image_raw": image(stamp),
        }
        for topic, message in messages.items():
            node.callbacks[topic](message)
        while node._worker.step():
            pass
    return node.turn_problem


@pytest.mark.parametrize("roll_deg, rotate", [(90, 90), (180, 180), (-90, 270), (-75, 270)])
def test_a_turned_camera_is_reported_with_the_value_to_set(roll_deg, rotate):
    node = SimulatedSegmenter(0.01)
    assert f"set rotate:=auto or rotate:={rotate};" in drive(node, roll_deg)
    assert not drive(SimulatedSegmenter(0.01, rotate=rotate), roll_deg)
    assert not drive(SimulatedSegmenter(0.01, rotate="auto"), roll_deg)
    assert not drive(node, 0, 10), "it is over"


@pytest.mark.parametrize("roll_deg, seconds", [(0, 4), (40, 4), (180, 2)])
def test_an_upright_camera_and_a_short_turn_are_not_reported(roll_deg, seconds):
    assert not drive(SimulatedSegmenter(0.01), roll_deg, seconds=seconds)
