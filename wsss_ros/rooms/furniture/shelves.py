"""Bookshelves, filled with rows of books."""

from wsss_ros.rooms.furniture.piece import NOTHING, Piece, builder
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import box, leg


@builder
def closed_bookshelf(kit: Kit) -> Piece:
    """A bookshelf with side walls and a back, 0.6 to 1.4 wide and 0.9 to 2.25 high."""
    return _bookshelf(kit, sides=True, back=True, columns=1)


@builder
def open_bookshelf(kit: Kit) -> Piece:
    """Boards between four posts, open at the sides and the back; 0.6 to 1.4 wide."""
    return _bookshelf(kit, sides=False, back=False, columns=1)


@builder
def cube_bookshelf(kit: Kit) -> Piece:
    """A shelf of about square cells, 0.24 to 0.38 each, with or without a back."""
    return _bookshelf(kit, sides=True, back=kit.chance(0.5), columns=0)


@builder
def ladder_shelf(kit: Kit) -> Piece:
    """Boards between two ladders, the lower boards deeper; 0.6 to 1.4 wide."""
    w, d, h, gap = kit.size("shelf.w"), kit.size("shelf.d"), kit.size("shelf.h"), kit.size("shelf.gap")
    body, frame, rows = kit.material("bookshelf"), kit.material("chair legs"), max(3, round(h / gap))
    piece = Piece("bookshelf", (w, d, h))
    for x in (-w / 2 + 0.015, w / 2 - 0.015):
        piece.add(box(x, d / 2 - 0.015, 0, 0.03, 0.03, h), frame)
        piece.add(leg(x, -d / 2 + d * 0.5, 0, h, 0.015, (0, -d * 0.5 + 0.015)), frame)
    for j in range(rows):
        z = 0.1 + j * (h - 0.25) / rows
        deep = d * (1 - 0.5 * z / h)
        shelf = Piece("bookshelf", (w, deep, 0)).add(box(0, 0, z, w - 0.04, deep, 0.025), body)
        if kit.chance(0.85):
            _books(kit, shelf, -w / 2 + 0.05, z + 0.025, w - 0.1, deep, (h - 0.25) / rows - 0.05)
        piece.put(shelf, 0, (d - deep) / 2, 0)
    return piece


def _bookshelf(kit: Kit, sides: bool, back: bool, columns: int) -> Piece:
    """Boards, uprights and books; 0 ``columns``: as many as make the cells about square."""
    w, d, h, gap = kit.size("shelf.w"), kit.size("shelf.d"), kit.size("shelf.h"), kit.size("shelf.gap")
    if columns == 0:
        columns = max(1, round(w / gap))
    body = kit.material("bookshelf")
    piece = Piece("bookshelf", (w, d, h))
    rows = max(2, round(h / gap))
    high, wide = h / rows, w / columns
    for j in range(rows + 1):
        piece.add(box(0, 0, min(j * high, h - 0.022), w, d, 0.022), body)
    for i in range(columns + 1):
        x = -w / 2 + 0.011 + i * (w - 0.022) / columns
        if sides or i in (0, columns):
            for y in (0,) if sides else (-d / 2 + 0.015, d / 2 - 0.015):
                piece.add(box(x, y, 0, 0.022, d if sides else 0.03, h), body)
    if back:
        piece.add(box(0, d / 2 - 0.005, 0, w, 0.01, h), body)
    fill = kit.between(0.3, 1.0)
    for j in range(rows):
        for i in range(columns):
            if kit.chance(fill):
                _books(kit, piece, -w / 2 + i * wide + 0.025, j * high + 0.022, wide - 0.05, d, high - 0.04)
    return piece


def _books(kit: Kit, piece: Piece, x: float, z: float, w: float, d: float, h: float) -> None:
    """A row of books, or a box.

    Books count as bookshelf, as ScanNet's annotators mostly labelled them; boxes on shelves are not labelled.
    """
    if kit.chance(0.12):
        s = min(w, 0.3)
        piece.add(box(x + w / 2, 0, z, s, d * 0.7, h * 0.6), kit.material("clutter"), NOTHING)
        return
    at = 0.0
    while at < w - 0.08:
        run = min(kit.between(0.12, 0.5), w - at)
        if kit.chance(0.85):
            tall, deep = h * kit.between(0.62, 0.95), d * kit.between(0.55, 0.85)
            piece.add(box(x + at + run / 2, d * 0.04, z, run * 0.98, deep, tall), kit.family("books"))
        at += run
