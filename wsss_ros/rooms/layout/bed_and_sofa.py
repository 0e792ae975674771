"""Beds, sofas, easy chairs and rugs, for bedrooms and living rooms."""

from wsss_ros.rooms.furniture import build
from wsss_ros.rooms.furniture.cabinets import night_stand
from wsss_ros.rooms.furniture.loose import rug
from wsss_ros.rooms.layout.clutter import lay_plain_things
from wsss_ros.rooms.layout.room import WET, Placed, Room


def place_bed(room: Room) -> None:
    """A bed at a wall, with night stands next to its head."""
    bed = room.first("bed", lambda piece: room.against_wall(piece, corner=0.25, tries=60))
    if bed is None:
        return
    w, d, _ = bed.piece.size
    for side in (-1, 1):
        if room.kit.chance(0.65):
            stand = room.model("night stand") or build(
                room.kit, "side table" if room.kit.chance(0.5) else "low cabinet"
            )
            if stand.kind == "cabinet":
                stand = night_stand(room.kit)
            x = side * (w / 2 + stand.size[0] / 2 + 0.06)
            spot = room.next_to(stand, bed, x, d / 2 - stand.size[1] / 2)
            if spot and room.kit.chance(0.6):
                lay_plain_things(room, stand, spot)


def place_sofa(room: Room) -> None:
    """A sofa, often with a coffee table before it and a side table next to it."""
    kit = room.kit
    sofa = room.first(
        "sofa",
        lambda piece: (
            room.against_wall(piece, front=0.4, tries=40, reserve=False) or room.free_standing(piece, margin=0.4)
        ),
    )
    if sofa is None:
        return
    if kit.chance(0.75):
        table = room.build("coffee table")
        out = sofa.piece.size[1] / 2 + table.size[1] / 2 + kit.between(0.3, 0.5)
        spot = room.next_to(table, sofa, kit.between(-0.2, 0.2), -out)
        if spot:
            lay_plain_things(room, table, spot)
    if kit.chance(0.3):
        side = room.build("side table")
        room.next_to(side, sofa, kit.rng.choice([-1, 1]) * (sofa.piece.size[0] / 2 + side.size[0] / 2 + 0.06), 0.1)


def place_easy_chair(room: Room) -> None:
    """An easy chair, at a wall or anywhere."""
    if room.kit.chance(0.5):
        room.free_standing(room.build("easy chair"), margin=0.35, square=0.2)
    else:
        room.against_wall(room.build("easy chair"), front=0.4, gap=(0.03, 0.25))


def place_chair(room: Room) -> None:
    """A single chair, at a wall or anywhere."""
    piece = room.build("chair")
    spot = room.against_wall(piece, front=0.3, gap=(0.03, 0.2)) if room.kit.chance(0.6) else None
    if spot is None:
        room.free_standing(piece, margin=0.3, square=0.2)


def place_rug(room: Room) -> None:
    """A rug anywhere on the floor."""
    kit = room.kit
    w, d = kit.between(0.6, 2.2), kit.between(0.5, 1.5)
    model = room.model("rug" if room.kind not in WET else "bath mat")
    if model is not None:
        w, d, _ = model.size
    x, y = kit.between(w / 2, max(w / 2, room.width - w / 2)), kit.between(d / 2, max(d / 2, room.depth - d / 2))
    spot = Placed(model or rug(kit, w, d), x, y, 0.0, 0.0, solid=False)
    if room.inside(spot, 0.05):
        room.placed.append(spot)
