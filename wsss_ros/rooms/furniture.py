"""Parametric furniture: several shapes per class, of meshes with materials.

A piece stands in its own frame: the origin on the floor below its middle, z up, its back towards +y, its front
towards -y; metres. Proportions and materials come from the style's tables (``room_style``) by way of a ``Kit``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from wsss_ros.rooms.meshes import Mesh, bowl, box, cushion, cylinder, lean_back, leg, loft, pleats, turn
from wsss_ros.rooms.style import Kit, Material

NOTHING = ""  # the label of what is outside the label space: books, boxes, lamps, screens


@dataclass(frozen=True)
class Part:
    """One mesh of one material and label. ``grain`` is the axis along which wood runs."""

    mesh: Mesh
    material: Material
    label: str
    grain: int


@dataclass
class Piece:
    """A piece of furniture: its parts and the box (width, depth, height) in which they stay."""

    kind: str
    size: tuple[float, float, float]
    parts: list[Part] = field(default_factory=list)

    def add(self, mesh: Mesh, material: Material, label: str | None = None) -> "Piece":
        extent = np.ptp(mesh.vertices, axis=0)
        self.parts.append(Part(mesh, material, self.kind if label is None else label, int(np.argmax(extent))))
        return self

    def put(self, other: "Piece", x: float, y: float, z: float, yaw: float = 0.0) -> "Piece":
        """Set another piece onto this one; its parts keep their labels."""
        for part in other.parts:
            vertices = part.mesh.vertices @ turn(yaw).T + (x, y, z)
            self.parts.append(replace(part, mesh=Mesh(vertices, part.mesh.triangles)))
        return self


BUILDERS: dict[str, Callable[[Kit], Piece]] = {}


def build(kit: Kit, what: str) -> Piece:
    """A piece of a class (or group of shapes) in one of the shapes that the style allows."""
    return BUILDERS[kit.shape(what)](kit)


def builder(function: Callable[[Kit], Piece]) -> Callable[[Kit], Piece]:
    BUILDERS[function.__name__] = function
    return function


def _four(w: float, d: float, inset: float) -> list[tuple[float, float]]:
    a, b = w / 2 - inset, d / 2 - inset
    return [(-a, -b), (a, -b), (-a, b), (a, b)]


# ---------------------------------------------------------------- chairs


@builder
def four_leg_chair(kit: Kit) -> Piece:
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    frame, cover = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, d + 0.06, seat + back))
    r = kit.between(0.014, 0.024)
    for x, y in _four(w, d, r):
        piece.add(leg(x, y, 0, seat, r, (np.sign(x) * 0.02, np.sign(y) * 0.02)), frame)
    piece.add(cushion(0, 0, seat - 0.04, w, d, kit.between(0.03, 0.07), 0.015), cover)
    gap = kit.between(0.0, 0.16)
    for x in (-w / 2 + r, w / 2 - r):
        piece.add(lean_back(leg(x, d / 2 - r, seat, back, r), 0.1, d / 2, seat), frame)
    piece.add(lean_back(cushion(0, d / 2 - 0.02, seat + gap, w, 0.03, back - gap, 0.012), 0.1, d / 2, seat), cover)
    return piece


@builder
def slat_chair(kit: Kit) -> Piece:
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    wood = kit.material("chair legs")
    piece = Piece("chair", (w, d, seat + back))
    t = kit.between(0.03, 0.045)
    for x, y in _four(w, d, t / 2):
        piece.add(box(x, y, 0, t, t, seat + (back if y > 0 else 0)), wood)
    piece.add(box(0, 0, seat - 0.03, w, d, 0.03), kit.material("chair") if kit.chance(0.4) else wood)
    for x in np.linspace(-w / 2, w / 2, int(kit.rng.integers(3, 6)) + 2)[1:-1]:
        piece.add(box(x, d / 2 - t / 2, seat, 0.03, 0.015, back - 0.02), wood)
    return piece.add(box(0, d / 2 - t / 2, seat + back - 0.09, w, 0.025, 0.08), wood)


@builder
def shell_chair(kit: Kit) -> Piece:
    w, d, seat, back = (kit.size(f"chair.{k}") for k in ("w", "d", "seat", "back"))
    frame, shell = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, d + 0.16, seat + back * 0.8))
    for x, y in _four(w, d, 0.08):
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
    w, d, seat = kit.size("armchair.w"), kit.size("armchair.d"), kit.size("sofa.seat")
    cover, arm, high = kit.material("sofa"), kit.between(0.08, 0.16), kit.size("sofa.back")
    piece = Piece("chair", (w, d, high))
    piece.add(cushion(0, 0, 0.06, w, d, seat - 0.12), cover)
    piece.add(cushion(0, -0.04, seat - 0.08, w - 2 * arm, d - 0.1, 0.12), cover)
    piece.add(cushion(0, d / 2 - 0.08, seat - 0.1, w, 0.16, high - seat + 0.1, 0.06), cover)
    for x in (-w / 2 + arm / 2, w / 2 - arm / 2):
        piece.add(cushion(x, 0, 0.06, arm, d, seat + 0.12), cover)
    return _feet(kit, piece, w, d)


@builder
def wood_armchair(kit: Kit) -> Piece:
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
    """A round seat within a round back."""
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
    w, seat = kit.size("stool.w"), kit.size("stool.seat")
    frame, cover = kit.material("chair legs"), kit.material("chair")
    piece = Piece("chair", (w, w, seat + 0.2))
    for x, y in _four(w, w, 0.07):
        piece.add(leg(x, y, 0, seat, 0.016, (np.sign(x) * 0.05, np.sign(y) * 0.05)), frame)
    piece.add(cylinder(0, 0, seat - 0.03, w * 0.46, 0.05), cover)
    return piece.add(cushion(0, w / 2 - 0.02, seat + 0.04, w * 0.9, 0.03, 0.16, 0.01), cover)


# ---------------------------------------------------------------- tables and desks


def _legs(kit: Kit, piece: Piece, w: float, d: float, h: float, material: Material) -> Piece:
    r, round_legs, lean = kit.between(0.018, 0.042), kit.chance(0.5), kit.between(0.0, 0.06)
    for x, y in _four(w, d, r + 0.03 + lean):
        shift = (np.sign(x) * lean, np.sign(y) * lean)
        piece.add(leg(x, y, 0, h, r, shift) if round_legs else box(x, y, 0, 2 * r, 2 * r, h), material)
    return piece


def _leg_table(kit: Kit, kind: str, w: float, d: float, h: float) -> Piece:
    top, t = kit.material(kind), kit.size("table.top")
    piece = Piece(kind, (w, d, h)).add(box(0, 0, h - t, w, d, t), top)
    if kit.chance(0.5):
        piece.add(box(0, 0, h - t - 0.07, w - 0.12, d - 0.12, 0.07), top)
    return _legs(kit, piece, w, d, h - t, top if kit.chance(0.6) else kit.material("chair legs"))


@builder
def leg_table(kit: Kit) -> Piece:
    return _leg_table(kit, "table", kit.size("table.w"), kit.size("table.d"), kit.size("table.h"))


@builder
def coffee_table(kit: Kit) -> Piece:
    w, d = kit.size("coffee.w"), kit.size("coffee.d")
    piece = _leg_table(kit, "table", w, d, kit.size("coffee.h"))
    return piece.add(box(0, 0, 0.12, w - 0.16, d - 0.14, 0.02), kit.material("table")) if kit.chance(0.4) else piece


@builder
def side_table(kit: Kit) -> Piece:
    return _leg_table(kit, "table", kit.size("side.w"), kit.size("side.w"), kit.between(0.42, 0.62))


def _round_table(kit: Kit, r: float, h: float) -> Piece:
    top, frame, t = kit.material("table"), kit.material("chair legs"), kit.size("table.top")
    piece = Piece("table", (2 * r, 2 * r, h))
    piece.add(loft([(0, 0, h - t, r, r), (0, 0, h, r, r)], sides=26), top)
    if kit.chance(0.5):
        piece.add(cylinder(0, 0, 0.02, 0.045, h - t - 0.02), frame)
        return piece.add(cylinder(0, 0, 0, r * 0.55, 0.03, r * 0.3), frame)
    return _legs(kit, piece, 1.5 * r, 1.5 * r, h - t, frame)


@builder
def round_table(kit: Kit) -> Piece:
    return _round_table(kit, kit.size("round.r"), kit.size("table.h"))


@builder
def round_coffee_table(kit: Kit) -> Piece:
    return _round_table(kit, kit.size("round.r") * 0.8, kit.size("coffee.h"))


@builder
def drum_table(kit: Kit) -> Piece:
    r, h = kit.size("side.w") / 2, kit.between(0.35, 0.55)
    body = kit.material("table")
    piece = Piece("table", (2 * r, 2 * r, h)).add(
        cylinder(0, 0, 0, r * kit.between(0.6, 0.95), h - 0.03, r * 0.9), body
    )
    return piece.add(cylinder(0, 0, h - 0.03, r, 0.03), body if kit.chance(0.5) else kit.material("table"))


@builder
def trestle_table(kit: Kit) -> Piece:
    w, d, h, t = kit.size("table.w"), kit.size("table.d"), kit.size("table.h"), kit.size("table.top")
    top = kit.material("table")
    piece = Piece("table", (w, d, h)).add(box(0, 0, h - t, w, d, t), top)
    for x in (-w * 0.36, w * 0.36):
        piece.add(box(x, 0, 0, 0.06, d * 0.75, h - t), top)
    return piece.add(box(0, 0, h * 0.4, w * 0.72, 0.04, 0.09), top)


@builder
def leg_desk(kit: Kit) -> Piece:
    w = kit.size("desk.w")
    d, h = kit.size("desk.d"), kit.size("desk.h")
    piece = _leg_table(kit, "desk", w, d, h)
    if kit.chance(0.5):
        piece.add(box(0, d / 2 - 0.03, h * 0.45, w - 0.14, 0.02, h * 0.5), kit.material("desk"))
    return piece


@builder
def drawer_desk(kit: Kit) -> Piece:
    w, d, h = kit.size("desk.w"), kit.size("desk.d"), kit.size("desk.h")
    body = kit.material("desk")
    piece = Piece("desk", (w, d, h)).add(box(0, 0, h - 0.035, w, d, 0.035), body)
    wide = kit.between(0.3, 0.42)
    both = kit.chance(0.4)
    for side in (-1, 1):
        if both or side == 1:
            _drawers(kit, piece, side * (w / 2 - wide / 2), 0, 0.04, wide, d - 0.04, h - 0.08, body, 1, 3)
        else:
            piece.add(box(-w / 2 + 0.02, 0, 0, 0.04, d - 0.04, h - 0.035), body)
    return piece.add(box(0, d / 2 - 0.04, 0.2, w - 0.04, 0.02, h - 0.25), body)


@builder
def corner_desk(kit: Kit) -> Piece:
    w, d, h = kit.size("desk.w") * 1.1, kit.size("desk.d"), kit.size("desk.h")
    deep = kit.between(1.05, 1.5)
    top, frame = kit.material("desk"), kit.material("chair legs")
    side = 1 if kit.chance(0.5) else -1
    back = deep / 2
    piece = Piece("desk", (w, deep, h)).add(box(0, back - d / 2, h - 0.03, w, d, 0.03), top)
    piece.add(box(side * (w / 2 - d * 0.45), -d / 2, h - 0.03, d * 0.9, deep - d, 0.03), top)
    for x, y in ((-w / 2 + 0.05, back - 0.05), (w / 2 - 0.05, back - 0.05), (-side * (w / 2 - 0.05), back - d + 0.05)):
        piece.add(box(x, y, 0, 0.05, 0.05, h - 0.03), frame)
    x = side * (w / 2 - d * 0.45)
    return piece.add(box(x, -back + 0.04, 0, d * 0.8, 0.03, h - 0.03), top)


def _panel_table(kit: Kit, kind: str, w: float, d: float, h: float) -> Piece:
    """A thick top on two slabs."""
    body, t = kit.material(kind), kit.size("table.top")
    piece = Piece(kind, (w, d, h)).add(box(0, 0, h - t, w, d, t), body)
    inset = kit.between(0.0, 0.12) * w
    for x in (-w / 2 + t / 2 + inset, w / 2 - t / 2 - inset):
        piece.add(box(x, 0, 0, t, d * 0.92, h - t), body)
    return piece


@builder
def panel_table(kit: Kit) -> Piece:
    return _panel_table(kit, "table", kit.size("table.w"), kit.size("table.d"), kit.size("table.h"))


@builder
def panel_desk(kit: Kit) -> Piece:
    return _panel_table(kit, "desk", kit.size("desk.w"), kit.size("desk.d"), kit.size("desk.h"))


@builder
def conference_table(kit: Kit) -> Piece:
    make = _panel_table if kit.chance(0.5) else _leg_table
    return make(kit, "table", kit.size("conference.w"), kit.size("conference.d"), kit.size("table.h"))


@builder
def school_desk(kit: Kit) -> Piece:
    return _leg_table(kit, "desk", kit.size("school.w"), kit.size("school.d"), kit.size("desk.h"))


# ---------------------------------------------------------------- seats for more than one, beds


def _feet(kit: Kit, piece: Piece, w: float, d: float) -> Piece:
    feet = kit.material("chair legs")
    for x, y in _four(w, d, 0.07):
        piece.add(cylinder(x, y, 0, 0.022, 0.07), feet)
    return piece


def _sofa(kit: Kit, low: float, arms: bool = True) -> Piece:
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
        _pillow(kit, piece, kit.between(-w / 2 + arm + 0.25, w / 2 - arm - 0.25), d / 2 - 0.36, seat + 0.03, 0.9)
    return _feet(kit, piece, w, d)


def _pillow(kit: Kit, piece: Piece, x: float, y: float, z: float, upright: float) -> None:
    s = kit.between(0.32, 0.45)
    soft = cushion(x, y, z, s, 0.12 if upright > 0.5 else s * 0.8, s if upright > 0.5 else 0.12, 0.06)
    piece.add(lean_back(soft, 0.35, y, z) if upright > 0.5 else soft, kit.material("pillow"), NOTHING)


@builder
def sofa(kit: Kit) -> Piece:
    return _sofa(kit, 0.06)


@builder
def leg_sofa(kit: Kit) -> Piece:
    piece = _sofa(kit, kit.between(0.14, 0.2), arms=kit.chance(0.7))
    w, d, _ = piece.size
    frame = kit.material("chair legs")
    for x, y in _four(w, d, 0.06):
        piece.add(leg(x, y, 0, 0.2, 0.024, (np.sign(x) * 0.03, np.sign(y) * 0.03)), frame)
    return piece


@builder
def chaise_sofa(kit: Kit) -> Piece:
    body = _sofa(kit, 0.06)
    w, d, high = body.size
    extra, wide = kit.size("sofa.chaise"), kit.between(0.7, 0.9)
    cover, seat = body.parts[0].material, kit.between(0.38, 0.46)
    side = 1 if kit.chance(0.5) else -1
    piece = Piece("sofa", (w, d + extra, high)).put(body, 0, extra / 2, 0)
    x, front = side * (w / 2 - wide / 2), -(d + extra) / 2
    return piece.add(cushion(x, front + (extra + 0.1) / 2, 0.06, wide, extra + 0.1, seat - 0.08), cover)


def _bed(kit: Kit, w: float, d: float, h: float, low: float) -> Piece:
    """Mattress, blanket and pillows; a frame comes from the caller. The head is at +y."""
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


@builder
def platform_bed(kit: Kit) -> Piece:
    w, d, h = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h")
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.5)
    piece.size = (w + 0.1, d + 0.1, kit.size("bed.head"))
    piece.add(box(0, 0, h * 0.2, w + 0.1, d + 0.08, h * 0.4), frame)
    return piece.add(box(0, d / 2 + 0.02, 0, w + 0.1, 0.05, piece.size[2]), frame)


@builder
def box_bed(kit: Kit) -> Piece:
    w, d, h = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h")
    piece = _bed(kit, w, d, h, h * 0.45)
    piece.size = (w + 0.04, d + 0.06, h + 0.1)
    piece.add(box(0, 0, 0.06, w, d, h * 0.42), kit.material("bed frame"))
    if kit.chance(0.5):
        head = kit.size("bed.head")
        piece.size = (w + 0.04, d + 0.1, head)
        piece.add(cushion(0, d / 2 + 0.0, 0.3, w, 0.08, head - 0.3), kit.material("bed frame"))
    return _feet(kit, piece, w, d)


@builder
def post_bed(kit: Kit) -> Piece:
    w, d, h, head = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h") + 0.05, kit.size("bed.head")
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.62)
    piece.size = (w + 0.12, d + 0.12, head)
    foot = kit.between(0.4, 0.75)
    for x, y in _four(w + 0.1, d + 0.1, 0.03):
        piece.add(box(x, y, 0, 0.06, 0.06, head if y > 0 else foot), frame)
    piece.add(box(0, 0, h * 0.38, w + 0.06, d + 0.06, h * 0.26), frame)
    piece.add(box(0, d / 2 + 0.02, h * 0.6, w, 0.03, head - h * 0.6 - 0.05), frame)
    return piece.add(box(0, -d / 2 - 0.02, h * 0.4, w, 0.03, max(foot - h * 0.4 - 0.05, 0.05)), frame)


@builder
def canopy_bed(kit: Kit) -> Piece:
    """Four high posts with rails between them."""
    w, d, h, top, t = kit.size("bed.w"), kit.size("bed.d"), kit.size("bed.h"), kit.between(1.85, 2.15), 0.06
    frame = kit.material("bed frame")
    piece = _bed(kit, w, d, h, h * 0.5)
    piece.size = (w + 0.14, d + 0.14, top)
    for x, y in _four(w + 0.12, d + 0.12, t / 2):
        piece.add(box(x, y, 0, t, t, top), frame)
    piece.add(box(0, 0, h * 0.25, w + 0.06, d + 0.06, h * 0.3), frame)
    piece.add(box(0, d / 2 + 0.03, h * 0.5, w, 0.03, kit.size("bed.head") - h * 0.5), frame)
    for side in (-1, 1):
        piece.add(box(0, side * (d / 2 + 0.03), top - t, w, t * 0.8, t * 0.8), frame)
        piece.add(box(side * (w / 2 + 0.03), 0, top - t, t * 0.8, d, t * 0.8), frame)
    return piece


# ---------------------------------------------------------------- cabinets, shelves, appliances


def _drawers(
    kit: Kit, piece: Piece, x: float, y: float, z: float, w: float, d: float, h: float, body: Material, columns: int,
    rows: int, label: str | None = None,
) -> Piece:  # fmt: skip
    """A carcass with fronts (doors or drawers) and handles."""
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
    foot = kit.between(0.0, 0.12)
    body = kit.material("cabinet")
    piece = Piece("cabinet", (w, d + 0.04, h))
    _drawers(kit, piece, 0, 0, foot, w, d, h - foot, body, columns, rows)
    if foot > 0.02:
        piece.add(box(0, 0.02, 0, w - 0.06, d - 0.1, foot), body if kit.chance(0.6) else kit.material("dark"))
    return piece


@builder
def wardrobe(kit: Kit) -> Piece:
    w = kit.size("wardrobe.w")
    return _cabinet(kit, w, kit.size("wardrobe.d"), kit.size("wardrobe.h"), max(2, round(w / 0.5)), 1)


@builder
def low_cabinet(kit: Kit) -> Piece:
    w = kit.size("low.w")
    return _cabinet(kit, w, kit.size("low.d"), kit.size("low.h"), max(1, round(w / 0.45)), 1)


@builder
def drawer_chest(kit: Kit) -> Piece:
    w, h = kit.size("low.w") * 0.8, kit.size("low.h") + 0.1
    return _cabinet(kit, w, kit.size("low.d"), h, 1 if w < 0.9 else 2, max(2, round(h / 0.25)))


@builder
def file_cabinet(kit: Kit) -> Piece:
    h = kit.size("file.h")
    return _cabinet(kit, kit.size("file.w"), kit.size("low.d") + 0.1, h, 1, max(2, round(h / 0.33)))


def upper_cabinet(kit: Kit, w: float, body: Material) -> Piece:
    """Hangs: its own z = 0 is its lower edge."""
    d, h = kit.size("upper.d"), kit.size("upper.h")
    piece = Piece("cabinet", (w, d + 0.04, h))
    return _drawers(kit, piece, 0, 0, 0, w, d, h, body, max(1, round(w / 0.45)), 1)


def _bookshelf(kit: Kit, sides: bool, back: bool, columns: int) -> Piece:
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
    """A row of books counts as bookshelf, as ScanNet's annotators mostly took it; boxes on shelves do not."""
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


@builder
def closed_bookshelf(kit: Kit) -> Piece:
    return _bookshelf(kit, sides=True, back=True, columns=1)


@builder
def open_bookshelf(kit: Kit) -> Piece:
    return _bookshelf(kit, sides=False, back=False, columns=1)


@builder
def cube_bookshelf(kit: Kit) -> Piece:
    return _bookshelf(kit, sides=True, back=kit.chance(0.5), columns=0)


@builder
def ladder_shelf(kit: Kit) -> Piece:
    """Boards between two ladders, the lower ones deeper."""
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


def _refrigerator(kit: Kit, w: float, d: float, h: float, columns: int, split: float) -> Piece:
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


@builder
def two_door_refrigerator(kit: Kit) -> Piece:
    return _refrigerator(
        kit, kit.size("fridge.w") * 0.9, kit.size("fridge.d"), kit.size("fridge.h"), 1, kit.between(0.3, 0.7)
    )


@builder
def wide_refrigerator(kit: Kit) -> Piece:
    return _refrigerator(
        kit, 0.85 + kit.between(0, 0.1), kit.size("fridge.d"), kit.between(1.68, 1.9), 2, kit.between(0.3, 0.4)
    )


@builder
def small_refrigerator(kit: Kit) -> Piece:
    return _refrigerator(kit, kit.between(0.48, 0.56), kit.between(0.48, 0.56), kit.size("bar.h"), 1, 0.75)


# ---------------------------------------------------------------- kitchen counter, bathroom


def _tap(kit: Kit, piece: Piece, x: float, y: float, z: float) -> None:
    metal = kit.material("metal")
    piece.add(cylinder(x, y, z, 0.014, 0.18), metal, "sink").add(
        box(x, y - 0.06, z + 0.17, 0.02, 0.14, 0.02), metal, "sink"
    )


def _top_with_hole(piece: Piece, w: float, d: float, z: float, t: float, hole: tuple, material: Material) -> None:
    """A slab of thickness t below z with a rectangular hole (x0, x1, y0, y1)."""
    x0, x1, y0, y1 = hole
    for a, b, e, f in (
        (-w / 2, x0, -d / 2, d / 2),
        (x1, w / 2, -d / 2, d / 2),
        (x0, x1, -d / 2, y0),
        (x0, x1, y1, d / 2),
    ):
        piece.add(box((a + b) / 2, (e + f) / 2, z - t, b - a, f - e, t), material, "counter")


def kitchen_counter(kit: Kit, w: float, sink: bool, stove: bool) -> Piece:
    """Base cabinets under a counter, by choice with a sink let in and a stove plate."""
    d, h, t = kit.size("counter.d"), kit.size("counter.h"), kit.between(0.03, 0.05)
    body, top = kit.material("cabinet"), kit.material("counter")
    piece = Piece("counter", (w, d + 0.04, h))
    piece.add(box(0, 0.04, 0, w, d - 0.1, 0.09), kit.material("dark"), "cabinet")
    bw, bd = min(kit.between(0.45, 0.75), w - 0.1), d - 0.16
    x = kit.between(-w / 2 + bw / 2 + 0.04, w / 2 - bw / 2 - 0.04)
    low = 0.22 if sink else 0.0  # room for the basin
    _drawers(kit, piece, 0, 0.01, 0.09, w, d - 0.02, h - t - 0.09 - low, body, max(1, round(w / 0.5)), 1, "cabinet")
    if sink:
        piece.add(box(0, -d / 2 + 0.02, h - t - low, w, 0.02, low), body, "cabinet")
        _top_with_hole(piece, w, d, h, t, (x - bw / 2, x + bw / 2, -bd / 2, bd / 2), top)
        piece.add(bowl(x, 0, h - 0.19, bw + 0.02, bd + 0.02, 0.192, 0.015, 6.0), kit.material("sink"), "sink")
        _tap(kit, piece, x, bd / 2 + 0.03, h)
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
            _item(kit, piece, at, kit.between(0, d / 2 - 0.12), h)
    return piece


def _item(kit: Kit, piece: Piece, x: float, y: float, z: float) -> None:
    """Small unlabelled things: boxes, cups, lamps' cousins."""
    material = kit.material("clutter")
    s, h = kit.between(0.04, 0.13), kit.between(0.05, 0.28)
    piece.add(
        cylinder(x, y, z, s * 0.6, h, s * kit.between(0.3, 0.7)) if kit.chance(0.5) else box(x, y, z, s * 1.6, s, h),
        material,
        NOTHING,
    )


def _basin(kit: Kit, piece: Piece, x: float, y: float, top: float, w: float, d: float) -> None:
    piece.add(bowl(x, y, top - 0.15, w, d, 0.15, 0.03, kit.between(2.2, 5.0)), kit.material("sink"), "sink")
    _tap(kit, piece, x, y + d / 2 - 0.02, top - 0.02)


@builder
def pedestal_sink(kit: Kit) -> Piece:
    w, d, h = kit.size("basin.w"), kit.size("basin.d"), kit.size("basin.h")
    piece = Piece("sink", (w, d, h + 0.15))
    _basin(kit, piece, 0, 0, h, w, d)
    return piece.add(cylinder(0, d * 0.12, 0, 0.11, h - 0.12, 0.08), kit.material("ceramic"))


@builder
def wall_sink(kit: Kit) -> Piece:
    w, d, h = kit.size("basin.w"), kit.size("basin.d"), kit.size("basin.h")
    piece = Piece("sink", (w, d, h + 0.15))
    _basin(kit, piece, 0, 0, h, w, d)
    piece.add(box(0, d / 2 - 0.06, h - 0.14, w * 0.5, 0.12, 0.13), kit.material("ceramic"))
    return piece.add(cylinder(0, d / 2 - 0.12, 0.3, 0.025, h - 0.42), kit.material("metal"), "sink")


@builder
def vanity_sink(kit: Kit) -> Piece:
    return _vanity(kit, "cabinet")


@builder
def counter_sink(kit: Kit) -> Piece:
    return _vanity(kit, "counter")


def _vanity(kit: Kit, kind: str) -> Piece:
    w, d, h = kit.size("vanity.w"), kit.size("basin.d") + 0.08, kit.size("basin.h")
    bw, bd = min(w - 0.12, kit.size("basin.w")), d - 0.16
    body, top = kit.material("cabinet"), kit.material("counter")
    piece = Piece(kind, (w, d + 0.04, h + 0.15))
    if kind == "cabinet" or kit.chance(0.5):
        _drawers(kit, piece, 0, 0.0, 0.08, w - 0.02, d - 0.02, h - 0.29, body, max(1, round(w / 0.45)), 1, "cabinet")
    else:
        for x in (-w / 2 + 0.03, w / 2 - 0.03):
            piece.add(box(x, 0, 0, 0.05, d - 0.04, h - 0.05), body, "counter")
    _top_with_hole(piece, w, d, h, 0.04, (-bw / 2, bw / 2, -bd / 2 - 0.02, bd / 2 - 0.02), top)
    piece.add(box(0, -d / 2 + 0.015, h - 0.2, w, 0.02, 0.16), body, "cabinet" if kind == "cabinet" else "counter")
    piece.add(
        bowl(0, -0.02, h - 0.14, bw + 0.02, bd + 0.02, 0.142, 0.02, kit.between(2.4, 6)), kit.material("sink"), "sink"
    )
    _tap(kit, piece, 0, bd / 2, h)
    for _ in range(int(kit.rng.integers(0, 3))):
        _item(kit, piece, (w / 2 - 0.1) * kit.rng.choice([-1, 1]), kit.between(0, d / 2 - 0.1), h)
    return piece


def _toilet_bowl(kit: Kit, piece: Piece, w: float, d: float, h: float, y: float, white: Material) -> None:
    low = 0.0 if kit.chance(0.8) else 0.12
    rings = [
        (0, y + 0.08, low, w * 0.26, d * 0.32),
        (0, y + 0.04, h * 0.5, w * 0.33, d * 0.38),
        (0, y, h, w / 2, d / 2),
    ]
    piece.add(loft(rings, 2.4, 20), white)
    if kit.chance(0.65):
        piece.add(loft([(0, y, h, w * 0.5, d * 0.5), (0, y, h + 0.035, w * 0.48, d * 0.48)], 2.4, 20), white)
    else:
        piece.add(bowl(0, y, h - 0.02, w, d, 0.05, 0.06, 2.4), white)
        lid = loft([(0, y + d / 2 - 0.02, h, w * 0.47, 0.015), (0, y + d / 2, h + d * 0.8, w * 0.4, 0.015)], 2.4, 16)
        piece.add(lean_back(lid, 0.1, y + d / 2, h), white)


@builder
def tank_toilet(kit: Kit) -> Piece:
    w, d, h = kit.size("toilet.w"), kit.size("toilet.d"), kit.size("toilet.h")
    white = kit.material("ceramic")
    piece = Piece("toilet", (w + 0.06, d, h + 0.42))
    tank = kit.between(0.17, 0.21)
    _toilet_bowl(kit, piece, w, d - tank - 0.02, h, -tank / 2, white)
    piece.add(cushion(0, d / 2 - tank / 2, h - 0.04, w + 0.05, tank, kit.between(0.32, 0.42), 0.025), white)
    return piece.add(box(0, d / 2 - tank * 0.7, 0, w * 0.5, tank, h), white)


@builder
def wall_toilet(kit: Kit) -> Piece:
    w, d, h = kit.size("toilet.w"), kit.size("toilet.d") - 0.1, kit.size("toilet.h")
    white = kit.material("ceramic")
    piece = Piece("toilet", (w, d, h + 0.4))
    _toilet_bowl(kit, piece, w, d - 0.06, h, -0.02, white)
    return piece.add(box(0, d / 2 - 0.06, h * 0.3, w * 0.6, 0.12, h * 0.6), white)


@builder
def panel_tub(kit: Kit) -> Piece:
    w, d, h = kit.size("tub.w"), kit.size("tub.d"), kit.size("tub.h")
    white, panel = kit.material("ceramic"), kit.material("ceramic") if kit.chance(0.6) else kit.family("tiling")
    piece = Piece("bathtub", (w, d, h)).add(bowl(0, 0, 0.05, w - 0.06, d - 0.06, h - 0.05, 0.05, 5.0), white)
    for x, y, a, b in (
        (0, -d / 2 + 0.02, w, 0.04),
        (0, d / 2 - 0.02, w, 0.04),
        (-w / 2 + 0.02, 0, 0.04, d),
        (w / 2 - 0.02, 0, 0.04, d),
    ):
        piece.add(box(x, y, 0, a - 0.002, b, h - 0.003 * (a > b)), panel)
    return piece


@builder
def free_tub(kit: Kit) -> Piece:
    w, d, h = kit.size("tub.w"), kit.size("tub.d"), kit.size("tub.h") + 0.05
    piece = Piece("bathtub", (w, d, h)).add(bowl(0, 0, 0.02, w, d, h - 0.02, 0.05, 2.6), kit.material("ceramic"))
    return piece.add(box(0, 0, 0, w * 0.5, d * 0.45, 0.04), kit.material("dark"))


def shower_curtain(kit: Kit, w: float, top: float) -> Piece:
    """Hangs from ``top`` down to shortly above the floor."""
    low, wide = kit.between(0.08, 0.35), w * kit.between(0.35, 0.95)
    x = kit.rng.choice([-1, 1]) * (w - wide) / 2
    piece = Piece("shower curtain", (w, 0.1, top))
    amplitude = kit.between(0.02, 0.045)
    piece.add(
        pleats(x, 0, low, wide, top - low, amplitude, max(3, round(wide / kit.between(0.09, 0.16)))),
        kit.material("shower curtain"),
    )
    return piece.add(box(0, 0, top - 0.01, w, 0.02, 0.02), kit.material("metal"), NOTHING)


# ---------------------------------------------------------------- openings and what hangs on walls


def curtains(kit: Kit, w: float, top: float, window_low: float) -> Piece:
    """Two panels, or one, on a rod across ``w``; long or down to just below the sill."""
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


def picture(kit: Kit) -> Piece:
    w, h = kit.size("picture.w"), kit.size("picture.h")
    border, frame = kit.between(0.015, 0.05), kit.material("frame")
    piece = Piece("picture", (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), frame)
    if kit.chance(0.3):  # a mount around the sheet
        piece.add(box(0, -0.006, border, w - 2 * border, 0.004, h - 2 * border), kit.family("white"))
        border += 0.18 * min(w, h)
    return piece.add(box(0, -0.01, border, w - 2 * border, 0.006, h - 2 * border), kit.family("art"))


def window(kit: Kit, w: float, h: float, light: float) -> Piece:
    """Fills a hole of w x h in the wall; its own z = 0 is the sill."""
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


def door(kit: Kit, w: float, h: float, angle: float) -> Piece:
    """A leaf in a frame; opened by ``angle`` away from the room (towards +y)."""
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
            shade = replace(leaf, color=tuple(c * 0.9 for c in leaf.color))
            piece_w = w - 0.36
            blade.add(box(mid, -0.021, z, piece_w, 0.006, high), shade)
    blade.add(box(mid * 1.72, -0.05, 1.0, 0.12, 0.03, 0.025), kit.material("metal"))
    yaw = side * angle
    return piece.put(blade, -side * (w / 2 - 0.06), 0.03, 0, yaw)


# ---------------------------------------------------------------- the rest of the world


@builder
def bin(kit: Kit) -> Piece:
    w, h = kit.size("bin.w"), kit.size("bin.h")
    return Piece("otherfurniture", (w, w, h)).add(
        bowl(0, 0, 0, w, w, h, 0.012, kit.between(2, 6)), kit.material("otherfurniture")
    )


@builder
def ottoman(kit: Kit) -> Piece:
    w, h = kit.size("ottoman.w"), kit.size("ottoman.h")
    piece = Piece("otherfurniture", (w, w, h)).add(cushion(0, 0, 0.05, w, w, h - 0.05, 0.06), kit.material("sofa"))
    return _feet(kit, piece, w, w)


@builder
def rack(kit: Kit) -> Piece:
    """A coat stand, by chance with a coat on it."""
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
    """An open metal or wooden trolley."""
    w, d, h = kit.between(0.4, 0.7), kit.between(0.3, 0.42), kit.between(0.6, 0.95)
    frame, board = kit.material("chair legs"), kit.material("otherfurniture")
    piece = Piece("otherfurniture", (w, d, h))
    for x, y in _four(w, d, 0.015):
        piece.add(box(x, y, 0, 0.025, 0.025, h), frame)
    for z in (0.12, h * 0.5, h - 0.04):
        piece.add(box(0, 0, z, w - 0.002, d - 0.002, 0.02), board)
        if kit.chance(0.6):
            _item(kit, piece, kit.between(-w / 3, w / 3), 0, z + 0.02)
    return piece


@builder
def radiator(kit: Kit) -> Piece:
    w, h = kit.size("radiator.w"), kit.size("radiator.h")
    white = kit.family("white") if kit.chance(0.75) else kit.family("metal")
    piece = Piece("otherfurniture", (w, 0.1, h)).add(box(0, 0.01, 0.1, w, 0.02, h - 0.1), white)
    for x in np.arange(-w / 2 + 0.03, w / 2 - 0.02, 0.06):
        piece.add(box(x, 0, 0.1, 0.03, 0.08, h - 0.1), white)
    return piece


@builder
def washing_machine(kit: Kit) -> Piece:
    w, d, h = kit.size("washer.w"), kit.size("washer.d"), kit.size("washer.h")
    body = kit.material("refrigerator")
    piece = Piece("otherfurniture", (w, d + 0.04, h)).add(box(0, 0.01, 0.01, w, d - 0.02, h - 0.01), body)
    for r, out, material in ((0.2, 0.025, kit.material("metal")), (0.16, 0.035, kit.family("screen"))):
        disc = cylinder(0, 0, 0, r, out)  # its axis turned towards the front
        x, y, z = disc.vertices.T
        piece.add(Mesh(np.stack([x, -d / 2 - z + 0.01, y + h * 0.45], 1), disc.triangles), material)
    return piece.add(box(0, -d / 2 - 0.002, h - 0.13, w * 0.9, 0.01, 0.09), kit.material("dark"))


def clutter_box(kit: Kit) -> Piece:
    w, d, h = kit.size("box.w"), kit.size("box.w"), kit.size("box.h")
    piece = Piece(NOTHING, (w, d, h)).add(box(0, 0, 0, w, d, h), kit.material("box"))
    return piece


def plant(kit: Kit) -> Piece:
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
    h, metal = kit.between(1.3, 1.75), kit.material("chair legs")
    piece = (
        Piece(NOTHING, (0.4, 0.4, h))
        .add(cylinder(0, 0, 0, 0.14, 0.03), metal)
        .add(cylinder(0, 0, 0, 0.013, h - 0.2), metal)
    )
    shade = replace(kit.material("shade"), emission=kit.between(0.0, 0.8))
    return piece.add(cylinder(0, 0, h - 0.28, 0.19, 0.28, kit.between(0.1, 0.17)), shade)


def television(kit: Kit, widest: float) -> Piece:
    w = min(kit.between(0.7, 1.3), widest)
    piece = Piece(NOTHING, (w, 0.2, w * 0.6)).add(box(0, 0, 0.06, w, 0.04, w * 0.56), kit.family("screen"))
    return piece.add(box(0, 0, 0, w * 0.35, 0.16, 0.015), kit.material("dark")).add(
        box(0, 0.01, 0, 0.06, 0.03, 0.1), kit.material("dark")
    )


def monitor(kit: Kit) -> Piece:
    w = kit.between(0.42, 0.62)
    screen = replace(kit.family("screen"), emission=kit.between(0.0, 0.25))
    piece = Piece(NOTHING, (w, 0.2, w)).add(box(0, 0, 0.12, w, 0.03, w * 0.58), screen)
    piece.add(box(0, 0, 0.005, 0.2, 0.16, 0.015), kit.material("dark")).add(
        box(0, 0.02, 0.0, 0.04, 0.03, 0.2), kit.material("dark")
    )
    return piece.add(box(0, -0.2, 0, w * 0.8, 0.14, 0.02), kit.material("dark"))


def desk_clutter(kit: Kit, desk: Piece) -> Piece:
    """Things that lie on a desk or table, in its frame."""
    w, d, h = desk.size
    things = Piece(NOTHING, desk.size)
    back = d / 2 - 0.18
    if desk.kind == "desk" and kit.chance(0.75):
        things.put(monitor(kit), kit.between(-w * 0.2, w * 0.2), back, h)
    for _ in range(int(kit.rng.integers(0, 4))):
        x, y = kit.between(-w / 2 + 0.12, w / 2 - 0.12), kit.between(-0.1, 0.1) if desk.kind == "table" else back
        _item(kit, things, x * (0.6 if desk.kind == "table" else 1), y, h)
    if kit.chance(0.5):
        sheet = box(0, 0, 0, 0.21, 0.3, kit.between(0.004, 0.05))
        at = (kit.between(-w / 4, w / 4), back - 0.2 if desk.kind == "desk" else 0.0, h)
        things.add(Mesh(sheet.vertices @ turn(kit.between(-1, 1)).T + at, sheet.triangles), kit.material("box"))
    return things


def rug(kit: Kit, w: float, d: float) -> Piece:
    """nyu40 calls it floor mat, which is none of the 20 classes."""
    return Piece(NOTHING, (w, d, 0.012)).add(box(0, 0, 0.0, w, d, 0.012), kit.material("rug"))


def mirror(kit: Kit) -> Piece:
    w, h = kit.between(0.4, 0.9), kit.between(0.5, 0.9)
    glass = replace(kit.family("metal"), gloss=0.6, dropout=0.6)
    piece = Piece(NOTHING, (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), kit.material("frame"))
    return piece.add(box(0, -0.01, 0.02, w - 0.04, 0.006, h - 0.04), glass)


def board(kit: Kit) -> Piece:
    """A whiteboard."""
    w, h = kit.between(1.0, 2.0), kit.between(0.8, 1.1)
    piece = Piece(NOTHING, (w, 0.03, h)).add(box(0, 0.005, 0, w, 0.02, h), kit.family("metal"))
    return piece.add(box(0, -0.01, 0.02, w - 0.04, 0.006, h - 0.04), kit.family("white"))


def ceiling_lamp(kit: Kit, light: float, longest: float) -> Piece:
    """Hangs: its own z = 0 is the ceiling, it reaches down by at most ``longest``."""
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
