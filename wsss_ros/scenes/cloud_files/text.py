"""Clouds as text: xyz, csv, pts and their like, with columns in any order."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsss_ros.files import decode
from wsss_ros.scenes.cloud_files.columns import role_of
from wsss_ros.scenes.cloud_files.table import columns_of_table
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

_COMMENT = re.compile(r"^\s*(#|//|%)")
# Numbers with decimal commas between spaces or tabs, three at least.
_DECIMAL_COMMAS = re.compile(r"\s*(?:-?\d+(?:,\d+)?(?:[eE][-+]?\d+)?\s+){2,}-?\d+(?:,\d+)?(?:[eE][-+]?\d+)?\s*")
_USUAL = {".pts": "x y z intensity red green blue"}


def read(path: Path, columns: str) -> dict[str, np.ndarray]:
    """The columns of a text file by name; of the columns that a header names, those with a role.

    Values are separated by spaces, tabs, commas or semicolons; with semicolons the decimal sign may be a comma. Lines
    that start with #, // or % are comments; the last one before the values may be the header. A first line with the
    number of points (pts) is checked. Raises BadInput naming the file and the line that is not a row of numbers.
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    comments, rows = _split(lines)
    if not rows:
        raise BadInput(f"{path}: has no rows; expected a point on each line, such as 'x y z r g b'")
    separator = _separator(rows[min(1, len(rows) - 1)][1])
    names = _names(rows[0][1], separator)
    stated = None
    if names:
        rows = rows[1:]
    elif len(rows) > 1 and rows[0][1].strip().isdecimal() and len(rows[0][1].strip()) < 20:
        stated, rows = int(rows[0][1]), rows[1:]
        separator = _separator(rows[0][1])
    elif comments:
        names = _names(_COMMENT.sub("", comments[-1][1]).strip(), separator) or []
        names = names if len(names) == len(_cells(rows[0][1], separator)) and _has_axes(names) else []
    if stated is not None and stated != len(rows):
        raise BadInput(f"{path}: {len(rows)} rows, and its first line says {stated}; get the file again")
    if names and not columns:
        return _named_columns(path, rows, separator, names)
    return columns_of_table(
        str(path), _table(path, rows, separator, None), columns, _USUAL.get(path.suffix.lower(), "")
    )


def _lines(path: Path) -> list[str]:
    data = read_bytes(path, "rows of numbers")
    if b"\0" in data[:2] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(f"{path}: not a text file; expected rows of numbers")
    return decode(data).split("\n")


def _split(lines: Sequence[tuple[int, str]]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The comments before the first row, and the rows."""
    first = next((at for at, (_, line) in enumerate(lines) if not _COMMENT.match(line)), len(lines))
    return list(lines[:first]), [(number, line) for number, line in lines[first:] if not _COMMENT.match(line)]


def _separator(line: str) -> str:
    if _DECIMAL_COMMAS.fullmatch(line):
        return ""
    return next((sign for sign in (";", ",") if sign in line), "")


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip().strip("\"'") for cell in (line.split(separator) if separator else line.split())]


def _names(line: str, separator: str) -> list[str] | None:
    """The cells of a heading; None for a row of numbers."""
    cells = _cells(line, separator or _separator(line))
    return None if all(_is_number(cell) for cell in cells) else cells


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
        return True
    except ValueError:
        return not cell


def _has_axes(names: Sequence[str]) -> bool:
    return {"x", "y", "z"} <= {role_of(name) for name in names}


def _named_columns(
    path: Path, rows: Sequence[tuple[int, str]], separator: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    if not _has_axes(names):
        raise BadInput(
            f"{path}: the heading is '{' '.join(names)}'; expected x, y and z in it, or --columns with names"
        )
    chosen = [at for at, name in enumerate(names) if role_of(name)]
    if len({names[at] for at in chosen}) < len(chosen):
        raise BadInput(f"{path}: a name occurs twice in the heading '{' '.join(names)}'; say --columns with names")
    table = _table(path, rows, separator, chosen)
    return {names[at]: table[:, place] for place, at in enumerate(chosen)}


def _table(path: Path, rows: Sequence[tuple[int, str]], separator: str, chosen: Sequence[int] | None) -> np.ndarray:
    if not rows:
        raise BadInput(f"{path}: has no rows after its heading; expected a point on each line")
    lines = [line if separator == "," else line.replace(",", ".") for _, line in rows]
    try:
        return np.loadtxt(lines, np.float64, delimiter=separator or None, usecols=chosen, ndmin=2, comments=None)
    except (ValueError, IndexError) as error:
        raise BadInput(_fault(path, rows, separator, chosen, error)) from error


def _fault(
    path: Path, rows: Sequence[tuple[int, str]], separator: str, chosen: Sequence[int] | None, error: Exception
) -> str:
    """What is wrong with the first row that is not like the first one."""
    width = max(len(_cells(rows[0][1], separator)), *(at + 1 for at in chosen or (0,)), 1)
    for number, line in rows:
        cells = _cells(line, separator)
        if len(cells) != width or not all(cells[at] and _is_number(cells[at]) for at in chosen or range(width)):
            return f"{path}, line {number}: '{line[:60]}'; expected {width} numbers, as in the first row"
    return f"{path}: not rows of numbers ({error})"
