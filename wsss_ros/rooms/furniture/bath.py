"""Bathrooms: sinks, toilets, bathtubs and shower curtains."""

from wsss_ros.rooms.furniture.cabinets import add_carcass
from wsss_ros.rooms.furniture.kitchen import add_tap, add_top_with_hole
from wsss_ros.rooms.furniture.loose import add_small_item
from wsss_ros.rooms.furniture.piece import NOTHING, Piece, builder
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import bowl, box, cushion, cylinder, lean_back, loft, pleats


@builder
def pedestal_sink(kit: Kit) -> Piece:
    """A basin on a round foot, 0.4 to 0.62 wide and 0.78 to 0.9 high."""
    w, d, h = kit.size("basin.w"), kit.size("basin.d"), kit.size("basin.h")
    piece = Piece("sink", (w, d, h + 0.15))
    _basin(kit, piece, 0, 0, h, w, d)
    return piece.add(cylinder(0, d * 0.12, 0, 0.11, h - 0.12, 0.08), kit.material("ceramic"))


@builder
def wall_sink(kit: Kit) -> Piece:
    """A basin that hangs on the wall, with its drain pipe below; 0.4 to 0.62 wide."""
    w, d, h = kit.size("basin.w"), kit.size("basin.d"), kit.size("basin.h")
    piece = Piece("sink", (w, d, h + 0.15))
    _basin(kit, piece, 0, 0, h, w, d)
    piece.add(box(0, d / 2 - 0.06, h - 0.14, w * 0.5, 0.12, 0.13), kit.material("ceramic"))
    return piece.add(cylinder(0, d / 2 - 0.12, 0.3, 0.025, h - 0.42), kit.material("metal"), "sink")


@builder
def vanity_sink(kit: Kit) -> Piece:
    """A basin in a cabinet, 0.6 to 1.3 wide; of class cabinet."""
    return _vanity(kit, "cabinet")


@builder
def counter_sink(kit: Kit) -> Piece:
    """A basin in a counter, with or without a cabinet below; 0.6 to 1.3 wide, of class counter."""
    return _vanity(kit, "counter")


@builder
def tank_toilet(kit: Kit) -> Piece:
    """A toilet on the floor with a tank behind it, 0.36 to 0.42 wide and 0.62 to 0.74 deep."""
    w, d, h = kit.size("toilet.w"), kit.size("toilet.d"), kit.size("toilet.h")
    white = kit.material("ceramic")
    piece = Piece("toilet", (w + 0.06, d, h + 0.42))
    tank = kit.between(0.17, 0.21)
    _toilet_bowl(kit, piece, w, d - tank - 0.02, h, -tank / 2, white)
    piece.add(cushion(0, d / 2 - tank / 2, h - 0.04, w + 0.05, tank, kit.between(0.32, 0.42), 0.025), white)
    return piece.add(box(0, d / 2 - tank * 0.7, 0, w * 0.5, tank, h), white)


@builder
def wall_toilet(kit: Kit) -> Piece:
    """A toilet that hangs on the wall, without a tank; 0.52 to 0.64 deep."""
    w, d, h = kit.size("toilet.w"), kit.size("toilet.d") - 0.1, kit.size("toilet.h")
    white = kit.material("ceramic")
    piece = Piece("toilet", (w, d, h + 0.4))
    _toilet_bowl(kit, piece, w, d - 0.06, h, -0.02, white)
    return piece.add(box(0, d / 2 - 0.06, h * 0.3, w * 0.6, 0.12, h * 0.6), white)


@builder
def panel_tub(kit: Kit) -> Piece:
    """A bathtub behind four panels, 1.4 to 1.75 long and 0.42 to 0.6 high."""
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
    """An oval bathtub without panels, 1.4 to 1.75 long and 0.47 to 0.65 high."""
    w, d, h = kit.size("tub.w"), kit.size("tub.d"), kit.size("tub.h") + 0.05
    piece = Piece("bathtub", (w, d, h)).add(bowl(0, 0, 0.02, w, d, h - 0.02, 0.05, 2.6), kit.material("ceramic"))
    return piece.add(box(0, 0, 0, w * 0.5, d * 0.45, 0.04), kit.material("dark"))


def shower_curtain(kit: Kit, w: float, top: float) -> Piece:
    """A curtain on a rod of length w; it hangs from ``top`` down to 0.08 to 0.35 above the floor."""
    low, wide = kit.between(0.08, 0.35), w * kit.between(0.35, 0.95)
    x = kit.rng.choice([-1, 1]) * (w - wide) / 2
    piece = Piece("shower curtain", (w, 0.1, top))
    amplitude = kit.between(0.02, 0.045)
    piece.add(
        pleats(x, 0, low, wide, top - low, amplitude, max(3, round(wide / kit.between(0.09, 0.16)))),
        kit.material("shower curtain"),
    )
    return piece.add(box(0, 0, top - 0.01, w, 0.02, 0.02), kit.material("metal"), NOTHING)


def _basin(kit: Kit, piece: Piece, x: float, y: float, top: float, w: float, d: float) -> None:
    """A basin with a tap; ``top`` is the height of its rim."""
    piece.add(bowl(x, y, top - 0.15, w, d, 0.15, 0.03, kit.between(2.2, 5.0)), kit.material("sink"), "sink")
    add_tap(kit, piece, x, y + d / 2 - 0.02, top - 0.02)


def _vanity(kit: Kit, kind: str) -> Piece:
    """A top with a basin in it, on a cabinet or on two side walls."""
    w, d, h = kit.size("vanity.w"), kit.size("basin.d") + 0.08, kit.size("basin.h")
    bw, bd = min(w - 0.12, kit.size("basin.w")), d - 0.16
    body, top = kit.material("cabinet"), kit.material("counter")
    piece = Piece(kind, (w, d + 0.04, h + 0.15))
    if kind == "cabinet" or kit.chance(0.5):
        add_carcass(kit, piece, 0, 0.0, 0.08, w - 0.02, d - 0.02, h - 0.29, body, max(1, round(w / 0.45)), 1, "cabinet")
    else:
        for x in (-w / 2 + 0.03, w / 2 - 0.03):
            piece.add(box(x, 0, 0, 0.05, d - 0.04, h - 0.05), body, "counter")
    add_top_with_hole(piece, w, d, h, 0.04, (-bw / 2, bw / 2, -bd / 2 - 0.02, bd / 2 - 0.02), top)
    piece.add(box(0, -d / 2 + 0.015, h - 0.2, w, 0.02, 0.16), body, "cabinet" if kind == "cabinet" else "counter")
    piece.add(
        bowl(0, -0.02, h - 0.14, bw + 0.02, bd + 0.02, 0.142, 0.02, kit.between(2.4, 6)), kit.material("sink"), "sink"
    )
    add_tap(kit, piece, 0, bd / 2, h)
    for _ in range(int(kit.rng.integers(0, 3))):
        add_small_item(kit, piece, (w / 2 - 0.1) * kit.rng.choice([-1, 1]), kit.between(0, d / 2 - 0.1), h)
    return piece


def _toilet_bowl(kit: Kit, piece: Piece, w: float, d: float, h: float, y: float, white: Material) -> None:
    """A bowl with its seat, by chance with a raised lid; ``y`` is its middle."""
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
