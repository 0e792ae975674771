"""Label spaces: class names, colours and data-set ids; tags to multi-hot vectors and back."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float32, Integer, UInt8

from wsss_ros.config import share
from wsss_ros.types import BadInput

UNLABELLED = 255
_SHIPPED = ("scannet20", "s3dis")  # label files that come with the package
# Data sets name some classes differently: every name of a class and the one that stands for it in comparisons.
_SAME_CLASS = {"bookcase": "bookshelf"}


@dataclass(frozen=True)
class LabelSpace:
    """An ordered set of classes. A label is an index into ``names``; 255 is unlabelled.

    ``ids`` are the numbers a data set uses for the same classes (nyu40 ids for ScanNet).
    Raises BadInput when names repeat, the columns differ in length, or there are more than 255.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ids: tuple[int, ...]

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
                raise BadInput(f"label space '{self.name}': a class {what} stands twice in {values}")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def load(cls, path: str | Path) -> "LabelSpace":
        """Read ``{name: ..., classes: [{name, id, color}, ...]}`` from YAML."""
        try:
            return cls.from_dict(yaml.safe_load(Path(path).read_text()))
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path}: not a label file ({error!r}); wanted 'name' and 'classes', a list of name, id, color"
            ) from error

    @classmethod
    def from_dict(cls, data: dict) -> "LabelSpace":
        rows = data["classes"]
        return cls(
            name=data["name"],
            names=tuple(str(row["name"]) for row in rows),
            colors=tuple(tuple(int(c) for c in row["color"]) for row in rows),
            ids=tuple(int(row["id"]) for row in rows),
        )

    def to_dict(self) -> dict:
        rows = zip(self.names, self.ids, self.colors, strict=True)
        return {"name": self.name, "classes": [{"name": n, "id": i, "color": list(c)} for n, i, c in rows]}

    def index(self, name: str) -> int:
        """Raises BadInput, naming the nearest class, when there is no such class."""
        wanted = name.strip().lower()
        if wanted in self.names:
            return self.names.index(wanted)
        near = difflib.get_close_matches(wanted, self.names, n=1, cutoff=0.0)
        raise BadInput(f"'{name}' is no class of '{self.name}'; the nearest is '{near[0]}' of {', '.join(self.names)}")

    def multi_hot(self, tags: Iterable[str]) -> Float32[np.ndarray, "C"]:
        vector = np.zeros(len(self), np.float32)
        for tag in tags:
            vector[self.index(tag)] = 1
        return vector

    def tags(self, multi_hot: Float32[np.ndarray, "C"]) -> tuple[str, ...]:
        return tuple(name for name, on in zip(self.names, multi_hot, strict=True) if on > 0.5)

    def present(self, labels: UInt8[np.ndarray, "..."], at_least: int = 1) -> tuple[str, ...]:
        """The classes that cover at least so many pixels or points."""
        counts = np.bincount(labels.ravel(), minlength=256)[: len(self)]
        return tuple(name for name, count in zip(self.names, counts, strict=True) if count >= at_least)

    def from_ids(self, ids: Integer[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """Data-set ids to labels; an id of no class becomes 255."""
        size = max(max(self.ids), int(ids.max(initial=0))) + 1
        table = np.full(size, UNLABELLED, np.uint8)
        table[list(self.ids)] = np.arange(len(self), dtype=np.uint8)
        return table[ids]

    def to_ids(self, labels: UInt8[np.ndarray, "..."]) -> Integer[np.ndarray, "..."]:
        """Labels to data-set ids; 255 becomes 0."""
        table = np.zeros(256, np.uint16)
        table[: len(self)] = self.ids
        return table[labels]

    def shared(self, other: "LabelSpace") -> tuple[tuple[int, int, str], ...]:
        """The classes that both spaces have, as (index here, index there, name here), in the order here.

        Names are compared, and S3DIS's bookcase is ScanNet's bookshelf.
        """
        there = {_SAME_CLASS.get(name, name): index for index, name in enumerate(other.names)}
        pairs = ((index, there.get(_SAME_CLASS.get(name, name)), name) for index, name in enumerate(self.names))
        return tuple(pair for pair in pairs if pair[1] is not None)

    def table_to(self, other: "LabelSpace") -> UInt8[np.ndarray, "256"]:
        """``table[labels]`` turns labels of this space into the other's; classes it lacks become 255."""
        table = np.full(256, UNLABELLED, np.uint8)
        for here, there, _ in self.shared(other):
            table[here] = there
        return table

    def colorize(self, labels: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "... 3"]:
        """RGB for each label; unlabelled is black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.colors
        return table.take(labels, axis=0)


def labels_named(name: str | Path) -> LabelSpace:
    """The label space of the file ``name``, or of the file or the short name that ships with the package.

    ``labels_named("config/labels/scannet20.yaml")`` and ``labels_named("scannet20")`` are the same. Raises BadInput
    when there is neither.
    """
    if str(name) in _SHIPPED:
        return LabelSpace.load(share(f"config/labels/{name}.yaml"))
    return LabelSpace.load(name if Path(name).exists() else share(str(name)))


def scannet20() -> LabelSpace:
    """ScanNet's 20 benchmark classes."""
    return labels_named("scannet20")


def s3dis() -> LabelSpace:
    """The 13 classes of S3DIS and 2D-3D-S."""
    return labels_named("s3dis")
