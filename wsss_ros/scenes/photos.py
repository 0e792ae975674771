"""A folder of photographs without depth and pose: pictures, class tags, and perhaps dense labels for scoring."""

import logging
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.images import read_rgb
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.scenes.tags import Row, has_columns, read_csv
from wsss_ros.types import BadInput

TAGS = "tags.csv"
LABELS = "label"  # folder of dense labels: PNGs with class ids, named as the photographs
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
_log = logging.getLogger("wsss_ros")


class PhotoFolder:
    """The photographs that ``tags.csv`` of a folder names; implements ``types.Photos``.

    ``tags.csv`` has a heading with the columns ``frame``, ``tags`` and perhaps ``unknown`` and ``split``
    (``scenes.tags.TagFile``). ``frame`` is the path of a picture below the folder, without its extension.
    With ``complete``, a class that is not listed is absent, otherwise unknown. ``label/FRAME.png`` holds dense labels:
    colours of the classes, or numbers whose meaning is ``label_ids`` (``labels.ids``; ids of the label space).

    ``split`` selects the rows with this value in the column ``split``, ``include`` the frames that match a pattern such
    as ``kitchens/*`` (``*`` stands for any text, also with ``/``); empty takes all. ``left_out`` has (frame, reason) of
    each selected row that cannot be used; each is also logged as a warning.

    Raises BadInput when the folder or its ``tags.csv`` cannot be read, and when no photograph is left.
    """

    def __init__(
        self,
        folder: str | Path,
        labels: LabelSpace,
        split: str = "",
        include: str = "",
        complete: bool = True,
        label_ids: str = "dataset",
    ):
        self.folder, self.labels, self.name = Path(folder), labels, Path(folder).resolve().name
        self._truth = LabelImages(self.folder / LABELS, labels, label_ids)
        self.names: list[str] = []
        self.files: list[Path] = []
        self._judged: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # tags and unknown classes by frame
        pictures = _pictures(self.folder)
        faults: list[str] = []
        rows = read_csv(self.folder / TAGS, faults).rows
        self.left_out = [(TAGS, fault) for fault in faults]
        for row in rows:
            if (not split or row.split == split) and (not include or fnmatchcase(row.frame, include)):
                try:
                    self._add(row, pictures, complete)
                except BadInput as error:
                    self.left_out.append((row.frame or row.where, f"{self.folder / TAGS}, {row.where}: {error}"))
        if not self.names:
            raise BadInput(self._empty(split, include, {row.split for row in rows}))
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
        return self._truth.read(self.names[index])

    def check_truth(self) -> None:
        """Find what the numbers of the dense labels mean. Raises BadInput where that is not clear."""
        self._truth.check()

    def _add(self, row: Row, pictures: dict[str, list[Path]], complete: bool) -> None:
        """Take a row. Raises BadInput with the reason why it cannot be used."""
        found = pictures.get(row.frame, [])
        if not found:
            raise BadInput(f"no picture '{row.frame}' with one of {', '.join(EXTENSIONS)}; add it or remove the row")
        if len(found) > 1:
            raise BadInput(f"{' and '.join(path.name for path in found)} are both '{row.frame}'; keep one of them")
        if row.frame in self._judged:
            raise BadInput(f"'{row.frame}' appears twice; expected all its tags in one row")
        given = self.labels.tag_list(row.names)
        self.names.append(row.frame)
        self.files.append(found[0])
        self._judged[row.frame] = given.present, self.labels.unknown(given, complete)

    def _empty(self, split: str, include: str, splits: set[str]) -> str:
        """The reason why no photograph is left."""
        if self.left_out:
            count, (_, first) = len(self.left_out), self.left_out[0]
            return f"{self.folder}: none of {count} photographs can be used; the first: {first}"
        asked = [f"split '{split}'"] * bool(split) + [f"a frame like '{include}'"] * bool(include)
        known = f"; its splits are {', '.join(sorted(splits - {''})) or 'not given'}" if split else ""
        return f"{self.folder / TAGS}: no row{' with ' * bool(asked)}{' and '.join(asked)}{known}"


def has_photo_tags(folder: Path) -> bool:
    """Whether a folder has the ``tags.csv`` of photographs. Posed frames may have the same file."""
    return has_columns(folder / TAGS)


def loose_pictures(path: Path) -> list[Path]:
    """A picture file, or the picture files directly in a folder by name; an empty list for anything else."""
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    return [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and entry.is_file()]


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
