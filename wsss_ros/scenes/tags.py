"""Tags of a scene and its frames, from a person (``tags.csv`` or ``tags.json``) or from the truth."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

# The smallest share of a class that becomes a tag: a person would not name a few stray pixels or points.
_IMAGE_SHARE = 0.005  # of all pixels
_CLOUD_SHARE = 0.0005  # of all points
_SCENE = "scene"
_FRAMES = "frames"


class TagFile:
    """The tags (class names) of a scene and of its frames.

    ``tags.csv`` has rows ``frame,"name, name"``, with or without a heading; the row ``scene`` is for the whole scene.
    ``tags.json`` holds ``{"scene": [names], "frames": {"000012": [names]}}``, where either key is optional, or
    ``{"000012": [names], "scene": [names]}``. Frames have the names of their files, with or without leading zeros.

    ``given_scene`` are the tags in the scene's own list, None without such a list. ``scene`` are the same, or the tags
    of all frames without such a list.

    Raises BadInput naming the file and the line or key: for a name that is not a class (with the nearest class), for a
    frame that appears twice, and for values that are not lists of names.
    """

    def __init__(self, path: Path, labels: LabelSpace) -> None:
        self._tags: dict[str, tuple[str, ...]] = {}
        for where, frame, names in (_read_json if path.suffix == ".json" else _read_csv)(path):
            key = _frame_key(frame)
            if key in self._tags:
                raise BadInput(f"{path}, {where}: '{frame}' appears twice; expected all its tags in one place")
            self._tags[key] = _classes(names, labels, f"{path}, {where}")
        self.given_scene = self._tags.get(_SCENE)
        union = set().union(*self._tags.values())
        self.scene = self._tags.get(_SCENE, tuple(name for name in labels.names if name in union))

    def image(self, name: str) -> tuple[str, ...] | None:
        """The tags of the frame with this name, or None if it has none."""
        return self._tags.get(_frame_key(name))

    @classmethod
    def of(cls, folder: Path, labels: LabelSpace) -> "TagFile | None":
        """The tags in a folder, or None without a tag file. Raises BadInput for a broken file and for two tag files."""
        found = [folder / name for name in ("tags.csv", "tags.json") if (folder / name).is_file()]
        if len(found) > 1:
            raise BadInput(f"{folder}: has both tags.csv and tags.json; keep the one that is right")
        return cls(found[0], labels) if found else None


def tags_of_image(truth: UInt8[np.ndarray, "H W"], labels: LabelSpace) -> tuple[str, ...]:
    """The names of the classes on at least 0.5 % of the pixels of a label image."""
    return _common(truth, labels, _IMAGE_SHARE)


def tags_of_cloud(truth: UInt8[np.ndarray, "N"], labels: LabelSpace) -> tuple[str, ...]:
    """The names of the classes of at least 0.05 % of the points of a cloud."""
    return _common(truth, labels, _CLOUD_SHARE)


def _common(truth: np.ndarray, labels: LabelSpace, share: float) -> tuple[str, ...]:
    return labels.present(truth, at_least=max(1, int(np.ceil(share * truth.size))))


def _classes(names: Iterable[str], labels: LabelSpace, where: str) -> tuple[str, ...]:
    """The classes with the given names, in the order of the label space. Raises BadInput for an unknown name."""
    try:
        given = {labels.index(name) for name in names}
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return tuple(labels.names[index] for index in sorted(given))


def _read_csv(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(line, frame, names) of each row."""
    lines = read_bytes(path, "rows 'frame,tags'").decode("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row: list[str] = next(csv.reader([line]), [])
        except csv.Error as error:
            raise BadInput(f"{path}, line {number}: {error}; expected 'frame,\"name, name\"'") from error
        if not any(map(str.strip, row)) or (number == 1 and row[0].strip() == "frame"):
            continue
        if len(row) < 2:
            raise BadInput(f"{path}, line {number}: '{line}' has no comma; expected 'frame,\"name, name\"'")
        yield f"line {number}", row[0], [name.strip() for name in ",".join(row[1:]).split(",") if name.strip()]


def _read_json(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(key, frame, names) of each list."""
    text = read_bytes(path, "an object of lists of class names").decode("utf-8-sig", "replace")
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}); expected an object of lists of class names") from error
    if not isinstance(pairs, _Pairs):
        raise BadInput(f"{path}: holds a {type(pairs).__name__}; expected an object of lists of class names")
    nested = any(key == _FRAMES for key, _ in pairs)
    for key, value in pairs:
        if nested and key not in (_SCENE, _FRAMES):
            raise BadInput(f"{path}, key '{key}': next to 'frames' only 'scene' is allowed; move it into 'frames'")
        if key != _FRAMES:
            yield f"key '{key}'", key, _names(path, key, value)
        elif isinstance(value, _Pairs):
            yield from ((f"key 'frames.{frame}'", frame, _names(path, f"frames.{frame}", of)) for frame, of in value)
        else:
            raise BadInput(f"{path}, key 'frames': {json.dumps(value)}; expected an object of lists by frame")


class _Pairs(list):
    """A JSON object as a list of (key, value); a key may appear twice."""


def _names(path: Path, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or isinstance(value, _Pairs) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"{path}, key '{key}': {json.dumps(value)}; expected a list of class names")
    return value


def _frame_key(name: str) -> str:
    """The name of a frame without 'frame-' and leading zeros."""
    name = name.strip().removeprefix("frame-")
    return str(int(name)) if name.isdecimal() else name
