"""Beds; the head is at +y."""

from wsss_ros.rooms.furniture.piece import NOTHING, Piece, add_feet, builder, corners
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import box, cushion


@builder
def platform_bed(kit: Kit) -> Piece:
    """A mattress on a low platform with a headboard, 0.95 to 1.9 wide."""
    w, d, h = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h")
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.5)
    piece.size = (w + 0.1, d + 0.1, kit.size("bed.head"))
    piece.add(box(0, 0, h * 0.2, w + 0.1, d + 0.08, h * 0.4), frame)
    return piece.add(box(0, d / 2 + 0.02, 0, w + 0.1, 0.05, piece.size[2]), frame)


@builder
def box_bed(kit: Kit) -> Piece:
    """A mattress on a box with feet, with or without a padded headboard, 0.95 to 1.9 wide."""
    w, d, h = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h")
    piece = _bed(kit, w, d, h, h * 0.45)
    piece.size = (w + 0.04, d + 0.06, h + 0.1)
    piece.add(box(0, 0, 0.06, w, d, h * 0.42), kit.material("bed frame"))
    if kit.chance(0.5):
        head = kit.size("bed.head")
        piece.size = (w + 0.04, d + 0.1, head)
        piece.add(cushion(0, d / 2 + 0.0, 0.3, w, 0.08, head - 0.3), kit.material("bed frame"))
    return add_feet(kit, piece, w, d)


@builder
def post_bed(kit: Kit) -> Piece:
    """A frame of four posts with boards at head and foot, 0.95 to 1.9 wide."""
    w, d, h, head = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h") + 0.05, kit.size("bed.head")
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.62)
    piece.size = (w + 0.12, d + 0.12, head)
    foot = kit.between(0.4, 0.75)
    for x, y in corners(w + 0.1, d + 0.1, 0.03):
        piece.add(box(x, y, 0, 0.06, 0.06, head if y > 0 else foot), frame)
    piece.add(box(0, 0, h * 0.38, w + 0.06, d + 0.06, h * 0.26), frame)
    piece.add(box(0, d / 2 + 0.02, h * 0.6, w, 0.03, head - h * 0.6 - 0.05), frame)
    return piece.add(box(0, -d / 2 - 0.02, h * 0.4, w, 0.03, max(foot - h * 0.4 - 0.05, 0.05)), frame)


@builder
def canopy_bed(kit: Kit) -> Piece:
    """Four posts, 1.85 to 2.15 high, with rails between their tops."""
    w, d, h, top, t = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h"), kit.between(1.85, 2.15), 0.06
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.5)
    piece.size = (w + 0.14, d + 0.14, top)
    for x, y in corners(w + 0.12, d + 0.12, t / 2):
        piece.add(box(x, y, 0, t, t, top), frame)
    piece.add(box(0, 0, h * 0.25, w + 0.06, d + 0.06, h * 0.3), frame)
    piece.add(box(0, d / 2 + 0.03, h * 0.5, w, 0.03, kit.size("bed.head") - h * 0.5), frame)
    for side in (-1, 1):
        piece.add(box(0, side * (d / 2 + 0.03), top - t, w, t * 0.8, t * 0.8), frame)
        piece.add(box(side * (w / 2 + 0.03), 0, top - t, t * 0.8, d, t * 0.8), frame)
    return piece


def _bed(kit: Kit, w: float, d: float, h: float, low: float) -> Piece:
    """Mattress, blanket and pillows; the caller adds a frame. ``low`` is the mattress's lower side."""
    sheet, blanket = kit.family("linen"), kit.material("bedding")
    piece = Piece("bed", (w, d, h))
    piece.add(cushion(0, 0, low, w, d, h - low, 0.06), sheet)
    cover = kit.between(0.55, 0.8)
    drop = kit.between(0.05, h - low)
    piece.add(
        cushion(0, -d / 2 + d * cover / 2 - 0.01, h - drop, w + 0.04, d * cover + 0.02, drop + 0.035, 0.03), blanket
    )
    for k in range(1 if w < 1.25 else 2):
        x = 0.0 if w < 1.25 else (k - 0.5) * w * 0.48
        pillow = cushion(x, d / 2 - 0.28, h - 0.01, min(0.65, w * 0.45), kit.between(0.35, 0.45), 0.13, 0.06)
        piece.add(pillow, kit.material("pillow"), NOTHING)
    return piece
