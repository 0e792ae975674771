"""The classes of models by their English titles, as Sweet Home 3D's catalogs name them.

Catalogs say what a model is in words ("Bedside table", category "Bedroom"). The first row that matches the title
decides. A ``group`` is a further word for models of one use; it becomes part of their names, as in folders of models.
"""

import re
from dataclasses import dataclass

from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.library.models import OTHER

# Categories that rooms do not have; from "Exterior" only what is found in homes, too.
OUTSIDE = ("Vehicles", "Characters", "Staircases")
_INDOORS = re.compile(r"\b(cafe|rattan|folding|painted bench|residential trashcan|teck)\b")
_FURNITURE = "otherfurniture"


@dataclass(frozen=True)
class TitleClass:
    """What a title stands for: the kind of a ``Model``, its label, and a group; see ``ROWS``."""

    kind: str
    label: str
    group: str = ""


def _class(name: str, group: str = "") -> TitleClass:
    return TitleClass(name, name, group)


def _other(group: str, label: str = NOTHING) -> TitleClass:
    return TitleClass(OTHER, label, group)


# Words of titles, as regular expressions; None: not used in rooms.
# fmt: off
ROWS: tuple[tuple[str, TitleClass | None], ...] = (
    (r"garage|elevator|shutter|container|diving|fence|railing|chimney|sign$|\bplug|switch|socket|antenna|intercom",
     None),
    # words that contain or resemble the name of a class
    (r"bedside|night ?stand", _other("nightstand")),
    (r"changing table|baby bed|\bcrib|cradle", _other("crib", _FURNITURE)),
    (r"mezzanine|bunk", _other("bunkbed", _FURNITURE)),
    (r"dressing table", _other("dressingtable", _FURNITURE)),
    (r"table tennis bat", _other("")),
    (r"table tennis|pool table|football table|flipper", _other("gametable", _FURNITURE)),
    (r"table fan", _other("")),
    (r"high chair|wheelchair", _other("")),
    (r"bar chair|stool", _other("stool")),
    (r"armchair|\bchair|class seat", _class("chair")),
    (r"opened convertible", _class("bed", "sofabed")),
    (r"sofa|couch|settee", _class("sofa")),
    (r"workbench", _other("")),
    (r"bench", _other("bench", _FURNITURE)),
    (r"mattress|futon", _class("bed", "mattress")),
    (r"\bbed$", _class("bed")),
    (r"tv stand|television cabinet", _other("tvstand", _FURNITURE)),
    (r"wardrobe|cupboard", _other("wardrobe", _FURNITURE)),
    (r"dresser|^chest$|chest of drawers", _other("dresser")),
    (r"(drawers|lower|base|lower corner) cabinet", _class("counter", "kitchenbase")),
    (r"\bisland\b(?! bath)", _class("counter", "island")),
    (r"sink|washbasin|lavatory|vanity", _class("sink")),
    (r"upper shelves", _other("shelf")),
    (r"cabinet|contemporary living room|sideboard|locker", _class("cabinet")),
    (r"bookcase|shelves|bookshelf", _class("bookshelf")),
    (r"desk lamp", _other("lamp")),
    (r"desk\b", _class("desk")),
    (r"\btable$|\btable (on|with)", _class("table")),
    (r"shower curtain", _class("shower curtain")),
    (r"window blind", _other("blind")),
    (r"curtain", _class("curtain")),
    (r"shower door|shower stall|shower head", _other("shower")),
    (r"window", _class("window")),
    (r"\bdoors?\b", _class("door")),
    (r"bathtub|^bath$|island bath", _class("bathtub")),
    (r"toilets? unit|^toilet$|^wc$", _class("toilet")),
    (r"^frame |painting|poster|wall picture", _class("picture")),
    (r"chest freezer", _other("freezer", "refrigerator")),
    (r"bidet|urinal", _other("bidet", "toilet")),
    (r"fridge|refrigerator", _class("refrigerator")),
    # groups of things outside the classes
    (r"small oven", _other("stove")),
    (r"cooktop|induction|\boven|\bstove|^cooker", _other("stove")),
    (r"hood$", _other("hood")),
    (r"washing machine|dryer machine", _other("washer", _FURNITURE)),
    (r"trash|dustbin|recycling bin|clothes basket", _other("bin", _FURNITURE)),
    (r"radiator", _other("radiator", _FURNITURE)),
    (r"piano$", _other("piano", _FURNITURE)),
    (r"treadmill|indoor bike|fitness", _other("gym", _FURNITURE)),
    (r"^puff$|ottoman", _other("ottoman", _FURNITURE)),
    (r"lamp$|lantern|light$|lights$|light strip|lighting|spotlight|fluorescent", _other("lamp")),
    (r"bathmat|rug$|carpet|doormat|tatami", _other("mat")),
    (r"^tv\b|flat tv|television$", _other("tv")),
    (r"imac|ibook|laptop|screen$|computer", _other("computer")),
    (r"microwave|toaster|coffee (machine|maker|brewer|press)|blender|mixer|boiler|kettle|fryer", _other("appliance")),
    (r"stereo|speaker|amplifier|radio|mp3", _other("audio")),
    (r"plant|cactus|ficus|orchid|tulip|bamboo|bonsai|yucca|lily|flowers|christmas tree|spathiphyllum", _other("plant")),
    (r"vase|\bbowl|\bjar$|pottery", _other("vase")),
    (r"\bbook$|newspaper|calendar", _other("book")),
    (r"\bbox$|crate|gift|suitcase|trunc?k$", _other("box")),
    (r"backpack|handbag|briefcase", _other("bag")),
    (r"ceiling fan", _other("ceilingfan")),
)
# fmt: on


def class_of_title(title: str, category: str) -> TitleClass | None:
    """The class of a model by its English title and category; None for what rooms do not have."""
    low = title.lower()
    if category in OUTSIDE or category == "Exterior" and not _INDOORS.search(low):
        return None
    for words, found in ROWS:
        if re.search(words, low):
            return found
    return None if category == "Exterior" else _other("")
