"""Cabinets: a carcass with doors or drawers."""

from wsss_ros.rooms.furniture.piece import NOTHING, Piece, builder
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import box


@builder
def wardrobe(kit: Kit) -> Piece:
    """A wardrobe with two doors or more, 0.8 to 2.0 wide and 1.7 to 2.3 high."""
    w = kit.size("wardrobe.w")
    return _cabinet(kit, w, kit.size("wardrobe.d"), kit.size("wardrobe.h"), max(2, round(w / 0.5)), 1)


@builder
def low_cabinet(kit: Kit) -> Piece:
    """A sideboard with doors, 0.6 to 1.7 wide and 0.45 to 0.95 high."""
    w = kit.size("low.w")
    return _cabinet(kit, w, kit.size("low.d"), kit.size("low.h"), max(1, round(w / 0.45)), 1)


@builder
def drawer_chest(kit: Kit) -> Piece:
    """A chest of drawers, 0.48 to 1.36 wide and 0.55 to 1.05 high."""
    w, h = kit.size("low.w") * 0.8, kit.size("low.h") + 0.1
    return _cabinet(kit, w, kit.size("low.d"), h, 1 if w < 0.9 else 2, max(2, round(h / 0.25)))


@builder
def file_cabinet(kit: Kit) -> Piece:
    """A narrow cabinet with drawers for files, 0.4 to 0.5 wide and 0.6 to 1.4 high."""
    h = kit.size("file.h")
    return _cabinet(kit, kit.size("file.w"), kit.size("low.d") + 0.1, h, 1, max(2, round(h / 0.33)))


def upper_cabinet(kit: Kit, w: float, body: Material) -> Piece:
    """A cabinet that hangs on a wall, 0.55 to 0.8 high; its own z = 0 is its lower edge."""
    d, h = kit.size("upper.d"), kit.size("upper.h")
    piece = Piece("cabinet", (w, d + 0.04, h))
    return add_carcass(kit, piece, 0, 0, 0, w, d, h, body, max(1, round(w / 0.45)), 1)


def night_stand(kit: Kit) -> Piece:
    """A small chest next to a bed; nyu40 has a class night stand, which is not one of the 20."""
    w, h = kit.size("side.w"), kit.between(0.42, 0.62)
    piece = Piece(NOTHING, (w, w * 0.9 + 0.04, h))
    return add_carcass(kit, piece, 0, 0, 0.04, w, w * 0.9, h - 0.04, kit.material("cabinet"), 1, 2)


def add_carcass(
    kit: Kit, piece: Piece, x: float, y: float, z: float, w: float, d: float, h: float, body: Material, columns: int,
    rows: int, label: str | None = None,
) -> Piece:  # fmt: skip
    """Add a carcass with ``columns`` x ``rows`` fronts (doors or drawers) and handles to a piece.

    (x, y) is the middle of the carcass, z its lower edge.
    """
    piece.add(box(x, y, z, w, d - 0.02, h), body, label)
    front = body if kit.chance(0.7) else kit.material("cabinet")
    handle, style = kit.material("metal"), kit.rng.integers(3)
    cw, ch = w / columns, h / rows
    for i in range(columns):
        for j in range(rows):
            cx, cz = x - w / 2 + (i + 0.5) * cw, z + j * ch
            piece.add(box(cx, y - d / 2 + 0.0, cz + 0.006, cw - 0.012, 0.02, ch - 0.012), front, label)
            if style == 0:
                piece.add(box(cx, y - d / 2 - 0.018, cz + ch * 0.7, min(0.14, cw * 0.5), 0.014, 0.014), handle, label)
            elif style == 1:
                side = cw * (0.38 if i % 2 == 0 else -0.38)
                piece.add(
                    box(cx + side, y - d / 2 - 0.018, cz + ch * 0.4, 0.014, 0.014, min(0.2, ch * 0.3)), handle, label
                )
    return piece


def _cabinet(kit: Kit, w: float, d: float, h: float, columns: int, rows: int) -> Piece:
    """A carcass on a base of random height."""
    foot = kit.between(0.0, 0.12)
    body = kit.material("cabinet")
    piece = Piece("cabinet", (w, d + 0.04, h))
    add_carcass(kit, piece, 0, 0, foot, w, d, h - foot, body, columns, rows)
    if foot > 0.02:
        piece.add(box(0, 0.02, 0, w - 0.06, d - 0.1, foot), body if kit.chance(0.6) else kit.material("dark"))
    return piece
