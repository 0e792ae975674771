"""Doors and windows: each cuts a hole into its wall."""

from wsss_ros.rooms.furniture.openings import curtains, door, window
from wsss_ros.rooms.layout.room import WET, Opening, Room, overlap


def place_door(room: Room) -> None:
    """A door in a random wall, with free floor before it; none where that wall is taken."""
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    w, h, length = kit.size("door.w"), kit.size("door.h"), room.wall_length(wall)
    u = kit.between(w / 2 + 0.12, length - w / 2 - 0.12)
    angle = 0.0 if kit.chance(0.6) else kit.between(0.6, 1.7)
    leaf = door(kit, w, h, angle)
    leaf.size = (w, 0.12, h)
    spot = room.at_wall(leaf, wall, u, -0.12)
    clear = room.in_front(spot, 0.75)
    taken = any(overlap(clear, other, 0.05) for other in room.placed if other.piece.kind == "door")
    if not taken and not _hole_taken(room, wall, u, w):
        room.openings[wall].append(Opening(u - w / 2, u + w / 2, 0.0, h))
        room.placed.append(spot)
        room.kept_free.append(clear)


def place_plain_window(room: Room) -> None:
    """A window, seldom with a curtain."""
    place_window(room, 0.12)


def place_curtained_window(room: Room) -> None:
    """A window, mostly with a curtain."""
    place_window(room, 0.75)


def place_window(room: Room, curtain: float) -> None:
    """A window in a random wall; none where that wall is taken. ``curtain`` is the chance of one."""
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
    pane = window(kit, w, h, 3 * room.window_light)
    spot = room.at_wall(pane, wall, u, -0.15, z)
    room.placed.append(spot)
    if kit.chance(curtain):
        top = min(z + h + kit.between(0.08, 0.2), room.height - 0.05)
        wide = min(w + kit.between(0.2, 0.6), 2 * min(u, length - u) - 0.04)
        hanging = curtains(kit, wide, top, z)
        cloth = room.at_wall(hanging, wall, u, 0.01)
        if room.fits(cloth, 0.0):
            room.place(cloth)


def _hole_taken(room: Room, wall: int, u: float, w: float) -> bool:
    return any(u - w / 2 - 0.08 < o.u1 and u + w / 2 + 0.08 > o.u0 for o in room.openings[wall])
