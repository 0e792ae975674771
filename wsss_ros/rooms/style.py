"""How rooms may look, as tables: colours, which of them a class may take, proportions, shapes, sizes of rooms.

Everything random about looks is drawn from a ``Style`` by a ``Kit``. A further style is a further entry of ``STYLES``
made from the default tables: other palettes or proportions need no code. "other" is the style that no training sees:
no colour of its palettes is near one of the same family in "default", and its rooms are of other kinds.
"""

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from wsss_ros.types import BadInput


@dataclass(frozen=True)
class Material:
    """How a surface looks (sRGB colours in 0..1, lengths in metres) and how well a depth camera sees it."""

    color: tuple[float, float, float]
    accent: tuple[float, float, float] = (0.5, 0.5, 0.5)
    texture: str = "plain"
    scale: float = 0.1
    gloss: float = 0.0
    emission: float = 0.0
    dropout: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Style:
    """Tables from which every random choice about looks is drawn.

    palettes: family -> sRGB colours 0..255. materials: what -> ((family, weight), ...). sizes: what -> (low, high)
    in metres. shapes: class -> names of the builders it may use. rooms: kind -> (width, depth) ranges in metres.
    kinds: those of the rooms from which a scene is chosen unless told.
    """

    palettes: Mapping[str, tuple[tuple[int, int, int], ...]]
    materials: Mapping[str, tuple[tuple[str, float], ...]]
    sizes: Mapping[str, tuple[float, float]]
    shapes: Mapping[str, tuple[str, ...]]
    rooms: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
    kinds: tuple[str, ...]


# fmt: off
PALETTES = {
    "wood": (
        (196, 160, 116), (173, 128, 84), (139, 94, 60), (105, 68, 44), (72, 47, 34), (214, 188, 150), (152, 112, 80),
        (120, 86, 62), (184, 140, 100), (92, 66, 54), (206, 176, 132), (160, 82, 45),
    ),
    "white": (
        (240, 238, 232), (228, 226, 220), (245, 243, 238), (217, 214, 206), (232, 228, 214), (222, 226, 228),
        (236, 232, 226), (205, 204, 200),
    ),
    "paint": (
        (228, 222, 208), (214, 206, 188), (198, 204, 206), (186, 200, 190), (206, 192, 178), (226, 214, 184),
        (176, 190, 204), (212, 198, 204), (190, 186, 178), (168, 176, 164), (204, 172, 148), (150, 164, 178),
    ),
    "fabric": (
        (96, 104, 118), (132, 122, 108), (168, 156, 140), (84, 66, 58), (62, 84, 110), (118, 70, 62), (104, 116, 84),
        (188, 178, 160), (70, 70, 74), (150, 96, 72), (122, 134, 148), (56, 62, 76), (174, 140, 104), (200, 196, 188),
        (46, 80, 78), (140, 60, 66),
    ),
    "linen": (
        (226, 222, 214), (204, 196, 186), (150, 166, 190), (180, 160, 148), (196, 178, 186), (120, 130, 150),
        (212, 204, 178), (146, 112, 104), (96, 110, 128), (236, 234, 230), (130, 146, 122),
    ),
    "leather": ((52, 38, 32), (86, 58, 42), (32, 30, 30), (128, 84, 54), (176, 148, 120), (206, 198, 186)),
    "dark": ((36, 36, 38), (52, 50, 50), (28, 28, 30), (66, 62, 60), (44, 42, 46)),
    "metal": ((148, 150, 154), (176, 178, 180), (120, 122, 126), (196, 198, 200), (96, 98, 102)),
    "stone": ((92, 88, 86), (140, 132, 124), (186, 180, 172), (58, 56, 58), (206, 202, 196), (122, 112, 100)),
    "tile": (
        (222, 218, 210), (200, 196, 188), (176, 172, 166), (198, 206, 210), (150, 146, 140), (212, 200, 180),
        (236, 234, 230), (166, 182, 190), (120, 118, 116),
    ),
    "carpet": (
        (132, 126, 118), (108, 104, 102), (158, 146, 128), (92, 98, 110), (120, 96, 82), (176, 166, 152), (84, 82, 84),
        (100, 110, 100),
    ),
    "ceramic": ((240, 240, 238), (232, 230, 222), (226, 224, 214), (236, 232, 224), (214, 218, 218), (222, 212, 194)),
    "vivid": (
        (176, 64, 56), (60, 104, 156), (208, 160, 64), (74, 128, 90), (200, 110, 60), (110, 74, 124), (40, 120, 130),
        (196, 180, 150), (80, 84, 90), (222, 210, 190),
    ),
    "card": ((186, 148, 106), (170, 134, 96), (200, 166, 124), (228, 224, 216)),
    "sky": ((216, 228, 244), (236, 240, 246), (190, 212, 236), (226, 222, 210), (150, 170, 140)),
}

MATERIALS = {
    "wall": (("paint", 5), ("white", 4), ("panel", 0.5), ("wallpaper", 1), ("brick", 0.3)),
    "wet wall": (("tiling", 5), ("paint", 2), ("white", 2)),
    "floor": (("planks", 5), ("carpet", 3), ("tiling", 1.2), ("stone", 0.5)),
    "wet floor": (("tiling", 6), ("stone", 1), ("planks", 1)),
    "ceiling": (("white", 5), ("paint", 1)),
    "cabinet": (("wood", 6), ("white", 4), ("paint", 1.5), ("metal", 0.8), ("dark", 0.8)),
    "bed frame": (("wood", 6), ("fabric", 2), ("white", 1.5), ("dark", 1), ("metal", 0.5)),
    "bedding": (("linen", 5), ("pattern", 3), ("fabric", 1.5), ("white", 1.5)),
    "chair": (("wood", 4), ("fabric", 3), ("dark", 1.5), ("white", 1), ("leather", 1), ("vivid", 0.7)),
    "chair legs": (("wood", 4), ("metal", 3), ("dark", 2), ("white", 0.7)),
    "sofa": (("fabric", 6), ("leather", 2.5), ("pattern", 1), ("linen", 1)),
    "table": (("wood", 6), ("white", 2), ("dark", 1), ("stone", 0.7), ("paint", 0.5)),
    "door": (("wood", 5), ("white", 4), ("paint", 1.2)),
    "window": (("white", 5), ("wood", 2), ("metal", 1), ("dark", 1)),
    "bookshelf": (("wood", 6), ("white", 2), ("dark", 1), ("metal", 0.7)),
    "frame": (("wood", 3), ("dark", 3), ("white", 2), ("metal", 1)),
    "counter": (("stone", 4), ("wood", 3), ("white", 2), ("dark", 1)),
    "desk": (("wood", 6), ("white", 2.5), ("dark", 1), ("metal", 0.5)),
    "curtain": (("fabric", 4), ("linen", 3), ("pattern", 1.5), ("white", 1.5)),
    "shower curtain": (("white", 2.5), ("linen", 3), ("pattern", 3), ("paint", 1)),
    "refrigerator": (("white", 4), ("metal", 4), ("dark", 1.2), ("paint", 0.3)),
    "ceramic": (("ceramic", 1),),
    "sink": (("ceramic", 3), ("metal", 1)),
    "metal": (("metal", 1),),
    "dark": (("dark", 1),),
    "otherfurniture": (("wood", 2), ("metal", 2), ("white", 2), ("dark", 1), ("vivid", 1), ("fabric", 1)),
    "box": (("card", 3), ("white", 1), ("vivid", 1)),
    "clutter": (("vivid", 2), ("dark", 1), ("white", 1), ("fabric", 2)),
    "pillow": (("linen", 3), ("fabric", 3), ("pattern", 2), ("vivid", 1)),
    "shade": (("white", 3), ("linen", 2), ("metal", 1)),
    "rug": (("pattern", 2), ("carpet", 2), ("fabric", 2)),
}

SIZES = {
    "room.height": (2.35, 3.1), "door.w": (0.78, 0.98), "door.h": (1.95, 2.15), "window.w": (0.7, 1.9),
    "window.z": (0.6, 1.15), "window.h": (0.9, 1.5),
    "chair.w": (0.38, 0.54), "chair.d": (0.38, 0.5), "chair.seat": (0.41, 0.5), "chair.back": (0.32, 0.6),
    "armchair.w": (0.62, 0.8), "armchair.d": (0.6, 0.78), "stool.w": (0.36, 0.46), "stool.seat": (0.5, 0.72),
    "table.w": (0.8, 2.0), "table.d": (0.65, 1.0), "table.h": (0.7, 0.78), "table.top": (0.02, 0.06),
    "coffee.w": (0.6, 1.2), "coffee.d": (0.45, 0.7), "coffee.h": (0.34, 0.5), "round.r": (0.4, 0.65),
    "side.w": (0.38, 0.6),
    "desk.w": (1.0, 1.8), "desk.d": (0.55, 0.8), "desk.h": (0.7, 0.78),
    "sofa.w": (1.4, 2.5), "sofa.d": (0.8, 1.0), "sofa.seat": (0.36, 0.46), "sofa.back": (0.68, 0.95),
    "sofa.arm": (0.1, 0.26), "sofa.chaise": (0.45, 0.7),
    "bed.w": (0.95, 1.9), "bed.d": (1.95, 2.15), "bed.h": (0.38, 0.62), "bed.head": (0.75, 1.3),
    "wardrobe.w": (0.8, 2.0), "wardrobe.d": (0.5, 0.65), "wardrobe.h": (1.7, 2.3),
    "low.w": (0.6, 1.7), "low.d": (0.35, 0.55), "low.h": (0.45, 0.95), "file.w": (0.4, 0.5), "file.h": (0.6, 1.4),
    "upper.h": (0.55, 0.8), "upper.d": (0.28, 0.37), "upper.z": (1.38, 1.5),
    "shelf.w": (0.6, 1.4), "shelf.d": (0.24, 0.38), "shelf.h": (0.9, 2.25), "shelf.gap": (0.24, 0.38),
    "counter.d": (0.55, 0.66), "counter.h": (0.86, 0.95), "counter.w": (1.4, 3.2),
    "fridge.w": (0.55, 0.92), "fridge.d": (0.58, 0.74), "fridge.h": (1.35, 1.9), "bar.h": (0.82, 0.9),
    "toilet.w": (0.36, 0.42), "toilet.d": (0.62, 0.74), "toilet.h": (0.38, 0.44),
    "basin.w": (0.4, 0.62), "basin.d": (0.36, 0.5), "basin.h": (0.78, 0.9), "vanity.w": (0.6, 1.3),
    "tub.w": (1.4, 1.75), "tub.d": (0.68, 0.82), "tub.h": (0.42, 0.6), "stall.w": (0.8, 1.0),
    "picture.w": (0.25, 1.1), "picture.h": (0.25, 0.8), "picture.z": (1.15, 1.6),
    "bin.w": (0.22, 0.4), "bin.h": (0.28, 0.6), "radiator.w": (0.6, 1.4), "radiator.h": (0.45, 0.75),
    "ottoman.w": (0.4, 0.7), "ottoman.h": (0.34, 0.48), "rack.h": (1.5, 1.85),
    "box.w": (0.25, 0.55), "box.h": (0.18, 0.5),
    "conference.w": (1.8, 3.2), "conference.d": (0.95, 1.3), "school.w": (0.65, 1.35), "school.d": (0.5, 0.62),
    "washer.w": (0.58, 0.64), "washer.d": (0.55, 0.64), "washer.h": (0.82, 0.9),
}

SHAPES = {
    "chair": ("four_leg_chair", "office_chair", "shell_chair", "armchair", "stool"),
    "desk chair": ("office_chair", "four_leg_chair", "shell_chair"),
    "dining chair": ("four_leg_chair", "shell_chair", "slat_chair"),
    "easy chair": ("armchair", "wood_armchair", "office_chair"),
    "school chair": ("four_leg_chair", "shell_chair"),
    "table": ("leg_table", "round_table", "trestle_table", "leg_table"),
    "conference table": ("conference_table",),
    "coffee table": ("coffee_table", "round_coffee_table", "drum_table"),
    "side table": ("side_table", "drum_table"),
    "desk": ("leg_desk", "drawer_desk", "corner_desk"),
    "school desk": ("school_desk",),
    "sofa": ("sofa", "chaise_sofa", "leg_sofa"),
    "bed": ("platform_bed", "box_bed", "post_bed"),
    "cabinet": ("wardrobe", "low_cabinet", "drawer_chest", "file_cabinet"),
    "low cabinet": ("low_cabinet", "drawer_chest"),
    "wardrobe": ("wardrobe",),
    "file cabinet": ("file_cabinet", "low_cabinet"),
    "bookshelf": ("closed_bookshelf", "open_bookshelf", "cube_bookshelf"),
    "refrigerator": ("two_door_refrigerator", "wide_refrigerator", "small_refrigerator"),
    "toilet": ("tank_toilet", "wall_toilet"),
    "sink": ("pedestal_sink", "wall_sink"),
    "vanity": ("vanity_sink", "counter_sink"),
    "bathtub": ("panel_tub", "free_tub"),
    "otherfurniture": ("bin", "ottoman", "rack", "radiator", "side_rack"),
    "bin": ("bin",),
    "radiator": ("radiator",),
    "washer": ("washing_machine",),
}

ROOMS = {
    "bedroom": ((3.0, 4.8), (3.0, 4.6)),
    "living_room": ((3.8, 6.2), (3.6, 5.6)),
    "kitchen": ((2.8, 4.8), (2.8, 4.8)),
    "office": ((3.0, 5.8), (3.0, 5.2)),
    "bathroom": ((2.0, 3.2), (2.2, 3.4)),
    "library": ((4.0, 6.5), (3.8, 5.8)),
    "studio": ((4.6, 6.4), (4.2, 6.0)),
    "classroom": ((5.6, 7.6), (5.4, 7.2)),
    "meeting_room": ((4.4, 6.6), (3.8, 5.4)),
    "washroom": ((2.4, 3.8), (2.4, 3.6)),
}

OTHER_PALETTES = {
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

# the rows of the default tables that are different
OTHER_MATERIALS = {
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

OTHER_SIZES = {
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

OTHER_SHAPES = {
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
# "plain": rooms that a small network learns from tags in minutes. Every class keeps to a few colours of one or two
# families, though not all to colours of their own: beds, wardrobes, shelves and doors are of the same woods.
PLAIN_PALETTES = {
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

PLAIN_MATERIALS = {
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
DEFAULT = Style(
    PALETTES, MATERIALS, SIZES, SHAPES, ROOMS, ("bedroom", "living_room", "kitchen", "office", "bathroom", "library")
)
STYLES = {
    "default": DEFAULT,
    "other": replace(
        DEFAULT,
        palettes=OTHER_PALETTES,
        materials=MATERIALS | OTHER_MATERIALS,
        sizes=SIZES | OTHER_SIZES,
        shapes=SHAPES | OTHER_SHAPES,
        kinds=("studio", "classroom", "meeting_room", "washroom"),
    ),
    "plain": replace(
        DEFAULT,
        palettes=PALETTES | PLAIN_PALETTES,
        materials=MATERIALS | PLAIN_MATERIALS,
        kinds=("bedroom", "living_room", "office"),
    ),
}


def style_named(name: str) -> Style:
    """Raises BadInput when there is no such style."""
    if name not in STYLES:
        raise BadInput(f"no style '{name}' for rooms; there are: {', '.join(STYLES)}")
    return STYLES[name]


# family -> (palette of the colour, palette of the second colour, texture, scale range, gloss range, dropout)
# fmt: off
FAMILIES = {
    "wood": ("wood", "wood", "wood", (0.03, 0.09), (0.02, 0.25), 0.02),
    "planks": ("wood", "wood", "planks", (0.08, 0.19), (0.02, 0.3), 0.03),
    "panel": ("wood", "wood", "planks", (0.1, 0.25), (0.02, 0.15), 0.02),
    "white": ("white", "white", "plain", (0.3, 0.9), (0.0, 0.2), 0.02),
    "paint": ("paint", "paint", "plain", (0.3, 0.9), (0.0, 0.1), 0.01),
    "wallpaper": ("paint", "white", "stripes", (0.06, 0.3), (0.0, 0.02), 0.01),
    "brick": ("carpet", "paint", "brick", (0.18, 0.24), (0.0, 0.02), 0.01),
    "fabric": ("fabric", "fabric", "fabric", (0.01, 0.03), (0.0, 0.02), 0.02),
    "linen": ("linen", "linen", "fabric", (0.01, 0.03), (0.0, 0.02), 0.01),
    "pattern": ("linen", "fabric", "pattern", (0.06, 0.3), (0.0, 0.02), 0.02),
    "leather": ("leather", "leather", "plain", (0.1, 0.3), (0.15, 0.45), 0.15),
    "dark": ("dark", "dark", "plain", (0.1, 0.3), (0.1, 0.5), 0.3),
    "metal": ("metal", "metal", "plain", (0.3, 0.9), (0.3, 0.8), 0.25),
    "stone": ("stone", "stone", "stone", (0.03, 0.12), (0.1, 0.5), 0.08),
    "tiling": ("tile", "stone", "tile", (0.08, 0.45), (0.1, 0.5), 0.06),
    "carpet": ("carpet", "carpet", "fabric", (0.015, 0.04), (0.0, 0.0), 0.02),
    "ceramic": ("ceramic", "ceramic", "plain", (0.3, 0.9), (0.3, 0.7), 0.12),
    "vivid": ("vivid", "vivid", "plain", (0.1, 0.4), (0.0, 0.3), 0.03),
    "card": ("card", "card", "plain", (0.1, 0.4), (0.0, 0.05), 0.0),
    "glass": ("sky", "sky", "outside", (0.5, 1.5), (0.0, 0.0), 0.7),
    "books": ("vivid", "fabric", "books", (0.018, 0.045), (0.0, 0.1), 0.04),
    "art": ("vivid", "paint", "art", (0.15, 0.5), (0.0, 0.3), 0.05),
    "screen": ("dark", "vivid", "plain", (0.1, 0.4), (0.4, 0.8), 0.6),
}
# fmt: on


class Kit:
    """A random generator with a style: draws lengths, materials and shapes."""

    def __init__(self, rng: np.random.Generator, style: Style) -> None:
        self.rng, self.style = rng, style

    def size(self, what: str) -> float:
        return float(self.rng.uniform(*self.style.sizes[what]))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def material(self, what: str) -> Material:
        families, weights = zip(*self.style.materials[what], strict=True)
        return self.family(families[self.rng.choice(len(families), p=np.array(weights) / sum(weights))])

    def family(self, name: str, emission: float = 0.0) -> Material:
        first, second, texture, scale, gloss, dropout = FAMILIES[name]
        color, accent = self._color(first), self._color(second)
        if texture in ("wood", "planks", "stone"):  # the second colour is a shade of the first
            shade = self.between(0.72, 0.95)
            accent = tuple(c * shade for c in color)
        seed = int(self.rng.integers(1 << 16))
        return Material(color, accent, texture, self.between(*scale), self.between(*gloss), emission, dropout, seed)

    def _color(self, palette: str) -> tuple[float, float, float]:
        colors = self.style.palettes[palette]
        rgb = np.array(colors[self.rng.integers(len(colors))]) / 255
        h, s, v = colorsys.rgb_to_hsv(*np.clip(rgb, 0, 1))
        h = (h + self.rng.normal(0, 0.012)) % 1
        s = np.clip(s * self.rng.uniform(0.75, 1.25), 0, 1)
        v = np.clip(v * self.rng.uniform(0.82, 1.12), 0, 0.97)
        return tuple(float(c) for c in colorsys.hsv_to_rgb(h, s, v))

    def shape(self, what: str) -> str:
        """One of the shapes in which the style allows a class (or group of shapes)."""
        names = self.style.shapes[what]
        return names[self.rng.integers(len(names))]
