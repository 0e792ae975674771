"""Point clouds as text: rows ``x y z r g b``, of which some may be broken."""

import logging
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.geometry.compiled import compiled
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput, few_of

_COLUMNS = 6
_MOST_BROKEN = 1000  # lines of one file; a file with more is not a point cloud
_POWERS = 10.0 ** np.arange(16)
_NOT_TEXT = re.compile(rb"[^\t\r -~]")
_log = logging.getLogger("wsss_ros")


def read_points(path: str | Path) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"]]:
    """Read positions (metres) and colours from rows ``x y z r g b``, colours from 0 to 255.

    A line with bytes that are not text is repaired if it has six valid numbers after these bytes are replaced by spaces
    or removed. Other lines without six valid numbers are dropped. A warning names the file and the lines.
    Raises BadInput naming the file when it cannot be read, has more than 1000 broken lines, or only broken lines.
    """
    data = read_bytes(path, "rows 'x y z r g b'")
    text = np.frombuffer(data, np.uint8)
    rows = np.empty((np.count_nonzero(text == ord("\n")) + 1, _COLUMNS), np.float32)
    broken = np.empty((_MOST_BROKEN, 4), np.int64)
    count, broken_count = _parse(text, _POWERS, rows, broken)
    if broken_count > _MOST_BROKEN:
        number, _, start, end = broken[0].tolist()
        raise BadInput(
            f"{path}: over {_MOST_BROKEN} lines are not a row of six numbers, the first is line {number}, "
            f"{data[start:end][:60]!r}; expected 'x y z r g b', colours from 0 to 255"
        )
    rows = _repaired(path, data, rows[:count], broken[:broken_count].tolist())
    return np.ascontiguousarray(rows[:, :3]), np.rint(rows[:, 3:]).astype(np.uint8)


def _repaired(path: str | Path, data: bytes, rows: np.ndarray, broken: list[list[int]]) -> np.ndarray:
    """The rows, with the broken lines repaired where possible and dropped otherwise."""
    keep = np.ones(len(rows), bool)
    lines: dict[str, list[int]] = {"repaired": [], "dropped": []}
    for number, row, start, end in broken:
        values = _repair(data[start:end])
        keep[row] = values is not None
        lines["repaired" if keep[row] else "dropped"].append(number)
        if values is not None:
            rows[row] = values
    for what, numbers in lines.items():
        if numbers:
            _log.warning("%s: line %s %s: not a row of six numbers 'x y z r g b'", path, few_of(numbers), what)
    if len(rows) and not keep.any():
        raise BadInput(f"{path}: none of its {len(rows)} lines is a row of six numbers; expected 'x y z r g b'")
    return rows if keep.all() else rows[keep]


def _repair(line: bytes) -> list[float] | None:
    """The six numbers of a line that the fast parser did not accept, or None."""
    for text in (line, _NOT_TEXT.sub(b" ", line), _NOT_TEXT.sub(b"", line)):
        words = text.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            continue
        if len(values) == _COLUMNS and np.isfinite(values).all() and all(0 <= color <= 255 for color in values[3:]):
            return values
    return None


@compiled
def _parse(text, powers, rows, broken):
    """Fill ``rows`` from the lines that are not blank; note (line from 1, row, start, end) of others in ``broken``.

    Returns the number of rows and of broken lines; stops at the first broken line that ``broken`` has no room for.
    Accepts plain decimal numbers of up to 15 digits: a double holds these digits exactly before the division.
    """
    at, line, row, bad = 0, 0, 0, 0
    while at < len(text):
        line += 1
        start, column, valid = at, 0, True
        while at < len(text) and text[at] != 10:
            if text[at] == 32 or text[at] == 9 or text[at] == 13:
                at += 1
                continue
            negative = text[at] == 45
            at += negative
            digits, decimals, point, mantissa = 0, 0, False, 0
            while at < len(text):
                if 48 <= text[at] <= 57:
                    mantissa = mantissa * 10 + (text[at] - 48)
                    digits += 1
                    decimals += point
                elif text[at] == 46 and not point:
                    point = True
                else:
                    break
                at += 1
            ended = at == len(text) or text[at] == 32 or text[at] == 10 or text[at] == 9 or text[at] == 13
            if not ended or digits == 0 or digits > 15 or column == 6:
                valid = False
                while at < len(text) and text[at] != 10:
                    at += 1
                break
            value = mantissa / powers[decimals]
            valid = valid and (column < 3 or (value <= 255 and not (negative and value > 0)))
            rows[row, column] = -value if negative else value
            column += 1
        if column or not valid:
            if column != 6 or not valid:
                if bad == len(broken):
                    return row, bad + 1
                broken[bad, 0], broken[bad, 1], broken[bad, 2], broken[bad, 3] = line, row, start, at
                bad += 1
            row += 1
        at += 1
    return row, bad
