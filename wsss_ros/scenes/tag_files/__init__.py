"""Files of class tags in the forms that people and annotation programs write, read to rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wsss_ros.files import files_below, visible
from wsss_ros.scenes.tag_files import annotations, tables
from wsss_ros.scenes.tag_files.json_tags import read_json
from wsss_ros.scenes.tag_files.rows import SCENE, Content, Row, fitted
from wsss_ros.types import BadInput

__all__ = ["SCENE", "TABLES", "Content", "Found", "Row", "find", "fitted", "only", "own_file", "read", "read_file"]

TABLES = ("tags.csv", "tags.json", "tags.tsv", "tags.txt", "tags.xml")
_OTHERS = (
    *("labels.csv", "annotations.csv", "_annotations.csv", "_classes.csv", "_annotations.coco.json"),
    *("annotations.json", "annotations.xml", "annotations/*.json", "instances*.json"),
)
_MOST_JSON = 200_000_000  # bytes


class Found(NamedTuple):
    """A file of tags, or the folder of many files, and how it is read: file, voc, labelme or yolo."""

    path: Path
    reader: str = "file"


def read_file(path: Path, faults: list[str] | None = None) -> Content:
    """The rows of one file of tags: a table, JSON, COCO or CVAT. Raises BadInput naming the file and the line or key.

    With ``faults``, faults of single lines of a table are added there.
    """
    suffix = path.suffix.lower()
    if suffix == ".xml":
        root = annotations.read_xml(path)
        return annotations.cvat(path, root) if root.tag == "annotations" else annotations.voc([path])
    return read_json(path) if suffix == ".json" else tables.read_csv(path, faults)


def find(folder: Path) -> list[Found]:
    """The tags in a folder: its files ``tags.*``; without them, everything that annotation programs left there.

    ``label/`` and ``labels/`` with images are masks, not tags.
    """
    own = [Found(path) for name in TABLES if (path := own_file(folder, name)) is not None]
    return own or list(_others(folder))


def own_file(folder: Path, name: str) -> Path | None:
    """The file of a folder with this name, or with its name in other case (``Tags.CSV``); None without one."""
    if (folder / name).is_file() or not folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name and path.is_file()), None)


def read(folder: Path, found: Found, faults: list[str] | None = None) -> Content:
    """The rows of what ``find`` found."""
    if found.reader == "voc":
        return annotations.voc(sorted(filter(visible, found.path.glob("*.xml"))))
    if found.reader == "labelme":
        return annotations.labelme(_labelme_files(found.path))
    return annotations.yolo(folder) if found.reader == "yolo" else read_file(found.path, faults)


def _others(folder: Path) -> Iterator[Found]:
    for pattern in _OTHERS:
        found = sorted(filter(visible, folder.glob(pattern)))
        yield from (Found(path) for path in found if path.suffix != ".json" or _is_coco(path))
    for place in (folder / "Annotations", folder / "annotations", folder):
        if any(path.name != "annotations.xml" for path in filter(visible, place.glob("*.xml"))):
            yield Found(place, "voc")
            break
    if _labelme_files(folder):
        yield Found(folder, "labelme")
    if annotations.yolo_files(folder):
        yield Found(folder / "labels", "yolo")


def _is_coco(path: Path) -> bool:
    return path.stat().st_size < _MOST_JSON and annotations.is_coco(annotations.read_json(path))


def _labelme_files(folder: Path) -> list[Path]:
    """The JSON files that are next to a picture of the same name; the first one has to be LabelMe's."""
    found = []
    for path in files_below(folder):
        if path.suffix == ".json" and any(
            path.with_suffix(end).is_file() for end in (".jpg", ".jpeg", ".png", ".JPG", ".PNG")
        ):
            found.append(path)
            if len(found) == 1 and not annotations.is_labelme(annotations.read_json(path)):
                return []
    return found


def only(folder: Path) -> Found | None:
    """The one thing that ``find`` finds, None for none. Raises BadInput for several."""
    found = find(folder)
    if len(found) > 1:
        names = " and ".join(str(each.path.relative_to(folder)) for each in found)
        raise BadInput(f"{folder}: has both {names}; keep the one that is right")
    return found[0] if found else None
