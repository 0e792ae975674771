"""Plans of rooms: which furniture stands where.

A room is axis-aligned with one corner of its floor at the origin, x in 0..width, y in 0..depth, z up, metres. Pieces
are set one after another and keep clear of each other: two pieces collide when their rectangles on the floor overlap
and their height ranges do too. ``RECIPES`` says what each kind of room holds; a further kind is a further entry
there and in the style's ``rooms``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64

from wsss_ros.rooms import furniture
from wsss_ros.rooms.furniture import NOTHING, Piece, build
from wsss_ros.rooms.meshes import box, turn
from wsss_ros.rooms.style import Kit, Style

MIN_FREE_M2 = 1.6  # of floor to walk on, else the room is planned anew
REACH = 0.04  # pieces keep at least this far apart
LOUNGES = ("living_room", "bedroom", "studio", "meeting_room")  # kinds with a television on low cabinets
WET = ("bathroom", "washroom")  # kinds with tiles, small windows and little floor


@dataclass(frozen=True)
class Placed:
    """A piece in the room: turned by ``yaw`` about z, then moved to (x, y, z)."""

    piece: Piece
    x: float
    y: float
    z: float
    yaw: float
    solid: bool = True

    def corners(self, margin: float = 0.0) -> Float64[np.ndarray, "4 2"]:
        a, b = self.piece.size[0] / 2 + margin, self.piece.size[1] / 2 + margin
        local = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
        return local @ turn(self.yaw)[:2, :2].T + (self.x, self.y)

    def radius(self) -> float:
        return float(np.hypot(self.piece.size[0], self.piece.size[1])) / 2

    def span(self) -> tuple[float, float]:
        return self.z, self.z + self.piece.size[2]

    def vertices(self, part: furniture.Part) -> Float64[np.ndarray, "N 3"]:
        return part.mesh.vertices @ turn(self.yaw).T + (self.x, self.y, self.z)


@dataclass
class Opening:
    """A hole in a wall: from u0 to u1 along it, z0 to z1 in height."""

    u0: float
    u1: float
    z0: float
    z1: float


def overlap(a: Placed, b: Placed, margin: float = 0.0) -> bool:
    """Whether two pieces share space: separating axes of the rectangles, then the heights."""
    (a0, a1), (b0, b1) = a.span(), b.span()
    if a1 <= b0 or b1 <= a0:
        return False
    if np.hypot(a.x - b.x, a.y - b.y) > a.radius() + b.radius() + 2 * margin:
        return False
    ca, cb = a.corners(margin), b.corners()
    for yaw in (a.yaw, b.yaw):
        for axis in turn(yaw)[:2, :2].T:
            pa, pb = ca @ axis, cb @ axis
            if pa.max() <= pb.min() or pb.max() <= pa.min():
                return False
    return True


@dataclass
class Room:
    """A room while it is being furnished. Wall k of 0..3 runs along y=0, x=width, y=depth, x=0."""

    kind: str
    width: float
    depth: float
    height: float
    kit: Kit
    placed: list[Placed] = field(default_factory=list)
    kept_free: list[Placed] = field(default_factory=list)
    openings: list[list[Opening]] = field(default_factory=lambda: [[], [], [], []])
    lights: list[tuple[float, float, float]] = field(default_factory=list)
    window_light: float = 1.0

    # -- walls

    def wall_length(self, wall: int) -> float:
        return self.width if wall % 2 == 0 else self.depth

    def at_wall(self, piece: Piece, wall: int, u: float, gap: float, z: float = 0.0) -> Placed:
        """The piece with its back ``gap`` off the wall, its middle at ``u`` along it."""
        v = piece.size[1] / 2 + gap
        x, y = ((u, v), (self.width - v, u), (self.width - u, self.depth - v), (v, self.depth - u))[wall]
        return Placed(piece, x, y, z, (np.pi, -np.pi / 2, 0.0, np.pi / 2)[wall])

    def in_front(self, of: Placed, deep: float, margin: float = 0.0) -> Placed:
        """The space of depth ``deep`` before a piece, as an unseen block."""
        block = Piece(NOTHING, (of.piece.size[0] + 2 * margin, deep, 1.9))
        x, y = turn(of.yaw)[:2, :2] @ (0, -(of.piece.size[1] + deep) / 2) + (of.x, of.y)
        return Placed(block, x, y, 0.0, of.yaw)

    # -- placing

    def inside(self, spot: Placed, margin: float = 0.0) -> bool:
        c = spot.corners()
        return bool(c.min() >= margin - 1e-6 and (c[:, 0] <= self.width - margin + 1e-6).all()
                    and (c[:, 1] <= self.depth - margin + 1e-6).all())  # fmt: skip

    def fits(self, spot: Placed, margin: float = REACH) -> bool:
        """Inside the room and clear of every piece and every space that has to stay free."""
        if not self.inside(spot):
            return False
        return not any(overlap(spot, other, margin) for other in self.placed + self.kept_free if other.solid)

    def keep(self, spot: Placed, front: float = 0.0) -> Placed:
        self.placed.append(spot)
        if front:
            self.kept_free.append(self.in_front(spot, front))
        return spot

    def against_wall(
        self, piece: Piece, front: float = 0.0, z: float = 0.0, wall: int | None = None, tries: int = 30,
        gap: tuple[float, float] = (0.005, 0.06), corner: float = 0.0, reserve: bool = True,
    ) -> Placed | None:  # fmt: skip
        """Try random spots along the walls; None when nothing fits. ``corner``: the share of tries in a corner.

        There have to be ``front`` metres free before the piece; they stay so with ``reserve``.
        """
        rng = self.kit.rng
        for _ in range(tries):
            k = int(rng.integers(4)) if wall is None else wall
            half, length = piece.size[0] / 2 + 0.02, self.wall_length(k)
            if length < 2 * half:
                continue
            u = rng.uniform(half, length - half)
            if rng.random() < corner:
                u = rng.choice([half, length - half])
            spot = self.at_wall(piece, k, float(u), float(rng.uniform(*gap)), z)
            clear = not front or self._front_clear(spot, front)
            if clear and self.fits(spot) and not self._covers_opening(spot, k, u):
                return self.keep(spot, front if reserve else 0.0)
        return None

    def _front_clear(self, spot: Placed, front: float) -> bool:
        block = self.in_front(spot, front)
        return self.inside(block) and not any(
            overlap(block, other) for other in self.placed if other.solid and other.z < 1.0
        )

    def _covers_opening(self, spot: Placed, wall: int, u: float) -> bool:
        low, high = spot.span()
        a, b = u - spot.piece.size[0] / 2, u + spot.piece.size[0] / 2
        return any(a < o.u1 and b > o.u0 and low < o.z1 and high > o.z0 + 0.05 for o in self.openings[wall])

    def free_standing(self, piece: Piece, margin: float = 0.5, tries: int = 40, square: float = 0.6) -> Placed | None:
        """Anywhere in the room with ``margin`` around it; mostly parallel to the walls."""
        rng = self.kit.rng
        for _ in range(tries):
            yaw = float(rng.integers(4) * np.pi / 2)
            yaw += float(rng.normal(0, 0.04)) if rng.random() < square else float(rng.uniform(-0.8, 0.8))
            x, y = rng.uniform(0.4, self.width - 0.4), rng.uniform(0.4, self.depth - 0.4)
            spot = Placed(piece, float(x), float(y), 0.0, yaw)
            if self.inside(spot, 0.25) and self.fits(spot, margin):
                return self.keep(spot)
        return None

    def beside(
        self, piece: Piece, of: Placed, x: float, y: float, yaw: float = 0.0, margin: float = 0.01
    ) -> Placed | None:
        """At (x, y) in another piece's frame, when it fits there. ``yaw`` is relative."""
        px, py = turn(of.yaw)[:2, :2] @ (x, y) + (of.x, of.y)
        spot = Placed(piece, float(px), float(py), 0.0, of.yaw + yaw)
        return self.keep(spot) if self.fits(spot, margin) else None

    def loose(self, piece: Piece, of: Placed) -> None:
        """Things that lie on a piece."""
        self.placed.append(Placed(piece, of.x, of.y, of.z, of.yaw, solid=False))


# ---------------------------------------------------------------- groups


def _door(room: Room) -> None:
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    w, h, length = kit.size("door.w"), kit.size("door.h"), room.wall_length(wall)
    u = kit.between(w / 2 + 0.12, length - w / 2 - 0.12)
    angle = 0.0 if kit.chance(0.6) else kit.between(0.6, 1.7)
    leaf = furniture.door(kit, w, h, angle)
    leaf.size = (w, 0.12, h)
    spot = room.at_wall(leaf, wall, u, -0.12)
    clear = room.in_front(spot, 0.75)
    taken = any(overlap(clear, other, 0.05) for other in room.placed if other.piece.kind == "door")
    if not taken and not _hole_taken(room, wall, u, w):
        room.openings[wall].append(Opening(u - w / 2, u + w / 2, 0.0, h))
        room.placed.append(spot)
        room.kept_free.append(clear)


def _hole_taken(room: Room, wall: int, u: float, w: float) -> bool:
    return any(u - w / 2 - 0.08 < o.u1 and u + w / 2 + 0.08 > o.u0 for o in room.openings[wall])


def _window(room: Room, curtain: float) -> None:
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    w, z, h = kit.size("window.w"), kit.size("window.z"), kit.size("window.h")
    if room.kind in WET:
        w, z, h = w * 0.5, z + 0.4, h * 0.6
    length, h = room.wall_length(wall), min(h, room.height - z - 0.2)
    w = min(w, length * 0.6)
    for _ in range(8):
        u = kit.between(w / 2 + 0.2, length - w / 2 - 0.2)
        if not _hole_taken(room, wall, u, w):
            break
    else:
        return
    room.openings[wall].append(Opening(u - w / 2, u + w / 2, z, z + h))
    pane = furniture.window(kit, w, h, 3 * room.window_light)
    spot = room.at_wall(pane, wall, u, -0.15, z)
    room.placed.append(spot)
    if kit.chance(curtain):
        top = min(z + h + kit.between(0.08, 0.2), room.height - 0.05)
        wide = min(w + kit.between(0.2, 0.6), 2 * min(u, length - u) - 0.04)
        hanging = furniture.curtains(kit, wide, top, z)
        cloth = room.at_wall(hanging, wall, u, 0.01)
        if room.fits(cloth, 0.0):
            room.keep(cloth)


def _bed(room: Room) -> None:
    bed = room.against_wall(build(room.kit, "bed"), corner=0.25, tries=60)
    if bed is None:
        return
    w, d, _ = bed.piece.size
    for side in (-1, 1):
        if room.kit.chance(0.65):
            stand = build(room.kit, "side table" if room.kit.chance(0.5) else "low cabinet")
            if stand.kind == "cabinet":
                stand = _night_stand(room.kit)
            x = side * (w / 2 + stand.size[0] / 2 + 0.06)
            spot = room.beside(stand, bed, x, d / 2 - stand.size[1] / 2)
            if spot and room.kit.chance(0.6):
                room.loose(furniture.desk_clutter(room.kit, stand), spot)


def _night_stand(kit: Kit) -> Piece:
    """nyu40 keeps night stands apart from cabinets, outside the 20 classes."""
    w, h = kit.size("side.w"), kit.between(0.42, 0.62)
    piece = Piece(NOTHING, (w, w * 0.9 + 0.04, h))
    return furniture._drawers(kit, piece, 0, 0, 0.04, w, w * 0.9, h - 0.04, kit.material("cabinet"), 1, 2)


def _desk(room: Room) -> None:
    kit = room.kit
    desk = room.against_wall(build(kit, "desk"), front=0.55, corner=0.3, reserve=False)
    if desk is None:
        return
    room.loose(furniture.desk_clutter(kit, desk.piece), desk)
    if kit.chance(0.88):
        _chair_before(room, desk, build(kit, "desk chair"), kit.between(-0.25, 0.25) * desk.piece.size[0])


def _chair_before(room: Room, of: Placed, chair: Piece, x: float) -> None:
    """A chair that faces a piece's front, pulled out a little and turned a little."""
    out = of.piece.size[1] / 2 + chair.size[1] / 2 + room.kit.between(0.03, 0.3)
    for push in (0.0, 0.2, 0.4):
        if room.beside(chair, of, x, -out - push, np.pi + room.kit.rng.normal(0, 0.25)):
            return


def _dining(room: Room) -> None:
    _seated(room, "table", "dining chair")


def _conference(room: Room) -> None:
    _seated(room, "conference table", "desk chair")


def _seated(room: Room, tables: str, chairs: str) -> None:
    """A table with chairs around it, all of one model."""
    kit = room.kit
    table = room.free_standing(build(kit, tables), margin=0.55) or room.against_wall(build(kit, tables), front=0.6)
    if table is None:
        return
    room.loose(furniture.desk_clutter(kit, table.piece), table)
    first = build(kit, chairs)
    w, d, _ = table.piece.size
    count = max(1, int(w / 0.68))
    seats = [((i + 0.5) * w / count - w / 2, side) for side in (-1, 1) for i in range(count)]
    ends = [(side, 0) for side in (-1, 1)] if kit.chance(0.5) else []
    for x, side in seats:
        if kit.chance(0.85):
            out = d / 2 + first.size[1] / 2 + kit.between(0.02, 0.2)
            room.beside(first, table, x, side * out, (np.pi if side < 0 else 0.0) + kit.rng.normal(0, 0.15))
    for side, _ in ends:
        out = w / 2 + first.size[1] / 2 + kit.between(0.02, 0.2)
        room.beside(first, table, side * out, 0.0, -side * np.pi / 2 + kit.rng.normal(0, 0.15))


def _lessons(room: Room) -> None:
    """A board on a wall, a desk before it, and rows of desks that face it, with aisles to walk in."""
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    length, deep = room.wall_length(wall), room.wall_length(wall + 1)
    room.against_wall(furniture.board(kit), z=0.9, wall=wall, gap=(0.0, 0.005))
    front = room.at_wall(build(kit, "desk"), wall, length * kit.between(0.3, 0.7), 0.85)
    front = Placed(front.piece, front.x, front.y, 0.0, front.yaw + np.pi)
    if room.fits(front):
        room.loose(furniture.desk_clutter(kit, front.piece), room.keep(front))
        _chair_before(room, front, build(kit, "desk chair"), 0.0)
    desk, chair = build(kit, "school desk"), build(kit, "school chair")
    across = desk.size[0] + kit.between(0.7, 0.95)
    along = desk.size[1] + chair.size[1] + kit.between(0.4, 0.6)
    columns, first = min(4, int((length - 0.5) / across)), 0.85 + front.piece.size[1] + 0.9
    for v in np.arange(first, deep - desk.size[1] - chair.size[1] - 0.15, along):
        for k in range(columns):
            if kit.chance(0.9):
                u = length / 2 + (k - (columns - 1) / 2) * across + kit.rng.normal(0, 0.03)
                spot = room.at_wall(desk, wall, float(u), float(v + kit.rng.normal(0, 0.02)))
                if room.fits(spot):
                    room.keep(spot)
                    _pupils(room, spot, chair)


def _pupils(room: Room, desk: Placed, chair: Piece) -> None:
    for x in (0.0,) if desk.piece.size[0] < 2 * chair.size[0] + 0.06 else (-0.25, 0.25):
        _chair_before(room, desk, chair, x * desk.piece.size[0])
    if room.kit.chance(0.4):
        room.loose(furniture.desk_clutter(room.kit, replace(desk.piece, kind="table")), desk)


def _sofa(room: Room) -> None:
    kit = room.kit
    piece = build(kit, "sofa")
    sofa = room.against_wall(piece, front=0.4, tries=40, reserve=False) or room.free_standing(piece, margin=0.4)
    if sofa is None:
        return
    if kit.chance(0.75):
        table = build(kit, "coffee table")
        out = sofa.piece.size[1] / 2 + table.size[1] / 2 + kit.between(0.3, 0.5)
        spot = room.beside(table, sofa, kit.between(-0.2, 0.2), -out)
        if spot:
            room.loose(furniture.desk_clutter(kit, table), spot)
    if kit.chance(0.3):
        side = build(kit, "side table")
        room.beside(side, sofa, kit.rng.choice([-1, 1]) * (sofa.piece.size[0] / 2 + side.size[0] / 2 + 0.06), 0.1)


def _easy_chair(room: Room) -> None:
    if room.kit.chance(0.5):
        room.free_standing(build(room.kit, "easy chair"), margin=0.35, square=0.2)
    else:
        room.against_wall(build(room.kit, "easy chair"), front=0.4, gap=(0.03, 0.25))


def _kitchen_run(room: Room) -> None:
    """A counter with a sink, a refrigerator beside it, cabinets above."""
    kit = room.kit
    wall = int(kit.rng.integers(4))
    for _ in range(10):
        length = room.wall_length(wall)
        run = furniture.kitchen_counter(kit, min(kit.size("counter.w"), length - 0.9), sink=True, stove=kit.chance(0.7))
        spot = room.against_wall(run, front=0.7, wall=wall, gap=(0.0, 0.01), corner=0.6, tries=15)
        if spot:
            break
        wall = (wall + 1) % 4
    else:
        return
    cold = build(kit, "refrigerator")
    side = kit.rng.choice([-1, 1])
    shift = (run.size[1] - cold.size[1]) / 2
    for s in (side, -side):
        if room.beside(cold, spot, s * (run.size[0] / 2 + cold.size[0] / 2 + 0.05), shift - 0.01, margin=0.0):
            break
    _uppers(room, spot, wall)
    if kit.chance(0.45):
        _counter(room)


def _uppers(room: Room, base: Placed, wall: int) -> None:
    kit, z = room.kit, room.kit.size("upper.z")
    body = base.piece.parts[1].material if kit.chance(0.7) else kit.material("cabinet")
    length = room.wall_length(wall)
    u = (base.x, base.y, room.width - base.x, room.depth - base.y)[wall]
    half = base.piece.size[0] / 2
    for part in ((-half, -0.1), (0.1, half)) if kit.chance(0.5) else ((-half, half),):
        a, b = max(u + part[0], 0.02), min(u + part[1], length - 0.02)
        if b - a < 0.35 or kit.chance(0.2):
            continue
        spot = room.at_wall(furniture.upper_cabinet(kit, b - a, body), wall, (a + b) / 2, 0.0, z)
        if room.fits(spot, 0.0) and not room._covers_opening(spot, wall, (a + b) / 2):
            room.keep(spot)


def _counter(room: Room) -> None:
    """A further counter without a sink, against a wall or as an island; by chance stools before it."""
    kit = room.kit
    piece = furniture.kitchen_counter(kit, kit.between(0.9, 1.8), sink=False, stove=False)
    spot = room.free_standing(piece, margin=0.7, square=1.0) if kit.chance(0.35) else None
    if spot is None:
        spot = room.against_wall(piece, front=0.6, gap=(0.0, 0.01), corner=0.4)
    elif kit.chance(0.6):
        stool = furniture.stool(kit)
        for x in (-0.3, 0.3):
            room.beside(stool, spot, x, piece.size[1] / 2 + stool.size[1] / 2 + 0.05)


def _vanity(room: Room) -> None:
    kit = room.kit
    piece = build(kit, "sink" if kit.chance(0.4) else "vanity")
    spot = room.against_wall(piece, front=0.5, gap=(0.0, 0.01), tries=60)
    if spot and kit.chance(0.75):
        _hang_at(room, furniture.mirror(kit), spot, 1.15)


def _hang_at(room: Room, piece: Piece, below: Placed, z: float) -> None:
    wall = int(np.argmin([abs(np.angle(np.exp(1j * (below.yaw - a)))) for a in (np.pi, -np.pi / 2, 0.0, np.pi / 2)]))
    u = (below.x, below.y, room.width - below.x, room.depth - below.y)[wall]
    spot = room.at_wall(piece, wall, u, 0.0, z)
    if room.fits(spot, 0.0) and not room._covers_opening(spot, wall, u):
        room.keep(spot)


def _tub(room: Room) -> None:
    kit = room.kit
    spot = room.against_wall(build(kit, "bathtub"), front=0.4, gap=(0.0, 0.02), corner=0.9, tries=60)
    if spot is None:
        return _shower(room)
    if kit.chance(0.75):
        w, d, _ = spot.piece.size
        cloth = furniture.shower_curtain(kit, w, min(kit.between(1.9, 2.1), room.height - 0.1))
        px, py = turn(spot.yaw)[:2, :2] @ (0, -d / 2 - 0.07) + (spot.x, spot.y)
        room.placed.append(Placed(cloth, float(px), float(py), 0.0, spot.yaw))


def _shower(room: Room) -> None:
    """A flat tray in a corner behind a curtain. The tray is no class of its own."""
    kit, s = room.kit, room.kit.size("stall.w")
    tray = Piece(NOTHING, (s, s, 2.0)).add(box(0, 0, 0, s, s, 0.06), kit.material("ceramic"))
    spot = room.against_wall(tray, front=0.4, gap=(0.0, 0.01), corner=1.0, tries=60)
    if spot is None:
        return
    cloth = furniture.shower_curtain(kit, s, min(kit.between(1.85, 2.1), room.height - 0.1))
    px, py = turn(spot.yaw)[:2, :2] @ (0, -s / 2 - 0.06) + (spot.x, spot.y)
    room.placed.append(Placed(cloth, float(px), float(py), 0.0, spot.yaw))


def _wall_piece(what: str, front: float = 0.35) -> Callable[[Room], None]:
    def place(room: Room) -> None:
        piece = build(room.kit, what)
        spot = room.against_wall(piece, front=front, corner=0.3)
        low = piece.size[2] < 1.1 and piece.kind == "cabinet" and room.kind in LOUNGES
        if spot and low and room.kit.chance(0.5):
            screen = furniture.television(room.kit, 1.1 * piece.size[0])
            room.placed.append(Placed(screen, spot.x, spot.y, piece.size[2], spot.yaw, solid=False))

    return place


def _hang(make: Callable[[Kit], Piece], low: float) -> Callable[[Room], None]:
    def place(room: Room) -> None:
        piece = make(room.kit)
        z = low if low else room.kit.size("picture.z")
        if z + piece.size[2] < room.height - 0.1:
            room.against_wall(piece, z=z, gap=(0.0, 0.005), tries=12)

    return place


def _small(room: Room) -> None:
    room.against_wall(build(room.kit, "otherfurniture"), gap=(0.02, 0.1), corner=0.2)


def _radiator(room: Room) -> None:
    room.against_wall(build(room.kit, "radiator"), gap=(0.03, 0.06))


def _bin(room: Room) -> None:
    room.against_wall(build(room.kit, "bin"), gap=(0.02, 0.15))


def _clutter(room: Room) -> None:
    kit = room.kit
    make = (furniture.clutter_box, furniture.plant, furniture.floor_lamp)[kit.rng.choice(3, p=[0.6, 0.2, 0.2])]
    piece = make(kit)
    spot = room.against_wall(piece, gap=(0.02, 0.3)) if kit.chance(0.75) else room.free_standing(piece, 0.3, square=0.0)
    if spot and make is furniture.clutter_box and kit.chance(0.4):
        top = furniture.clutter_box(kit)
        turned = spot.yaw + float(kit.rng.normal(0, 0.2))
        if top.size[0] <= piece.size[0]:
            room.placed.append(Placed(top, spot.x, spot.y, piece.size[2], turned, solid=False))


def _rug(room: Room) -> None:
    kit = room.kit
    w, d = kit.between(0.6, 2.2), kit.between(0.5, 1.5)
    x, y = kit.between(w / 2, max(w / 2, room.width - w / 2)), kit.between(d / 2, max(d / 2, room.depth - d / 2))
    spot = Placed(furniture.rug(kit, w, d), x, y, 0.0, 0.0, solid=False)
    if room.inside(spot, 0.05):
        room.placed.append(spot)


def _stray_chair(room: Room) -> None:
    piece = build(room.kit, "chair")
    spot = room.against_wall(piece, front=0.3, gap=(0.03, 0.2)) if room.kit.chance(0.6) else None
    if spot is None:
        room.free_standing(piece, margin=0.3, square=0.2)


def _window_plain(room: Room) -> None:
    _window(room, 0.12)


def _window_curtained(room: Room) -> None:
    _window(room, 0.75)


def _toilet(room: Room) -> None:
    room.against_wall(build(room.kit, "toilet"), front=0.45, gap=(0.0, 0.02), tries=60)


# group -> how it is placed; a recipe row is (group, chance, least, most): with this chance so many of them
GROUPS: dict[str, Callable[[Room], None]] = {
    "door": _door, "window": _window_plain, "curtained window": _window_curtained, "bed": _bed, "desk": _desk,
    "dining": _dining, "sofa": _sofa, "easy chair": _easy_chair, "kitchen run": _kitchen_run, "counter": _counter,
    "vanity": _vanity, "toilet": _toilet, "tub": _tub, "shower": _shower, "wardrobe": _wall_piece("wardrobe", 0.5),
    "cabinet": _wall_piece("cabinet"), "low cabinet": _wall_piece("low cabinet"), "files": _wall_piece("file cabinet"),
    "bookshelf": _wall_piece("bookshelf"), "refrigerator": _wall_piece("refrigerator", 0.5),
    "picture": _hang(furniture.picture, 0.0), "mirror": _hang(furniture.mirror, 1.1),
    "board": _hang(furniture.board, 0.9),
    "conference": _conference, "lessons": _lessons, "washer": _wall_piece("washer", 0.5),
    "small": _small, "radiator": _radiator, "bin": _bin, "clutter": _clutter, "rug": _rug, "chair": _stray_chair,
}  # fmt: skip

RECIPES = {
    "bedroom": (
        ("door", 0.8, 1, 2), ("curtained window", 0.85, 1, 2), ("radiator", 0.3, 1, 1), ("bed", 1.0, 1, 2),
        ("wardrobe", 0.7, 1, 2), ("desk", 0.5, 1, 1), ("low cabinet", 0.5, 1, 1), ("bookshelf", 0.35, 1, 1),
        ("easy chair", 0.25, 1, 1), ("chair", 0.25, 1, 1), ("sofa", 0.08, 1, 1), ("picture", 0.6, 1, 4),
        ("rug", 0.4, 1, 1),
        ("small", 0.45, 1, 2), ("mirror", 0.25, 1, 1), ("clutter", 0.7, 1, 4),
    ),
    "living_room": (
        ("door", 0.7, 1, 2), ("curtained window", 0.85, 1, 3), ("radiator", 0.3, 1, 2), ("rug", 0.5, 1, 1),
        ("sofa", 0.95, 1, 2), ("easy chair", 0.6, 1, 2), ("dining", 0.3, 1, 1), ("low cabinet", 0.7, 1, 2),
        ("bookshelf", 0.45, 1, 2), ("desk", 0.15, 1, 1), ("picture", 0.65, 1, 4), ("small", 0.5, 1, 3),
        ("clutter", 0.8, 1, 4),
    ),
    "kitchen": (
        ("door", 0.75, 1, 2), ("window", 0.7, 1, 2), ("kitchen run", 1.0, 1, 1), ("radiator", 0.2, 1, 1),
        ("dining", 0.7, 1, 1), ("refrigerator", 0.12, 1, 1), ("cabinet", 0.3, 1, 1), ("picture", 0.3, 1, 2),
        ("bin", 0.6, 1, 2), ("small", 0.3, 1, 1), ("chair", 0.25, 1, 2), ("clutter", 0.6, 1, 3),
    ),
    "office": (
        ("door", 0.75, 1, 1), ("window", 0.75, 1, 2), ("radiator", 0.35, 1, 1), ("desk", 1.0, 1, 4),
        ("bookshelf", 0.6, 1, 3), ("files", 0.7, 1, 3), ("dining", 0.2, 1, 1), ("board", 0.5, 1, 2),
        ("chair", 0.5, 1, 3),
        ("sofa", 0.1, 1, 1), ("refrigerator", 0.08, 1, 1), ("picture", 0.3, 1, 2), ("bin", 0.6, 1, 2),
        ("small", 0.2, 1, 1), ("clutter", 0.7, 1, 4),
    ),
    "bathroom": (
        ("door", 0.85, 1, 1), ("window", 0.3, 1, 1), ("tub", 0.6, 1, 1), ("vanity", 0.97, 1, 1), ("toilet", 0.95, 1, 1),
        ("shower", 0.3, 1, 1), ("cabinet", 0.2, 1, 1), ("radiator", 0.25, 1, 1), ("bin", 0.5, 1, 1), ("rug", 0.4, 1, 1),
        ("mirror", 0.2, 1, 1), ("picture", 0.15, 1, 1), ("clutter", 0.3, 1, 2),
    ),
    "library": (
        ("door", 0.7, 1, 1), ("window", 0.55, 1, 2), ("bookshelf", 1.0, 3, 7), ("dining", 0.9, 1, 2),
        ("desk", 0.2, 1, 1),
        ("counter", 0.15, 1, 1), ("sofa", 0.3, 1, 1), ("easy chair", 0.4, 1, 2), ("chair", 0.3, 1, 2),
        ("files", 0.25, 1, 1), ("picture", 0.35, 1, 2), ("radiator", 0.2, 1, 1), ("bin", 0.3, 1, 1),
        ("clutter", 0.6, 1, 3),
    ),
    "studio": (
        ("door", 0.9, 1, 2), ("curtained window", 0.9, 1, 2), ("kitchen run", 1.0, 1, 1), ("bed", 1.0, 1, 1),
        ("sofa", 0.95, 1, 1), ("dining", 0.9, 1, 1), ("wardrobe", 0.5, 1, 1), ("bookshelf", 0.4, 1, 1),
        ("low cabinet", 0.4, 1, 1), ("desk", 0.25, 1, 1), ("easy chair", 0.3, 1, 1), ("rug", 0.5, 1, 1),
        ("radiator", 0.3, 1, 1), ("picture", 0.7, 1, 3), ("small", 0.3, 1, 1), ("clutter", 0.6, 1, 3),
    ),
    "classroom": (
        ("door", 1.0, 1, 1), ("window", 0.95, 2, 3), ("lessons", 1.0, 1, 1), ("bookshelf", 0.8, 1, 2),
        ("files", 0.5, 1, 2), ("vanity", 0.3, 1, 1), ("counter", 0.25, 1, 1), ("picture", 0.8, 1, 4),
        ("radiator", 0.5, 1, 2), ("bin", 0.7, 1, 1), ("chair", 0.4, 1, 2), ("clutter", 0.5, 1, 3),
    ),
    "meeting_room": (
        ("door", 1.0, 1, 2), ("curtained window", 0.85, 1, 2), ("conference", 1.0, 1, 1), ("board", 0.6, 1, 1),
        ("low cabinet", 0.7, 1, 2), ("counter", 0.35, 1, 1), ("refrigerator", 0.35, 1, 1), ("sofa", 0.25, 1, 1),
        ("bookshelf", 0.25, 1, 1), ("chair", 0.5, 1, 3), ("picture", 0.7, 1, 3), ("bin", 0.5, 1, 1),
        ("small", 0.3, 1, 1), ("clutter", 0.5, 1, 2),
    ),
    "washroom": (
        ("door", 0.95, 1, 1), ("window", 0.4, 1, 1), ("toilet", 0.9, 1, 1), ("tub", 0.45, 1, 1), ("shower", 0.45, 1, 1),
        ("vanity", 0.95, 1, 1), ("washer", 0.9, 1, 2), ("counter", 0.5, 1, 1), ("cabinet", 0.4, 1, 1),
        ("picture", 0.4, 1, 2), ("bin", 0.5, 1, 2), ("radiator", 0.2, 1, 1), ("rug", 0.3, 1, 1), ("clutter", 0.4, 1, 2),
    ),
}  # fmt: skip

KINDS = tuple(RECIPES)


def plan(kind: str, rng: np.random.Generator, style: Style) -> Room:
    """Furnish a room; it has a connected free floor to walk on and, at the last, walls, floor and ceiling."""
    while True:
        room = _furnish(kind, Kit(rng, style))
        free, cell = free_floor(room)
        if free.sum() * cell**2 >= (0.6 * MIN_FREE_M2 if kind in WET else MIN_FREE_M2):
            return room


def _furnish(kind: str, kit: Kit) -> Room:
    width, depth = (kit.between(*edge) for edge in kit.style.rooms[kind])
    room = Room(kind, width, depth, kit.size("room.height"), kit)
    room.window_light = kit.between(0.9, 3.0) if kit.chance(0.75) else kit.between(0.02, 0.15)
    for group, chance, least, most in RECIPES[kind]:
        if kit.chance(chance):
            for _ in range(int(kit.rng.integers(least, most + 1))):
                GROUPS[group](room)
    _shell(room)
    _ceiling(room)
    return room


def _shell(room: Room) -> None:
    """Four walls of boxes around their openings, skirting boards, the floor, and a dim space behind doors."""
    kit, thick = room.kit, 0.16
    wet = room.kind in WET or (room.kind == "kitchen" and kit.chance(0.3))
    main = kit.material("wet wall" if wet else "wall")
    other = kit.material("wall") if kit.chance(0.25) else main
    skirt, high = kit.family("white") if kit.chance(0.6) else kit.family("wood"), kit.between(0.05, 0.12)
    skirted = kit.chance(0.7)
    for k in range(4):
        material, length = other if k == 1 else main, room.wall_length(k)
        wall = Piece("wall", (length, thick, room.height))
        for u0, u1, z0, z1 in _around(room.openings[k], length, room.height):
            w = u1 - u0
            wall.add(box(length / 2 - (u0 + u1) / 2, 0, z0, w, thick, z1 - z0), material)
            if skirted and z0 == 0:
                wall.add(box(length / 2 - (u0 + u1) / 2, -thick / 2 - 0.004, 0, w, 0.008, high), skirt)
        room.placed.append(_flipped(room.at_wall(wall, k, length / 2, -thick)))
        for o in room.openings[k]:
            if o.z0 == 0:
                _hall(room, k, o)
    floor = Piece("floor", (room.width, room.depth, 0.1))
    floor.add(
        box(0, 0, -0.1, room.width + 2 * thick, room.depth + 2 * thick, 0.1),
        kit.material("wet floor" if wet else "floor"),
    )
    room.placed.append(Placed(floor, room.width / 2, room.depth / 2, 0.0, 0.0, solid=False))


def _flipped(spot: Placed) -> Placed:
    return Placed(spot.piece, spot.x, spot.y, spot.z, spot.yaw, solid=False)


def _around(openings: list[Opening], length: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles (u0, u1, z0, z1) of the wall that is left around its openings, with the corners closed."""
    pieces, at = [], -0.16
    for o in sorted(openings, key=lambda o: o.u0):
        pieces.append((at, o.u0, 0.0, height))
        if o.z0 > 0:
            pieces.append((o.u0, o.u1, 0.0, o.z0))
        if o.z1 < height:
            pieces.append((o.u0, o.u1, o.z1, height))
        at = o.u1
    return [*pieces, (at, length + 0.16, 0.0, height)]


def _hall(room: Room, wall: int, o: Opening) -> None:
    """What one sees through an open door: a piece of another room."""
    w, d, h = o.u1 - o.u0 + 2.2, 1.6, room.height
    paint = room.kit.material("wall")
    hall = Piece("wall", (w, d, h))
    hall.add(box(0, d / 2 - 0.05, 0, w, 0.1, h), paint)
    for x in (-w / 2 + 0.05, w / 2 - 0.05):
        hall.add(box(x, 0, 0, 0.1, d, h), paint)
    hall.add(box(0, 0, -0.101, w, d, 0.1), room.kit.material("floor"), "floor").add(
        box(0, 0, h, w, d, 0.1), paint, NOTHING
    )
    mid = (o.u0 + o.u1) / 2
    room.placed.append(_flipped(room.at_wall(hall, wall, mid, -d - 0.161)))


def _ceiling(room: Room) -> None:
    kit = room.kit
    ceiling = Piece(NOTHING, (room.width, room.depth, 0.1))
    ceiling.add(box(0, 0, 0, room.width + 0.4, room.depth + 0.4, 0.1), kit.material("ceiling"))
    room.placed.append(Placed(ceiling, room.width / 2, room.depth / 2, room.height, 0.0, solid=False))
    count = 1 if room.width * room.depth < 12 else int(kit.rng.integers(1, 4))
    glow = kit.between(0.8, 2.0)
    for k in range(count):
        x = room.width * (k + 0.5) / count + kit.rng.normal(0, 0.15)
        y = room.depth / 2 + kit.rng.normal(0, 0.3)
        lamp = furniture.ceiling_lamp(kit, glow, room.height - 2.05)
        room.placed.append(Placed(lamp, float(x), float(y), room.height, 0.0, solid=False))
        low = min(part.mesh.vertices[:, 2].min() for part in lamp.parts)
        room.lights.append((float(x), float(y), room.height + float(low) - 0.1))


# ---------------------------------------------------------------- free floor


def free_floor(room: Room, cell: float = 0.08, clearance: float = 0.22) -> tuple[np.ndarray, float]:
    """Cells [rows y, columns x] where a person can stand: the largest connected part, and the cell's edge in metres."""
    from scipy import ndimage

    ny, nx = int(room.depth / cell), int(room.width / cell)
    y, x = np.meshgrid((np.arange(ny) + 0.5) * cell, (np.arange(nx) + 0.5) * cell, indexing="ij")
    free = (np.minimum(x, room.width - x) > clearance) & (np.minimum(y, room.depth - y) > clearance)
    for spot in room.placed:
        if not spot.solid and spot.piece.size[2] < 0.15 or spot.piece.kind in ("wall", "floor") or spot.z > 1.9:
            continue
        local = (np.stack([x - spot.x, y - spot.y], -1)) @ turn(spot.yaw)[:2, :2]
        inside = (np.abs(local) < np.array(spot.piece.size[:2]) / 2 + clearance).all(-1)
        free &= ~inside
    parts, count = ndimage.label(free)
    if count == 0:
        return free, cell
    biggest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return parts == biggest, cell
