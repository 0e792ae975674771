"""Single pieces at walls, on walls and in corners."""

from collections.abc import Callable

from wsss_ros.rooms.furniture.loose import clutter_box, floor_lamp, plant, television
from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.room import Placed, Room

LOUNGES = ("living_room", "bedroom", "studio", "meeting_room")  # kinds with a television on low cabinets


def wall_piece(what: str, front: float = 0.35) -> Callable[[Room], None]:
    """Return a function that places a piece of a class at a wall, with ``front`` metres free before it."""

    def place(room: Room) -> None:
        piece = room.build(what)
        spot = room.against_wall(piece, front=front, corner=0.3)
        cabinet = piece.kind == "cabinet" or (room.stock is not None and what == "low cabinet")
        low = piece.size[2] < 1.1 and cabinet and room.kind in LOUNGES
        if spot and low and room.kit.chance(0.5):
            screen = room.model("television", hung=False) or television(room.kit, 1.1 * piece.size[0])
            if screen.size[0] < 1.3 * piece.size[0]:
                room.placed.append(Placed(screen, spot.x, spot.y, piece.size[2], spot.yaw, solid=False))

    return place


def wall_hanging(
    make: Callable[[Kit], Piece], height: float | None = None, use: str | None = None
) -> Callable[[Room], None]:
    """Return a function that hangs a piece on a wall at a height, without one at a height of the style.

    With a ``use`` of ``uses.USES`` it may be a model.
    """

    def place(room: Room) -> None:
        piece = (room.model(use, hung=False) if use else None) or make(room.kit)
        z = room.kit.size("picture.z") if height is None else height
        if z + piece.size[2] < room.height - 0.1:
            room.against_wall(piece, z=z, gap=(0.0, 0.005), tries=12)

    return place


def place_small(room: Room) -> None:
    """A piece of other furniture: a bin, an ottoman, a coat stand, a radiator or a trolley."""
    room.against_wall(room.build("otherfurniture"), gap=(0.02, 0.1), corner=0.2)


def place_radiator(room: Room) -> None:
    """A radiator close to a wall."""
    room.against_wall(room.build("radiator"), gap=(0.03, 0.06))


def place_bin(room: Room) -> None:
    """A waste bin close to a wall."""
    room.against_wall(room.build("bin"), gap=(0.02, 0.15))


def place_clutter(room: Room) -> None:
    """A box, by chance with another one on it, a plant or a floor lamp."""
    kit = room.kit
    make = (clutter_box, plant, floor_lamp)[kit.rng.choice(3, p=[0.6, 0.2, 0.2])]
    piece = make(kit)
    spot = room.against_wall(piece, gap=(0.02, 0.3)) if kit.chance(0.75) else room.free_standing(piece, 0.3, square=0.0)
    if spot and make is clutter_box and kit.chance(0.4):
        top = clutter_box(kit)
        turned = spot.yaw + float(kit.rng.normal(0, 0.2))
        if top.size[0] <= piece.size[0]:
            room.placed.append(Placed(top, spot.x, spot.y, piece.size[2], turned, solid=False))
