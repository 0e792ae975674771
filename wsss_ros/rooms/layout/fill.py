"""More furniture along the walls, until a room is as full as lived-in rooms are."""

from collections.abc import Callable

from wsss_ros.rooms.layout.room import OPENINGS, WET, Room

# kind of room -> rows (what, metres free before it, weight)
MORE = {
    "bedroom": (("low cabinet", 0.5, 3), ("wardrobe", 0.5, 2), ("bookshelf", 0.4, 1.5), ("easy chair", 0.3, 1),
                ("otherfurniture", 0.3, 2), ("side table", 0.3, 0.5)),
    "living_room": (("low cabinet", 0.5, 3), ("bookshelf", 0.4, 2.5), ("easy chair", 0.4, 2), ("cabinet", 0.4, 1.5),
                    ("otherfurniture", 0.3, 1.5), ("side table", 0.2, 1)),
    "kitchen": (("cabinet", 0.5, 2), ("otherfurniture", 0.2, 1.5), ("refrigerator", 0.6, 0.4), ("washer", 0.5, 1),
                ("low cabinet", 0.5, 1.5), ("chair", 0.3, 1)),
    "office": (("file cabinet", 0.5, 2), ("bookshelf", 0.4, 3), ("low cabinet", 0.4, 1.5), ("chair", 0.3, 1),
               ("easy chair", 0.4, 0.7), ("cabinet", 0.4, 2)),
    "bathroom": (("washer", 0.5, 1.5), ("low cabinet", 0.4, 1), ("bin", 0.1, 1.5), ("otherfurniture", 0.2, 0.7)),
    "library": (("bookshelf", 0.5, 6), ("easy chair", 0.4, 1.5), ("low cabinet", 0.4, 1), ("side table", 0.2, 1)),
    "studio": (("low cabinet", 0.5, 2), ("bookshelf", 0.4, 2), ("wardrobe", 0.5, 1.5), ("easy chair", 0.4, 1.5),
               ("otherfurniture", 0.3, 2)),
    "classroom": (("bookshelf", 0.4, 3), ("low cabinet", 0.4, 2), ("file cabinet", 0.4, 1.5), ("chair", 0.2, 1)),
    "meeting_room": (("low cabinet", 0.5, 2), ("chair", 0.3, 2), ("bookshelf", 0.4, 1), ("otherfurniture", 0.3, 1)),
    "washroom": (("washer", 0.5, 2), ("low cabinet", 0.4, 1), ("bin", 0.1, 1), ("otherfurniture", 0.2, 1)),
}  # fmt: skip

MOST = {"washer": 1, "refrigerator": 1, "bookshelf": 4, "otherfurniture": 2}  # most of one kind; 2 of others


def fill_walls(room: Room, share: float, roomy: Callable[[Room], bool]) -> None:
    """Place pieces along the walls until they take up the ``share`` of what doors leave of the walls.

    A piece is taken out again, and no further one is placed, when the room is not ``roomy`` with it.
    """
    kit = room.kit
    left = {what: (front, weight, MOST.get(what, 2)) for what, front, weight in MORE[room.kind]}
    for _ in range(20):
        if not left or taken(room) >= share:
            return
        weights = [weight for _, weight, _ in left.values()]
        what = list(left)[int(kit.rng.choice(len(left), p=[w / sum(weights) for w in weights]))]
        front, weight, count = left.pop(what)
        before = len(room.placed), len(room.kept_free)
        if room.against_wall(room.build(what), front=front, corner=0.45, gap=(0.01, 0.06), tries=20):
            count -= 1
            if not roomy(room):
                del room.placed[before[0] :], room.kept_free[before[1] :]
                return
        if count:
            left[what] = (front, weight, count)


def taken(room: Room) -> float:
    """The share of the walls, without doors, in front of which something stands on the floor."""
    length = 2 * (room.width + room.depth) - sum(o.u1 - o.u0 for wall in room.openings for o in wall if o.z0 == 0)
    used = 0.0
    for spot in room.placed:
        if spot.solid and spot.z < 0.3 and spot.piece.kind not in OPENINGS:
            low, high = spot.corners().min(0), spot.corners().max(0)
            near_x = low[0] < 0.3 or high[0] > room.width - 0.3
            near_y = low[1] < 0.3 or high[1] > room.depth - 0.3
            used += (high[1] - low[1]) * near_x + (high[0] - low[0]) * near_y
    return used / max(length, 0.1)


def hang_more(room: Room) -> None:
    """More pictures, towels and machines on the walls."""
    kit = room.kit
    wet = room.kind in WET or room.kind == "kitchen"
    for _ in range(int(kit.rng.integers(0, 3 if wet else 4))):
        piece = room.model("picture", hung=False)
        z = kit.size("picture.z")
        if piece and z + piece.size[2] < room.height - 0.1:
            room.against_wall(piece, z=z, gap=(0.0, 0.005), tries=10)
    for _ in range(int(kit.rng.integers(0, 3))):
        found = room.stock.draw_hung(kit, "wet wall thing" if wet else "wall thing")
        if found:
            piece, z = found
            z = z if z > 0.6 else min(kit.between(1.2, 1.5), room.height - piece.size[2] - 0.1)
            room.against_wall(piece, z=z, gap=(0.0, 0.005), tries=10)
