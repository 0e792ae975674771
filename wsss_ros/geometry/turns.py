"""Quarter turns of images from cameras that are mounted turned.

A number of quarter turns counts like ``numpy.rot90``: each turns the image a quarter to the left.
"""

import math

import numpy as np
from jaxtyping import Float

from wsss_ros.types import BadInput

_CLEAR = math.sin(math.radians(20))  # of up in the image plane; below, the camera looks straight up or down
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
    right, down, _ = world_from_camera[:3, :3].T.astype(np.float64) @ np.asarray(world_up, np.float64)
    if math.hypot(right, down) < _CLEAR:
        return before or 0
    angle = math.atan2(right, -down)  # of up in the image, from the top edge to the right
    if before is not None and abs(math.remainder(angle - before * math.pi / 2, 2 * math.pi)) < _HOLD:
        return before
    return round(angle / (math.pi / 2)) % 4


def parse_turns(rotate: str) -> int | None:
    """The quarter turns of the option ``rotate``: None for "auto"; 90 turns the image a quarter to the right.

    Raises:
        BadInput: another text.
    """
    turns = {"auto": None, "0": 0, "90": 3, "180": 2, "270": 1}
    if rotate not in turns:
        raise BadInput(f"rotate '{rotate}'; expected {', '.join(turns)}")
    return turns[rotate]
