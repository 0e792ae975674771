"""What the numbers of labels in files mean: ids of the data set, positions of the classes, nyu40 ids, colours."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from wsss_ros.labels.label_file import labels_named
from wsss_ros.labels.space import UNLABELLED, LabelSpace, id_table, look_up
from wsss_ros.types import BadInput, few_of

LabelIds = Literal["dataset", "index", "index1", "nyu40", "color", "auto"]
READINGS: tuple[str, ...] = get_args(LabelIds)[:4]
MEANING = {
    "dataset": "ids of the label file",
    "index": "positions of the classes from 0",
    "index1": "positions of the classes from 1",
    "nyu40": "nyu40 ids",
    "color": "colours of the label file",
}
_MARKS = (-1, 255, 65535, 2**32 - 1)  # unlabelled, where they are not ids of classes
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class IdReading:
    """The label of each number, by name of the reading; ``marks`` are numbers that mean unlabelled."""

    name: str
    labels: LabelSpace
    table: Mapping[int, int]
    marks: frozenset[int]

    @classmethod
    def named(cls, name: str, labels: LabelSpace) -> "IdReading":
        """One of ``READINGS``. Raises BadInput for nyu40 ids and a label space without a nyu40 class."""
        count = range(len(labels))
        if name == "nyu40":
            ours = _nyu40()
            table = {id_: labels.index(of) for of, id_ in zip(ours.names, ours.ids, strict=True) if of in labels}
            others = set(ours.ids) - set(table)
            if not table:
                raise BadInput(f"label_ids nyu40: no class of '{labels.name}' is one of nyu40; use another reading")
            return cls(name, labels, table, frozenset({0, *_MARKS, *others}))
        table = {
            "dataset": dict(zip(labels.ids, count, strict=True)),
            "index": dict(zip(count, count, strict=True)),
            "index1": {label + 1: label for label in count},
        }[name]
        unlabelled = {*_MARKS, 0} if name != "index" else {*_MARKS}
        return cls(name, labels, table, frozenset(unlabelled - set(table)))

    def __call__(self, ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The labels of these numbers; 255 for those that are not classes."""
        return look_up(self._id_table, ids)

    @cached_property
    def _id_table(self) -> UInt8[np.ndarray, "K"]:
        return id_table(self.table)

    def strange(self, counts: Mapping[int, int]) -> dict[int, int]:
        """How often there are numbers that are neither classes nor marks."""
        return {value: count for value, count in counts.items() if value not in self.table and value not in self.marks}

    def described(self, counts: Mapping[int, int]) -> str:
        """The classes by count under this reading, for messages."""
        by_class = {self.labels.names[self.table[v]]: count for v, count in counts.items() if v in self.table}
        total = max(1, sum(counts.values()))
        ranked = sorted(by_class.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {count / total:.0%}" for name, count in ranked[:6])
        return f"'{self.name}' ({MEANING[self.name]}): {shown or 'no class'}{' ...' if len(ranked) > 6 else ''}"

    def same_as(self, other: "IdReading", values: Iterable[int]) -> bool:
        """Whether both readings give these numbers the same labels."""
        return all(self.table.get(value) == other.table.get(value) for value in values)


@cache
def _nyu40() -> LabelSpace:
    return labels_named("nyu40")


def count_ids(ids: Integer[np.ndarray, "..."]) -> dict[int, int]:
    """How often there is each number."""
    values, counts = np.unique(ids, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def choose(source: str, counts: Mapping[int, int], labels: LabelSpace, label_ids: str = "dataset") -> IdReading:
    """The reading of numbers that occur ``counts`` times; ``label_ids`` names it, or is auto.

    auto takes the reading without strange numbers. Raises BadInput naming the ``source``: when auto finds none, or
    several that differ, with the classes under each; and for a named reading with strange numbers where another one
    has none. Strange numbers are reported otherwise, and mean unlabelled.
    """
    if label_ids not in (*READINGS, "auto"):
        raise BadInput(f"{source}: label_ids '{label_ids}'; expected auto or one of {', '.join(MEANING)}")
    fitting = _fitting(counts, labels)
    if label_ids == "auto":
        return _only(source, counts, labels, fitting)
    reading = IdReading.named(label_ids, labels)
    strange = reading.strange(counts)
    others = [other for other in fitting if other.name != label_ids and not other.same_as(reading, counts)]
    if strange and others and not any(other.same_as(reading, counts) for other in fitting):
        shown, names = "; ".join(other.described(counts) for other in others), " or ".join(o.name for o in others)
        raise BadInput(
            f"{source}: has {_listed(strange, counts)}, which are not {MEANING[label_ids]} of '{labels.name}'; "
            f"{reading.described(counts)}. All numbers fit {shown}. Say which: --label-ids {names}"
        )
    if strange and not fitting:
        _log.warning(
            "%s: %s are not %s of '%s'; they count as unlabelled (--label-ids says another meaning)",
            *(source, _listed(strange, counts), MEANING[label_ids], labels.name),
        )
    return reading


def _fitting(counts: Mapping[int, int], labels: LabelSpace) -> list[IdReading]:
    """The readings with at least one class and without strange numbers."""
    found = []
    for name in READINGS:
        try:
            reading = IdReading.named(name, labels)
        except BadInput:
            continue
        if not reading.strange(counts) and any(value in reading.table for value in counts):
            found.append(reading)
    return found


def _only(source: str, counts: Mapping[int, int], labels: LabelSpace, fitting: list[IdReading]) -> IdReading:
    differing = [
        reading for at, reading in enumerate(fitting) if not any(reading.same_as(r, counts) for r in fitting[:at])
    ]
    if len(differing) == 1:
        _log.info("%s: labels are read as %s", source, differing[0].described(counts))
        return differing[0]
    if not set(counts) - set(_MARKS):
        return IdReading.named("dataset", labels)
    possible = differing or [IdReading.named(name, labels) for name in READINGS[:3]]
    shown = "; ".join(reading.described(counts) for reading in possible)
    why = "fit several readings" if differing else f"fit no reading of '{labels.name}'"
    raise BadInput(
        f"{source}: the label numbers {', '.join(map(str, sorted(counts)[:12]))} {why}: {shown}. "
        f"Say which: --label-ids {', '.join(reading.name for reading in differing) or ', '.join(READINGS)}"
    )


def _listed(strange: Mapping[int, int], counts: Mapping[int, int]) -> str:
    total = max(1, sum(counts.values()))
    return f"the numbers {few_of(f'{value} ({count / total:.1%})' for value, count in sorted(strange.items()))}"


# --- colours ---------------------------------------------------------------------------------------


def of_colors(source: str, rgb: UInt8[np.ndarray, "... 3"], labels: LabelSpace) -> UInt8[np.ndarray, "..."]:
    """The labels whose colours these are; black, white and other colours are unlabelled.

    Raises BadInput when classes share a colour, and when more than half of the other pixels have no colour of a class.
    """
    if len(set(labels.colors)) < len(labels):
        raise BadInput(f"{source}: labels are colours, and classes of '{labels.name}' share one; give each its own")
    packed = _packed(rgb)
    colors = _packed(np.array(labels.colors, np.uint8))
    order = np.argsort(colors)
    place = np.clip(np.searchsorted(colors[order], packed), 0, len(colors) - 1)
    found = np.where(colors[order][place] == packed, order[place], UNLABELLED).astype(np.uint8)
    strange = (found == UNLABELLED) & (packed != 0) & (packed != 0xFFFFFF)
    if strange.any():
        share = strange.sum() / max(1, np.sum((packed != 0) & (packed != 0xFFFFFF)))
        first = packed[strange][0]
        example = [int(first >> shift & 255) for shift in (16, 8, 0)]
        text = (
            f"{source}: {share:.1%} of the labelled pixels have no colour of a class of '{labels.name}', as {example}"
        )
        if share > 0.5:
            raise BadInput(f"{text}; expected PNG, not JPEG, in the colours of the label file (--labels names another)")
        _log.warning("%s; they count as unlabelled", text)
    return found


def _packed(rgb: UInt8[np.ndarray, "... 3"]) -> Int64[np.ndarray, "..."]:
    return rgb.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
