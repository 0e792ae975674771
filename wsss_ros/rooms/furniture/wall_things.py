"""Things that hang on walls or from the ceiling."""

from dataclasses import replace

from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import box, cylinder


def picture(kit: Kit) -> Piece:
    """A framed picture, 0.25 to 1.1 wide and 0.25 to 0.8 high."""
    w, h = kit.size("picture.w"), kit.size("picture.h")
    border, frame = kit.between(0.015, 0.05), kit.material("frame")
    piece = Piece("picture", (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), frame)
    if kit.chance(0.3):  # a mount around the sheet
        piece.add(box(0, -0.006, border, w - 2 * border, 0.004, h - 2 * border), kit.family("white"))
        border += 0.18 * min(w, h)
    return piece.add(box(0, -0.01, border, w - 2 * border, 0.006, h - 2 * border), kit.family("art"))


def mirror(kit: Kit) -> Piece:
    """A framed mirror, 0.4 to 0.9 wide and 0.5 to 0.9 high; without a label."""
    w, h = kit.between(0.4, 0.9), kit.between(0.5, 0.9)
    glass = replace(kit.family("metal"), gloss=0.6, dropout=0.6)
    piece = Piece(NOTHING, (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), kit.material("frame"))
    return piece.add(box(0, -0.01, 0.02, w - 0.04, 0.006, h - 0.04), glass)


def board(kit: Kit) -> Piece:
    """A whiteboard, 1.0 to 2.0 wide and 0.8 to 1.1 high; without a label."""
    w, h = kit.between(1.0, 2.0), kit.between(0.8, 1.1)
    piece = Piece(NOTHING, (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), kit.family("metal"))
    return piece.add(box(0, -0.01, 0.02, w - 0.04, 0.006, h - 0.04), kit.family("white"))


def ceiling_lamp(kit: Kit, light: float, longest: float) -> Piece:
    """A lamp below the ceiling: its own z = 0 is the ceiling, and it reaches down by at most ``longest``.

    ``light`` is its emission.
    """
    glow = replace(kit.family("white"), emission=light)
    piece = Piece(NOTHING, (0.5, 0.5, 0.1))
    shape = kit.rng.integers(3)
    if shape == 0:
        return piece.add(cylinder(0, 0, -0.08, 0.16, 0.08, 0.2), glow)
    if shape == 1:
        return piece.add(box(0, 0, -0.06, 1.1, 0.16, 0.06), glow)
    drop = max(min(kit.between(0.25, 0.5), longest - 0.2), 0.02)
    piece.add(cylinder(0, 0, -drop, 0.008, drop), kit.material("dark"))
    return piece.add(cylinder(0, 0, -drop - 0.2, 0.2, 0.2, 0.06), replace(kit.material("shade"), emission=light * 0.7))
