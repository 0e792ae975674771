"""Tags of a scene and its frames, from a person (``tags.csv`` or ``tags.json``) or from the truth."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace, TagList
from wsss_ros.scenes.tag_files import SCENE, TABLES, Content, Row, fitted, own_file, read_file
from wsss_ros.scenes.tag_files.tables import has_columns, read_csv
from wsss_ros.types import BadInput, few_of

__all__ = ["Content", "Row", "TagFile", "has_columns", "read_csv", "scene_list", "tags_of_cloud", "tags_of_image"]

# The smallest share of a class that becomes a tag: a person would not name a few stray pixels or points.
_IMAGE_SHARE = 0.005  # of all pixels
_CLOUD_SHARE = 0.0005  # of all points
_PICTURE = re.compile(r"(\.colou?r|\.rgb)?\.(jpe?g|png|webp|bmp|tiff?)$", re.IGNORECASE)
_log = logging.getLogger("wsss_ros")


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

    ``scenes.tag_files`` has the other forms that are read, under the names ``tags.csv .json .tsv .txt .xml``: tables of
    other programs, COCO and CVAT. A frame may have its path and its extension: ``rgb/000012.png``. ``content`` are rows
    from elsewhere than the file, such as the messages of a bag at ``path``.

    Raises BadInput naming the file and the line or key: for a name that is not a class (with the nearest class), for a
    class with two meanings, for a frame that appears twice, and for values that are not lists of names.
    """

    def __init__(self, path: Path, labels: LabelSpace, complete: bool = True, content: Content | None = None) -> None:
        content = fitted(str(path), read_file(path) if content is None else content, labels)
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
        self._path = path
        self._whole_names = _by_last_part(self._lists)
        self.given_scene = self._lists.pop(SCENE, None)
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
        key = _frame_key(name)
        return self._lists.get(key, self._lists.get(self._whole_names.get(key, "")))

    def report_unmatched(self, names: Iterable[str]) -> None:
        """Log which rows fit none of the frames with these names, and how many frames have no row."""
        names = list(names)
        keys = {_frame_key(name) for name in names}
        used = {self._whole_names.get(key, key) for key in keys} | keys
        if rows := [key for key in self._lists if key not in used]:
            _log.warning("%s: %d rows fit no frame: %s", self._path, len(rows), few_of(rows))
        if self._lists and names and (without := [name for name in names if self.image_list(name) is None]):
            _log.info("%s: %d of %d frames have no row: %s", self._path, len(without), len(names), few_of(without))

    @classmethod
    def of(cls, folder: Path, labels: LabelSpace, complete: bool = True) -> "TagFile | None":
        """The tags in a folder, or None without a tag file. Raises BadInput for a broken file and for two tag files."""
        found = [path for name in TABLES if (path := own_file(folder, name)) is not None]
        if len(found) > 1:
            raise BadInput(f"{folder}: has both {found[0].name} and {found[1].name}; keep the one that is right")
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


def frame_matcher(names: Iterable[str]) -> Callable[[str], str | None]:
    """A function from the frame of a row to the name of the frame among ``names``, None for none."""
    by_key = {_frame_key(name): name for name in names}

    def match(frame: str) -> str | None:
        key = _frame_key(frame)
        return by_key.get(key, by_key.get(_frame_key(key.rpartition("/")[2])))

    return match


def _by_last_part(keys: Iterable[str]) -> dict[str, str]:
    """The keys with a path by the key of their last part, where only one has it."""
    found: dict[str, list[str]] = {}
    for key in keys:
        if "/" in key:
            found.setdefault(_frame_key(key.rpartition("/")[2]), []).append(key)
    return {last: of[0] for last, of in found.items() if len(of) == 1}


def _frame_key(name: str) -> str:
    """The name of a frame without 'frame-', leading zeros and the extension of a picture."""
    name = unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))
    name = _PICTURE.sub("", name).removeprefix("frame-")
    return name.lstrip("0") or "0" if name.isdecimal() else name
