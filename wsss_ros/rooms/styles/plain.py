"""A simple style of rooms, which a small network learns from tags in minutes.

Every class has only a few colours of one or two families. Some classes share colours: beds, wardrobes, shelves and
doors are of the same woods.
"""

from dataclasses import replace

from wsss_ros.rooms.styles.default import DEFAULT

# fmt: off
PALETTES = {
    "wood": ((139, 94, 60), (120, 86, 62), (105, 68, 44)),
    "paint": ((214, 206, 188), (198, 204, 206), (206, 192, 178)),
    "white": ((240, 238, 232), (228, 226, 220)),
    "carpet": ((132, 126, 118), (108, 104, 102), (92, 98, 110)),
    "tile": ((150, 146, 140), (176, 172, 166)),
    "linen": ((150, 166, 190), (120, 130, 150), (180, 190, 208)),
    "fabric": ((84, 110, 78), (46, 80, 78), (104, 116, 84)),
    "vivid": ((176, 64, 56), (200, 110, 60), (160, 60, 84)),
    "card": ((214, 188, 150), (200, 166, 124)),
}

MATERIALS = {
    "wall": (("paint", 3), ("white", 2)),
    "floor": (("carpet", 3), ("tiling", 2)),
    "cabinet": (("wood", 1),),
    "bed frame": (("wood", 1),),
    "bedding": (("linen", 1),),
    "chair": (("vivid", 1),),
    "chair legs": (("metal", 1),),
    "sofa": (("fabric", 1),),
    "table": (("dark", 1),),
    "desk": (("card", 1),),
    "door": (("wood", 1),),
    "window": (("white", 1),),
    "bookshelf": (("wood", 1),),
    "curtain": (("pattern", 1),),
    "otherfurniture": (("metal", 2), ("white", 1)),
    "rug": (("carpet", 1),),
}
# fmt: on


PLAIN = replace(
    DEFAULT,
    palettes={**DEFAULT.palettes, **PALETTES},
    materials={**DEFAULT.materials, **MATERIALS},
    kinds=("bedroom", "living_room", "office"),
)
