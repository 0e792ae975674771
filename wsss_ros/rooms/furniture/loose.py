"""Small furniture, and loose things on the floor and on tables."""

from dataclasses import replace

import numpy as np

from wsss_ros.rooms.furniture.piece import NOTHING, Piece, add_feet, builder, corners
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import Mesh, bowl, box, cushion, cylinder, leg, loft, turn


@builder
def bin(kit: Kit) -> Piece:
    """A waste bin, 0.22 to 0.4 wide and 0.28 to 0.6 high."""
    w, h = kit.size("bin.w"), kit.size("bin.h")
    return Piece("otherfurniture", (w, w, h)).add(
        bowl(0, 0, 0, w, w, h, 0.012, kit.between(2, 6)), kit.material("otherfurniture")
    )


@builder
def ottoman(kit: Kit) -> Piece:
    """A padded cube on feet, 0.4 to 0.7 wide and 0.34 to 0.48 high."""
    w, h = kit.size("ottoman.w"), kit.size("ottoman.h")
    piece = Piece("otherfurniture", (w, w, h)).add(cushion(0, 0, 0.05, w, w, h - 0.05, 0.06), kit.material("sofa"))
    return add_feet(kit, piece, w, w)


@builder
def rack(kit: Kit) -> Piece:
    """A coat stand, 1.5 to 1.85 high, by chance with a coat on it."""
    h, body = kit.size("rack.h"), kit.material("chair legs")
    piece = (
        Piece("otherfurniture", (0.44, 0.44, h))
        .add(cylinder(0, 0, 0, 0.2, 0.03), body)
        .add(cylinder(0, 0, 0, 0.02, h), body)
    )
    for angle in np.arange(4) * np.pi / 2:
        piece.add(
            leg(
                0.13 * np.cos(angle),
                0.13 * np.sin(angle),
                h - 0.2,
                0.12,
                0.01,
                (-0.12 * np.cos(angle), -0.12 * np.sin(angle)),
            ),
            body,
        )
    if kit.chance(0.6):
        rings = [(0.05, 0, h - 1.0, 0.17, 0.1), (0.04, 0, h - 0.45, 0.15, 0.1), (0.02, 0, h - 0.14, 0.06, 0.06)]
        piece.add(loft(rings, 2.5), kit.family("fabric"), NOTHING)
    return piece


@builder
def side_rack(kit: Kit) -> Piece:
    """An open trolley with three boards, 0.4 to 0.7 wide and 0.6 to 0.95 high."""
    w, d, h = kit.between(0.4, 0.7), kit.between(0.3, 0.42), kit.between(0.6, 0.95)
    frame, board = kit.material("chair legs"), kit.material("otherfurniture")
    piece = Piece("otherfurniture", (w, d, h))
    for x, y in corners(w, d, 0.015):
        piece.add(box(x, y, 0, 0.025, 0.025, h), frame)
    for z in (0.12, h * 0.5, h - 0.04):
        piece.add(box(0, 0, z, w - 0.002, d - 0.002, 0.02), board)
        if kit.chance(0.6):
            add_small_item(kit, piece, kit.between(-w / 3, w / 3), 0, z + 0.02)
    return piece


@builder
def radiator(kit: Kit) -> Piece:
    """A radiator with upright ribs, 0.6 to 1.4 wide and 0.45 to 0.75 high."""
    w, h = kit.size("radiator.w"), kit.size("radiator.h")
    white = kit.family("white") if kit.chance(0.75) else kit.family("metal")
    piece = Piece("otherfurniture", (w, 0.1, h)).add(box(0, 0.01, 0.1, w, 0.02, h - 0.1), white)
    for x in np.arange(-w / 2 + 0.03, w / 2 - 0.02, 0.06):
        piece.add(box(x, 0, 0.1, 0.03, 0.08, h - 0.1), white)
    return piece


@builder
def washing_machine(kit: Kit) -> Piece:
    """A white or metal box with a round door, 0.58 to 0.64 wide and 0.82 to 0.9 high."""
    w, d, h = kit.size("washer.w"), kit.size("washer.d"), kit.size("washer.h")
    body = kit.material("refrigerator")
    piece = Piece("otherfurniture", (w, d + 0.04, h)).add(box(0, 0.01, 0.01, w, d - 0.02, h - 0.01), body)
    for r, out, material in ((0.2, 0.025, kit.material("metal")), (0.16, 0.035, kit.family("screen"))):
        disc = cylinder(0, 0, 0, r, out)  # its axis turned towards the front
        x, y, z = disc.vertices.T
        piece.add(Mesh(np.stack([x, -d / 2 - z + 0.01, y + h * 0.45], 1), disc.triangles), material)
    return piece.add(box(0, -d / 2 - 0.002, h - 0.13, w * 0.9, 0.01, 0.09), kit.material("dark"))


def clutter_box(kit: Kit) -> Piece:
    """A cardboard box, 0.25 to 0.55 wide and 0.18 to 0.5 high."""
    w, d, h = kit.size("box.w"), kit.size("box.w"), kit.size("box.h")
    return Piece(NOTHING, (w, d, h)).add(box(0, 0, 0, w, d, h), kit.material("box"))


def plant(kit: Kit) -> Piece:
    """A plant in a pot, 0.5 to 1.4 high."""
    h, pot = kit.between(0.5, 1.4), kit.material("otherfurniture")
    green = replace(
        kit.family("pattern"), color=(0.2, kit.between(0.3, 0.45), 0.15), accent=(0.35, 0.5, 0.25), scale=0.05
    )
    piece = Piece(NOTHING, (0.5, 0.5, h)).add(cylinder(0, 0, 0, 0.11, 0.25, 0.14), pot)
    piece.add(cylinder(0, 0, 0.2, 0.015, h * 0.5), kit.family("wood"))
    for _ in range(5):
        x, y, z, r = (
            kit.between(-0.1, 0.1),
            kit.between(-0.1, 0.1),
            kit.between(h * 0.55, h * 0.8),
            kit.between(0.06, 0.14),
        )
        piece.add(
            loft([(x, y, z - r, r * 0.3, r * 0.3), (x, y, z, r, r), (x, y, z + r, r * 0.4, r * 0.4)], sides=8), green
        )
    return piece


def floor_lamp(kit: Kit) -> Piece:
    """A lamp on a thin pole, 1.3 to 1.75 high, that may be switched on."""
    h, metal = kit.between(1.3, 1.75), kit.material("chair legs")
    piece = (
        Piece(NOTHING, (0.4, 0.4, h))
        .add(cylinder(0, 0, 0, 0.14, 0.03), metal)
        .add(cylinder(0, 0, 0, 0.013, h - 0.2), metal)
    )
    shade = replace(kit.material("shade"), emission=kit.between(0.0, 0.8))
    return piece.add(cylinder(0, 0, h - 0.28, 0.19, 0.28, kit.between(0.1, 0.17)), shade)


def television(kit: Kit, widest: float) -> Piece:
    """A flat screen on a foot, 0.7 to 1.3 wide but at most ``widest``."""
    w = min(kit.between(0.7, 1.3), widest)
    piece = Piece(NOTHING, (w, 0.2, w * 0.6)).add(box(0, 0, 0.06, w, 0.04, w * 0.56), kit.family("screen"))
    return piece.add(box(0, 0, 0, w * 0.35, 0.16, 0.015), kit.material("dark")).add(
        box(0, 0.01, 0, 0.06, 0.03, 0.1), kit.material("dark")
    )


def monitor(kit: Kit) -> Piece:
    """A computer screen, 0.42 to 0.62 wide, with a keyboard before it."""
    w = kit.between(0.42, 0.62)
    screen = replace(kit.family("screen"), emission=kit.between(0.0, 0.25))
    piece = Piece(NOTHING, (w, 0.2, w)).add(box(0, 0, 0.12, w, 0.03, w * 0.58), screen)
    piece.add(box(0, 0, 0.005, 0.2, 0.16, 0.015), kit.material("dark")).add(
        box(0, 0.02, 0.0, 0.04, 0.03, 0.2), kit.material("dark")
    )
    return piece.add(box(0, -0.2, 0, w * 0.8, 0.14, 0.02), kit.material("dark"))


def rug(kit: Kit, w: float, d: float) -> Piece:
    """A flat rug of w x d; nyu40 has a class floor mat, which is not one of the 20."""
    return Piece(NOTHING, (w, d, 0.012)).add(box(0, 0, 0.0, w, d, 0.012), kit.material("rug"))


def desk_clutter(kit: Kit, desk: Piece) -> Piece:
    """Things on a desk or table, in its frame: a screen, small items, sheets of paper."""
    w, d, h = desk.size
    things = Piece(NOTHING, desk.size)
    back = d / 2 - 0.18
    if desk.kind == "desk" and kit.chance(0.75):
        things.put(monitor(kit), kit.between(-w * 0.2, w * 0.2), back, h)
    for _ in range(int(kit.rng.integers(0, 4))):
        x, y = kit.between(-w / 2 + 0.12, w / 2 - 0.12), kit.between(-0.1, 0.1) if desk.kind == "table" else back
        add_small_item(kit, things, x * (0.6 if desk.kind == "table" else 1), y, h)
    if kit.chance(0.5):
        sheet = box(0, 0, 0, 0.21, 0.3, kit.between(0.004, 0.05))
        at = (kit.between(-w / 4, w / 4), back - 0.2 if desk.kind == "desk" else 0.0, h)
        things.add(Mesh(sheet.vertices @ turn(kit.between(-1, 1)).T + at, sheet.triangles), kit.material("box"))
    return things


def add_small_item(kit: Kit, piece: Piece, x: float, y: float, z: float) -> None:
    """Add a small box or cup, 0.05 to 0.28 high and without a label, that stands on the height z."""
    material = kit.material("clutter")
    s, h = kit.between(0.04, 0.13), kit.between(0.05, 0.28)
    piece.add(
        cylinder(x, y, z, s * 0.6, h, s * kit.between(0.3, 0.7)) if kit.chance(0.5) else box(x, y, z, s * 1.6, s, h),
        material,
        NOTHING,
    )
