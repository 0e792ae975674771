"""Clouds in the formats of other programs, written plainly from the descriptions of the formats."""

import struct
from collections.abc import Sequence

import numpy as np


def ply(
    rows: np.ndarray, style: str, before: str = "", data_before: bytes = b"", end: str = "\n", comment: str = ""
) -> bytes:
    """A PLY file with the fields of ``rows``; ``before`` are header lines of elements before the vertices."""
    names = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "ushort", "i2": "short", "i4": "int", "u4": "uint"}
    lines = ["ply", f"format {style} 1.0", *([f"comment {comment}"] if comment else []), *before.splitlines()]
    lines += [f"element vertex {len(rows)}"]
    lines += [f"property {names[rows.dtype[name].str[1:]]} {name}" for name in rows.dtype.names]
    head = end.join([*lines, "end_header", ""]).encode()
    if style == "ascii":
        return head + data_before + "".join(" ".join(map(repr, row)) + end for row in rows.tolist()).encode()
    order = "<" if "little" in style else ">"
    packed = rows.astype([(name, rows.dtype[name].newbyteorder(order)) for name in rows.dtype.names])
    return head + data_before + packed.tobytes()


def pcd(columns: Sequence[tuple[str, np.ndarray]], style: str, height: int = 1) -> bytes:
    """A PCD file; a column [N] or [N, K] for each field."""
    count = len(columns[0][1])
    shapes = [column.reshape(count, -1) for _, column in columns]
    kinds = [{"i": "I", "u": "U", "f": "F"}[column.dtype.kind] for column in shapes]
    head = ["# .PCD v0.7", "VERSION 0.7", "FIELDS " + " ".join(name for name, _ in columns)]
    head += ["SIZE " + " ".join(str(column.dtype.itemsize) for column in shapes), "TYPE " + " ".join(kinds)]
    head += ["COUNT " + " ".join(str(column.shape[1]) for column in shapes), f"WIDTH {count // height}"]
    head += [f"HEIGHT {height}", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {count}", f"DATA {style}", ""]
    start = "\n".join(head).encode()
    if style == "ascii":
        rows = ([repr(value) for column in shapes for value in column[row].tolist()] for row in range(count))
        return start + "".join(" ".join(row) + "\n" for row in rows).encode()
    if style == "binary":
        return start + b"".join(column[row].tobytes() for row in range(count) for column in shapes)
    data = b"".join(column.tobytes() for column in shapes)
    packed = lzf(data)
    return start + struct.pack("<II", len(packed), len(data)) + packed


def lzf(data: bytes) -> bytes:
    """LZF: runs of up to 32 bytes (length - 1, bytes), and references (length - 2 and distance - 1 in 3 + 13 bits)."""
    packed, literal, at = bytearray(), bytearray(), 0
    last: dict[bytes, int] = {}

    def flush() -> None:
        for start in range(0, len(literal), 32):
            part = literal[start : start + 32]
            packed.extend(bytes([len(part) - 1]) + part)
        literal.clear()

    while at < len(data):
        key = data[at : at + 3]
        back = at - last.get(key, -(1 << 20))
        last[key] = at
        if len(key) == 3 and back <= 8192:
            length = 3
            while length < 264 and at + length < len(data) and data[at + length] == data[at + length - back]:
                length += 1
            flush()
            first = (back - 1) >> 8
            if length - 2 < 7:
                packed.append((length - 2) << 5 | first)
            else:
                packed.extend([7 << 5 | first, length - 2 - 7])
            packed.append((back - 1) & 255)
            at += length
        else:
            literal.append(data[at])
            at += 1
    flush()
    return bytes(packed)
