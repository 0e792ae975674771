"""Where a camera can be in a place, what is outside it, and its lamps."""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage

from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.layout.room import Placed, Room
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import box
from wsss_ros.rooms.render.light import Light
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.types import BadInput

CELL_M = 0.1  # edge of a cell of the floor
HEAD_M = 1.9  # height that must be free above a cell
CLEARANCE_M = 0.25  # smallest distance of a person to any surface
HEIGHTS_M = (0.3, 0.6, 0.9, 1.2, 1.5, 1.75)  # at which this distance is measured
LAMPS_APART_M = 2.5
OUTSIDE_M = 4.0  # distance of what is seen through windows


def add_outside(room: Room) -> None:
    """A white ceiling over the place, which may have none, and a bright world around it, which windows show."""
    ceiling, outside = Piece(NOTHING, (room.width, room.depth, 0.1)), Piece(NOTHING, (room.width, room.depth, 0.1))
    white = Material((0.92, 0.92, 0.9), scale=0.6)
    ceiling.add(box(0, 0, 0, room.width + 0.4, room.depth + 0.4, 0.1), white)
    room.placed.append(Placed(ceiling, room.width / 2, room.depth / 2, room.height + 0.01, 0.0, solid=False))
    bright = room.kit.family("glass", emission=2.0)
    w, d, h = room.width + 2 * OUTSIDE_M, room.depth + 2 * OUTSIDE_M, room.height + 2 * OUTSIDE_M
    outside.add(box(0, 0, -OUTSIDE_M, w, d, h), bright)
    room.placed.append(Placed(outside, room.width / 2, room.depth / 2, 0.0, 0.0, solid=False))


def find_free_floor(world: World, source: str) -> None:
    """Find the floor on which a person can stand in the place; the room of the world keeps it, and what is in sight.

    A cell is free when nothing but floor is below head height, and every surface is CLEARANCE_M away. Only the largest
    connected part counts. Raises BadInput, naming the ``source``, when it is smaller than a square metre.
    """
    room = world.room
    ny, nx = int(room.depth / CELL_M), int(room.width / CELL_M)
    y, x = np.meshgrid((np.arange(ny) + 0.5) * CELL_M, (np.arange(nx) + 0.5) * CELL_M, indexing="ij")
    above = np.stack([x, y, np.full_like(x, HEAD_M)], -1).reshape(-1, 3)
    down = np.broadcast_to(np.array([0.0, 0.0, -1.0]), above.shape)
    part, distance = world.first_hits(above, down)
    free = world.is_label("floor")[part] & (np.abs(distance - HEAD_M) < 0.08)
    for height in HEIGHTS_M:
        free[free] = world.clearance(above[free] * (1, 1, 0) + (0, 0, height)) > CLEARANCE_M
    parts, count = ndimage.label(free.reshape(ny, nx))
    if count == 0 or np.bincount(parts.ravel())[1:].max() * CELL_M**2 < 1:
        raise BadInput(f"{source}: less than a square metre of free floor at z = 0 with {HEAD_M} m above it")
    room.free = (parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]), CELL_M)
    room.in_sight = lambda xy, target: _in_sight(world, xy, target)


def _in_sight(world: World, xy: Float64[np.ndarray, "N 2"], target: Float64[np.ndarray, "3"]) -> Bool[np.ndarray, "N"]:
    """Whether no wall is between a camera at each place and the target."""
    eyes = np.column_stack([xy, np.full(len(xy), 1.5)])
    part, distance = world.first_hits(eyes, target - eyes)
    return ~world.is_label("wall")[part] | (distance > 0.97)


def add_lamps(room: Room) -> Light:
    """Lamps below the ceiling, LAMPS_APART_M apart above the free floor; random in strength and warmth."""
    free, cell = room.free
    cells = (np.argwhere(free)[:, ::-1] + 0.5) * cell
    nearest = np.full(len(cells), np.inf)
    here = int(room.kit.rng.integers(len(cells)))
    height, places = min(room.height - 0.3, 2.6), []
    while nearest.max() > LAMPS_APART_M:
        places.append((*cells[here], height))
        nearest = np.minimum(nearest, np.hypot(*(cells - cells[here]).T))
        here = int(np.argmax(nearest))
    return Light.lamps(np.array(places), room.kit)
