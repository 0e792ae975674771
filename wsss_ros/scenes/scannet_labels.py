"""ScanNet's labels: the table of its classes, images of ids in folders and zips, points by segments and objects."""

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

from wsss_ros.scenes.images import decode_grey, read_bytes
from wsss_ros.types import BadInput

LABEL_TABLE = "scannetv2-labels.combined.tsv"
# Filtered labels go first. Raw ids take 16 bits; the folder `label` of scannet_frames_25k has nyu40 ids in 8 bits.
_FOLDERS = ("label-filt", "label")
_ZIPS = ("_2d-label-filt.zip", "_2d-label.zip")
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)
_log = logging.getLogger("wsss_ros")


class LabelTable:
    """``scannetv2-labels.combined.tsv``: nyu40 ids (0: none) of the raw ids in images and of the names of objects.

    Both go by the column ``nyu40id``, not by the names of classes beside it: a shelf is 15 and no bookshelf, blinds
    are 13, which the benchmark ignores, a couch is 6, a doorframe 8, a monitor 40, a trash can or radiator 39.
    Raises BadInput naming the file when these columns are not in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        text = read_bytes(self.path, "ScanNet's label table").decode("utf-8-sig", "replace")
        rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        self.of_id = np.zeros(65536, np.uint16)
        self.of_name: dict[str, int] = {}
        try:
            for row in rows:
                nyu40 = int(row["nyu40id"] or 0)
                self.of_id[int(row["id"])] = nyu40
                self.of_name[row["raw_category"]] = nyu40
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            wanted = "wanted tab-separated columns with 'id', 'raw_category' and 'nyu40id'"
            raise BadInput(f"{path}: {error!r}; {wanted}") from error

    @classmethod
    def find(cls, folders: Iterable[Path]) -> "LabelTable":
        """The table in one of these folders or above them. Raises BadInput where there is none."""
        folders = list(folders)
        for folder in folders:
            for place in (folder, *folder.resolve().parents):
                if (place / LABEL_TABLE).is_file():
                    return cls(place / LABEL_TABLE)
        raise BadInput(
            f"{folders[0]}: has labels with ScanNet's raw ids or names, and '{LABEL_TABLE}' is neither here nor in a "
            "folder above; put it beside the scenes (it comes with ScanNet)"
        )


class ImageLabels:
    """The images of class ids of one scan, by frame number: a folder of them or ScanNet's zip, read without unpacking.

    The first of ``label-filt/``, ``label/``, ``*_2d-label-filt.zip`` and ``*_2d-label.zip`` in one of the folders that
    holds any image. Raises BadInput naming the file when it is broken.
    """

    def __init__(self, folders: Iterable[Path], name: str) -> None:
        self._places = [folder / kind for folder in folders for kind in (*_FOLDERS, *(name + end for end in _ZIPS))]

    def __contains__(self, number: int) -> bool:
        return number in self._images[1]

    def read(self, number: int) -> Shaped[np.ndarray, "H W"]:
        """Ids as they are stored; uint8 are nyu40 ids."""
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
        """Where the images are, and their file names by number."""
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
        raise BadInput(f"{place}: cannot be opened ({error}); wanted a whole zip file, get it again") from error


def _stem(name: str) -> str:
    """The number in 'label-filt/12.png'; nothing for other files."""
    stem, dot, suffix = name.rpartition("/")[2].partition(".")
    return stem if dot and suffix.lower() == "png" else ""


def ids_by_segment(aggregation: Path, segments: Path, nyu40_of_name: Mapping[str, int]) -> Int64[np.ndarray, "N"]:
    """nyu40 ids of a scan's points: each is in a segment, and groups of segments are objects with a name.

    Points of no object, or of one with a name that is not in the table (told in a warning), are 0.
    Raises BadInput naming the file that is no such JSON.
    """
    groups, indices = _json(aggregation, "segGroups"), _json(segments, "segIndices")
    try:
        segment_of_point = np.array(indices, np.int64).reshape(-1)
        named = [(str(group["label"]), np.array(group["segments"], np.int64)) for group in groups]
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        wanted = "wanted groups with 'label' and 'segments', and the segment of every point"
        raise BadInput(f"{aggregation} with {segments.name}: {error!r}; {wanted}") from error
    kinds, kind_of_point = np.unique(segment_of_point, return_inverse=True)
    ids = np.zeros(len(kinds), np.int64)
    for name, members in named:
        ids[np.isin(kinds, members)] = nyu40_of_name.get(name.strip(), 0)
    if unknown := sorted({name for name, _ in named if name.strip() not in nyu40_of_name}):
        _log.warning("%s: left unlabelled, for they are not in the table: %s", aggregation, ", ".join(unknown))
    return ids[kind_of_point.reshape(-1)]


def _json(path: Path, key: str) -> list:
    try:
        values = json.loads(read_bytes(path, f"JSON with '{key}'"))[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{path}: {error!r}; wanted JSON with '{key}'") from error
    if not isinstance(values, list):
        raise BadInput(f"{path}: '{key}' is a {type(values).__name__}; wanted a list")
    return values
