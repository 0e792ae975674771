"""Tags of a scene and its frames, from a person (``tags.csv`` or ``tags.json``) or from the truth."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import NOT_JUDGED, LabelSpace, TagList
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

# The smallest share of a class that becomes a tag: a person would not name a few stray pixels or points.
_IMAGE_SHARE = 0.005  # of all pixels
_CLOUD_SHARE = 0.0005  # of all points
_SCENE = "scene"
_FRAMES = "frames"
_COMPLETE = "complete"
_COLUMNS = {"tags", "unknown", "split"}  # of tags.csv, next to "frame"


class TagFile:
    """The tags (class names) of a scene and of its frames.

    ``tags.csv`` has rows ``frame,"name, name"``, or a heading that names its columns: ``frame`` and ``tags``, and if
    needed ``unknown`` (names that nobody could judge) and ``split``, in any order; other columns are ignored.
    ``tags.json`` holds ``{"scene": [names], "frames": {"000012": [names]}}``, where either key is optional, or
    ``{"000012": [names], "scene": [names]}``. The row or key ``scene`` is for the whole scene. Frames have the names of
    their files, with or without leading zeros.

    Names have the signs of ``LabelSpace.tag_list``: ``sofa`` is present, ``-sofa`` absent, ``?sofa`` unknown.
    With ``complete``, a class that is not listed is absent, otherwise unknown; a key ``"complete"`` of tags.json
    overrides the argument. A class that the scene's list calls absent is absent in each frame that does not judge it.

    ``given_scene`` is the scene's own list, None without such a list. ``scene`` are the classes present in the scene,
    ``unknown`` those that are not judged in it (see ``scene_list``).

    ``content`` are rows from elsewhere than the file, such as the messages of a bag at ``path``.

    Raises BadInput naming the file and the line or key: for a name that is not a class (with the nearest class), for a
    class with two meanings, for a frame that appears twice, and for values that are not lists of names.
    """

    def __init__(
        self, path: Path, labels: LabelSpace, complete: bool = True, content: "Content | None" = None
    ) -> None:
        if content is None:
            content = (_read_json if path.suffix == ".json" else read_csv)(path)
        self.labels = labels
        self.complete = complete if content.complete is None else content.complete
        self._lists: dict[str, TagList] = {}
        for row in content.rows:
            key = _frame_key(row.frame)
            if key in self._lists:
                raise BadInput(f"{path}, {row.where}: '{row.frame}' appears twice; expected all its tags in one place")
            try:
                self._lists[key] = labels.tag_list(row.names)
            except BadInput as error:
                raise BadInput(f"{path}, {row.where}: {error}") from error
        self.given_scene = self._lists.pop(_SCENE, None)
        whole = scene_list(self.given_scene, self._lists.values(), labels)
        self.scene, self.unknown = whole.present, labels.unknown(whole, self.complete)

    def image(self, name: str) -> tuple[str, ...] | None:
        """The classes present in the frame with this name, or None if the frame has no list."""
        given = self.image_list(name)
        return None if given is None else given.present

    def image_unknown(self, name: str) -> tuple[str, ...]:
        """The classes that are not judged in the frame with this name; none if the frame has no list."""
        given = self.image_list(name)
        absent = self.given_scene.absent if self.given_scene else ()
        unknown = () if given is None else self.labels.unknown(given, self.complete)
        return tuple(tag for tag in unknown if tag not in absent)

    def image_list(self, name: str) -> TagList | None:
        """The list of the frame with this name, or None if it has none."""
        return self._lists.get(_frame_key(name))

    @classmethod
    def of(cls, folder: Path, labels: LabelSpace, complete: bool = True) -> "TagFile | None":
        """The tags in a folder, or None without a tag file. Raises BadInput for a broken file and for two tag files."""
        found = [folder / name for name in ("tags.csv", "tags.json") if (folder / name).is_file()]
        if len(found) > 1:
            raise BadInput(f"{folder}: has both tags.csv and tags.json; keep the one that is right")
        return cls(found[0], labels, complete) if found else None


def scene_list(own: TagList | None, frames: Iterable[TagList], labels: LabelSpace) -> TagList:
    """The list of a whole scene: its own, completed from the lists of its frames where it names no present class.

    Classes present in any frame are present in the scene. Classes that are unknown in a frame, and present in none, are
    unknown. A class that is absent in a frame may still be elsewhere in the scene. An empty own list stays empty.
    """
    if own is not None and (own.present or own == TagList()):
        return own
    frames, own = list(frames), own or TagList()
    present = {name for tags in frames for name in tags.present}.difference(own.absent)
    unknown = {name for tags in (own, *frames) for name in tags.unknown}.difference(own.absent, present)
    ordered = lambda names: tuple(name for name in labels.names if name in names)  # noqa: E731
    return TagList(ordered(present), own.absent, ordered(unknown))


def tags_of_image(truth: UInt8[np.ndarray, "H W"], labels: LabelSpace) -> tuple[str, ...]:
    """The names of the classes on at least 0.5 % of the pixels of a label image."""
    return _common(truth, labels, _IMAGE_SHARE)


def tags_of_cloud(truth: UInt8[np.ndarray, "N"], labels: LabelSpace) -> tuple[str, ...]:
    """The names of the classes of at least 0.05 % of the points of a cloud."""
    return _common(truth, labels, _CLOUD_SHARE)


def _common(truth: np.ndarray, labels: LabelSpace, share: float) -> tuple[str, ...]:
    return labels.present(truth, at_least=max(1, int(np.ceil(share * truth.size))))


class Row(NamedTuple):
    """The list of one frame or of the scene, and its place in the file. Unknown classes have a ``?`` in front."""

    where: str
    frame: str
    names: list[str]
    split: str = ""


class Content(NamedTuple):
    """The rows of a file, and what it says about classes that are not listed (None: nothing)."""

    rows: list[Row]
    complete: bool | None = None


def read_csv(path: Path, faults: list[str] | None = None) -> Content:
    """The rows of ``tags.csv``. Raises BadInput for a line that is not a row; with ``faults`` it is added there."""

    def each(read: Callable[..., Any], given: Iterable[tuple]) -> list:
        found = []
        for arguments in given:
            try:
                found.append(read(path, *arguments))
            except BadInput as error:
                if faults is None:
                    raise
                faults.append(str(error))
        return found

    lines = read_bytes(path, "rows 'frame,tags'").decode("utf-8-sig", "replace").splitlines()
    rows = [(where, row) for where, row in each(_cells, enumerate(lines, start=1)) if any(row)]
    first = [name.lower() for name in rows[0][1]] if rows else []
    is_heading = first[:1] == ["frame"] or _names_columns(first)
    if is_heading and first != ["frame", "tags"] and {*first} & _COLUMNS:
        columns = _columns(f"{path}, {rows[0][0]}", first)
        return Content(each(partial(_row_of_columns, columns), rows[1:]))
    return Content(each(_plain_row, rows[is_heading:]))


def has_columns(path: Path) -> bool:
    """Whether a file is a ``tags.csv`` whose first line names the columns ``frame`` and ``tags``."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return _names_columns([name.strip().lower() for name in file.readline().split(",")])


def _names_columns(cells: list[str]) -> bool:
    return {"frame", "tags"} <= {*cells}


def _cells(path: Path, number: int, line: str) -> tuple[str, list[str]]:
    """The place of a line, and its values."""
    try:
        return f"line {number}", [cell.strip() for cell in next(csv.reader([line]), [])]
    except csv.Error as error:
        raise BadInput(f"{path}, line {number}: {error}; expected 'frame,\"name, name\"'") from error


def _plain_row(path: Path, where: str, cells: list[str]) -> Row:
    """A row of a file without further columns: the frame, then its names, with or without quotes."""
    if len(cells) < 2:
        raise BadInput(f"{path}, {where}: '{cells[0]}' has no comma; expected 'frame,\"name, name\"'")
    return Row(where, cells[0], _split_names(",".join(cells[1:])))


def _columns(where: str, heading: list[str]) -> list[str]:
    known = [name for name in heading if name in {"frame", *_COLUMNS}]
    if "tags" not in known or len({*known}) < len(known):
        found = ", ".join(heading)
        raise BadInput(f"{where}: the columns are {found}; expected 'frame' and 'tags', and each name once")
    return heading


def _row_of_columns(columns: list[str], path: Path, where: str, cells: list[str]) -> Row:
    if len(cells) > len(columns) or len(cells) <= max(columns.index("frame"), columns.index("tags")):
        raise BadInput(
            f"{path}, {where}: {len(cells)} values; expected {len(columns)} ({', '.join(columns)}), "
            "with quotes around several names"
        )
    values = dict(zip(columns, cells, strict=False))  # the last columns may be left out
    unknown = [NOT_JUDGED + name for name in _split_names(values.get("unknown", ""))]
    return Row(where, values["frame"], _split_names(values["tags"]) + unknown, values.get("split", ""))


def _split_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _read_json(path: Path) -> Content:
    text = read_bytes(path, "an object of lists of class names").decode("utf-8-sig", "replace")
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}); expected an object of lists of class names") from error
    if not isinstance(pairs, _Pairs):
        raise BadInput(f"{path}: holds a {type(pairs).__name__}; expected an object of lists of class names")
    flags = [value for key, value in pairs if key == _COMPLETE and isinstance(value, bool)]
    lists = [(key, value) for key, value in pairs if not (key == _COMPLETE and isinstance(value, bool))]
    return Content(list(_json_rows(path, lists)), flags[-1] if flags else None)


def _json_rows(path: Path, lists: list[tuple[str, object]]) -> Iterator[Row]:
    nested = any(key == _FRAMES for key, _ in lists)
    for key, value in lists:
        if nested and key not in (_SCENE, _FRAMES):
            raise BadInput(f"{path}, key '{key}': next to 'frames' only 'scene' is allowed; move it into 'frames'")
        if key != _FRAMES:
            yield Row(f"key '{key}'", key, _names(path, key, value))
        elif isinstance(value, _Pairs):
            yield from (Row(f"key 'frames.{name}'", name, _names(path, f"frames.{name}", of)) for name, of in value)
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
