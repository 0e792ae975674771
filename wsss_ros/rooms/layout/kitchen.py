"""Kitchen counters, with refrigerators next to them and cabinets above."""

from wsss_ros.rooms.furniture.cabinets import upper_cabinet
from wsss_ros.rooms.furniture.chairs import stool
from wsss_ros.rooms.furniture.kitchen import kitchen_counter
from wsss_ros.rooms.layout.kitchen_units import hang_units, unit_run
from wsss_ros.rooms.layout.room import Placed, Room


def place_kitchen_run(room: Room) -> None:
    """A counter with a sink, a refrigerator next to it, cabinets above."""
    kit = room.kit
    wall = int(kit.rng.integers(4))
    for k in range(24 if room.stock else 10):
        length = room.wall_length(wall)
        longest = min(kit.size("counter.w"), length - 0.9) * (0.95**k if room.stock else 1.0)
        base = unit_run(room, longest)
        run = base.piece if base else kitchen_counter(kit, longest, sink=True, stove=kit.chance(0.7))
        spot = room.against_wall(run, front=0.7, wall=wall, gap=(0.0, 0.01), corner=0.6, tries=15)
        if spot:
            break
        wall = (wall + 1) % 4
    else:
        return
    cold = room.build("refrigerator")
    side = kit.rng.choice([-1, 1])
    shift = (run.size[1] - cold.size[1]) / 2
    for s in (side, -side):
        if room.next_to(cold, spot, s * (run.size[0] / 2 + cold.size[0] / 2 + 0.05), shift - 0.01, margin=0.0):
            break
    if base:
        hang_units(room, base, spot, wall)
    else:
        _uppers(room, spot, wall)
    if kit.chance(0.45):
        place_counter(room)


def place_counter(room: Room) -> None:
    """A counter without a sink, at a wall or as an island, by chance with stools before it."""
    kit = room.kit
    piece = room.model("island") or kitchen_counter(kit, kit.between(0.9, 1.8), sink=False, stove=False)
    spot = room.free_standing(piece, margin=0.7, square=1.0) if kit.chance(0.35) else None
    if spot is None:
        spot = room.against_wall(piece, front=0.6, gap=(0.0, 0.01), corner=0.4)
    elif kit.chance(0.6):
        seat = room.model("stool") or stool(kit)
        for x in (-0.3, 0.3):
            room.next_to(seat, spot, x, piece.size[1] / 2 + seat.size[1] / 2 + 0.05)


def _uppers(room: Room, base: Placed, wall: int) -> None:
    """Cabinets that hang above a counter, with or without a gap in the middle."""
    kit, z = room.kit, room.kit.size("upper.z")
    body = base.piece.parts[1].material if kit.chance(0.7) else kit.material("cabinet")
    length = room.wall_length(wall)
    u = room.along(base, wall)
    half = base.piece.size[0] / 2
    for part in ((-half, -0.1), (0.1, half)) if kit.chance(0.5) else ((-half, half),):
        a, b = max(u + part[0], 0.02), min(u + part[1], length - 0.02)
        if b - a < 0.35 or kit.chance(0.2):
            continue
        room.hang(upper_cabinet(kit, b - a, body), wall, (a + b) / 2, z)
