"""ScanNet's labels: the table of classes, images of class ids in folders and zips, and labels of segments."""

import csv
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped

from wsss_ros.files import decode
from wsss_ros.scenes.images import decode_grey, read_bytes
from wsss_ros.types import BadInput

LABEL_TABLE = "scannetv2-labels.combined.tsv"
# Filtered labels come first. Raw ids have 16 bits; the folder `label` of scannet_frames_25k has nyu40 ids of 8 bits.
_FOLDERS = ("label-filt", "label")
_ZIPS = ("_2d-label-filt.zip", "_2d-label.zip")
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)
_log = logging.getLogger("wsss_ros")


class LabelTable:
    """``scannetv2-labels.combined.tsv``: the nyu40 ids of raw ids (``of_id``) and of object names (``of_name``).

    Id 0 means no class. Both use the column ``nyu40id``, not the columns with class names. So a shelf is 15 and not a
    bookshelf, blinds are 13, which the benchmark ignores, a couch is 6, a doorframe 8, a monitor 40, a trash can or
    radiator 39. Raises BadInput naming the file when a column is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        text = decode(read_bytes(self.path, "ScanNet's label table"))
        rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        self.of_id = np.zeros(65536, np.uint16)
        self.of_name: dict[str, int] = {}
        try:
            for row in rows:
                nyu40 = int(row["nyu40id"] or 0)
                self.of_id[int(row["id"])] = nyu40
                self.of_name[row["raw_category"]] = nyu40
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise BadInput(
                f"{path}: {error!r}; expected tab-separated columns with 'id', 'raw_category' and 'nyu40id'"
            ) from error

    @classmethod
    def find(cls, folders: Iterable[Path]) -> "LabelTable":
        """Read the table from one of these folders or the folders above. Raises BadInput when there is none."""
        folders = list(folders)
        for folder in folders:
            for place in (folder, *folder.resolve().parents):
                if (place / LABEL_TABLE).is_file():
                    return cls(place / LABEL_TABLE)
        raise BadInput(
            f"{folders[0]}: has labels with ScanNet's raw ids or names, and '{LABEL_TABLE}' is neither here nor in a "
            "folder above; put it next to the scenes (it comes with ScanNet)"
        )


class ImageLabels:
    """The images of class ids of one scan by frame number, in a folder or in ScanNet's zip file.

    Of ``label-filt/``, ``label/``, ``*_2d-label-filt.zip`` and ``*_2d-label.zip`` in the folders, the first that
    contains an image is used. Zip files are not unpacked to disk. Raises BadInput naming the file when it is broken.
    """

    def __init__(self, folders: Iterable[Path], name: str) -> None:
        self._places = [folder / kind for folder in folders for kind in (*_FOLDERS, *(name + end for end in _ZIPS))]

    def __contains__(self, number: int) -> bool:
        """Whether the frame has a label image."""
        return number in self._images[1]

    def read(self, number: int) -> Shaped[np.ndarray, "H W"]:
        """The ids of a frame as stored: uint8 for nyu40 ids, else raw ids. Raises BadInput naming the broken file."""
        place, images = self._images
        name, what = images[number], "image of class ids"
        if place.is_dir():
            return decode_grey(read_bytes(place / name, f"an {what}"), str(place / name), what)
        try:
            with zipfile.ZipFile(place) as archive:
                data = archive.read(name)
        except _ZIP_FAULTS as error:
            raise BadInput(f"{place}, {name}: cannot be unpacked ({error}); get the file again") from error
        return decode_grey(data, f"{place}, {name}", what)

    @cached_property
    def _images(self) -> tuple[Path, dict[int, str]]:
        """The folder or zip file of the images, and their file names by frame number."""
        for place in self._places:
            images = {int(stem): name for name in _list(place) if (stem := _stem(name)).isdecimal()}
            if images:
                return place, images
        return Path(), {}


def _list(place: Path) -> list[str]:
    if place.is_dir():
        return [path.name for path in place.iterdir()]
    if not place.is_file():
        return []
    try:
        with zipfile.ZipFile(place) as archive:
            return archive.namelist()
    except _ZIP_FAULTS as error:
        raise BadInput(f"{place}: cannot be opened ({error}); expected a complete zip file, get it again") from error


def _stem(name: str) -> str:
    """The file name without folder and suffix of a PNG, such as "12" of 'label-filt/12.png'; empty for other files."""
    stem, dot, suffix = name.rpartition("/")[2].partition(".")
    return stem if dot and suffix.lower() == "png" else ""


def ids_by_segment(aggregation: Path, segments: Path, nyu40_of_name: Mapping[str, int]) -> Int64[np.ndarray, "N"]:
    """The nyu40 ids of a scan's points. Each point is in a segment; groups of segments are objects with a name.

    A point has id 0 if it belongs to no object, or to an object whose name is not in the table; a warning lists these
    names. Raises BadInput naming the file whose JSON has another form.
    """
    segment_of_point, named = _objects(aggregation, segments)
    kinds, kind_of_point = np.unique(segment_of_point, return_inverse=True)
    ids = np.zeros(len(kinds), np.int64)
    for name, members in named:
        ids[np.isin(kinds, members)] = nyu40_of_name.get(name.strip(), 0)
    if unknown := sorted({name for name, _ in named if name.strip() not in nyu40_of_name}):
        _log.warning("%s: objects left unlabelled, not in the table: %s", aggregation, ", ".join(unknown))
    return ids[kind_of_point.reshape(-1)]


def objects_by_segment(aggregation: Path, segments: Path) -> Int64[np.ndarray, "N"]:
    """The number of the object that each point of a scan belongs to, -1: none.

    Raises BadInput naming the file whose JSON has another form.
    """
    segment_of_point, named = _objects(aggregation, segments)
    kinds, kind_of_point = np.unique(segment_of_point, return_inverse=True)
    objects = np.full(len(kinds), -1)
    for number, (_, members) in enumerate(named):
        objects[np.isin(kinds, members)] = number
    return objects[kind_of_point.reshape(-1)]


def _objects(
    aggregation: Path, segments: Path
) -> tuple[Int64[np.ndarray, "N"], list[tuple[str, Int64[np.ndarray, "S"]]]]:
    """The segment of each point, and (name, segments) of each object."""
    groups, indices = _json(aggregation, "segGroups"), _json(segments, "segIndices")
    try:
        segment_of_point = np.array(indices, np.int64).reshape(-1)
        named = [(str(group["label"]), np.array(group["segments"], np.int64)) for group in groups]
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        expected = "expected groups with 'label' and 'segments', and the segment of every point"
        raise BadInput(f"{aggregation} with {segments.name}: {error!r}; {expected}") from error
    return segment_of_point, named


def _json(path: Path, key: str) -> list:
    try:
        values = json.loads(read_bytes(path, f"JSON with '{key}'"))[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{path}: {error!r}; expected JSON with '{key}'") from error
    if not isinstance(values, list):
        raise BadInput(f"{path}: '{key}' is a {type(values).__name__}; expected a list")
    return values
