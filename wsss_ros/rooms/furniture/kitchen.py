"""Kitchens: refrigerators and counters."""

import numpy as np

from wsss_ros.rooms.furniture.cabinets import add_carcass
from wsss_ros.rooms.furniture.loose import add_small_item
from wsss_ros.rooms.furniture.piece import NOTHING, Piece, builder
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import bowl, box, cylinder


@builder
def two_door_refrigerator(kit: Kit) -> Piece:
    """A refrigerator with one door above the other, 0.5 to 0.83 wide and 1.35 to 1.9 high."""
    return _refrigerator(
        kit, kit.size("fridge.w") * 0.9, kit.size("fridge.d"), kit.size("fridge.h"), 1, kit.between(0.3, 0.7)
    )


@builder
def wide_refrigerator(kit: Kit) -> Piece:
    """A refrigerator with two doors side by side, 0.85 to 0.95 wide and 1.68 to 1.9 high."""
    return _refrigerator(
        kit, 0.85 + kit.between(0, 0.1), kit.size("fridge.d"), kit.between(1.68, 1.9), 2, kit.between(0.3, 0.4)
    )


@builder
def small_refrigerator(kit: Kit) -> Piece:
    """A refrigerator that fits below a counter, 0.48 to 0.56 wide and 0.82 to 0.9 high."""
    return _refrigerator(kit, kit.between(0.48, 0.56), kit.between(0.48, 0.56), kit.size("bar.h"), 1, 0.75)


def _refrigerator(kit: Kit, w: float, d: float, h: float, columns: int, split: float) -> Piece:
    """A body with doors and handles; ``split`` is the height of the gap between the doors, as a share."""
    body, handle = kit.material("refrigerator"), kit.material("metal")
    piece = Piece("refrigerator", (w, d + 0.05, h)).add(box(0, 0.03, 0.03, w, d - 0.06, h - 0.03), body)
    for i in range(columns):
        cw = w / columns
        x = -w / 2 + (i + 0.5) * cw
        grip = x + (cw * 0.4 if i < columns / 2 and columns > 1 else -cw * 0.4)
        for z, high in ((0.05, h * split - 0.06), (h * split + 0.005, h * (1 - split) - 0.01)):
            piece.add(box(x, -d / 2 + 0.02, z, cw - 0.008, 0.06, high), body)
            piece.add(box(grip, -d / 2 - 0.025, z + high * 0.25, 0.022, 0.03, high * 0.5), handle)
    return piece


def kitchen_counter(kit: Kit, w: float, sink: bool, stove: bool) -> Piece:
    """Base cabinets below a counter 0.86 to 0.95 high and w wide, by choice with a sink and a stove."""
    d, h, t = kit.size("counter.d"), kit.size("counter.h"), kit.between(0.03, 0.05)
    body, top = kit.material("cabinet"), kit.material("counter")
    piece = Piece("counter", (w, d + 0.04, h))
    piece.add(box(0, 0.04, 0, w, d - 0.1, 0.09), kit.material("dark"), "cabinet")
    bw, bd = min(kit.between(0.45, 0.75), w - 0.1), d - 0.16
    x = kit.between(-w / 2 + bw / 2 + 0.04, w / 2 - bw / 2 - 0.04)
    low = 0.22 if sink else 0.0  # room for the basin
    add_carcass(kit, piece, 0, 0.01, 0.09, w, d - 0.02, h - t - 0.09 - low, body, max(1, round(w / 0.5)), 1, "cabinet")
    if sink:
        piece.add(box(0, -d / 2 + 0.02, h - t - low, w, 0.02, low), body, "cabinet")
        add_top_with_hole(piece, w, d, h, t, (x - bw / 2, x + bw / 2, -bd / 2, bd / 2), top)
        piece.add(bowl(x, 0, h - 0.19, bw + 0.02, bd + 0.02, 0.192, 0.015, 6.0), kit.material("sink"), "sink")
        add_tap(kit, piece, x, bd / 2 + 0.03, h)
    else:
        piece.add(box(0, 0, h - t, w, d, t), top)
    free = w / 2 - bw / 2 - abs(x) if sink else w / 2
    if stove and free > 0.1 and w > 1.5:
        at = -np.sign(x or 1.0) * w * 0.25
        if abs(at - x) > bw / 2 + 0.32 or not sink:
            piece.add(box(at, 0, h, 0.56, d * 0.82, 0.012), kit.family("screen"), NOTHING)
    for _ in range(int(kit.rng.integers(0, 5))):
        at = kit.between(-w / 2 + 0.15, w / 2 - 0.15)
        if not sink or abs(at - x) > bw / 2 + 0.15:
            add_small_item(kit, piece, at, kit.between(0, d / 2 - 0.12), h)
    return piece


def add_tap(kit: Kit, piece: Piece, x: float, y: float, z: float) -> None:
    """Add a tap behind a basin; it counts as sink."""
    metal = kit.material("metal")
    piece.add(cylinder(x, y, z, 0.014, 0.18), metal, "sink").add(
        box(x, y - 0.06, z + 0.17, 0.02, 0.14, 0.02), metal, "sink"
    )


def add_top_with_hole(piece: Piece, w: float, d: float, z: float, t: float, hole: tuple, material: Material) -> None:
    """Add a slab of thickness t, its upper side at z, with a rectangular hole (x0, x1, y0, y1)."""
    x0, x1, y0, y1 = hole
    for a, b, e, f in (
        (-w / 2, x0, -d / 2, d / 2),
        (x1, w / 2, -d / 2, d / 2),
        (x0, x1, -d / 2, y0),
        (x0, x1, y1, d / 2),
    ):
        piece.add(box((a + b) / 2, (e + f) / 2, z - t, b - a, f - e, t), material, "counter")
