"""Tables and desks."""

import numpy as np

from wsss_ros.rooms.furniture.cabinets import add_carcass
from wsss_ros.rooms.furniture.piece import Piece, builder, corners
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import box, cylinder, leg, loft


@builder
def leg_table(kit: Kit) -> Piece:
    """A rectangular table on four legs, 0.8 to 2.0 wide and 0.7 to 0.78 high."""
    return _leg_table(kit, "table", kit.size("table.w"), kit.size("table.d"), kit.size("table.h"))


@builder
def coffee_table(kit: Kit) -> Piece:
    """A low table on four legs, 0.34 to 0.5 high, with or without a board below its top."""
    w, d = kit.size("coffee.w"), kit.size("coffee.d")
    piece = _leg_table(kit, "table", w, d, kit.size("coffee.h"))
    return piece.add(box(0, 0, 0.12, w - 0.16, d - 0.14, 0.02), kit.material("table")) if kit.chance(0.4) else piece


@builder
def side_table(kit: Kit) -> Piece:
    """A square table on four legs, 0.38 to 0.6 wide and 0.42 to 0.62 high."""
    return _leg_table(kit, "table", kit.size("side.w"), kit.size("side.w"), kit.between(0.42, 0.62))


@builder
def round_table(kit: Kit) -> Piece:
    """A round table, 0.8 to 1.3 across and 0.7 to 0.78 high, on a column or four legs."""
    return _round_table(kit, kit.size("round.r"), kit.size("table.h"))


@builder
def round_coffee_table(kit: Kit) -> Piece:
    """A low round table, 0.64 to 1.04 across and 0.34 to 0.5 high."""
    return _round_table(kit, kit.size("round.r") * 0.8, kit.size("coffee.h"))


@builder
def drum_table(kit: Kit) -> Piece:
    """A closed round body with a round top, 0.38 to 0.6 across and 0.35 to 0.55 high."""
    r, h = kit.size("side.w") / 2, kit.between(0.35, 0.55)
    body = kit.material("table")
    piece = Piece("table", (2 * r, 2 * r, h)).add(
        cylinder(0, 0, 0, r * kit.between(0.6, 0.95), h - 0.03, r * 0.9), body
    )
    return piece.add(cylinder(0, 0, h - 0.03, r, 0.03), body if kit.chance(0.5) else kit.material("table"))


@builder
def trestle_table(kit: Kit) -> Piece:
    """A top on two upright boards with a bar between them, 0.8 to 2.0 wide."""
    w, d, h, t = kit.size("table.w"), kit.size("table.d"), kit.size("table.h"), kit.size("table.top")
    top = kit.material("table")
    piece = Piece("table", (w, d, h)).add(box(0, 0, h - t, w, d, t), top)
    for x in (-w * 0.36, w * 0.36):
        piece.add(box(x, 0, 0, 0.06, d * 0.75, h - t), top)
    return piece.add(box(0, 0, h * 0.4, w * 0.72, 0.04, 0.09), top)


@builder
def panel_table(kit: Kit) -> Piece:
    """A thick top on two slabs, 0.8 to 2.0 wide."""
    return _panel_table(kit, "table", kit.size("table.w"), kit.size("table.d"), kit.size("table.h"))


@builder
def conference_table(kit: Kit) -> Piece:
    """A long table on slabs or legs, 1.8 to 3.2 wide and 0.95 to 1.3 deep."""
    make = _panel_table if kit.chance(0.5) else _leg_table
    return make(kit, "table", kit.size("conference.w"), kit.size("conference.d"), kit.size("table.h"))


@builder
def leg_desk(kit: Kit) -> Piece:
    """A desk on four legs, 1.0 to 1.8 wide, with or without a panel at its back."""
    w = kit.size("desk.w")
    d, h = kit.size("desk.d"), kit.size("desk.h")
    piece = _leg_table(kit, "desk", w, d, h)
    if kit.chance(0.5):
        piece.add(box(0, d / 2 - 0.03, h * 0.45, w - 0.14, 0.02, h * 0.5), kit.material("desk"))
    return piece


@builder
def drawer_desk(kit: Kit) -> Piece:
    """A desk with drawers below one end or both, 1.0 to 1.8 wide."""
    w, d, h = kit.size("desk.w"), kit.size("desk.d"), kit.size("desk.h")
    body = kit.material("desk")
    piece = Piece("desk", (w, d, h)).add(box(0, 0, h - 0.035, w, d, 0.035), body)
    wide = kit.between(0.3, 0.42)
    both = kit.chance(0.4)
    for side in (-1, 1):
        if both or side == 1:
            add_carcass(kit, piece, side * (w / 2 - wide / 2), 0, 0.04, wide, d - 0.04, h - 0.08, body, 1, 3)
        else:
            piece.add(box(-w / 2 + 0.02, 0, 0, 0.04, d - 0.04, h - 0.035), body)
    return piece.add(box(0, d / 2 - 0.04, 0.2, w - 0.04, 0.02, h - 0.25), body)


@builder
def corner_desk(kit: Kit) -> Piece:
    """An L-shaped desk, 1.1 to 2.0 wide and 1.05 to 1.5 deep."""
    w, d, h = kit.size("desk.w") * 1.1, kit.size("desk.d"), kit.size("desk.h")
    deep = kit.between(1.05, 1.5)
    top, frame = kit.material("desk"), kit.material("chair legs")
    side = 1 if kit.chance(0.5) else -1
    back = deep / 2
    piece = Piece("desk", (w, deep, h)).add(box(0, back - d / 2, h - 0.03, w, d, 0.03), top)
    piece.add(box(side * (w / 2 - d * 0.45), -d / 2, h - 0.03, d * 0.9, deep - d, 0.03), top)
    for x, y in ((-w / 2 + 0.05, back - 0.05), (w / 2 - 0.05, back - 0.05), (-side * (w / 2 - 0.05), back - d + 0.05)):
        piece.add(box(x, y, 0, 0.05, 0.05, h - 0.03), frame)
    x = side * (w / 2 - d * 0.45)
    return piece.add(box(x, -back + 0.04, 0, d * 0.8, 0.03, h - 0.03), top)


@builder
def panel_desk(kit: Kit) -> Piece:
    """A desk with a thick top on two slabs, 1.0 to 1.8 wide."""
    return _panel_table(kit, "desk", kit.size("desk.w"), kit.size("desk.d"), kit.size("desk.h"))


@builder
def school_desk(kit: Kit) -> Piece:
    """A small desk on four legs, 0.65 to 1.35 wide."""
    return _leg_table(kit, "desk", kit.size("school.w"), kit.size("school.d"), kit.size("desk.h"))


def _leg_table(kit: Kit, kind: str, w: float, d: float, h: float) -> Piece:
    """A rectangular top on four legs, by chance with a frame below the top."""
    top, t = kit.material(kind), kit.size("table.top")
    piece = Piece(kind, (w, d, h)).add(box(0, 0, h - t, w, d, t), top)
    if kit.chance(0.5):
        piece.add(box(0, 0, h - t - 0.07, w - 0.12, d - 0.12, 0.07), top)
    return _legs(kit, piece, w, d, h - t, top if kit.chance(0.6) else kit.material("chair legs"))


def _round_table(kit: Kit, r: float, h: float) -> Piece:
    top, frame, t = kit.material("table"), kit.material("chair legs"), kit.size("table.top")
    piece = Piece("table", (2 * r, 2 * r, h))
    piece.add(loft([(0, 0, h - t, r, r), (0, 0, h, r, r)], sides=26), top)
    if kit.chance(0.5):
        piece.add(cylinder(0, 0, 0.02, 0.045, h - t - 0.02), frame)
        return piece.add(cylinder(0, 0, 0, r * 0.55, 0.03, r * 0.3), frame)
    return _legs(kit, piece, 1.5 * r, 1.5 * r, h - t, frame)


def _panel_table(kit: Kit, kind: str, w: float, d: float, h: float) -> Piece:
    """A thick top on two slabs."""
    body, t = kit.material(kind), kit.size("table.top")
    piece = Piece(kind, (w, d, h)).add(box(0, 0, h - t, w, d, t), body)
    inset = kit.between(0.0, 0.12) * w
    for x in (-w / 2 + t / 2 + inset, w / 2 - t / 2 - inset):
        piece.add(box(x, 0, 0, t, d * 0.92, h - t), body)
    return piece


def _legs(kit: Kit, piece: Piece, w: float, d: float, h: float, material: Material) -> Piece:
    """Round or square legs, upright or splayed, below a top w x d."""
    r, round_legs, lean = kit.between(0.018, 0.042), kit.chance(0.5), kit.between(0.0, 0.06)
    for x, y in corners(w, d, r + 0.03 + lean):
        shift = (np.sign(x) * lean, np.sign(y) * lean)
        piece.add(leg(x, y, 0, h, r, shift) if round_legs else box(x, y, 0, 2 * r, 2 * r, h), material)
    return piece
