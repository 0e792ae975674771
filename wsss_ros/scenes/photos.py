"""A folder of photographs without depth and pose: pictures, class tags, and perhaps dense labels for scoring."""

import csv
import logging
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.images import read_bytes, read_rgb, read_uint16
from wsss_ros.types import BadInput

TAGS = "tags.csv"
LABELS = "label"  # folder of dense labels: PNGs with class ids, named as the photographs
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
_log = logging.getLogger("wsss_ros")


class PhotoFolder:
    """The photographs that ``tags.csv`` of a folder names; implements ``types.Photos``.

    ``tags.csv`` has the columns ``frame,tags`` and perhaps ``unknown`` and ``split``. ``frame`` is the path of a
    picture below the folder, without its extension. ``unknown`` names the classes that nobody could judge.
    ``label/FRAME.png`` holds dense labels as ids of the label space.

    ``split`` selects the rows with this value in the column ``split``, ``include`` the frames that match a pattern such
    as ``kitchens/*`` (``*`` stands for any text, also with ``/``); empty takes all. ``left_out`` has (frame, reason) of
    each selected row that cannot be used; each is also logged as a warning.

    Raises BadInput when the folder or its ``tags.csv`` cannot be read, and when no photograph is left.
    """

    def __init__(self, folder: str | Path, labels: LabelSpace, split: str = "", include: str = ""):
        self.folder, self.labels, self.name = Path(folder), labels, Path(folder).resolve().name
        self.names: list[str] = []
        self.files: list[Path] = []
        self._judged: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # tags and unknown classes by frame
        self.left_out: list[tuple[str, str]] = []
        pictures, selected = _pictures(self.folder), 0
        for line, row in _rows(self.folder / TAGS, split):
            frame = row.get("frame", "").strip()
            if split and row["split"].strip() != split or include and not fnmatchcase(frame, include):
                continue
            selected += 1
            try:
                self._add(frame, row, pictures)
            except BadInput as error:
                self.left_out.append((frame or f"line {line}", f"{self.folder / TAGS}, line {line}: {error}"))
        if not self.names:
            raise BadInput(self._empty(split, include, selected))
        for frame, reason in self.left_out:
            _log.warning("photograph '%s' is left out: %s", frame, reason)

    def __len__(self) -> int:
        return len(self.names)

    def image_tags(self, index: int) -> tuple[str, ...]:
        """The classes that a person saw in a photograph."""
        return self._judged[self.names[index]][0]

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """The classes that nobody could judge in a photograph."""
        return self._judged[self.names[index]][1]

    def rgb(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """Decode a photograph. Raises BadInput when it cannot be read."""
        return read_rgb(self.files[index])

    def truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """The true labels of the pixels of a photograph, None without a file. Raises BadInput for a broken file."""
        path = self.folder / LABELS / f"{self.names[index]}.png"
        return self.labels.from_ids(read_uint16(path, "image of class ids")) if path.is_file() else None

    def _add(self, frame: str, row: dict[str, str], pictures: dict[str, list[Path]]) -> None:
        """Take a row. Raises BadInput with the reason why it cannot be used."""
        found = pictures.get(frame, [])
        if not found:
            raise BadInput(f"no picture '{frame}' with one of {', '.join(EXTENSIONS)}; add it or remove the row")
        if len(found) > 1:
            raise BadInput(f"{' and '.join(path.name for path in found)} are both '{frame}'; keep one of them")
        if frame in self._judged:
            raise BadInput(f"'{frame}' appears twice; expected all its tags in one row")
        tags, unknown = (self._classes(row.get(column) or "") for column in ("tags", "unknown"))
        if both := set(tags) & set(unknown):
            raise BadInput(f"{', '.join(sorted(both))} in both 'tags' and 'unknown'; keep one of them")
        self.names.append(frame)
        self.files.append(found[0])
        self._judged[frame] = tags, unknown

    def _classes(self, text: str) -> tuple[str, ...]:
        given = {self.labels.index(name.strip()) for name in text.split(",") if name.strip()}
        return tuple(self.labels.names[index] for index in sorted(given))

    def _empty(self, split: str, include: str, selected: int) -> str:
        """The reason why no photograph is left."""
        if selected:
            return f"{self.folder}: none of {selected} photographs can be used; the first: {self.left_out[0][1]}"
        asked = [f"split '{split}'"] * bool(split) + [f"a frame like '{include}'"] * bool(include)
        return f"{self.folder / TAGS}: no row{' with ' * bool(asked)}{' and '.join(asked)}; expected one per photograph"


def has_photo_tags(folder: Path) -> bool:
    """Whether a folder has a ``tags.csv`` with the heading ``frame,tags``. Posed frames may have the same file."""
    path = folder / TAGS
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [name.strip() for name in file.readline().split(",")][:2] == ["frame", "tags"]


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """The pictures below a folder, by their path without extension. Raises BadInput without the folder."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a folder of photographs with {TAGS}")
    pictures: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() in EXTENSIONS and inside.parts[0] != LABELS:
            pictures.setdefault(inside.with_suffix("").as_posix(), []).append(path)
    return pictures


def _rows(path: Path, split: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, values by column) of each row. Raises BadInput for a file that is not such a table."""
    expected = "a table with the columns 'frame,tags' and perhaps 'unknown,split'"
    lines = read_bytes(path, expected).decode("utf-8-sig", "replace").splitlines()
    table = csv.DictReader(lines, restval="", skipinitialspace=True)
    columns = [name.strip() for name in table.fieldnames or ()]
    table.fieldnames = columns
    lacks = {"frame", "tags", *(["split"] if split else [])} - set(columns)
    if lacks:
        raise BadInput(f"{path}: no column {', '.join(sorted(lacks))} in '{','.join(columns)}'; expected {expected}")
    yield from ((table.line_num, row) for row in table)
