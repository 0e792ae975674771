"""Quarter turns of images from cameras that are mounted turned.

A number of quarter turns counts like ``numpy.rot90``: each turns the image a quarter to the left.
"""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from wsss_ros.types import BadInput

_CLEAR = math.sin(math.radians(20))  # of up in the image plane; below, the camera looks straight up or down
_MOST = 0.8  # of the views of a mounted camera need the same turns
_HOLD = math.radians(60)  # a known turn holds until up is farther from it than this


def quarter_turns(
    world_from_camera: Float[np.ndarray, "4 4"],
    world_up: Float[np.ndarray, "3"] | tuple[float, float, float] = (0.0, 0.0, 1.0),
    before: int | None = None,
) -> int:
    """How many quarter turns make the image of this pose upright: 0 to 3.

    Args:
        world_from_camera: of the optical frame.
        world_up: unit vector against gravity in the world.
        before: the turns of the images before. They hold while the camera looks nearly straight up or down, and until
            the camera has rolled clearly past the middle between two turns.
    """
    angle = _angle_of_up(world_from_camera, world_up)
    if angle is None:
        return before or 0
    if before is not None and abs(math.remainder(angle - before * math.pi / 2, 2 * math.pi)) < _HOLD:
        return before
    return round(angle / (math.pi / 2)) % 4


def mounted_turns(
    poses: Iterable[Float[np.ndarray, "4 4"]], world_up: Float[np.ndarray, "3"] | tuple[float, float, float] = (0, 0, 1)
) -> int:
    """How many quarter turns make the images of a mounted camera upright, from many of its poses.

    0 where the views disagree: then the camera is carried by hand, or z of the world is not up.
    """
    angles = [angle for pose in poses if (angle := _angle_of_up(pose, world_up)) is not None]
    counts = np.bincount([round(angle / (math.pi / 2)) % 4 for angle in angles], minlength=4)
    best = int(counts.argmax())
    return best if counts[best] >= _MOST * max(len(angles), 1) else 0


def _angle_of_up(world_from_camera: np.ndarray, world_up: np.ndarray | tuple[float, float, float]) -> float | None:
    """The angle of up in the image, from its top edge to the right; None where the camera looks straight up or down."""
    right, down, _ = world_from_camera[:3, :3].T.astype(np.float64) @ np.asarray(world_up, np.float64)
    return math.atan2(right, -down) if math.hypot(right, down) >= _CLEAR else None


def parse_turns(rotate: str) -> int | None:
    """The quarter turns of the option ``rotate``: None for "auto"; 90 turns the image a quarter to the right.

    Raises:
        BadInput: another text.
    """
    turns = {"auto": None, "0": 0, "90": 3, "180": 2, "270": 1}
    if rotate not in turns:
        raise BadInput(f"rotate '{rotate}'; expected {', '.join(turns)}")
    return turns[rotate]
