"""Doors and windows: each cuts a hole into its wall."""

from dataclasses import replace

import numpy as np

from wsss_ros.rooms.furniture.openings import curtains, door, window
from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.layout.room import THICK, WET, Opening, Room, overlap
from wsss_ros.rooms.meshes import box
from wsss_ros.rooms.stock import raised


def place_door(room: Room) -> None:
    """A door in a random wall, with free floor before it; none where that wall is taken."""
    kit, wall = room.kit, int(room.kit.rng.integers(4))
    w, h, length = kit.size("door.w"), kit.size("door.h"), room.wall_length(wall)
    model = room.model("wide door" if room.stock and kit.chance(0.1) else "door")
    if model is not None:
        w, _, h = model.size
    u = kit.between(w / 2 + 0.12, length - w / 2 - 0.12)
    angle = 0.0 if kit.chance(0.6) else kit.between(0.6, 1.7)
    leaf = model or door(kit, w, h, angle)
    if model is None:
        leaf.size = (w, 0.12, h)
    spot = room.at_wall(leaf, wall, u, -THICK / 2 - leaf.size[1] / 2 if model else -0.12)
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
    model = window_model(room, length)
    if model is not None:
        (w, _, h), z = model[0].size, model[1]
    for _ in range(8):
        u = kit.between(w / 2 + 0.2, length - w / 2 - 0.2)
        if not _hole_taken(room, wall, u, w):
            break
    else:
        return
    room.openings[wall].append(Opening(u - w / 2, u + w / 2, z, z + h))
    pane = glazed(room, model[0]) if model else window(kit, w, h, 3 * room.window_light)
    spot = room.at_wall(pane, wall, u, -0.1 - pane.size[1] / 2 if model else -0.15, z)
    room.placed.append(spot)
    if kit.chance(curtain):
        top = min(z + h + kit.between(0.08, 0.2), room.height - 0.05)
        wide = min(w + kit.between(0.2, 0.6), 2 * min(u, length - u) - 0.04)
        hanging = curtains(kit, wide, top, z)
        cloth = room.model("curtain") if room.stock and kit.chance(0.4) else None
        if cloth is not None and abs(cloth.size[0] - wide) < 0.5 and cloth.size[2] < room.height - 0.05:
            top = min(max(top, cloth.size[2]), room.height - 0.04)
            hanging = raised(cloth, top - cloth.size[2])
        spot = room.at_wall(hanging, wall, u, 0.01)
        if room.fits(spot, 0.0):
            room.place(spot)


def window_model(room: Room, length: float) -> tuple[Piece, float] | None:
    """A window of the stock that fits into a wall of this length, and the height of its sill; else None."""
    if room.stock is None or not room.kit.chance(room.stock.share):
        return None
    widest = 0.6 if room.kind in WET else 0.6 * length
    for _ in range(6):
        found = room.stock.draw_hung(room.kit, "window", lambda size: size[0] < widest)
        if found is None:
            return None
        piece, sill = found
        sill = sill or room.kit.between(0.5, 1.0)
        if room.kind == "kitchen" and sill < 0.9 and room.kit.chance(0.8):  # a counter may stand below it
            continue
        if sill + piece.size[2] < room.height - 0.12:
            return piece, sill
    return None


def glazed(room: Room, model: Piece) -> Piece:
    """A window model with a bright view out of it in place of its glass, in the plane of which y is 0."""
    kit, (w, _, h) = room.kit, model.size
    glass = [part.material.alpha < 1 for part in model.parts]
    panes = [part for part, seen_through in zip(model.parts, glass, strict=True) if seen_through]
    frame = [part for part, seen_through in zip(model.parts, glass, strict=True) if not seen_through]
    depth = np.median(np.concatenate([p.mesh.vertices[:, 1] for p in panes])) if panes else 0.0
    piece = Piece("window", (w, 0.1, h))
    piece.put(replace(model, parts=frame), 0, -float(depth), 0)
    view = box(0, 0.03 if panes else 0.045, 0.02, w - 0.04, 0.01, h - 0.04)
    return piece.add(view, kit.family("glass", emission=3 * room.window_light))


def _hole_taken(room: Room, wall: int, u: float, w: float) -> bool:
    return any(u - w / 2 - 0.08 < o.u1 and u + w / 2 + 0.08 > o.u0 for o in room.openings[wall])
