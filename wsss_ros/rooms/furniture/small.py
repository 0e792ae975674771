"""Small things that lie about: cups, bottles, books, papers, keyboards; without a label, but for books in shelves."""

import numpy as np

from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import Mesh, box, cushion, cylinder, loft, turn


def cup(kit: Kit) -> Piece:
    """A cup or glass, 7 to 9 cm wide."""
    r, h = kit.between(0.033, 0.045), kit.between(0.08, 0.12)
    material = kit.material("ceramic") if kit.chance(0.5) else kit.family("vivid")
    piece = Piece(NOTHING, (2 * r + 0.03, 2 * r, h)).add(cylinder(0, 0, 0, r * 0.85, h, r), material)
    piece.add(box(r + 0.008, 0, h * 0.25, 0.02, 0.012, h * 0.5), material)
    return piece.add(cylinder(0, 0, h - 0.006, r * 0.86, 0.008), kit.material("dark"))


def bottle(kit: Kit) -> Piece:
    """A bottle, 18 to 32 cm high."""
    r, h = kit.between(0.03, 0.045), kit.between(0.18, 0.32)
    rings = [(0, 0, 0, r, r), (0, 0, h * 0.62, r, r), (0, 0, h * 0.78, r * 0.4, r * 0.4), (0, 0, h, r * 0.36, r * 0.36)]
    piece = Piece(NOTHING, (2 * r, 2 * r, h)).add(loft(rings), kit.family("vivid" if kit.chance(0.5) else "dark"))
    return piece.add(cylinder(0, 0, h * 0.2, r * 1.02, h * 0.3), kit.family("white"))


def books(kit: Kit) -> Piece:
    """One to six books in a pile, each turned a little."""
    piece, z, count = Piece(NOTHING, (0.27, 0.27, 0.0)), 0.0, int(kit.rng.integers(1, 7))
    for _ in range(count):
        w, d, h = kit.between(0.13, 0.19), kit.between(0.18, 0.24), kit.between(0.012, 0.045)
        cover, yaw = kit.family("vivid" if kit.chance(0.5) else "fabric"), turn(float(kit.rng.normal(0, 0.2)))
        for mesh, material in (
            (box(0.004, 0, z + 0.003, w - 0.006, d - 0.006, h - 0.006), kit.family("white")),
            (box(0, 0, z, w, d, 0.003), cover),
            (box(0, 0, z + h - 0.003, w, d, 0.003), cover),
            (box(-w / 2, 0, z, 0.003, d, h), cover),
        ):
            piece.add(Mesh(mesh.vertices @ yaw.T, mesh.triangles), material)
        z += h
    piece.size = (0.24, 0.27, z)
    return piece


def book_row(kit: Kit) -> Piece:
    """Upright books side by side, 12 to 45 cm; of class bookshelf, as ScanNet's annotators mostly labelled them."""
    w, d, h = kit.between(0.12, 0.45), kit.between(0.14, 0.2), kit.between(0.17, 0.25)
    return Piece(NOTHING, (w, d, h)).add(box(0, 0, 0, w, d, h), kit.family("books"), "bookshelf")


def papers(kit: Kit) -> Piece:
    """One to five sheets of paper or magazines, scattered."""
    piece = Piece(NOTHING, (0.34, 0.36, 0.006))
    for k in range(int(kit.rng.integers(1, 6))):
        mesh, yaw = box(0, 0, 0.001 * k, 0.21, 0.297, 0.001), turn(kit.between(-0.5, 0.5))
        vertices = mesh.vertices @ yaw.T + (kit.between(-0.03, 0.03), kit.between(-0.03, 0.03), 0)
        piece.add(Mesh(vertices, mesh.triangles), kit.family("white") if kit.chance(0.7) else kit.family("art"))
    return piece


def keyboard(kit: Kit) -> Piece:
    """A keyboard with a mouse."""
    body = kit.material("dark") if kit.chance(0.7) else kit.family("white")
    piece = Piece(NOTHING, (0.58, 0.16, 0.03)).add(box(-0.07, 0, 0, 0.43, 0.14, 0.02), body)
    for k in range(4):
        piece.add(box(-0.07, -0.045 + 0.03 * k, 0.02, 0.4, 0.022, 0.006), kit.material("dark"))
    return piece.add(cushion(0.22, 0, 0, 0.06, 0.1, 0.03, 0.012), body)


def plate(kit: Kit) -> Piece:
    """A plate or a low bowl, 16 to 27 cm wide."""
    r, white = kit.between(0.08, 0.135), kit.material("ceramic")
    h = kit.between(0.02, 0.06)
    piece = Piece(NOTHING, (2 * r, 2 * r, h)).add(cylinder(0, 0, 0, r * 0.6, h, r), white)
    return piece.add(cylinder(0, 0, h - 0.002, r * 0.85, 0.004), kit.family("vivid")) if kit.chance(0.3) else piece


def package(kit: Kit) -> Piece:
    """A box of food or soap, 6 to 25 cm high."""
    w, d, h = kit.between(0.06, 0.2), kit.between(0.04, 0.12), kit.between(0.06, 0.25)
    front = kit.family("art") if kit.chance(0.5) else kit.family("vivid")
    return Piece(NOTHING, (w, d, h)).add(box(0, 0, 0, w, d, h), front)


def basket(kit: Kit) -> Piece:
    """A tray with small boxes in it."""
    w, d, h = kit.between(0.2, 0.36), kit.between(0.16, 0.26), kit.between(0.06, 0.14)
    wall = kit.material("box")
    piece = Piece(NOTHING, (w, d, h + 0.03)).add(box(0, 0, 0, w, d, 0.01), wall)
    for x, y, a, b in ((0, d / 2, w, 0.01), (0, -d / 2, w, 0.01), (w / 2, 0, 0.01, d), (-w / 2, 0, 0.01, d)):
        piece.add(box(x, y, 0, a, b, h), wall)
    for x in np.linspace(-w / 3, w / 3, 3):
        s = kit.between(0.5, 1.25)
        piece.add(box(float(x), 0, 0.01, w / 4, d * 0.7, h * s), kit.family("vivid" if kit.chance(0.5) else "art"))
    return piece


def pillow(kit: Kit) -> Piece:
    """A soft pillow that lies flat, 0.4 to 0.7 wide."""
    w, d, h = kit.between(0.4, 0.7), kit.between(0.35, 0.45), kit.between(0.1, 0.15)
    return Piece(NOTHING, (w, d, h)).add(cushion(0, 0, 0, w, d, h, 0.06), kit.material("pillow"))


def garment(kit: Kit) -> Piece:
    """Clothes or a blanket thrown down: a low heap of cloth."""
    w, d, h = kit.between(0.25, 0.6), kit.between(0.25, 0.5), kit.between(0.03, 0.1)
    cloth = kit.material("bedding") if kit.chance(0.4) else kit.family("fabric")
    piece = Piece(NOTHING, (w, d, h))
    for _ in range(int(kit.rng.integers(2, 5))):
        x, y = kit.between(-w / 5, w / 5), kit.between(-d / 5, d / 5)
        a, b, top = w * kit.between(0.2, 0.3), d * kit.between(0.2, 0.3), h * kit.between(0.6, 1.0)
        rings = [(x, y, 0, a, b), (x, y, top * 0.6, a * 0.9, b * 0.85), (x, y, top, a * 0.4, b * 0.4)]
        piece.add(loft(rings, power=kit.between(1.6, 3.0), sides=18), cloth)
    return piece


_MAKERS = (cup, bottle, books, book_row, papers, keyboard, plate, package, basket, pillow, garment)
SMALL = {make.__name__: make for make in _MAKERS}
