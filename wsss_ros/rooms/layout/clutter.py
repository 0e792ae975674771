"""Things that lie about in lived-in rooms: on tables, desks, counters, shelves, beds and sofas, and on the floor."""

from dataclasses import dataclass

import numpy as np

from wsss_ros.rooms.furniture.loose import desk_clutter
from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.furniture.small import SMALL
from wsss_ros.rooms.layout.room import OPENINGS, Placed, Room, overlap
from wsss_ros.rooms.layout.supports import Supports, supports

SOFT_M = 0.05  # how uneven a bed or sofa may be below a thing
MOST = 14  # things on one piece; twice as many in a shelf


@dataclass(frozen=True)
class Place:
    """What lies on a kind of furniture: rows (use of ``LOOSE`` or name of ``SMALL``, weight), and how much of it.

    ``per_m2`` are things on a square metre in a room of middling order. ``low`` and ``high`` are the heights of the
    surfaces that are used, metres. Things may lie below the highest surface with ``inside``, such as in shelves.
    """

    things: tuple[tuple[str, float], ...]
    per_m2: float
    low: float = 0.25
    high: float = 1.35
    inside: bool = False
    soft: bool = False


# fmt: off
PLACES = {
    "desk": Place((
        ("computer", 3), ("office", 1.5), ("lamp", 1), ("reading", 1), ("keyboard", 2), ("papers", 3), ("books", 3),
        ("cup", 2), ("bottle", 1), ("small plant", 0.7), ("small picture", 0.5), ("bag", 0.3), ("basket", 0.4)),
        7, low=0.55, inside=True),
    "table": Place((
        ("food", 2), ("vase", 1), ("small plant", 0.8), ("reading", 1.5), ("papers", 2), ("books", 1.5), ("cup", 2.5),
        ("plate", 2.5), ("bottle", 1.2), ("computer", 0.6), ("bag", 0.4), ("package", 0.8), ("basket", 0.6),
        ("toy", 0.2), ("cloth", 0.3)), 5, inside=True),
    "counter": Place((
        ("appliance", 4), ("food", 1.5), ("vase", 0.7), ("small plant", 0.5), ("cup", 2), ("bottle", 2.5), ("plate", 2),
        ("package", 3), ("basket", 1), ("papers", 0.5), ("books", 0.3)), 8, low=0.7),
    "cabinet": Place((
        ("lamp", 1.2), ("vase", 1.5), ("small plant", 1.5), ("audio", 1), ("books", 2), ("small picture", 2),
        ("box", 0.8),
        ("basket", 1), ("toy", 0.6), ("bottle", 0.5), ("papers", 0.7), ("cloth", 0.5), ("aquarium", 0.2)), 6, low=0.3),
    "night stand": Place((
        ("lamp", 4), ("books", 2), ("small picture", 1), ("cup", 1), ("small plant", 0.6), ("reading", 1),
        ("bottle", 0.5)),
        12, low=0.3),
    "bookshelf": Place((
        ("book_row", 14), ("books", 4), ("vase", 1), ("small picture", 1), ("toy", 0.4), ("box", 0.4), ("basket", 1.5),
        ("package", 1), ("small plant", 0.5), ("audio", 0.4), ("papers", 0.4)),
        22, low=0.02, high=2.2, inside=True),
    "sink": Place((("cup", 2), ("bottle", 3), ("package", 2), ("small plant", 0.4)), 7, low=0.7),
    "bed": Place((("pillow", 4), ("garment", 2), ("toy", 0.7), ("cloth", 1), ("bag", 0.4), ("reading", 0.4),
                  ("pillows", 0.8)), 1.6, low=0.2, high=0.95, soft=True),
    "sofa": Place((("pillow", 4), ("garment", 1.5), ("reading", 0.6), ("toy", 0.4), ("bag", 0.4)), 2.2, low=0.25,
                  high=0.62, soft=True),
    "chair": Place((("garment", 2), ("bag", 0.5), ("pillow", 1), ("books", 0.3)), 0.6, low=0.3, high=0.6, soft=True),
    "toilet": Place((("package", 1), ("bottle", 1)), 2, low=0.6, high=1.0),
    "": Place((("lamp", 1), ("vase", 1), ("small plant", 1), ("books", 1.5), ("small picture", 1), ("box", 0.5),
               ("papers", 0.5), ("basket", 0.5), ("cup", 0.5)), 6, low=0.35, high=1.25),
}
# fmt: on
# turned with the furniture, by about so much (radians); all other things are turned anyhow
_TURNED = {
    "computer": 0.25,
    "office": 0.25,
    "appliance": 0.15,
    "audio": 0.15,
    "small picture": 0.4,
    "keyboard": 0.2,
    "books": 0.25,
    "book_row": 0.03,
}  # fmt: skip


def lay_plain_things(room: Room, piece: Piece, spot: Placed) -> None:
    """Lay procedural things on a desk or table; not in rooms with a stock, where ``lay_things`` lays more of them."""
    if room.stock is None:
        room.lay_on(desk_clutter(room.kit, piece), spot)


def lay_things(room: Room, mess: float) -> None:
    """Lay things on the furniture of a room with a stock; ``mess`` is 0 in tidy rooms and 1 in messy ones."""
    for spot in list(room.placed):
        place = _place_on(spot)
        if place:
            _lay_on(room, spot, place, mess)


def _place_on(spot: Placed) -> Place | None:
    """What may lie on a piece; None on walls, lamps, plants and the like."""
    w, d, h = spot.piece.size
    kind = spot.piece.kind
    if not spot.solid or spot.z > 0.05 or min(w, d) < 0.22 or kind in (*OPENINGS, "shower curtain"):
        return None
    if kind in ("", "otherfurniture"):  # dressers, night stands, benches, washing machines
        if h > 1.25 or h < 0.35:
            return None
        return PLACES["night stand"] if max(w, d) < 0.75 and h < 0.75 and kind == "" else PLACES[""]
    if kind == "table" and h < 0.65 and max(w, d) < 0.7:
        return PLACES["night stand"]
    if kind == "cabinet" and any(part.label == "sink" for part in spot.piece.parts):
        return PLACES["sink"]
    return PLACES.get(kind)


def _lay_on(room: Room, spot: Placed, place: Place, mess: float) -> None:
    kit = room.kit
    area = spot.piece.size[0] * spot.piece.size[1] * (2.5 if place.inside and spot.piece.kind == "bookshelf" else 1.0)
    most = 2 * MOST if spot.piece.kind == "bookshelf" else MOST
    count = min(most, int(kit.rng.poisson(place.per_m2 * area * (0.4 + 1.8 * mess))))
    if count == 0:
        return
    surface = supports(spot.piece, place.inside)
    names, weights = zip(*place.things, strict=True)
    chances = np.array(weights) / sum(weights)
    for name in kit.rng.choice(len(names), count, p=chances):
        thing = _thing(room, names[name])
        if thing is not None:
            _put(room, spot, surface, place, names[name], thing)


def _thing(room: Room, name: str) -> Piece | None:
    if name in SMALL:
        return SMALL[name](room.kit)
    found = room.stock.draw_hung(room.kit, name)
    return found[0] if found and found[1] == 0 else None  # what its library hangs somewhere does not lie


def _put(room: Room, spot: Placed, surface: Supports, place: Place, name: str, thing: Piece) -> None:
    """Put a thing at the first of some places where it stands safely and touches nothing else."""
    rng = room.kit.rng
    yaw = float(rng.normal(0, _TURNED[name]) if name in _TURNED else rng.uniform(-np.pi, np.pi))
    if thing.size[0] > 0.6 * min(spot.piece.size[:2]) or place.soft:
        yaw = float(rng.normal(0, 0.1)) + (np.pi / 2 if thing.size[1] > thing.size[0] > 0.4 else 0.0)
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    w, d, h = thing.size
    box = (c * w + s * d, s * w + c * d, h)
    for x, y, z in surface.places(rng, box, place.low, place.high, flat=SOFT_M if place.soft else 0.012):
        laid = Placed(thing, *spot.point(x, y), spot.z + z - (0.01 if place.soft else 0.0), spot.yaw + yaw, solid=False)
        if room.inside(laid) and not any(overlap(laid, o, 0.005) for o in room.placed if o is not spot and _hits(o)):
            room.placed.append(laid)
            return


def _hits(other: Placed) -> bool:
    """Whether a piece is in the way of a thing: not walls, floor and ceiling, whose boxes are larger than they are."""
    return other.piece.kind not in ("wall", "floor") and max(other.piece.size) > 0.01


def litter(room: Room, mess: float) -> None:
    """Bags, boxes, shoes, plants and lamps of the stock on the floor, most along walls and next to furniture."""
    kit = room.kit
    area = room.width * room.depth
    for use, per_m2 in (("floor plant", 0.06), ("floor lamp", 0.04), ("bin", 0.04), ("floor thing", 0.22 * mess),
                        ("big thing", 0.03)):  # fmt: skip
        for _ in range(int(kit.rng.poisson(per_m2 * area))):
            piece = room.stock.draw(kit, use)
            if piece is None:
                continue
            small = max(piece.size) < 0.5
            if kit.chance(0.35 if small else 0.1):
                room.free_standing(piece, margin=0.08, square=0.0, tries=8)
            else:
                room.against_wall(piece, gap=(0.02, 0.2 if small else 0.06), corner=0.4, tries=15)
