"""The style of the rooms for training."""

from wsss_ros.rooms.styles.tables import Style

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
# fmt: on


DEFAULT = Style(
    PALETTES, MATERIALS, SIZES, SHAPES, ROOMS, ("bedroom", "living_room", "kitchen", "office", "bathroom", "library")
)
