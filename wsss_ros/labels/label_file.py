"""Label files: YAML with the classes of a label space, their ids, colours and synonyms."""

import json
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from wsss_ros.config import share
from wsss_ros.files import decode, expanded, parse_yaml
from wsss_ros.labels.colors import Color, clashes, palette, read_colors
from wsss_ros.labels.space import LabelSpace
from wsss_ros.types import BadInput

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
        content = parse_yaml(decode(path.read_bytes()))
        rows = [{"name": row} if isinstance(row, str | bool) else row for row in content["classes"]]
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
    return space


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

    ``labels_named("config/labels/scannet20.yaml")`` and ``labels_named("scannet20")`` return the same label space.
    Raises BadInput when there is no such file or it is broken.
    """
    if str(name) in SHIPPED:
        return read_label_file(share(f"config/labels/{name}.yaml"))
    given = expanded(name)
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
        _say(logging.INFO, f"{path}: no color for {_some(missing)}; colours of a palette are taken")
    if found := clashes(space.names, space.colors):
        _say(logging.WARNING, f"{path}: colours hardly told apart: {_some(found, '; ')}")


def _some(texts: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return between.join(texts[:5]) + more


@cache
def _say(level: int, text: str) -> None:
    """Log a text once in this process: label files are read at many places."""
    _log.log(level, text)
