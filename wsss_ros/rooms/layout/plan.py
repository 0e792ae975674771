"""The plan of a room: furnished by its recipe, with enough free floor to walk on."""

import numpy as np

from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.clutter import lay_things, litter
from wsss_ros.rooms.layout.fill import fill_walls, hang_more
from wsss_ros.rooms.layout.recipes import GROUPS, RECIPES
from wsss_ros.rooms.layout.room import WET, Room
from wsss_ros.rooms.layout.shell import add_ceiling, add_walls_and_floor
from wsss_ros.rooms.meshes import turn
from wsss_ros.rooms.stock import Stock
from wsss_ros.rooms.styles import Style

FULL = (0.6, 0.95)  # range of the share of the walls that is furnished, with a stock
MIN_FREE_M2 = 1.6  # of floor to walk on; a room with less is planned again


def plan(kind: str, rng: np.random.Generator, style: Style, stock: Stock | None = None) -> Room:
    """Furnish a room of a kind of ``KINDS``; it has a connected free floor to walk on, walls, floor and ceiling.

    With a ``stock`` most pieces are models of furniture libraries, surfaces show their pictures, the room is fuller,
    and things lie about.
    """
    least = 0.6 * MIN_FREE_M2 if kind in WET else MIN_FREE_M2
    while True:
        room = _furnish(kind, Kit(rng, style, stock.surface if stock else None), stock, least)
        if free_area(room) >= least:
            if stock:
                _live_in(room, least)
            return room


def free_area(room: Room) -> float:
    """Square metres of connected floor to walk on."""
    free, cell = free_floor(room)
    return float(free.sum() * cell**2)


def _live_in(room: Room, least: float) -> None:
    """Things on the furniture and on the floor: few in tidy rooms, many in messy ones."""
    mess = room.kit.between(0.0, 1.0)
    lay_things(room, mess)
    before = list(room.placed)
    litter(room, mess)
    if free_area(room) < least:
        room.placed = before


def _furnish(kind: str, kit: Kit, stock: Stock | None, least: float) -> Room:
    width, depth = (kit.between(*edge) for edge in kit.style.rooms[kind])
    room = Room(kind, width, depth, kit.size("room.height"), kit, stock=stock)
    room.window_light = kit.between(0.9, 3.0) if kit.chance(0.75) else kit.between(0.02, 0.15)
    for group, chance, least, most in RECIPES[kind]:
        if kit.chance(chance):
            for _ in range(int(kit.rng.integers(least, most + 1))):
                GROUPS[group](room)
    if stock:
        fill_walls(room, kit.between(*FULL), lambda r: free_area(r) >= least + 0.8)
        hang_more(room)
    add_walls_and_floor(room)
    add_ceiling(room)
    return room


def free_floor(room: Room, cell: float = 0.08, clearance: float = 0.22) -> tuple[np.ndarray, float]:
    """Cells [rows y, columns x] where a person can stand, and the edge of a cell in metres.

    Only the largest connected part of the floor counts. A person keeps ``clearance`` metres away from every piece.
    """
    from scipy import ndimage

    if room.free is not None:
        return room.free
    ny, nx = int(room.depth / cell), int(room.width / cell)
    y, x = np.meshgrid((np.arange(ny) + 0.5) * cell, (np.arange(nx) + 0.5) * cell, indexing="ij")
    free = (np.minimum(x, room.width - x) > clearance) & (np.minimum(y, room.depth - y) > clearance)
    for spot in room.placed:
        if not spot.solid and spot.piece.size[2] < 0.15 or spot.piece.kind in ("wall", "floor") or spot.z > 1.9:
            continue
        local = (np.stack([x - spot.x, y - spot.y], -1)) @ turn(spot.yaw)[:2, :2]
        inside = (np.abs(local) < np.array(spot.piece.size[:2]) / 2 + clearance).all(-1)
        free &= ~inside
    parts, count = ndimage.label(free)
    if count == 0:
        return free, cell
    biggest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return parts == biggest, cell
