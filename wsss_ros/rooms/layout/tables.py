"""Desks and tables with the chairs around them, and the rows of desks of a classroom."""

from dataclasses import replace

import numpy as np

from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.furniture.wall_things import board
from wsss_ros.rooms.layout.clutter import lay_plain_things
from wsss_ros.rooms.layout.room import Placed, Room


def place_desk(room: Room) -> None:
    """A desk at a wall with things on it, mostly with a chair."""
    kit = room.kit
    desk = room.first("desk", lambda piece: room.against_wall(piece, front=0.55, corner=0.3, reserve=False))
    if desk is None:
        return
    lay_plain_things(room, desk.piece, desk)
    if kit.chance(0.88):
        seat_at(room, desk, room.build("desk chair"), kit.between(-0.25, 0.25) * desk.piece.size[0])


def place_dining(room: Room) -> None:
    """A table with dining chairs around it."""
    _seated(room, "table", "dining chair")


def place_conference(room: Room) -> None:
    """A long table with desk chairs around it."""
    _seated(room, "conference table", "desk chair")


def place_lessons(room: Room) -> None:
    """A board on a wall, a desk before it, and rows of desks that face it, with aisles between."""
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    length, deep = room.wall_length(wall), room.wall_length(wall + 1)
    room.against_wall(board(kit), z=0.9, wall=wall, gap=(0.0, 0.005))
    front = room.at_wall(room.build("desk"), wall, length * kit.between(0.3, 0.7), 0.85)
    front = Placed(front.piece, front.x, front.y, 0.0, front.yaw + np.pi)
    if room.fits(front):
        lay_plain_things(room, front.piece, room.place(front))
        seat_at(room, front, room.build("desk chair"), 0.0)
    desk, chair = room.build("school desk"), room.build("school chair")
    across = desk.size[0] + kit.between(0.7, 0.95)
    along = desk.size[1] + chair.size[1] + kit.between(0.4, 0.6)
    columns, first = min(4, int((length - 0.5) / across)), 0.85 + front.piece.size[1] + 0.9
    for v in np.arange(first, deep - desk.size[1] - chair.size[1] - 0.15, along):
        for k in range(columns):
            if kit.chance(0.9):
                u = length / 2 + (k - (columns - 1) / 2) * across + kit.rng.normal(0, 0.03)
                spot = room.at_wall(desk, wall, float(u), float(v + kit.rng.normal(0, 0.02)))
                if room.fits(spot):
                    room.place(spot)
                    _pupils(room, spot, chair)


def _pupils(room: Room, desk: Placed, chair: Piece) -> None:
    """One chair at a narrow desk, two at a wide one."""
    for x in (0.0,) if desk.piece.size[0] < 2 * chair.size[0] + 0.06 else (-0.25, 0.25):
        seat_at(room, desk, chair, x * desk.piece.size[0])
    if room.kit.chance(0.4):
        lay_plain_things(room, replace(desk.piece, kind="table"), desk)


def _seated(room: Room, tables: str, chairs: str) -> None:
    """A table with chairs around it, all of one model."""
    kit = room.kit
    table = room.first(tables, lambda piece: room.free_standing(piece, margin=0.55)) or room.against_wall(
        room.build(tables), front=0.6
    )
    if table is None:
        return
    lay_plain_things(room, table.piece, table)
    first = room.build(chairs)
    w, d, _ = table.piece.size
    count = max(1, int(w / 0.68))
    seats = [((i + 0.5) * w / count - w / 2, side) for side in (-1, 1) for i in range(count)]
    ends = (-1, 1) if kit.chance(0.5) else ()
    for x, side in seats:
        if kit.chance(0.85):
            out = d / 2 + first.size[1] / 2 + kit.between(0.02, 0.2)
            room.next_to(first, table, x, side * out, (np.pi if side < 0 else 0.0) + kit.rng.normal(0, 0.15))
    for side in ends:
        out = w / 2 + first.size[1] / 2 + kit.between(0.02, 0.2)
        room.next_to(first, table, side * out, 0.0, -side * np.pi / 2 + kit.rng.normal(0, 0.15))


def seat_at(room: Room, of: Placed, chair: Piece, x: float) -> None:
    """A chair that faces a piece's front, pulled out a little and turned a little."""
    out = of.piece.size[1] / 2 + chair.size[1] / 2 + room.kit.between(0.03, 0.3)
    for push in (0.0, 0.2, 0.4):
        if room.next_to(chair, of, x, -out - push, np.pi + room.kit.rng.normal(0, 0.25)):
            return
