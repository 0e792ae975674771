"""Chairs, armchairs and stools; all of class chair."""

import numpy as np

from wsss_ros.rooms.furniture.piece import Piece, add_feet, builder, corners
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import Mesh, box, cushion, cylinder, lean_back, leg, loft, turn


@builder
def four_leg_chair(kit: Kit) -> Piece:
    """A padded seat, 0.38 to 0.54 wide and 0.41 to 0.5 high, on four splayed legs; a padded back."""
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    frame, cover = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, d + 0.06, seat + back))
    r = kit.between(0.014, 0.024)
    for x, y in corners(w, d, r):
        piece.add(leg(x, y, 0, seat, r, (np.sign(x) * 0.02, np.sign(y) * 0.02)), frame)
    piece.add(cushion(0, 0, seat - 0.04, w, d, kit.between(0.03, 0.07), 0.015), cover)
    gap = kit.between(0.0, 0.16)
    for x in (-w / 2 + r, w / 2 - r):
        piece.add(lean_back(leg(x, d / 2 - r, seat, back, r), 0.1, d / 2, seat), frame)
    piece.add(lean_back(cushion(0, d / 2 - 0.02, seat + gap, w, 0.03, back - gap, 0.012), 0.1, d / 2, seat), cover)
    return piece


@builder
def slat_chair(kit: Kit) -> Piece:
    """A wooden chair of square posts with 3 to 5 upright slats in its back; 0.38 to 0.54 wide."""
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    wood = kit.material("chair legs")
    piece = Piece("chair", (w, d, seat + back))
    t = kit.between(0.03, 0.045)
    for x, y in corners(w, d, t / 2):
        piece.add(box(x, y, 0, t, t, seat + (back if y > 0 else 0)), wood)
    piece.add(box(0, 0, seat - 0.03, w, d, 0.03), kit.material("chair") if kit.chance(0.4) else wood)
    for x in np.linspace(-w / 2, w / 2, int(kit.rng.integers(3, 6)) + 2)[1:-1]:
        piece.add(box(x, d / 2 - t / 2, seat, 0.03, 0.015, back - 0.02), wood)
    return piece.add(box(0, d / 2 - t / 2, seat + back - 0.09, w, 0.025, 0.08), wood)


@builder
def shell_chair(kit: Kit) -> Piece:
    """A rounded plastic or wooden shell on four thin legs; 0.38 to 0.54 wide."""
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    frame, shell = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, d + 0.16, seat + back * 0.8))
    for x, y in corners(w, d, 0.08):
        piece.add(leg(x, y, 0, seat, 0.013, (np.sign(x) * 0.06, np.sign(y) * 0.05)), frame)
    piece.add(
        loft(
            [
                (0, 0, seat - 0.03, w * 0.4, d * 0.4),
                (0, 0, seat, w / 2, d / 2),
                (0, 0, seat + 0.02, w * 0.49, d * 0.49),
            ],
            3.5,
        ),
        shell,
    )
    rest = loft([(0, d / 2, seat + 0.01, w * 0.48, 0.02), (0, d / 2 - 0.01, seat + back * 0.5, w * 0.46, 0.025),
                 (0, d / 2, seat + back * 0.8, w * 0.36, 0.018)], 3)  # fmt: skip
    return piece.add(lean_back(rest, 0.15, d / 2, seat), shell)


@builder
def office_chair(kit: Kit) -> Piece:
    """A padded seat on a column with five wheeled feet, with or without arms; at least 0.6 wide."""
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    w, d, seat = w * 1.05, d * 1.05, seat + kit.between(0.0, 0.06)
    cover = (
        kit.family("leather") if kit.chance(0.3) else kit.family("fabric") if kit.chance(0.5) else kit.family("dark")
    )
    frame = kit.material("dark") if kit.chance(0.7) else kit.material("metal")
    piece = Piece("chair", (max(w + 0.1, 0.6), max(d + 0.14, 0.6), seat + back + 0.16))
    for angle in np.arange(5) * (2 * np.pi / 5):
        foot = (0.27 * np.cos(angle), 0.27 * np.sin(angle))
        arm = box(0.135, 0, 0.07, 0.27, 0.05, 0.03)
        piece.add(Mesh(arm.vertices @ turn(angle).T, arm.triangles), frame)
        piece.add(cylinder(*foot, 0.0, 0.03, 0.07), frame)
    piece.add(cylinder(0, 0, 0.08, 0.03, seat - 0.1), frame)
    piece.add(cushion(0, 0, seat - 0.05, w, d, 0.08, 0.03), cover)
    rest = cushion(0, d / 2, seat + kit.between(0.05, 0.16), w * 0.92, 0.06, back, 0.03)
    piece.add(lean_back(rest, 0.12, d / 2, seat), cover).add(box(0, d / 2 - 0.02, seat - 0.04, 0.06, 0.03, 0.3), frame)
    if kit.chance(0.6):
        for x in (-w / 2 - 0.02, w / 2 + 0.02):
            piece.add(box(x, 0.03, seat, 0.03, 0.04, 0.2), frame).add(box(x, 0, seat + 0.19, 0.06, 0.26, 0.03), frame)
    return piece


@builder
def armchair(kit: Kit) -> Piece:
    """A padded block with arms and a back, 0.62 to 0.8 wide and 0.68 to 0.95 high."""
    w, d, seat = kit.size("armchair.w"), kit.size("armchair.d"), kit.size("sofa.seat")
    cover, arm, high = kit.material("sofa"), kit.between(0.08, 0.16), kit.size("sofa.back")
    piece = Piece("chair", (w, d, high))
    piece.add(cushion(0, 0, 0.06, w, d, seat - 0.12), cover)
    piece.add(cushion(0, -0.04, seat - 0.08, w - 2 * arm, d - 0.1, 0.12), cover)
    piece.add(cushion(0, d / 2 - 0.08, seat - 0.1, w, 0.16, high - seat + 0.1, 0.06), cover)
    for x in (-w / 2 + arm / 2, w / 2 - arm / 2):
        piece.add(cushion(x, 0, 0.06, arm, d, seat + 0.12), cover)
    return add_feet(kit, piece, w, d)


@builder
def wood_armchair(kit: Kit) -> Piece:
    """A wooden frame with flat arms and two cushions, 0.62 to 0.8 wide and 0.75 to 0.95 high."""
    w, d, seat = kit.size("armchair.w"), kit.size("armchair.d"), kit.between(0.36, 0.44)
    wood, cover, high = kit.material("chair legs"), kit.material("sofa"), kit.between(0.75, 0.95)
    piece = Piece("chair", (w, d + 0.18, high))
    for x in (-w / 2 + 0.025, w / 2 - 0.025):
        piece.add(box(x, -d / 2 + 0.03, 0, 0.05, 0.05, 0.58), wood).add(box(x, d / 2 - 0.03, 0, 0.05, 0.05, 0.58), wood)
        piece.add(box(x, 0, 0.57, 0.06, d, 0.03), wood)
    piece.add(cushion(0, 0, seat - 0.12, w - 0.1, d, 0.14), cover)
    return piece.add(lean_back(cushion(0, d / 2 - 0.05, seat, w - 0.1, 0.12, high - seat), 0.15, d / 2, seat), cover)


@builder
def barrel_chair(kit: Kit) -> Piece:
    """A round seat within a round back, 0.62 to 0.8 wide and high."""
    w, seat = kit.size("armchair.w"), kit.size("sofa.seat")
    cover, high, r = kit.material("sofa"), kit.between(0.62, 0.8), w / 2
    piece = Piece("chair", (w, w, high)).add(cylinder(0, 0, 0.03, r * 0.8, seat - 0.1, r * 0.88), cover)
    piece.add(cylinder(0, 0, seat - 0.07, r * 0.85, 0.07), cover)
    for angle in np.linspace(-0.15, np.pi + 0.15, 11):
        slab = cushion(0, 0.9 * r, 0.03, 0.36 * r, 0.2 * r, high - 0.03 - 0.1 * (1 - np.sin(angle)), 0.03)
        piece.add(Mesh(slab.vertices @ turn(angle - np.pi / 2).T, slab.triangles), cover)
    return piece


@builder
def stool(kit: Kit) -> Piece:
    """A round seat, 0.5 to 0.72 high, on four splayed legs, with a low back."""
    w, seat = kit.size("stool.w"), kit.size("stool.seat")
    frame, cover = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, w, seat + 0.2))
    for x, y in corners(w, w, 0.07):
        piece.add(leg(x, y, 0, seat, 0.016, (np.sign(x) * 0.05, np.sign(y) * 0.05)), frame)
    piece.add(cylinder(0, 0, seat - 0.03, w * 0.46, 0.05), cover)
    return piece.add(cushion(0, w / 2 - 0.02, seat + 0.04, w * 0.9, 0.03, 0.16, 0.01), cover)
