"""Sinks, toilets, bathtubs and showers."""

import numpy as np

from wsss_ros.rooms.furniture.bath import shower_curtain
from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.furniture.wall_things import mirror
from wsss_ros.rooms.layout.room import WALL_YAW, Placed, Room
from wsss_ros.rooms.meshes import box


def place_vanity(room: Room) -> None:
    """A sink, mostly with a mirror above it."""
    kit = room.kit
    piece = room.build("sink" if kit.chance(0.4) else "vanity")
    spot = room.against_wall(piece, front=0.5, gap=(0.0, 0.01), tries=60)
    if spot is None and room.stock:
        spot = room.against_wall(room.build("sink"), front=0.45, gap=(0.0, 0.01), tries=60)
    if spot and kit.chance(0.75):
        _hang_at(room, mirror(kit), spot, 1.15)


def place_toilet(room: Room) -> None:
    """A toilet at a wall."""
    room.against_wall(room.build("toilet"), front=0.45, gap=(0.0, 0.02), tries=60)


def place_tub(room: Room) -> None:
    """A bathtub, mostly in a corner and with a curtain; a shower where no bathtub fits."""
    kit = room.kit
    spot = room.first(
        "bathtub", lambda piece: room.against_wall(piece, front=0.4, gap=(0.0, 0.02), corner=0.9, tries=60)
    )
    if spot is None:
        place_shower(room)
        return
    if kit.chance(0.75):
        w, d, _ = spot.piece.size
        cloth = shower_curtain(kit, w, min(kit.between(1.9, 2.1), room.height - 0.1))
        room.placed.append(Placed(cloth, *spot.point(0, -d / 2 - 0.07), 0.0, spot.yaw))


def place_shower(room: Room) -> None:
    """A flat tray in a corner behind a curtain; the tray has no label."""
    kit, s = room.kit, room.kit.size("stall.w")
    tray = Piece(NOTHING, (s, s, 2.0)).add(box(0, 0, 0, s, s, 0.06), kit.material("ceramic"))
    spot = room.against_wall(tray, front=0.4, gap=(0.0, 0.01), corner=1.0, tries=60)
    if spot is None:
        return
    cloth = shower_curtain(kit, s, min(kit.between(1.85, 2.1), room.height - 0.1))
    room.placed.append(Placed(cloth, *spot.point(0, -s / 2 - 0.06), 0.0, spot.yaw))


def _hang_at(room: Room, piece: Piece, below: Placed, z: float) -> None:
    """Hang a piece on the wall behind another piece."""
    wall = int(np.argmin([abs(np.angle(np.exp(1j * (below.yaw - a)))) for a in WALL_YAW]))
    room.hang(piece, wall, room.along(below, wall), z)
