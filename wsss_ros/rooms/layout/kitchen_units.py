"""Kitchens of real models: base units of one make side by side, with a sink and an oven; cabinets and a hood above."""

import re
from dataclasses import dataclass

from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.layout.room import Placed, Room

MODELS = 0.75  # of the kitchens are of models, where the stock has base units
SAME_HEIGHT_M, SAME_DEPTH_M = 0.06, 0.08  # largest differences of units that stand side by side


@dataclass(frozen=True)
class Run:
    """Base units side by side as one piece, the make of the units, and where the stove stands along the run."""

    piece: Piece
    make: frozenset[str]
    stove: float | None
    stove_width: float


def unit_run(room: Room, longest: float) -> Run | None:
    """Base units of the stock side by side, at most ``longest`` metres; None where it has none, and by chance."""
    stock, kit = room.stock, room.kit
    if stock is None or not kit.chance(MODELS):
        return None
    bases = [name for _, name in stock.names_for("kitchen base")]
    if not bases:
        return None
    make = make_of(bases[int(kit.rng.integers(len(bases)))], bases)
    first = stock.draw_named(kit, "kitchen base", make)
    _, depth, height = first.size
    units, width = [first], first.size[0]

    def fits(size: tuple[float, float, float]) -> bool:
        alike = abs(size[1] - depth) < SAME_DEPTH_M and abs(size[2] - height) < 0.4
        return alike and width + size[0] <= max(longest, 1.3)

    sink = stock.draw_named(kit, "kitchen sink", make, fits)
    if sink:
        units.append(sink)
        width += sink.size[0]
    oven = stock.draw_named(kit, "oven", frozenset(), fits) if kit.chance(0.7) else None
    if oven:
        width += oven.size[0]
    while unit := stock.draw_named(kit, "kitchen base", make, fits):
        units.append(unit)
        width += unit.size[0]
    order = [units[k] for k in kit.rng.permutation(len(units))]
    if oven:
        order.insert(int(kit.rng.integers(len(order) + 1)), oven)
    deepest = max(unit.size[1] for unit in order)
    run, at, stove = Piece("counter", (width, deepest, height)), -width / 2, None
    for unit in order:
        x = at + unit.size[0] / 2
        run.put(unit, x, (deepest - unit.size[1]) / 2, 0)
        if unit is oven:
            stove = x
        at += unit.size[0]
    if stove is None:
        stove = _cooktop(room, run, order, height)
    return Run(run, make, stove, oven.size[0] if oven else 0.6)


def make_of(name: str, others: list[str]) -> frozenset[str]:
    """The words of a name that may say who made the model: those that not all others have."""
    words = [frozenset(re.split(r"[_\W]+", other.lower().split("__")[-1])) for other in (name, *others)]
    return words[0] - frozenset.intersection(*words)


def _cooktop(room: Room, run: Piece, order: list[Piece], height: float) -> float | None:
    """Set a cooktop on a unit without a sink; returns its place along the run."""
    top = room.stock.draw(room.kit, "cooktop", hung=False)
    at = -run.size[0] / 2
    for unit in order:
        x = at + unit.size[0] / 2
        at += unit.size[0]
        if top and top.size[0] < unit.size[0] and not any(part.label == "sink" for part in unit.parts):
            run.put(top, x, 0, height)
            return x
    return None


def hang_units(room: Room, run: Run, base: Placed, wall: int) -> None:
    """Wall cabinets of the same make above a run, and a hood above its stove."""
    kit, stock = room.kit, room.stock
    u, width = room.along(base, wall), run.piece.size[0]
    hood = None
    if run.stove is not None and kit.chance(0.7):
        hood = stock.draw(kit, "hood", lambda size: size[2] < 0.9, hung=False)
    # A piece at a wall has its own x against the direction of the wall.
    taken = None
    if hood:
        room.hang(hood, wall, u - run.stove, min(1.5, room.height - hood.size[2] - 0.03))
        half = max(hood.size[0], run.stove_width) / 2
        taken = (u - run.stove - half, u - run.stove + half)
    at, end, z = u - width / 2, u + width / 2, kit.between(1.38, 1.48)

    def fits(size: tuple[float, float, float]) -> bool:
        return size[0] <= end - at

    while unit := stock.draw_named(kit, "upper cabinet", run.make, fits):
        if taken and at < taken[1] and at + unit.size[0] > taken[0]:
            at = taken[1]
            continue
        if z + unit.size[2] < room.height and not kit.chance(0.1):
            room.hang(unit, wall, at + unit.size[0] / 2, z)
        at += unit.size[0]
