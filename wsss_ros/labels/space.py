"""Label spaces: class names, colours and the ids of a data set; tags as multi-hot vectors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from jaxtyping import Float32, Int64, Integer, UInt8

from wsss_ros.labels.names import coinciding, key_of, nearest
from wsss_ros.types import BadInput

UNLABELLED = 255
RECOMMENDED = -1.0  # as the smallest confidence of a label: what the checkpoint recommends
ABSENT, NOT_JUDGED = "-", "?"  # the signs before a class name in a list of tags; without a sign the class is present
_MEANING = {"": "present", ABSENT: "absent", NOT_JUDGED: "unknown"}
# Class names that mean the same class: when label spaces are compared, the key is replaced by the value.
_SAME_CLASS = {"bookcase": "bookshelf"}


@dataclass(frozen=True)
class TagList:
    """The judgement of a person about one image or scene: class names in the order of the label space.

    ``chair, -sofa, ?table`` is how it is written: a chair is present, sofas are absent, and nobody could judge whether
    there is a table. The other classes are not listed: ``LabelSpace.unknown`` says what that means.
    """

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def written(self) -> list[str]:
        """The names with their signs, as ``LabelSpace.tag_list`` reads them."""
        return [*self.present, *(ABSENT + name for name in self.absent), *(NOT_JUDGED + name for name in self.unknown)]


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """An ordered set of classes. A label is an index into ``names``; 255 is unlabelled.

    ``ids`` are the numbers that a data set uses for these classes (nyu40 ids for ScanNet). ``ignored`` are names in
    lists of tags that are not classes and are skipped there. ``synonyms`` are pairs of another name and the class that
    it means. Names are compared by ``key_of``: without case, and with spaces, ``_`` and ``-`` alike. Spaces are equal
    if their names (so compared), colours and ids are.
    Raises BadInput when a name or an id repeats, two names are compared as one, the columns differ in length, there are
    not 1 to 254 classes, an ignored name is a class, or a synonym is another class or means none.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ids: tuple[int, ...]
    ignored: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.colors) == len(self.ids):
            raise BadInput(
                f"label space '{self.name}': {len(self.names)} names, {len(self.colors)} colours and "
                f"{len(self.ids)} ids; give one of each per class"
            )
        if not 0 < len(self.names) < UNLABELLED:
            raise BadInput(f"label space '{self.name}': {len(self.names)} classes; 1 to 254 fit a uint8 label")
        for what, values in (("name", self.names), ("id", self.ids)):
            if len(set(values)) != len(values):
                raise BadInput(f"label space '{self.name}': a class {what} occurs twice in {values}")
        if not all(map(key_of, self.names)):
            raise BadInput(f"label space '{self.name}': a class without a name in {self.names}; give each one")
        if pair := coinciding(self.names):
            raise BadInput(
                f"label space '{self.name}': '{pair[0]}' and '{pair[1]}' are one name, since case does not count and "
                "spaces, _ and - are alike; rename one of them"
            )
        for other, name in self.synonyms:
            if key_of(name) not in self._keys:
                raise BadInput(f"label space '{self.name}': the synonym '{other}' means '{name}', which is not a class")
            if self._index[key_of(other)] != self._index[key_of(name)]:
                meant = self.names[self._index[key_of(other)]]
                raise BadInput(f"label space '{self.name}': the synonym '{other}' means '{name}' and '{meant}'")
        for name in self.ignored:
            if key_of(name) in self._index:
                raise BadInput(f"'{name}' is a class of '{self.name}'; only names that are not classes can be ignored")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSpace) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def _identity(self) -> tuple:
        return self.name, self._keys, self.colors, self.ids

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        return tuple(map(key_of, self.names))

    @cached_property
    def _index(self) -> dict[str, int]:
        """The label of each name and synonym, by key; a class is preferred to a synonym, and the first synonym."""
        index = {key: label for label, key in enumerate(self._keys)}
        for other, name in self.synonyms:
            index.setdefault(key_of(other), index[key_of(name)])
        return index

    @cached_property
    def _id_table(self) -> UInt8[np.ndarray, "K"]:
        return id_table({number: label for label, number in enumerate(self.ids)})

    @classmethod
    def from_dict(cls, data: dict) -> "LabelSpace":
        """Read the dictionary that ``to_dict`` returns. Raises KeyError or TypeError for anything else."""
        rows = data["classes"]
        return cls(
            name=data["name"],
            names=tuple(str(row["name"]) for row in rows),
            colors=tuple(cast(tuple[int, int, int], tuple(map(int, row["color"]))) for row in rows),
            ids=tuple(int(row["id"]) for row in rows),
            synonyms=tuple((str(other), str(name)) for other, name in data.get("synonyms", {}).items()),
        )

    def to_dict(self) -> dict:
        """``{"name": ..., "classes": [{"name", "id", "color"}, ...]}``, with ``"synonyms"`` if there are any.

        It is ready for JSON and YAML.
        """
        rows = zip(self.names, self.ids, self.colors, strict=True)
        plain = {"name": self.name, "classes": [{"name": n, "id": i, "color": list(c)} for n, i, c in rows]}
        return plain | ({"synonyms": dict(self.synonyms)} if self.synonyms else {})

    def index(self, name: str) -> int:
        """The label of a class name or synonym. Raises BadInput, naming the nearest class, when there is none."""
        found = self._index.get(key_of(name))
        if found is not None:
            return found
        near = nearest(name, (*self.names, *(other for other, _ in self.synonyms)))
        meant = self.names[self._index[key_of(near)]]
        other = "" if key_of(near) == key_of(meant) else f" (as '{near}')"
        known = ", ".join(self.names)
        raise BadInput(f"'{name}' is not a class of '{self.name}'; the nearest is '{meant}'{other} of {known}")

    def __contains__(self, name: str) -> bool:
        """Whether a name is a class or a synonym of one."""
        return key_of(name) in self._index

    def tag_list(self, names: Iterable[str]) -> TagList:
        """Read a list of tags: ``chair`` is present, ``-chair`` absent, ``?chair`` unknown.

        Raises BadInput for a name that is not a class, and for a class with two meanings.
        """
        signs: dict[int, str] = {}
        ignored = set(map(key_of, self.ignored))
        for name in map(str.strip, names):
            sign = name[:1] if name[:1] in _MEANING else ""
            name = name.removeprefix(sign)
            if name.strip().startswith((ABSENT, NOT_JUDGED)) and sign:
                raise BadInput(f"'{name}' is not a class name; expected one sign {ABSENT} or {NOT_JUDGED}")
            if key_of(name) in ignored:
                continue
            index = self.index(name)
            if signs.setdefault(index, sign) != sign:
                meanings = f"both {_MEANING[signs[index]]} and {_MEANING[sign]}"
                raise BadInput(f"'{self.names[index]}' is {meanings}; expected one of them")
        present, absent, unknown = (
            tuple(self.names[index] for index in sorted(signs) if signs[index] == meaning) for meaning in _MEANING
        )
        return TagList(present, absent, unknown)

    def unknown(self, tags: TagList, complete: bool = True) -> tuple[str, ...]:
        """The classes that a list of tags does not judge.

        These are the classes marked as unknown, and without ``complete`` also those that are not listed. In a complete
        list, a class that is not listed is absent.
        """
        judged = {*tags.present, *tags.absent}
        return tags.unknown if complete else tuple(name for name in self.names if name not in judged)

    def multi_hot(self, tags: Iterable[str]) -> Float32[np.ndarray, "C"]:
        """The vector with 1 for tagged classes and 0 for the others. Raises BadInput for a tag that is not a class."""
        vector = np.zeros(len(self), np.float32)
        for tag in tags:
            vector[self.index(tag)] = 1
        return vector

    def tags(self, multi_hot: Float32[np.ndarray, "C"]) -> tuple[str, ...]:
        """The class names of a multi-hot vector."""
        return tuple(name for name, on in zip(self.names, multi_hot, strict=True) if on > 0.5)

    def counts(self, labels: UInt8[np.ndarray, "..."]) -> Int64[np.ndarray, "C"]:
        """The number of pixels or points of each class."""
        return np.bincount(labels.ravel(), minlength=256)[: len(self)]

    def present(self, labels: UInt8[np.ndarray, "..."], at_least: int = 1) -> tuple[str, ...]:
        """The names of the classes that at least ``at_least`` pixels or points have."""
        return tuple(name for name, count in zip(self.names, self.counts(labels), strict=True) if count >= at_least)

    def from_ids(self, ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The labels for ids of the data set; an id that is not a class becomes 255, a negative one as well."""
        return look_up(self._id_table, ids)

    def to_ids(self, labels: UInt8[np.ndarray, "..."]) -> Integer[np.ndarray, "..."]:
        """The ids of the data set for labels; a label that is not a class becomes 0."""
        table = np.zeros(256, np.uint16)
        table[: len(self)] = self.ids
        return table[labels]

    def shared(self, other: "LabelSpace") -> tuple[tuple[int, int, str], ...]:
        """The classes of both spaces, as (index here, index there, name here), in the order of this space.

        Classes are equal if their names are; S3DIS's bookcase equals ScanNet's bookshelf.
        """
        there = {self._shared_key(name): index for index, name in enumerate(other.names)}
        pairs = ((index, there.get(self._shared_key(name)), name) for index, name in enumerate(self.names))
        return tuple(pair for pair in pairs if pair[1] is not None)

    def has_classes_of(self, other: "LabelSpace") -> bool:
        """Whether both have the same classes in the same order; their colours and ids may differ."""
        return [*map(self._shared_key, self.names)] == [*map(self._shared_key, other.names)]

    @staticmethod
    def _shared_key(name: str) -> str:
        return _SAME_CLASS.get(key_of(name), key_of(name))

    def table_to(self, other: "LabelSpace") -> UInt8[np.ndarray, "256"]:
        """The table that maps labels of this space to labels of ``other``: ``table[labels]``.

        Classes that the other space does not have become 255.
        """
        table = np.full(256, UNLABELLED, np.uint8)
        for here, there, _ in self.shared(other):
            table[here] = there
        return table

    def colorize(self, labels: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "... 3"]:
        """The RGB colour of each label; unlabelled is black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.colors
        return table.take(labels, axis=0)


def id_table(label_of: Mapping[int, int]) -> UInt8[np.ndarray, "K"]:
    """The labels of the numbers -1, 0, 1, ..., by those of some of them. The last is for larger ones."""
    table = np.full(max(label_of) + 3, UNLABELLED, np.uint8)
    table[np.array(list(label_of)) + 1] = np.array(list(label_of.values()), np.uint8)
    return table


def look_up(table: UInt8[np.ndarray, "K"], ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """The labels of numbers by their ``id_table``; 255 for a number without a label."""
    return table[np.clip(ids.astype(np.int64, copy=False), -1, len(table) - 2) + 1]
