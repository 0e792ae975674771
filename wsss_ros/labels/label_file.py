"""Label files: YAML with the classes of a label space, their ids, colours and synonyms."""

import json
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from wsss_ros.config import share
from wsss_ros.files import decode, expanded, is_unicode, parse_yaml
from wsss_ros.labels.colors import Color, clashes, palette, read_colors
from wsss_ros.labels.of_checkpoint import SUFFIX, labels_of
from wsss_ros.labels.space import LabelSpace
from wsss_ros.types import BadInput, few_of

SHIPPED = ("scannet20", "s3dis", "nyu40")  # label files that come with the package
_EXPECTED = "expected 'name' and 'classes', a list of name, id, color"
_COLOR_KEYS = ("color", "colour", "rgb")
_log = logging.getLogger("wsss_ros")


def read_label_file(path: str | Path) -> LabelSpace:
    """Read a label file: ``{name: ..., classes: [{name, id, color}, ...], synonyms: {couch: sofa}}`` in YAML.

    A class may be its name alone. Without any ``id``, ids count from 1. Colours have the notations of
    ``colors.read_colors``; a class without one gets a colour of ``colors.palette``, which is logged, as are colours
    that are hardly told apart. ``name`` is by default the name of the file. Raises BadInput when the file is broken.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        content = parse_yaml(decode(data))
        rows = _rows(content)
        names = [_name(row["name"]) for row in rows]
        synonyms = content.get("synonyms") or {}
        pairs = tuple((_name(other), _name(meant)) for other, meant in synonyms.items())
        ids = _ids([row.get("id") for row in rows])
        given = read_colors([next((row[key] for key in _COLOR_KEYS if key in row), None) for row in rows])
        space = LabelSpace(str(content.get("name", path.stem)), tuple(names), _filled(given), ids, (), pairs)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected a label file") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not a label file ({error!r}); {_EXPECTED}") from error
    _report(path, space, given)
    if not is_unicode(data):
        _say(logging.WARNING, f"{path}: not UTF-8, read as Windows-1252; save it as UTF-8 if its names look wrong")
    if signs := [name for name in names if name.startswith(("-", "?")) or "," in name]:
        _say(logging.WARNING, f"{path}: names with a comma, or - or ? in front, cannot be tags: {few_of(signs)}")
    if unknown := sorted({str(key) for row in rows for key in row} - {"name", "id", *_COLOR_KEYS}):
        _say(logging.WARNING, f"{path}: {few_of(unknown)} of classes are not read; name, id and color are")
    return space


def _rows(content: Any) -> list[dict]:
    """The classes of the content of a label file, each with its keys. Raises BadInput for another form."""
    if not isinstance(content, dict) or "classes" not in content:
        found = f"keys {few_of(content)}" if isinstance(content, dict) else type(content).__name__
        raise BadInput(f"holds {found}; {_EXPECTED}")
    classes = content["classes"]
    if isinstance(classes, dict):  # by id, or with the id of each name
        pairs = [(name, number) if isinstance(number, int) else (number, name) for name, number in classes.items()]
        plain = all(isinstance(name, str) and isinstance(number, int) for name, number in pairs)
        if not plain or len({isinstance(key, str) for key in classes}) > 1:
            raise BadInput(f"classes are a mapping of {few_of(classes)}; {_EXPECTED}")
        return [{"name": name, "id": number} for name, number in pairs]
    if not isinstance(classes, list):
        raise BadInput(f"classes are {classes!r}; {_EXPECTED}")
    rows = [row if isinstance(row, dict) else {"name": row} for row in classes]
    for row in rows:
        if any(key in row and row[key] is None for key in _COLOR_KEYS):
            raise BadInput(f"the color of {row.get('name')!r} is empty: put '#ff0000' between quotes, # is a comment")
    return rows


def as_yaml(space: LabelSpace) -> str:
    """The text of the label file of a space."""
    lines = [f"name: {json.dumps(space.name, ensure_ascii=False)}", "classes:"]
    for name, number, color in zip(space.names, space.ids, space.colors, strict=True):
        text = json.dumps(name, ensure_ascii=False)  # quotes: a name may be a number, or 'off'
        lines.append(f"  - {{name: {text}, id: {number}, color: {list(color)}}}")
    lines += ["synonyms:"] if space.synonyms else []
    for other, meant in space.synonyms:
        lines.append(f"  {json.dumps(other, ensure_ascii=False)}: {json.dumps(meant, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def labels_named(name: str | Path) -> LabelSpace:
    """The label space in the file ``name``, or in a file that ships with the package, given by its path or short name.

    ``labels_named("config/labels/scannet20.yaml")`` and ``labels_named("scannet20")`` return the same label space. The
    file may also be a checkpoint (.safetensors). Raises BadInput when there is no such file or it is broken.
    """
    if str(name) in SHIPPED:
        return read_label_file(share(f"config/labels/{name}.yaml"))
    given = expanded(name)
    if given.suffix == SUFFIX:
        return labels_of(given)
    return read_label_file(given if given.exists() else share(str(name)))


def scannet20() -> LabelSpace:
    """ScanNet's 20 benchmark classes."""
    return labels_named("scannet20")


def s3dis() -> LabelSpace:
    """The 13 classes of S3DIS and 2D-3D-S."""
    return labels_named("s3dis")


def _name(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        raise BadInput(f"a class name is {value!r} in YAML; put it between quotes, as 'off'")
    if not isinstance(value, str | int | float):
        raise TypeError(f"a class name is a {type(value).__name__}")
    return str(value)


def _ids(given: Sequence[Any]) -> tuple[int, ...]:
    """The ids of the classes; those from 1 on if no class has one."""
    if all(value is None for value in given):
        return tuple(range(1, len(given) + 1))
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BadInput(f"the id of a class is {value!r}; expected a whole number from 0 for each class, or no id")
    return tuple(given)


def _filled(given: Sequence[Color | None]) -> tuple[Color, ...]:
    """The colours with those of a palette for the missing ones."""
    made = iter(palette(sum(color is None for color in given), [color for color in given if color is not None]))
    return tuple(next(made) if color is None else color for color in given)


def _report(path: Path, space: LabelSpace, given: Sequence[Color | None]) -> None:
    missing = [name for name, color in zip(space.names, given, strict=True) if color is None]
    if missing:
        _say(logging.INFO, f"{path}: no color for {few_of(missing)}; colours of a palette are taken")
    if found := clashes(space.names, space.colors):
        _say(logging.WARNING, f"{path}: colours hardly told apart: {few_of(found, between='; ')}")


@cache
def _say(level: int, text: str) -> None:
    """Log a text once in this process: label files are read at many places."""
    _log.log(level, text)
