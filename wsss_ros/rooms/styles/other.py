"""A style that is never used for training, to test how networks generalise.

No colour of its palettes is near a colour of the same family in the default style; its proportions, shapes and kinds of
rooms are different, too.
"""

from dataclasses import replace

from wsss_ros.rooms.styles.default import DEFAULT

# fmt: off
PALETTES = {
    "wood": (
        (107, 52, 60), (90, 32, 39), (141, 103, 106), (229, 186, 67), (190, 150, 18), (213, 216, 148), (131, 135, 112),
    ),
    "white": ((208, 240, 222), (191, 229, 246), (249, 240, 195), (246, 207, 204), (219, 209, 234)),
    "paint": (
        (207, 132, 109), (232, 192, 115), (119, 154, 150), (148, 149, 116), (122, 102, 116), (73, 77, 104),
        (204, 159, 164), (135, 185, 223), (157, 201, 173), (177, 162, 195), (239, 226, 140),
    ),
    "fabric": (
        (206, 167, 65), (110, 70, 91), (77, 126, 98), (131, 169, 168), (158, 148, 177), (212, 124, 73), (67, 57, 99),
        (163, 164, 114), (185, 142, 152), (42, 92, 160),
    ),
    "linen": (
        (243, 226, 156), (185, 216, 202), (233, 184, 174), (112, 172, 228), (192, 165, 203), (98, 154, 136),
        (198, 141, 119),
    ),
    "leather": ((103, 40, 44), (50, 69, 59), (41, 41, 64), (208, 149, 80), (185, 205, 210)),
    "dark": ((24, 25, 46), (28, 50, 40), (49, 27, 44), (63, 37, 32)),
    "metal": ((174, 160, 116), (161, 123, 110), (118, 119, 96), (103, 123, 149)),
    "stone": ((82, 106, 94), (192, 156, 152), (71, 75, 102), (212, 195, 159), (184, 213, 219)),
    "tile": ((121, 182, 191), (241, 226, 163), (186, 206, 173), (197, 148, 133), (83, 90, 127), (228, 197, 205)),
    "carpet": ((91, 58, 65), (56, 83, 66), (66, 67, 98), (181, 151, 100), (115, 97, 126), (75, 124, 110)),
    "ceramic": ((191, 226, 207), (234, 198, 198), (185, 204, 225), (245, 234, 174)),
    "vivid": (
        (236, 36, 92), (0, 176, 162), (255, 136, 0), (136, 206, 40), (92, 56, 206), (246, 224, 70), (0, 92, 220),
    ),
    "card": ((240, 206, 106), (142, 126, 142), (141, 163, 146), (145, 158, 176)),
    "sky": ((230, 197, 174), (163, 156, 185), (107, 113, 143), (215, 180, 136)),
}

# The rows that differ from those of the default tables.
MATERIALS = {
    "wall": (("white", 4), ("paint", 2.5), ("wallpaper", 2.5), ("panel", 1), ("brick", 0.5)),
    "wet wall": (("tiling", 3), ("panel", 2), ("wallpaper", 2)),
    "floor": (("tiling", 4), ("carpet", 3), ("stone", 3), ("planks", 2)),
    "wet floor": (("planks", 2), ("stone", 4), ("carpet", 1)),
    "cabinet": (("paint", 4), ("metal", 2), ("white", 2), ("wood", 3), ("dark", 1)),
    "bed frame": (("metal", 4), ("dark", 2), ("wood", 2), ("paint", 2)),
    "bedding": (("pattern", 5), ("fabric", 3), ("linen", 2)),
    "chair": (("fabric", 3), ("vivid", 3), ("metal", 2), ("wood", 2), ("leather", 1)),
    "chair legs": (("metal", 5), ("dark", 2), ("wood", 2)),
    "sofa": (("pattern", 4), ("leather", 3), ("fabric", 3)),
    "table": (("paint", 2), ("stone", 3), ("metal", 1), ("wood", 3), ("dark", 1)),
    "door": (("paint", 4), ("wood", 2), ("metal", 1), ("dark", 1)),
    "window": (("dark", 3), ("metal", 3), ("wood", 2), ("white", 1)),
    "bookshelf": (("metal", 3), ("paint", 3), ("wood", 2)),
    "counter": (("tiling", 2), ("stone", 3), ("metal", 2), ("paint", 1)),
    "desk": (("paint", 3), ("stone", 1), ("metal", 2), ("wood", 3)),
    "curtain": (("pattern", 4), ("fabric", 3), ("linen", 2)),
    "shower curtain": (("pattern", 4), ("fabric", 2), ("linen", 2), ("vivid", 1)),
    "refrigerator": (("paint", 4), ("metal", 2), ("vivid", 1), ("dark", 1)),
    "sink": (("metal", 2), ("stone", 1), ("ceramic", 2)),
}

SIZES = {
    "room.height": (2.9, 3.8), "door.w": (0.9, 1.15), "door.h": (2.15, 2.45), "window.w": (1.1, 2.4),
    "window.z": (0.3, 0.6), "window.h": (1.5, 2.1),
    "chair.w": (0.46, 0.6), "chair.seat": (0.36, 0.42), "chair.back": (0.5, 0.7), "stool.seat": (0.38, 0.5),
    "table.w": (1.2, 2.4), "table.h": (0.58, 0.68), "table.top": (0.06, 0.11), "coffee.w": (0.9, 1.5),
    "coffee.h": (0.22, 0.32), "round.r": (0.5, 0.8), "conference.w": (1.8, 3.2), "desk.h": (0.62, 0.7),
    "desk.d": (0.7, 0.95),
    "sofa.d": (0.95, 1.15), "sofa.seat": (0.28, 0.36), "sofa.back": (0.58, 0.68), "sofa.arm": (0.06, 0.12),
    "bed.h": (0.24, 0.36), "bed.head": (1.2, 1.6), "wardrobe.w": (0.7, 1.3), "wardrobe.h": (2.25, 2.6),
    "low.h": (0.3, 0.5), "low.w": (1.2, 2.2), "file.h": (1.3, 1.9), "shelf.h": (1.7, 2.6), "shelf.gap": (0.4, 0.55),
    "shelf.d": (0.36, 0.48),
    "counter.h": (0.78, 0.86), "counter.d": (0.66, 0.76), "fridge.w": (0.6, 0.8), "fridge.h": (1.85, 2.15),
    "toilet.h": (0.34, 0.38), "toilet.d": (0.58, 0.64), "toilet.w": (0.43, 0.48),
    "basin.w": (0.46, 0.58), "basin.h": (0.7, 0.78),
    "tub.w": (1.25, 1.4), "tub.h": (0.58, 0.72), "stall.w": (0.95, 1.15), "picture.w": (0.8, 1.6),
    "picture.h": (0.6, 1.2), "picture.z": (0.95, 1.3), "radiator.w": (0.4, 0.6), "radiator.h": (0.9, 1.5),
}

SHAPES = {
    "chair": ("slat_chair", "barrel_chair", "wood_armchair", "four_leg_chair"),
    "desk chair": ("slat_chair", "four_leg_chair", "barrel_chair"),
    "dining chair": ("slat_chair", "four_leg_chair", "stool"),
    "school chair": ("slat_chair", "four_leg_chair"),
    "easy chair": ("barrel_chair", "wood_armchair"),
    "table": ("panel_table", "round_table", "panel_table"),
    "coffee table": ("drum_table", "round_coffee_table"),
    "desk": ("panel_desk", "leg_desk"),
    "sofa": ("leg_sofa", "sofa"),
    "bed": ("canopy_bed", "post_bed"),
    "bookshelf": ("ladder_shelf", "cube_bookshelf"),
    "refrigerator": ("two_door_refrigerator", "small_refrigerator"),
    "toilet": ("wall_toilet",),
    "bathtub": ("free_tub",),
}
# fmt: on


OTHER = replace(
    DEFAULT,
    palettes=PALETTES,
    materials={**DEFAULT.materials, **MATERIALS},
    sizes={**DEFAULT.sizes, **SIZES},
    shapes={**DEFAULT.shapes, **SHAPES},
    kinds=("studio", "classroom", "meeting_room", "washroom"),
)
