"""``tags.json``: an object of lists of class names, a list of objects, or COCO."""

import json
from collections.abc import Iterator
from pathlib import Path

from wsss_ros.files import decode
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.tag_files import annotations
from wsss_ros.scenes.tag_files.rows import SCENE, Content, Row, split_names
from wsss_ros.types import BadInput

_FRAMES, _COMPLETE = "frames", "complete"


def read_json(path: Path) -> Content:
    """The rows of a JSON file. Raises BadInput naming the file and the key."""
    text = decode(read_bytes(path, "an object of lists of class names"))
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}); expected an object of lists of class names") from error
    if (
        isinstance(pairs, list)
        and not isinstance(pairs, _Pairs)
        and pairs
        and all(isinstance(p, _Pairs) for p in pairs)
    ):
        return annotations.list_rows(path, json.loads(text))
    if not isinstance(pairs, _Pairs):
        raise BadInput(f"{path}: holds a {type(pairs).__name__}; expected an object of lists of class names")
    if {"images", "annotations", "categories"} <= {key for key, _ in pairs}:
        return annotations.coco(path, json.loads(text))
    flags = [value for key, value in pairs if key == _COMPLETE and isinstance(value, bool)]
    lists = [(key, value) for key, value in pairs if not (key == _COMPLETE and isinstance(value, bool))]
    return Content(list(_json_rows(path, lists)), flags[-1] if flags else None, "JSON")


def _json_rows(path: Path, lists: list[tuple[str, object]]) -> Iterator[Row]:
    nested = any(key == _FRAMES for key, _ in lists)
    for key, value in lists:
        if nested and key not in (SCENE, _FRAMES):
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
    if isinstance(value, str) and key != _COMPLETE:
        return split_names(value)
    if not isinstance(value, list) or isinstance(value, _Pairs) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"{path}, key '{key}': {json.dumps(value)}; expected a list of class names")
    return value
