"""A folder of photographs without depth and pose: pictures, class tags, and perhaps dense labels for scoring."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.files import files_below, visible
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import tag_files
from wsss_ros.scenes.advice import PICTURES_NOT_READ
from wsss_ros.scenes.images import read_photo
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.scenes.tag_files import Content, Row
from wsss_ros.scenes.tag_files.tables import has_columns
from wsss_ros.scenes.tags import tags_of_image
from wsss_ros.types import BadInput, few_of

TAGS = "tags.csv"
LABELS = "label"  # folder of dense labels: PNGs with class ids, named as the photographs
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")
_log = logging.getLogger("wsss_ros")


class PhotoFolder:
    """The photographs that ``tags.csv`` of a folder names, or another form of tags; implements ``types.Photos``.

    ``tags.csv`` has a heading with the columns ``frame``, ``tags`` and perhaps ``unknown`` and ``split``
    (``scenes.tags.TagFile``); ``scenes.tag_files`` has the other forms. ``frame`` is the path of a picture below the
    folder, or its name where only one picture has it.
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
        pictures = Pictures(self.folder)
        faults: list[str] = []
        self.tags_from, content = read_tags(self.folder, labels, self._truth, faults)
        rows, complete = content.rows, complete if content.complete is None else content.complete
        self.left_out = [(self.tags_from.name, fault) for fault in faults]
        for row in rows:
            if (not split or row.split == split) and (not include or fnmatchcase(row.frame, include)):
                try:
                    self._add(row, pictures, complete)
                except BadInput as error:
                    self.left_out.append((row.frame or row.where, f"{self.tags_from}, {row.where}: {error}"))
        if not self.names:
            raise BadInput(self._empty(split, include, {row.split for row in rows}))
        for frame, reason in self.left_out:
            _log.warning("photograph '%s' is left out: %s", frame, reason)
        for note in content.notes:
            _log.info("%s: %s", self.tags_from, note)
        without = [] if split or include else sorted(set(pictures.files) - {*self.names})
        if without:
            _log.info("%s: %d pictures have no row: %s", self.tags_from, len(without), few_of(without))

    def __len__(self) -> int:
        return len(self.names)

    def image_tags(self, index: int) -> tuple[str, ...]:
        """The classes that a person saw in a photograph."""
        return self._judged[self.names[index]][0]

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """The classes that nobody could judge in a photograph."""
        return self._judged[self.names[index]][1]

    def rgb(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """Decode a photograph, upright as its EXIF orientation says. Raises BadInput when it cannot be read."""
        return read_photo(self.files[index])

    def truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """The true labels of the pixels of a photograph, None without a file. Raises BadInput for a broken file."""
        return self._truth.read(self.names[index])

    def check_truth(self) -> None:
        """Find what the numbers of the dense labels mean. Raises BadInput where that is not clear."""
        self._truth.check()

    def _add(self, row: Row, pictures: "Pictures", complete: bool) -> None:
        """Take a row. Raises BadInput with the reason why it cannot be used."""
        name, path = pictures.find(row.frame)
        if name in self._judged:
            raise BadInput(f"'{row.frame}' appears twice; expected all its tags in one row")
        given = self.labels.tag_list(row.names)
        self.names.append(name)
        self.files.append(path)
        self._judged[name] = given.present, self.labels.unknown(given, complete)

    def _empty(self, split: str, include: str, splits: set[str]) -> str:
        """The reason why no photograph is left."""
        if self.left_out:
            count, (_, first) = len(self.left_out), self.left_out[0]
            return f"{self.folder}: none of {count} photographs can be used; the first: {first}"
        asked = [f"split '{split}'"] * bool(split) + [f"a frame like '{include}'"] * bool(include)
        known = f"; its splits are {', '.join(sorted(splits - {''})) or 'not given'}" if split else ""
        return f"{self.tags_from}: no row{' with ' * bool(asked)}{' and '.join(asked)}{known}"


def read_tags(
    folder: Path, labels: LabelSpace, masks: LabelImages, faults: list[str] | None = None
) -> tuple[Path, Content]:
    """The tags of a folder of photographs, in any form of ``scenes.tag_files``, and the file or folder that has them.

    Without such a file they are the classes of the masks in ``label``. Raises BadInput for several forms, a broken file
    (faults of single lines are added to ``faults``), and when there are no tags.
    """
    found = tag_files.only(folder)
    if found is None and masks.files:
        rows = [Row(f"mask '{name}'", name, list(tags_of_image(masks.read(name), labels))) for name in masks.files]
        return folder / LABELS, Content(rows, kind="masks")
    if found is None:
        raise BadInput(f"{folder}: no tags; expected {TAGS} or another of {', '.join(tag_files.TABLES)}{_near(folder)}")
    content = tag_files.read(folder, found, faults)
    return found.path, tag_files.fitted(str(found.path), content, labels)


def _near(folder: Path) -> str:
    """What a folder without tags has instead of them, and what to do."""
    sheets = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in (".xlsx", ".xls", ".ods")]
    if sheets:
        return f"; {sheets[0]} is a workbook: save its sheet as {TAGS} (CSV UTF-8)"
    inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and visible(path) and tag_files.find(path)]
    return (
        f"; {', '.join(inner[:4])} in it {'have' if len(inner) > 1 else 'has'} tags: give one folder" if inner else ""
    )


def has_photo_tags(folder: Path) -> bool:
    """Whether a folder has tags for its photographs. Posed frames may have the same file.

    A table without a heading, files of annotation programs, and masks count where pictures are next to them, or in the
    folder ``images``.
    """
    own = tag_files.own_file(folder, TAGS)
    if own is not None and has_columns(own):
        return True
    near = [place for place in (folder, folder / "images", folder / "JPEGImages") if place.is_dir()]
    if not any(path.suffix.lower() in EXTENSIONS for place in near for path in filter(visible, place.iterdir())):
        return False
    return bool(tag_files.find(folder)) or any((folder / LABELS).glob("*.png"))


def loose_pictures(path: Path) -> list[Path]:
    """A picture file, or the picture files directly in a folder by name; an empty list for anything else."""
    entries = sorted(filter(visible, path.iterdir())) if path.is_dir() else [path]
    found = [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and entry.is_file()]
    if found:
        _report_not_read(path, entries)
    return found


def _report_not_read(folder: Path, entries: Iterable[Path]) -> None:
    names = [entry.name for entry in entries if entry.suffix.lower() in PICTURES_NOT_READ]
    if names:
        _log.warning("%s: %d pictures are not read: %s; convert them to JPEG", folder, len(names), few_of(names))


class Pictures:
    """The pictures below a folder, by their path without extension. Raises BadInput without the folder.

    Pictures that differ in their extension alone have it in their names.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BadInput(f"{folder}: no such folder; expected a folder of photographs with {TAGS}")
        self.files: dict[str, Path] = {}
        self._by_end: dict[str, set[str]] = {}  # names by the other forms in which a row may have them
        self._not_read: set[str] = set()
        entries = files_below(folder)
        pictures = [path for path in entries if path.suffix.lower() in EXTENSIONS and not _is_label(path, folder)]
        stems = Counter(path.with_suffix("") for path in pictures)
        for path in pictures:
            inside = path.relative_to(folder)
            name = (inside if stems[path.with_suffix("")] > 1 else inside.with_suffix("")).as_posix()
            self.files[name] = path
            for whole in (inside, inside.with_suffix("")):
                for start in range(len(whole.parts)):
                    self._by_end.setdefault(_key("/".join(whole.parts[start:])), set()).add(name)
        _report_not_read(folder, entries)
        self._not_read = {_key(path.stem) for path in entries if path.suffix.lower() in PICTURES_NOT_READ}

    def find(self, frame: str) -> tuple[str, Path]:
        """The name and the file of a picture that a row calls ``frame``: by its path, or the last parts of it.

        The row may have the extension and the path on another machine, and numbers without leading zeros. Raises
        NoPicture for none and BadInput for several.
        """
        plain = frame.replace("\\", "/").removeprefix("./")
        bare = plain.rpartition(".")[0] if Path(plain).suffix.lower() in EXTENSIONS else plain
        names = [name for name in dict.fromkeys((frame, plain, bare)) if name in self.files][:1]
        parts = bare.split("/")
        for start in range(len(parts)):
            ends = ("/".join([*parts[start:-1], last]) for last in (plain.rpartition("/")[2], parts[-1]))
            names = names or next((sorted(self._by_end[_key(end)]) for end in ends if _key(end) in self._by_end), [])
        if not names:
            why = f"no picture '{frame}' with one of {', '.join(EXTENSIONS)}; add it or remove the row"
            if {_key(parts[-1]), _key(Path(parts[-1]).stem)} & self._not_read:
                why = f"the picture '{frame}' is there, but its format is not read: convert it to JPEG"
            raise NoPicture(why)
        if len(names) > 1:
            raise BadInput(f"'{frame}' may be {' or '.join(names[:3])}; write the path of the picture below the folder")
        return names[0], self.files[names[0]]


class NoPicture(BadInput):
    """No picture has the name of a row."""


def _is_label(path: Path, folder: Path) -> bool:
    return path.relative_to(folder).parts[0] == LABELS


def _key(name: str) -> str:
    """The form in which names of pictures are compared: case, the two forms of accents, leading zeros do not count."""
    plain = unicodedata.normalize("NFC", name).casefold()
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain
