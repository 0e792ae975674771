"""The pieces of furniture of each kind of room."""

from collections.abc import Callable

from wsss_ros.rooms.furniture.wall_things import board, mirror, picture
from wsss_ros.rooms.layout.at_walls import (
    place_bin,
    place_clutter,
    place_radiator,
    place_small,
    wall_hanging,
    wall_piece,
)
from wsss_ros.rooms.layout.bath import place_shower, place_toilet, place_tub, place_vanity
from wsss_ros.rooms.layout.bed_and_sofa import place_bed, place_chair, place_easy_chair, place_rug, place_sofa
from wsss_ros.rooms.layout.kitchen import place_counter, place_kitchen_run
from wsss_ros.rooms.layout.openings import place_curtained_window, place_door, place_plain_window
from wsss_ros.rooms.layout.room import Room
from wsss_ros.rooms.layout.tables import place_conference, place_desk, place_dining, place_lessons

# group of pieces -> the function that places it
GROUPS: dict[str, Callable[[Room], None]] = {
    "door": place_door,
    "window": place_plain_window,
    "curtained window": place_curtained_window,
    "bed": place_bed,
    "desk": place_desk,
    "dining": place_dining,
    "sofa": place_sofa,
    "easy chair": place_easy_chair,
    "kitchen run": place_kitchen_run,
    "counter": place_counter,
    "vanity": place_vanity,
    "toilet": place_toilet,
    "tub": place_tub,
    "shower": place_shower,
    "wardrobe": wall_piece("wardrobe", 0.5),
    "cabinet": wall_piece("cabinet"),
    "low cabinet": wall_piece("low cabinet"),
    "files": wall_piece("file cabinet"),
    "bookshelf": wall_piece("bookshelf"),
    "refrigerator": wall_piece("refrigerator", 0.5),
    "picture": wall_hanging(picture, use="picture"),
    "mirror": wall_hanging(mirror, 1.1),
    "board": wall_hanging(board, 0.9),
    "conference": place_conference,
    "lessons": place_lessons,
    "washer": wall_piece("washer", 0.5),
    "small": place_small,
    "radiator": place_radiator,
    "bin": place_bin,
    "clutter": place_clutter,
    "rug": place_rug,
    "chair": place_chair,
}


# kind of room -> rows (group, chance, least, most): with this chance, this many of them; in the order of placing
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
