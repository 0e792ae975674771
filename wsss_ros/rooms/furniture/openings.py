"""Windows, curtains and doors."""

from dataclasses import replace

from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import shaded
from wsss_ros.rooms.meshes import box, pleats


def window(kit: Kit, w: float, h: float, light: float) -> Piece:
    """A window that fills a hole of w x h in the wall; its own z = 0 is the sill."""
    frame, b = kit.material("window"), kit.between(0.04, 0.07)
    piece = Piece("window", (w, 0.1, h))
    piece.add(box(0, 0.03, 0, w, 0.01, h), kit.family("glass", emission=light))
    for x, z, a, c in ((0, 0, w, b), (0, h - b, w, b), (-w / 2 + b / 2, 0, b, h), (w / 2 - b / 2, 0, b, h)):
        piece.add(box(x, 0, z, a - 0.002, 0.05, c - 0.002), frame)
    bars = int(kit.rng.integers(0, 3))
    for k in range(1, bars + 1):
        piece.add(box(-w / 2 + k * w / (bars + 1), 0.002, 0, b * 0.7, 0.045, h), frame)
    if kit.chance(0.3):
        piece.add(box(0, 0.003, h * kit.between(0.45, 0.7), w, 0.043, b * 0.7), frame)
    return piece


def curtains(kit: Kit, w: float, top: float, window_low: float) -> Piece:
    """Two panels, or one, on a rod of length ``w``; they end near the floor or just below the sill."""
    low = kit.between(0.02, 0.08) if kit.chance(0.65) else max(window_low - 0.15, 0.05)
    cloth, open_ = kit.material("curtain"), kit.between(0.18, 0.48)
    piece = Piece("curtain", (w, 0.14, top))
    sides = (-1, 1) if kit.chance(0.75) else (kit.rng.choice([-1, 1]),)
    for side in sides:
        wide = w * open_
        x = side * (w - wide) / 2
        folds = max(2, round(wide / kit.between(0.08, 0.15)))
        piece.add(pleats(x, 0, low, wide, top - low, kit.between(0.02, 0.045), folds, kit.between(0.95, 1.0)), cloth)
    return piece.add(box(0, 0, top - 0.01, w, 0.025, 0.025), kit.material("frame"), NOTHING)


def door(kit: Kit, w: float, h: float, angle: float) -> Piece:
    """A leaf in a frame, opened by ``angle`` radians away from the room (towards +y)."""
    leaf, frame = kit.material("door"), kit.material("door") if kit.chance(0.5) else kit.family("white")
    piece = Piece("door", (w, 0.1, h))
    for x in (-w / 2 + 0.03, w / 2 - 0.03):
        piece.add(box(x, 0, 0, 0.06, 0.13, h), frame)
    piece.add(box(0, 0, h - 0.06, w, 0.13, 0.06), frame)
    side = kit.rng.choice([-1, 1])
    blade = Piece("door", (w, 0.04, h)).add(box(side * (w / 2 - 0.06), 0, 0.01, w - 0.12, 0.04, h - 0.07), leaf)
    mid = side * (w / 2 - 0.06)
    if kit.chance(0.6):
        rows = int(kit.rng.integers(1, 4))
        for k in range(rows):
            z, high = 0.12 + k * (h - 0.25) / rows, (h - 0.25) / rows - 0.1
            shade = replace(leaf, color=shaded(leaf.color, 0.9))
            piece_w = w - 0.36
            blade.add(box(mid, -0.021, z, piece_w, 0.006, high), shade)
    blade.add(box(mid * 1.72, -0.05, 1.0, 0.12, 0.03, 0.025), kit.material("metal"))
    yaw = side * angle
    return piece.put(blade, -side * (w / 2 - 0.06), 0.03, 0, yaw)
