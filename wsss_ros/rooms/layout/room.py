"""A room while it is furnished: its pieces and openings, and functions that place a piece."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64

from wsss_ros.rooms.furniture import build
from wsss_ros.rooms.furniture.piece import NOTHING, Part, Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.meshes import turn
from wsss_ros.rooms.stock import Stock

THICK = 0.16  # metres, of walls
REACH = 0.04  # metres that pieces keep apart at least
WALL_YAW = (np.pi, -np.pi / 2, 0.0, np.pi / 2)  # of a piece with its back at wall 0..3
OPENINGS = ("door", "window", "curtain")  # classes at the holes of walls
WET = ("bathroom", "washroom")  # kinds with tiles, small windows and little floor


@dataclass(frozen=True)
class Placed:
    """A piece in the room: turned by ``yaw`` about z, then moved to (x, y, z). Only solid pieces collide."""

    piece: Piece
    x: float
    y: float
    z: float
    yaw: float
    solid: bool = True

    def corners(self, margin: float = 0.0) -> Float64[np.ndarray, "4 2"]:
        """Corners of its rectangle on the floor, enlarged by ``margin``."""
        a, b = self.piece.size[0] / 2 + margin, self.piece.size[1] / 2 + margin
        local = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
        return local @ turn(self.yaw)[:2, :2].T + (self.x, self.y)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The point (x, y) of the piece's frame in the room's frame."""
        px, py = turn(self.yaw)[:2, :2] @ (x, y) + (self.x, self.y)
        return float(px), float(py)

    def radius(self) -> float:
        """Half the diagonal of its rectangle on the floor."""
        return float(np.hypot(self.piece.size[0], self.piece.size[1])) / 2

    def span(self) -> tuple[float, float]:
        """Its lowest and highest z."""
        return self.z, self.z + self.piece.size[2]

    def vertices(self, part: Part) -> Float64[np.ndarray, "N 3"]:
        """A part's vertices in the room's frame."""
        return part.mesh.vertices @ turn(self.yaw).T + (self.x, self.y, self.z)


@dataclass
class Opening:
    """A hole in a wall: from u0 to u1 along the wall, from z0 to z1 in height."""

    u0: float
    u1: float
    z0: float
    z1: float


def overlap(a: Placed, b: Placed, margin: float = 0.0) -> bool:
    """Whether two pieces overlap: by the separating axes of their rectangles, then by their heights."""
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
    """A room while it is furnished. Wall k of 0..3 runs along y=0, x=width, y=depth, x=0.

    ``kept_free`` are blocks of space in which no piece may stand. ``openings`` holds the holes of each wall. ``stock``
    are the models of furniture libraries that the room may have; None for procedural pieces only. A place that was not
    furnished here has its ``free`` floor (cells and their edge) and a function that says from which of some places a
    target is ``in_sight``.
    """

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
    free: tuple[Bool[np.ndarray, "Y X"], float] | None = None
    in_sight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    stock: Stock | None = None

    def build(self, what: str) -> Piece:
        """A piece of a class (or group of shapes): a model of the stock, where it has one, or a procedural piece."""
        return self.model(what) or build(self.kit, what)

    def model(self, use: str, hung: bool = True) -> Piece | None:
        """A model of the stock for a use of ``uses.USES``, as ``Stock.draw`` returns it.

        None without one, and for the share of procedural pieces.
        """
        return self.stock.draw(self.kit, use, hung=hung) if self.stock and self.kit.chance(self.stock.share) else None

    def first(self, what: str, put: Callable[[Piece], "Placed | None"]) -> "Placed | None":
        """Place the first of a few pieces of a class that ``put`` finds a place for; else None."""
        for _ in range(4 if self.stock else 1):
            if spot := put(self.build(what)):
                return spot
        return None

    def wall_length(self, wall: int) -> float:
        """Metres along a wall."""
        return self.width if wall % 2 == 0 else self.depth

    def at_wall(self, piece: Piece, wall: int, u: float, gap: float, z: float = 0.0) -> Placed:
        """The piece with its back ``gap`` from the wall and its middle at ``u`` along it."""
        v = piece.size[1] / 2 + gap
        x, y = ((u, v), (self.width - v, u), (self.width - u, self.depth - v), (v, self.depth - u))[wall]
        return Placed(piece, x, y, z, WALL_YAW[wall])

    def along(self, spot: Placed, wall: int) -> float:
        """The position of a piece along a wall, metres."""
        return (spot.x, spot.y, self.width - spot.x, self.depth - spot.y)[wall]

    def in_front(self, of: Placed, deep: float, margin: float = 0.0) -> Placed:
        """The space in front of a piece, ``deep`` metres deep, as an invisible block."""
        block = Piece(NOTHING, (of.piece.size[0] + 2 * margin, deep, 1.9))
        return Placed(block, *of.point(0, -(of.piece.size[1] + deep) / 2), 0.0, of.yaw)

    def inside(self, spot: Placed, margin: float = 0.0) -> bool:
        """Whether the piece stays ``margin`` away from the walls."""
        c = spot.corners()
        return bool(c.min() >= margin - 1e-6 and (c[:, 0] <= self.width - margin + 1e-6).all()
                    and (c[:, 1] <= self.depth - margin + 1e-6).all())  # fmt: skip

    def fits(self, spot: Placed, margin: float = REACH) -> bool:
        """Whether the piece is inside the room and overlaps no other piece and no space that must stay free."""
        if not self.inside(spot):
            return False
        return not any(overlap(spot, other, margin) for other in self.placed + self.kept_free if other.solid)

    def place(self, spot: Placed, front: float = 0.0) -> Placed:
        """Add a piece to the room and keep ``front`` metres free before it."""
        self.placed.append(spot)
        if front:
            self.kept_free.append(self.in_front(spot, front))
        return spot

    def against_wall(
        self, piece: Piece, front: float = 0.0, z: float = 0.0, wall: int | None = None, tries: int = 30,
        gap: tuple[float, float] = (0.005, 0.06), corner: float = 0.0, reserve: bool = True,
    ) -> Placed | None:  # fmt: skip
        """Place a piece at the first of ``tries`` random spots along the walls at which it fits; else None.

        ``corner`` is the share of tries in a corner. ``front`` metres before the piece must be free; they stay free
        with ``reserve``.
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
                return self.place(spot, front if reserve else 0.0)
        return None

    def hang(self, piece: Piece, wall: int, u: float, z: float) -> None:
        """Hang a piece on a wall at ``u`` along it and at the height z, when it fits there."""
        spot = self.at_wall(piece, wall, u, 0.0, z)
        if self.fits(spot, 0.0) and not self._covers_opening(spot, wall, u):
            self.place(spot)

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
        """Place a piece anywhere in the room with ``margin`` around it, or return None.

        The share ``square`` of the tries is about parallel to the walls.
        """
        rng = self.kit.rng
        for _ in range(tries):
            yaw = float(rng.integers(4) * np.pi / 2)
            yaw += float(rng.normal(0, 0.04)) if rng.random() < square else float(rng.uniform(-0.8, 0.8))
            x, y = rng.uniform(0.4, self.width - 0.4), rng.uniform(0.4, self.depth - 0.4)
            spot = Placed(piece, float(x), float(y), 0.0, yaw)
            if self.inside(spot, 0.25) and self.fits(spot, margin):
                return self.place(spot)
        return None

    def next_to(
        self, piece: Piece, of: Placed, x: float, y: float, yaw: float = 0.0, margin: float = 0.01
    ) -> Placed | None:
        """Place a piece at (x, y) and ``yaw`` in another piece's frame when it fits there; else None."""
        spot = Placed(piece, *of.point(x, y), 0.0, of.yaw + yaw)
        return self.place(spot) if self.fits(spot, margin) else None

    def lay_on(self, piece: Piece, of: Placed) -> None:
        """Add things that lie on a piece; their heights are in the piece's frame."""
        self.placed.append(Placed(piece, of.x, of.y, of.z, of.yaw, solid=False))
