"""What the ids of label images of any model mean: a table from ids to the classes of a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8

from wsss_ros.fusion.semantic_map import MOST_CLASSES, NOT_SEEN
from wsss_ros.labels import UNLABELLED, LabelSpace, key_of
from wsss_ros.labels.colors import palette
from wsss_ros.types import BadInput

_IDS = 1 << 16
_NONE = (-1, 255, 65_535)  # ids that mean "no class" where nothing names them
NO_CLASS = ("unlabelled", "unlabeled", "unknown", "void", "ignore", "ignored", "none")


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Ids of label images -> classes. ``classes`` are the names; ``foreign`` names of ids that are not among them."""

    classes: tuple[str, ...]
    table: UInt8[np.ndarray, "_"]
    foreign: tuple[str, ...] = ()

    def labels(self, ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The class of each pixel or point; 255 without a class, NOT_SEEN for an id that the table does not have."""
        if ids.dtype == np.uint8:
            return self.table[:256][ids]
        wide = ids.astype(np.int64)
        outside = (wide < 0) | (wide >= _IDS)
        wide[outside] = np.where(wide[outside] == -1, _IDS + 1, _IDS)
        return self.table[wide]

    def known(self, ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """As ``labels``, with 255 also for an id that the table does not have."""
        labels = self.labels(ids)
        return np.where(labels == NOT_SEEN, np.uint8(UNLABELLED), labels)

    def unknown(self, ids: Integer[np.ndarray, "..."], labels: UInt8[np.ndarray, "..."]) -> list[int]:
        """The ids of an image that the table does not have; ``labels`` are those of ``labels(ids)``."""
        missed = ids[labels == NOT_SEEN]
        return [] if not len(missed) else np.unique(missed).tolist()


def classes_of(names: Mapping[int, str]) -> tuple[str, ...]:
    """The classes that names of ids stand for, in the order of the ids; names such as "void" are not classes.

    Raises BadInput for no class and for more than 254.
    """
    by_key: dict[str, str] = {}
    for number in sorted(names):
        by_key.setdefault(key_of(names[number]), names[number].strip())
    found = tuple(name for key, name in by_key.items() if key and key not in NO_CLASS)
    if not 0 < len(found) <= MOST_CLASSES:
        raise BadInput(f"label names: {len(found)} classes; expected 1 to {MOST_CLASSES}, one name for each id")
    return found


def table_of(names: Mapping[int, str], classes: Sequence[str]) -> LabelTable:
    """The table from ids to the classes of the same name. An id of another name is unlabelled.

    Raises BadInput for an id below 0 or above 65535.
    """
    wrong = [key for key in names if not 0 <= key < _IDS]
    if wrong:
        raise BadInput(f"label names: id {wrong[0]}; expected 0 to {_IDS - 1}")
    table = np.full(_IDS + 2, NOT_SEEN, np.uint8)
    table[[key if key >= 0 else _IDS + 1 for key in _NONE]] = UNLABELLED
    known, foreign = {key_of(name): label for label, name in enumerate(classes)}, []
    for number, name in names.items():
        table[number] = known.get(key_of(name), UNLABELLED)
        if key_of(name) not in (*known, *NO_CLASS):
            foreign.append(name)
    return LabelTable(tuple(classes), table, tuple(foreign))


def meaning_of(names: Mapping[int, str], known: LabelSpace) -> tuple[LabelSpace, LabelTable]:
    """The classes that names of ids stand for, in the colours of ``known``, and the table from the ids to them.

    Raises BadInput as ``classes_of`` and ``table_of``.
    """
    classes = classes_of(names)
    return space_of(classes, known), table_of(names, classes)


def parse_names(text: str) -> dict[int, str]:
    """Names of ids from ``"wall, floor, 7:car"``: a name without an id has the id after the one before, first 0.

    Raises BadInput for an empty name and for an id with two names.
    """
    names: dict[int, str] = {}
    following = 0
    for part in text.split(","):
        number, colon, name = part.strip().rpartition(":")
        if not name.strip() or (colon and not number.strip().isdigit()):
            raise BadInput(f"label_names: '{part.strip()}'; expected NAME or ID:NAME, separated by commas")
        key = int(number) if colon else following
        if key in names:
            raise BadInput(f"label_names: id {key} is both '{names[key]}' and '{name.strip()}'; expected one name")
        names[key], following = name.strip(), key + 1
    return names


def space_of(classes: Sequence[str], known: LabelSpace) -> LabelSpace:
    """A label space of these classes, with the colours that ``known`` has for them, else with others."""
    if tuple(classes) == known.names:
        return known
    mine = {key_of(name): color for name, color in zip(known.names, known.colors, strict=True)}
    others = iter(palette(len(classes), known.colors))
    colors = tuple(mine[key_of(name)] if key_of(name) in mine else next(others) for name in classes)
    return LabelSpace("of the label images", tuple(classes), colors, tuple(range(len(classes))))
