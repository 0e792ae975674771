"""Elements of PLY files with list properties, such as faces: where they end, and their properties that are no lists.

``layout`` has for each property its name, its type, and for a list the type of its length, else an empty text.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from wsss_ros.types import BadInput

Layout = Sequence[tuple[str, str, str]]


def end_of(path: Path, data: bytes, start: int, layout: Layout, count: int, order: str) -> int:
    """The offset after the rows of an element of a binary file. Raises BadInput when the file is cut short."""
    return _rows(path, data, start, layout, count, order)[1]


def read_binary(path: Path, data: bytes, start: int, layout: Layout, count: int, order: str) -> np.ndarray:
    """The properties that are no lists of the rows of an element, one field for each. Raises BadInput as ``end_of``."""
    plain = [(name, code) for name, code, length in layout if not length]
    found = np.empty(count, plain)
    starts, _ = _rows(path, data, start, layout, count, order)
    octets = np.frombuffer(data, np.uint8)
    for place, (name, code) in enumerate(plain):
        of_field = octets[starts[:, place, None] + np.arange(np.dtype(code).itemsize)]
        found[name] = of_field.reshape(-1).view(order + code)
    return found


def _rows(
    path: Path, data: bytes, start: int, layout: Layout, count: int, order: str
) -> tuple[Int64[np.ndarray, "R P"], int]:
    """The offset of each property that is no list, row by row, and the offset after the last row."""
    plain = sum(not length for _, _, length in layout)
    if count * sum(np.dtype(length or code).itemsize for _, code, length in layout) > len(data) - start:
        raise BadInput(f"{path}: cut short, {len(data)} bytes; get the file again")
    if not count:
        return np.zeros((0, plain), np.int64), start
    offsets, end = _row(path, data, start, layout, order)
    size, lengths = end - start, [(at, code) for at, code, is_length in offsets if is_length]
    if start + size * count <= len(data) and all(
        _is_constant(data, at, order + code, size, count) for at, code in lengths
    ):
        first = np.array([at for at, _, is_length in offsets if not is_length], np.int64)
        return first + size * np.arange(count)[:, None], start + size * count
    starts = np.empty((count, plain), np.int64)
    for row in range(count):
        offsets, start = _row(path, data, start, layout, order)
        starts[row] = [at for at, _, is_length in offsets if not is_length]
    return starts, start


def _row(path: Path, data: bytes, at: int, layout: Layout, order: str) -> tuple[list[tuple[int, str, bool]], int]:
    """(offset, type, whether it is the length of a list) of each number before its list, and the end of the row."""
    found = []
    for _, code, length in layout:
        found.append((at, length or code, bool(length)))
        at += np.dtype(length or code).itemsize
        if length and at <= len(data):
            at += np.dtype(code).itemsize * _length(path, int(np.frombuffer(data, order + length, 1, found[-1][0])[0]))
        if at > len(data):
            raise BadInput(f"{path}: cut short within a list, {len(data)} bytes; get the file again")
    return found, at


def _is_constant(data: bytes, at: int, code: str, stride: int, count: int) -> bool:
    numbers = np.ndarray((count,), code, data, at, (stride,))
    return bool((numbers == numbers[0]).all())


def _length(path: Path, length: int) -> int:
    if length < 0:
        raise BadInput(f"{path}: a list of {length} numbers; get the file again")
    return length


def end_of_words(path: Path, words: list[bytes], start: int, layout: Layout, count: int) -> int:
    """The place after the rows of an element among the words of an ascii file. Raises BadInput as ``end_of``."""
    if not any(length for _, _, length in layout):
        return start + count * len(layout)
    for _ in range(count):
        start = _walk(path, words, start, layout, [])
    return start


def plain_words(path: Path, words: list[bytes], start: int, layout: Layout, count: int) -> list[bytes]:
    """The words of the properties that are no lists, row after row. Raises BadInput as ``end_of``."""
    found: list[bytes] = []
    for _ in range(count):
        start = _walk(path, words, start, layout, found)
    return found


def _walk(path: Path, words: list[bytes], at: int, layout: Layout, found: list[bytes]) -> int:
    """The place after one row of an ascii file; its words that are in no list are added to ``found``."""
    try:
        for _, _, length in layout:
            if not length:
                found.append(words[at])
            at += 1 + (_length(path, int(words[at])) if length else 0)
        words[at - 1]
    except (ValueError, IndexError) as error:
        raise BadInput(f"{path}: cut short within a list, or its length is not a number; get the file again") from error
    return at
