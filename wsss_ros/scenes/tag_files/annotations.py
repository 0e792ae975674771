"""Boxes and shapes of annotation programs as classes of images: COCO, Pascal VOC, LabelMe, CVAT and YOLO."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from wsss_ros.files import decode, files_below, parse_json, parse_yaml
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.tag_files.rows import Content, Row, merged, split_names
from wsss_ros.scenes.tag_files.tables import FRAMES, LISTS, ONE
from wsss_ros.types import BadInput

_FAULTS = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
YOLO_NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt", "labels.txt")


def read_json(path: Path) -> Any:
    """The content of a JSON file in any usual encoding. Raises BadInput naming the file."""
    try:
        return parse_json(decode(read_bytes(path, "JSON")))
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}); get the file again") from error


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def coco(path: Path, content: Any) -> Content:
    """The classes of each image of a COCO file. Its categories are the vocabulary."""
    try:
        names = {str(category["id"]): str(category["name"]) for category in content["categories"]}
        files = {str(image["id"]): str(image["file_name"]) for image in content["images"]}
        found: dict[str, list[str]] = {image: [] for image in files}
        for number, annotation in enumerate(content["annotations"]):
            image, category = str(annotation["image_id"]), str(annotation["category_id"])
            if image not in files or category not in names:
                raise BadInput(
                    f"{path}, annotation {number}: image {image} or category {category} is not in the file; get it "
                    "again"
                )
            found[image].append(names[category])
    except BadInput:
        raise
    except _FAULTS as error:
        raise BadInput(f"{path}: {error!r}; expected COCO with images, annotations and categories") from error
    rows = (Row(f"image '{files[image]}'", files[image], list(dict.fromkeys(tags))) for image, tags in found.items())
    return Content(list(rows), kind="COCO", vocabulary=tuple(names.values()))


def labelme(paths: Iterable[Path]) -> Content:
    """The classes of the shapes, and the flags, of one LabelMe file for each image."""
    rows = []
    for path in paths:
        content = read_json(path)
        try:
            names = [str(shape["label"]) for shape in content["shapes"]]
            names += [str(name) for name, on in (content.get("flags") or {}).items() if on is True]
            frame = re.split(r"[\\/]", str(content.get("imagePath") or path.stem))[-1]
        except _FAULTS as error:
            raise BadInput(f"{path}: {error!r}; expected the shapes of LabelMe") from error
        rows.append(Row(f"file '{path.name}'", frame, list(dict.fromkeys(names))))
    return Content(rows, kind="LabelMe")


def is_labelme(content: Any) -> bool:
    """Whether the content of a JSON file is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file. Raises BadInput naming the file; entities, which can grow, are refused."""
    data = read_bytes(path, "XML")
    if b"<!ENTITY" in data or b"<!DOCTYPE" in data:
        raise BadInput(f"{path}: defines entities; expected the XML of an annotation program")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadInput(f"{path}: not XML ({error}); get the file again") from error


def voc(paths: Iterable[Path]) -> Content:
    """The classes of the objects of one Pascal VOC file for each image."""
    rows = []
    for path in paths:
        root = read_xml(path)
        if root.tag != "annotation":
            raise BadInput(f"{path}: holds <{root.tag}>; expected <annotation> of Pascal VOC")
        names = [name for part in root.iter("object") if (name := (part.findtext("name") or "").strip())]
        rows.append(
            Row(f"file '{path.name}'", (root.findtext("filename") or path.stem).strip(), list(dict.fromkeys(names)))
        )
    return Content(rows, kind="Pascal VOC")


def cvat(path: Path, root: ElementTree.Element) -> Content:
    """The classes of boxes, polygons, masks and tags of the images of a CVAT file; its labels are the vocabulary."""
    rows = []
    if root.find("track") is not None:
        raise BadInput(f"{path}: CVAT for video, with tracks; export it as 'CVAT for images 1.1'")
    for number, image in enumerate(root.iter("image")):
        frame = image.get("name")
        if not frame:
            raise BadInput(f"{path}, image {number}: has no name; expected CVAT for images 1.1")
        names = [name for part in image if (name := part.get("label"))]
        rows.append(Row(f"image '{frame}'", frame, list(dict.fromkeys(names))))
    labels = [name.text.strip() for name in root.findall("meta//labels/label/name") if name.text]
    return Content(rows, kind="CVAT", vocabulary=tuple(dict.fromkeys(labels)) or None)


def yolo(folder: Path) -> Content:
    """The classes of the boxes in ``labels/**/*.txt``; their names are in one of ``YOLO_NAMES``.

    Raises BadInput without names, and for a line that is not a box.
    """
    names = _yolo_names(folder)
    rows = []
    for path in yolo_files(folder):
        found = []
        for number, line in enumerate(decode(read_bytes(path, "boxes of YOLO")).split("\n"), start=1):
            words = line.split()
            if not words:
                continue
            if not words[0].isdecimal() or int(words[0]) >= len(names) or len(words) < 5:
                raise BadInput(
                    f"{path}, line {number}: '{line[:60]}'; expected a class of 0..{len(names) - 1} and a box"
                )
            found.append(names[int(words[0])])
        frame = path.relative_to(folder / "labels").with_suffix("").as_posix()
        rows.append(Row(f"file '{path.name}'", frame, list(dict.fromkeys(found))))
    return Content(rows, kind="YOLO", vocabulary=tuple(names))


def yolo_files(folder: Path) -> list[Path]:
    """The files of boxes below the folder ``labels``."""
    return [path for path in files_below(folder / "labels") if path.suffix == ".txt" and path.name != "classes.txt"]


def _yolo_names(folder: Path) -> list[str]:
    # Exports in parts (train, valid, test) have one data.yaml next to them.
    places = (*(folder / name for name in YOLO_NAMES), folder.parent / "data.yaml")
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise BadInput(
            f"{folder}: boxes of YOLO without the names of their classes; add one of {', '.join(YOLO_NAMES)}"
        )
    text = decode(read_bytes(path, "names of classes"))
    if path.suffix != ".yaml":
        return [line.strip() for line in text.split("\n") if line.strip()]
    try:
        names = parse_yaml(text)["names"]
        return [str(names[number]) for number in range(len(names))]
    except _FAULTS as error:
        raise BadInput(f"{path}: {error!r}; expected 'names', a list of the classes") from error


def list_rows(path: Path, content: list[Any]) -> Content:
    """The rows of a JSON list of objects, each with the name of an image and its tags or one tag."""
    rows = list(_of_objects(path, content))
    return Content(merged(rows), kind="JSON list")


def _of_objects(path: Path, content: list[Any]) -> Iterator[Row]:
    for number, part in enumerate(content):
        keys = {str(key).lower(): key for key in part} if isinstance(part, dict) else {}
        frame = next((part[keys[name]] for name in sorted(FRAMES) if name in keys), None)
        tags = next((part[keys[name]] for name in sorted(LISTS | ONE) if name in keys), None)
        tags = split_names(tags) if isinstance(tags, str) else tags
        if not isinstance(frame, str | int) or not isinstance(tags, list) or not all(isinstance(t, str) for t in tags):
            raise BadInput(f"{path}, entry {number}: expected an object with 'frame' and 'tags', a list of class names")
        split = part.get("split", "")
        yield Row(f"entry {number}", str(frame), list(tags), split if isinstance(split, str) else "")
