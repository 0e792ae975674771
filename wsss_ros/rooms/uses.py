"""What a model of a furniture library can be used for: tables by class, words in its name, and size.

A row of ``USES`` names a use, such as "dining chair"; it is one of the groups of ``Style.shapes``, or a place where
things lie (``LOOSE``). The words are those of the names that libraries give to their models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Range = tuple[float, float]
ANY: Range = (0.0, 99.0)


@dataclass(frozen=True)
class Use:
    """The models that serve a use: of these classes, with one of the words (if any), without the others.

    The ranges of width, depth and height are in metres.
    """

    kinds: tuple[str, ...]
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    w: Range = ANY
    d: Range = ANY
    h: Range = ANY

    def serves(self, name: str, size: Sequence[float]) -> bool:
        """Whether a model of one of the classes, of this name and (width, depth, height), serves."""
        low = name.lower().split("__")[-1]
        return (
            (not self.words or any(word in low for word in self.words))
            and not any(word in low for word in self.without)
            and all(a <= x <= b for x, (a, b) in zip(size, (self.w, self.d, self.h), strict=True))
        )


_NOT_AT_TABLES = (
    "child", "kids", "office", "armchair", "ryokan", "ottoman", "wheel", "sofa", "fotel", "leaf", "lounge",
)  # fmt: skip
# fmt: off
USES = {
    # furniture, by the groups of Style.shapes
    "chair": Use(("chair",), (), ("child", "ottoman"), h=(0.6, 1.25)),
    "desk chair": Use(("chair",), ("office", "kids-desk", "desk", "swivel"), h=(0.75, 1.25)),
    "dining chair": Use(("chair",), (), _NOT_AT_TABLES, w=(0.36, 0.62), d=(0.38, 0.66), h=(0.7, 1.2)),
    "school chair": Use(("chair",), (), _NOT_AT_TABLES, w=(0.36, 0.55), d=(0.38, 0.6), h=(0.7, 0.95)),
    "easy chair": Use(("chair",), (), ("child", "office", "desk", "ottoman", "class"), w=(0.66, 1.2), h=(0.6, 1.2)),
    "table": Use(("table",), (), ("desk", "technical", "bar", "child"), w=(0.7, 2.4), h=(0.68, 0.86)),
    "conference table": Use(("table",), (), ("technical", "bar"), w=(1.55, 3.5), h=(0.68, 0.86)),
    "coffee table": Use(("table",), (), ("child", "end"), w=(0.75, 1.9), d=(0.4, 1.1), h=(0.28, 0.58)),
    "side table": Use(("table", "other"), ("table", "nightstand", "night"), ("fan", "tennis", "changing", "dressing"),
                      w=(0.3, 0.75), d=(0.3, 0.65), h=(0.35, 0.72)),
    "night stand": Use(("other", "table"), ("nightstand", "bedside", "endtable"), w=(0.3, 0.75), h=(0.35, 0.72)),
    "desk": Use(("desk",), w=(0.9, 2.0)),
    "school desk": Use(("desk", "table"), (), ("bar", "coffee", "living"), w=(0.7, 1.45), d=(0.45, 0.85),
            h=(0.66, 0.8)),
    "sofa": Use(("sofa",), w=(1.2, 3.5), d=(0.6, 2.5)),
    "bed": Use(("bed",), (), ("mattress", "day-bed-frame", "sofabed"), w=(0.8, 2.2)),
    "cabinet": Use(("cabinet",), (), ("upper", "glassdoor", "corner", "wallunit"), w=(0.3, 2.2), h=(0.4, 2.6)),
    "low cabinet": Use(("cabinet", "other"), ("cabinet", "sideboard", "dresser", "chest", "tvstand", "trunk"),
                       ("upper", "freezer", "glassdoor", "high", "dressing"), w=(0.5, 1.8), d=(0.3, 0.75),
                               h=(0.4, 1.2)),
    "wardrobe": Use(("cabinet", "other"), ("wardrobe", "cupboard", "high", "closet", "cabinet-02"), h=(1.4, 2.6)),
    "file cabinet": Use(("cabinet",), ("filing", "file", "lockers", "office", "drawer"), w=(0.3, 2.2)),
    "bookshelf": Use(("bookshelf",), w=(0.35, 2.0)),
    "refrigerator": Use(("refrigerator",)),
    "toilet": Use(("toilet",)),
    "sink": Use(("sink",), (), ("kitchen", "sinkcabinet", "double"), w=(0.3, 0.75), h=(0.25, 1.0)),
    "vanity": Use(("sink",), ("vanity", "bath-cabinet", "bathroom"), ("bathroom3", "bathroom4"), w=(0.5, 2.0)),
    "bathtub": Use(("bathtub",), w=(1.2, 2.0)),
    "otherfurniture": Use(
        ("other",), ("ottoman", "bench", "shoerack", "dressing", "crib", "piano", "stool", "clothes-rack", "puff"),
        ("gym", "workbench", "abdominal", "bar", "kitchen", "silla", "stool_bs0", "aws_stool"), w=(0.3, 1.6),
        d=(0.25, 1.3), h=(0.3, 1.5)),
    "bin": Use(("other",), ("bin_", "trash", "aws_bin", "dustbin", "clothes-basket"), ("residential",),
               w=(0.1, 0.56), h=(0.2, 0.8)),
    "radiator": Use(("other",), ("radiator",), ("towels",), w=(0.4, 1.5), d=(0.05, 0.3), h=(0.4, 1.2)),
    "washer": Use(("other",), ("washer", "washing", "dryer")),
    # kitchens
    "kitchen base": Use(("counter",), ("kitchenbase", "lower", "base", "drawer"), ("corner",), w=(0.4, 1.2),
            d=(0.5, 0.7)),
    "kitchen sink": Use(("sink",), ("kitchensink", "sinkcabinet", "kitchen"), w=(0.5, 1.3)),
    "upper cabinet": Use(("cabinet",), ("upper", "glassdoor"), ("corner",), w=(0.3, 1.2), h=(0.5, 0.9)),
    "oven": Use(("other",), ("oven", "stove"), ("small", "propane"), w=(0.5, 1.1), d=(0.45, 0.75), h=(0.78, 0.98)),
    "cooktop": Use(("other",), ("stove", "cooktop", "hob"), h=(0.01, 0.12)),
    "hood": Use(("other",), ("hood",), w=(0.5, 1.3)),
    "island": Use(("counter",), ("island",), w=(0.5, 2.6)),
    "stool": Use(("other", "chair"), ("stool", "bar-chair"), ("toilet",), w=(0.25, 0.6), h=(0.4, 1.15)),
    # walls and ceiling
    "door": Use(("door",), (), ("elevator", "folding", "screen", "open", "double"), w=(0.75, 1.15), h=(1.9, 2.3)),
    "wide door": Use(("door",), ("double",), w=(1.2, 1.9)),
    "window": Use(("window",), w=(0.5, 2.6), h=(0.8, 2.4)),
    "curtain": Use(("curtain",), (), ("hospital",), w=(1.0, 2.6), d=(0.02, 0.3)),
    "shower curtain": Use(("shower curtain",)),
    "picture": Use(("picture",), (), ("desk", "frame"), w=(0.25, 1.1)),
    "television": Use(("other",), ("tv_", "_tv", "led-tv"), ("tvstand", "wall"), w=(0.4, 1.2), h=(0.3, 0.8)),
    "wall thing": Use(("other",), ("air-cond", "hanging-clothes", "suit", "extinguisher", "wallshelf"),
                      ("suitcase",), d=(0.02, 0.5)),
    "wet wall thing": Use(("other",), ("towel", "water-heater", "wallshelf"), ("big",), d=(0.02, 0.5)),
    "ceiling lamp": Use(("other",),
            ("lamp_ceiling", "ceiling-lamp", "hanging", "chandelier", "ceilingfan", "fluorescent"),
                        ("clothes", "changing"), w=(0.2, 1.4), h=(0.02, 1.0)),
    "rug": Use(("other",), ("rug", "mat_", "carpet"), ("bath", "doormat", "tatami"), h=(0.0, 0.06)),
    "bath mat": Use(("other",), ("bathmat", "doormat"), h=(0.0, 0.06)),
    # what stands on the floor of lived-in rooms
    "floor lamp": Use(("other",), ("lamp",), ("table", "desk", "ceiling", "hanging", "wall"), w=(0.1, 0.8),
            h=(1.1, 2.0)),
    "floor plant": Use(("other",), ("plant", "ficus", "maceta"), ("christmas",), w=(0.2, 0.9), h=(0.5, 1.8)),
    "floor thing": Use(
        ("other",), ("bag", "backpack", "basket", "box_", "boxes", "cardboard", "tote", "crate", "suitcase", "trunk",
                     "sneaker", "slipper", "shoes", "ball", "guitar", "speaker", "toy", "caballito", "doll", "teddy"),
        ("gym", "breadbox", "handbag", "doll-house"), w=(0.1, 1.0), d=(0.1, 0.8), h=(0.04, 1.15)),
    "big thing": Use(
        ("other",), ("gym", "bike", "treadmill", "clothes-horse", "step-ladder", "water-cooler", "high-chair", "screen",
                     "wheelchair", "aquarium", "fan", "boxes", "changing", "flipper", "piano", "utility", "christmas",
                     "fireplace", "workbench", "crib"),
        ("tablefan", "ceiling"), w=(0.2, 1.5), d=(0.15, 1.5), h=(0.5, 2.2)),
}

# what lies on a surface: place -> uses with weights
_PLANT, _VASE = ("plant", "cactus", "bonsai", "bamboo", "tulip", "orchid"), ("vase", "bowl", "jar")
LOOSE = {
    "small plant": Use(("other",), _PLANT, (), w=(0.05, 0.65), d=(0.05, 0.65), h=(0.08, 0.62)),
    "vase": Use(("other",), _VASE, (), w=(0.05, 0.5), h=(0.05, 0.55)),
    "food": Use(("other",), ("fruit", "salad", "breadbox", "teaset", "tea", "tableware", "bowl"), h=(0.02, 0.4)),
    "reading": Use(("other",), ("book_", "newspaper", "booke", "magazine"), w=(0.05, 0.5), d=(0.05, 0.5),
            h=(0.005, 0.2)),
    "lamp": Use(("other",), ("lamp",), ("ceiling", "hanging", "wall", "floor"), w=(0.08, 0.5), h=(0.2, 0.75)),
    "computer": Use(("other",), ("computer", "laptop", "imac", "ibook", "apple"), w=(0.2, 0.6), h=(0.15, 0.6)),
    "office": Use(("other",), ("printer", "tablefan", "computer", "laptop", "phone"), w=(0.15, 0.6), h=(0.1, 0.6)),
    "appliance": Use(("other",), ("microwave", "coffee-m", "toaster", "small-oven", "cooker", "kettle", "mixer"),
                     w=(0.1, 0.62), h=(0.1, 0.45)),
    "audio": Use(("other",), ("stereo", "amplifier", "radio", "speaker"), w=(0.15, 0.6), h=(0.1, 0.6)),
    "toy": Use(("other",), ("teddy", "ball", "doll"), w=(0.1, 0.7), h=(0.1, 0.9)),
    "cloth": Use(("other",), ("folded", "handbag", "towel3"), w=(0.1, 0.5), d=(0.1, 0.5), h=(0.05, 0.3)),
    "pillows": Use(("other",), ("pillow",), w=(0.3, 1.8), h=(0.05, 0.5)),
    "bag": Use(("other",), ("bag",), w=(0.15, 0.5), h=(0.1, 0.45)),
    "box": Use(("other",), ("gift", "breadbox", "cardboard-box", "gz_cardboard", "crate"), w=(0.15, 0.62),
            h=(0.1, 0.62)),
    "small picture": Use(("picture",), ("desk", "frame"), w=(0.05, 0.3), h=(0.1, 0.35)),
    "aquarium": Use(("other",), ("aquarium",)),
}
# fmt: on


@dataclass(frozen=True)
class Look:
    """The pictures with which a family of materials is shown: kinds of pictures, with which chance, how large.

    ``extent_m`` is the range of the longer edge of the picture on the surface; ``tint`` the range of the share to which
    the picture takes on the colour of the family.
    """

    kinds: tuple[str, ...]
    chance: float
    extent_m: Range
    tint: Range


# family of materials (materials.FAMILIES), or what is made of it and the family -> its pictures
LOOKS = {
    "wood": Look(("wood",), 0.75, (0.7, 1.5), (0.0, 0.4)),
    "planks": Look(("floor_wood",), 0.85, (1.2, 2.2), (0.0, 0.4)),
    "panel": Look(("wall_wood", "wood"), 0.7, (0.8, 1.6), (0.0, 0.3)),
    "tiling": Look(("floor_tile", "floor_ceramic", "floor_marble"), 0.6, (0.6, 1.6), (0.0, 0.5)),
    "stone": Look(("stone", "floor_marble", "floor_concrete"), 0.65, (0.5, 1.2), (0.0, 0.5)),
    "brick": Look(("wall_brick", "wall_cinder"), 0.8, (1.2, 2.2), (0.0, 0.3)),
    "wallpaper": Look(("wallpaper",), 0.5, (0.6, 1.6), (0.0, 0.8)),
    "fabric": Look(("fabric",), 0.6, (0.25, 0.7), (0.4, 1.0)),
    "linen": Look(("fabric",), 0.5, (0.3, 0.8), (0.5, 1.0)),
    "pattern": Look(("fabric", "wallpaper_sc"), 0.35, (0.3, 0.8), (0.0, 0.6)),
    "carpet": Look(("fabric",), 0.4, (0.3, 0.6), (0.6, 1.0)),
    "metal": Look(("metal",), 0.35, (0.6, 1.2), (0.0, 0.3)),
    "card": Look(("cardboard",), 0.8, (0.5, 0.9), (0.0, 0.3)),
    "wall paint": Look(("wall_plaster", "wall_painted", "wall_drywall", "wall_stucco", "wall_white", "wall_clay"), 0.6,
                       (1.2, 2.5), (0.4, 1.0)),
    "wall white": Look(("wall_plaster_w", "wall_painted", "wall_drywall", "wall_stucco", "wall_white"), 0.6,
                       (1.2, 2.5), (0.5, 1.0)),
    "ceiling white": Look(("ceiling_tile", "wall_stucco", "wall_white"), 0.4, (1.0, 1.8), (0.5, 1.0)),
}  # fmt: skip
