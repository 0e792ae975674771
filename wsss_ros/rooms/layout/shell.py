"""The shell of a room: walls, floor, ceiling with lamps, and the part of a hall behind an open door."""

from dataclasses import replace

from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.furniture.wall_things import ceiling_lamp
from wsss_ros.rooms.layout.room import THICK, WET, Opening, Placed, Room
from wsss_ros.rooms.meshes import box


def add_walls_and_floor(room: Room) -> None:
    """Four walls of boxes around their openings, skirting boards, the floor, and a dim space behind doors."""
    kit = room.kit
    wet = room.kind in WET or (room.kind == "kitchen" and kit.chance(0.3))
    main = kit.material("wet wall" if wet else "wall")
    other = kit.material("wall") if kit.chance(0.25) else main
    skirt, high = kit.family("white") if kit.chance(0.6) else kit.family("wood"), kit.between(0.05, 0.12)
    skirted = kit.chance(0.7)
    for k in range(4):
        material, length = other if k == 1 else main, room.wall_length(k)
        wall = Piece("wall", (length, THICK, room.height))
        for u0, u1, z0, z1 in _around(room.openings[k], length, room.height):
            w = u1 - u0
            wall.add(box(length / 2 - (u0 + u1) / 2, 0, z0, w, THICK, z1 - z0), material)
            if skirted and z0 == 0:
                wall.add(box(length / 2 - (u0 + u1) / 2, -THICK / 2 - 0.004, 0, w, 0.008, high), skirt)
        room.placed.append(_not_solid(room.at_wall(wall, k, length / 2, -THICK)))
        for o in room.openings[k]:
            if o.z0 == 0:
                _hall(room, k, o)
    floor = Piece("floor", (room.width, room.depth, 0.1))
    floor.add(
        box(0, 0, -0.1, room.width + 2 * THICK, room.depth + 2 * THICK, 0.1),
        kit.material("wet floor" if wet else "floor"),
    )
    room.placed.append(Placed(floor, room.width / 2, room.depth / 2, 0.0, 0.0, solid=False))


def add_ceiling(room: Room) -> None:
    """A ceiling with one lamp to three; ``room.lights`` are the places of their light."""
    kit = room.kit
    ceiling = Piece(NOTHING, (room.width, room.depth, 0.1))
    ceiling.add(box(0, 0, 0, room.width + 0.4, room.depth + 0.4, 0.1), kit.material("ceiling"))
    room.placed.append(Placed(ceiling, room.width / 2, room.depth / 2, room.height, 0.0, solid=False))
    count = 1 if room.width * room.depth < 12 else int(kit.rng.integers(1, 4))
    glow = kit.between(0.8, 2.0)
    for k in range(count):
        x = room.width * (k + 0.5) / count + kit.rng.normal(0, 0.15)
        y = room.depth / 2 + kit.rng.normal(0, 0.3)
        if lamp := _lamp_model(room):
            room.placed.append(Placed(lamp, float(x), float(y), room.height - lamp.size[2], 0.0, solid=False))
            room.lights.append((float(x), float(y), room.height - lamp.size[2] - 0.1))
            continue
        lamp = ceiling_lamp(kit, glow, room.height - 2.05)
        room.placed.append(Placed(lamp, float(x), float(y), room.height, 0.0, solid=False))
        low = min(part.mesh.vertices[:, 2].min() for part in lamp.parts)
        room.lights.append((float(x), float(y), room.height + float(low) - 0.1))


def _lamp_model(room: Room) -> Piece | None:
    """A ceiling lamp of the stock that leaves 2 metres below it, in half of the cases; else None."""
    if room.stock is None or room.kit.chance(0.5):
        return None
    return room.stock.draw(room.kit, "ceiling lamp", lambda size: size[2] < 0.9 * (room.height - 2.0), hung=False)


def _around(openings: list[Opening], length: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles (u0, u1, z0, z1) of the wall that is left around its openings, with the corners closed."""
    pieces, at = [], -THICK
    for o in sorted(openings, key=lambda o: o.u0):
        pieces.append((at, o.u0, 0.0, height))
        if o.z0 > 0:
            pieces.append((o.u0, o.u1, 0.0, o.z0))
        if o.z1 < height:
            pieces.append((o.u0, o.u1, o.z1, height))
        at = o.u1
    return [*pieces, (at, length + THICK, 0.0, height)]


def _hall(room: Room, wall: int, o: Opening) -> None:
    """The piece of another room that is seen through an open door."""
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
    room.placed.append(_not_solid(room.at_wall(hall, wall, mid, -d - 0.161)))


def _not_solid(spot: Placed) -> Placed:
    return replace(spot, solid=False)
