"""Sofas."""

import numpy as np

from wsss_ros.rooms.furniture.piece import NOTHING, Piece, add_feet, builder, corners
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import cushion, lean_back, leg


@builder
def sofa(kit: Kit) -> Piece:
    """A sofa of 1 to 4 seats, 1.4 to 2.5 wide, that reaches down to the floor."""
    return _sofa(kit, 0.06)


@builder
def leg_sofa(kit: Kit) -> Piece:
    """A sofa on legs 0.14 to 0.2 high, with or without arms."""
    piece = _sofa(kit, kit.between(0.14, 0.2), arms=kit.chance(0.7))
    w, d, _ = piece.size
    frame = kit.material("chair legs")
    for x, y in corners(w, d, 0.06):
        piece.add(leg(x, y, 0, 0.2, 0.024, (np.sign(x) * 0.03, np.sign(y) * 0.03)), frame)
    return piece


@builder
def chaise_sofa(kit: Kit) -> Piece:
    """A sofa with one seat that is 0.45 to 0.7 longer than the others."""
    body = _sofa(kit, 0.06)
    w, d, high = body.size
    extra, wide = kit.size("sofa.chaise"), kit.between(0.7, 0.9)
    cover, seat = body.parts[0].material, kit.between(0.38, 0.46)
    side = 1 if kit.chance(0.5) else -1
    piece = Piece("sofa", (w, d + extra, high)).put(body, 0, extra / 2, 0)
    x, front = side * (w / 2 - wide / 2), -(d + extra) / 2
    return piece.add(cushion(x, front + (extra + 0.1) / 2, 0.06, wide, extra + 0.1, seat - 0.08), cover)


def _sofa(kit: Kit, low: float, arms: bool = True) -> Piece:
    """Body, back, arms, seats and loose pillows; ``low`` is the height of the body above the floor."""
    w, d, seat, high = kit.size("sofa.w"), kit.size("sofa.d"), kit.size("sofa.seat"), kit.size("sofa.back")
    cover, arm = kit.material("sofa"), kit.size("sofa.arm") if arms else 0.0
    seats = kit.material("sofa") if kit.chance(0.15) else cover
    piece = Piece("sofa", (w, d, high)).add(cushion(0, 0, low, w, d, seat - low - 0.08), cover)
    piece.add(cushion(0, d / 2 - 0.1, low, w, 0.2, high - low, 0.06), cover)
    count = max(1, round((w - 2 * arm) / kit.between(0.6, 0.95)))
    wide = (w - 2 * arm) / count
    for k in range(count):
        x = -w / 2 + arm + (k + 0.5) * wide
        piece.add(cushion(x, -0.08, seat - 0.12, wide * 0.98, d - 0.18, 0.15, 0.05), seats)
        piece.add(
            lean_back(
                cushion(x, d / 2 - 0.25, seat + 0.02, wide * 0.95, 0.15, high - seat + 0.02, 0.06), 0.12, d / 2, seat
            ),
            seats,
        )
    for x in (-w / 2 + arm / 2, w / 2 - arm / 2) if arms else ():
        piece.add(cushion(x, 0, low, arm, d, seat - low + kit.between(0.1, 0.2), 0.05), cover)
    for _ in range(int(kit.rng.integers(0, 4))):
        _pillow(kit, piece, kit.between(-w / 2 + arm + 0.25, w / 2 - arm - 0.25), d / 2 - 0.36, seat + 0.03)
    return add_feet(kit, piece, w, d)


def _pillow(kit: Kit, piece: Piece, x: float, y: float, z: float) -> None:
    s = kit.between(0.32, 0.45)
    piece.add(lean_back(cushion(x, y, z, s, 0.12, s, 0.06), 0.35, y, z), kit.material("pillow"), NOTHING)
