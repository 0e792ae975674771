"""PCD files of the Point Cloud Library: ascii, binary and binary_compressed, version 0.7 and before."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

_KEYS = ("FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "POINTS", "DATA")
_STYLES = ("ascii", "binary", "binary_compressed")
_TYPES = {
    f"{kind}{size}": f"{kind.lower()}{size}" for kind in "IUF" for size in (1, 2, 4, 8) if kind != "F" or size > 2
}
_MOST_HEADER = 1 << 16
_MOST_FOLD = 264  # one byte pair of LZF stands for up to 264 bytes


@dataclass(frozen=True)
class _Header:
    fields: list[tuple[str, str, int]]  # name, type, and how many numbers of it a point has
    points: int
    style: str
    size: int  # bytes


def read(path: Path) -> dict[str, np.ndarray]:
    """The fields of a PCD file by name, one value for each point; fields of several numbers are left out.

    Raises BadInput naming the file when it is not a PCD file or is cut short.
    """
    data = read_bytes(path, "a PCD file")
    header = _read_header(path, data)
    if header.style == "ascii":
        return _ascii(path, data[header.size :], header)
    dtype = np.dtype([(f"{place}", kind, count) for place, (_, kind, count) in enumerate(header.fields)])
    if header.style == "binary":
        _check_length(path, len(data) - header.size, header.points * dtype.itemsize)
        rows = np.frombuffer(data, dtype, header.points, header.size)
        columns = [rows[f"{place}"] for place in range(len(header.fields))]
    else:
        columns = _by_field(_unpacked(path, data, header, dtype.itemsize), header)
    return {
        name: column.reshape(header.points)
        for (name, _, count), column in zip(header.fields, columns, strict=True)
        if count == 1 and name != "_"
    }


def _read_header(path: Path, data: bytes) -> _Header:
    values: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in values:
        end = data.find(b"\n", at, _MOST_HEADER)
        if end < 0:
            raise BadInput(f"{path}: no line 'DATA' in the header; expected a PCD file")
        key, *words = data[at:end].decode("latin-1").split("#")[0].split() or [""]
        values[key.upper()] = words
        at = end + 1
    values.setdefault("COUNT", ["1"] * len(values.get("FIELDS", [])))
    try:
        shape = [int(values[key][0]) for key in ("WIDTH", "HEIGHT")] if "WIDTH" in values else []
        points = int(values["POINTS"][0]) if "POINTS" in values else int(np.prod(shape))
        kinds = [_TYPES[kind.upper() + size] for kind, size in zip(values["TYPE"], values["SIZE"], strict=True)]
        counts = list(map(int, values["COUNT"]))
        fields = list(zip(values["FIELDS"], kinds, counts, strict=True))
        style = values["DATA"][0].lower()
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise BadInput(f"{path}: the PCD header is not understood ({error!r}); expected {', '.join(_KEYS)}") from error
    if points < 0 or min(counts, default=0) < 1 or max(counts) > 1 << 20 or style not in _STYLES:
        raise BadInput(f"{path}: {points} points, counts {counts[:9]}, data '{style}'; expected {', '.join(_STYLES)}")
    if shape and shape[0] * shape[1] != points:
        raise BadInput(f"{path}: {points} points, but WIDTH x HEIGHT is {shape[0]} x {shape[1]}; get the file again")
    return _Header(fields, points, style, at)


def _check_length(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise BadInput(
            f"{path}: cut short, {found} bytes of points where the header says {expected}; get the file again"
        )


def _ascii(path: Path, data: bytes, header: _Header) -> dict[str, np.ndarray]:
    width = sum(count for _, _, count in header.fields)
    if header.points * width * 2 > len(data) + 1:
        raise BadInput(f"{path}: cut short, {len(data)} bytes for {header.points} points; get the file again")
    words = data.split()
    if len(words) < header.points * width:
        raise BadInput(f"{path}: cut short, {len(words)} numbers of {header.points * width}; get the file again")
    try:
        table = np.array(words[: header.points * width], np.float64).reshape(header.points, width)
    except ValueError as error:
        raise BadInput(f"{path}: a point that is not a number ({error})") from error
    found, at = {}, 0
    for name, kind, count in header.fields:
        if count == 1 and name != "_":
            column = table[:, at]
            found[name] = column if kind[0] == "f" or not np.isfinite(column).all() else column.astype(np.int64)
        at += count
    return found


# --- compressed ------------------------------------------------------------------------------------


def _by_field(octets: UInt8[np.ndarray, "B"], header: _Header) -> list[np.ndarray]:
    """The columns of data that has all values of the first field, then all of the second, and so on."""
    columns, at = [], 0
    for _, kind, count in header.fields:
        size = np.dtype(kind).itemsize * count * header.points
        columns.append(octets[at : at + size].view(kind).reshape(header.points, count))
        at += size
    return columns


def _unpacked(path: Path, data: bytes, header: _Header, point_bytes: int) -> UInt8[np.ndarray, "B"]:
    _check_length(path, len(data) - header.size, 8)
    packed_size, size = struct.unpack_from("<II", data, header.size)
    start = header.size + 8
    _check_length(path, len(data) - start, packed_size)
    if size != header.points * point_bytes or size > packed_size * _MOST_FOLD:
        raise BadInput(
            f"{path}: {packed_size} bytes for {size} unpacked ones, and {header.points} points of {point_bytes} bytes; "
            "get the file again"
        )
    unpacked = np.empty(size, np.uint8)
    packed = readonly(np.frombuffer(data, np.uint8, packed_size, start))
    if _lzf(packed, unpacked) != size:
        raise BadInput(f"{path}: the compressed points cannot be unpacked; get the file again")
    return unpacked


@compiled
def _lzf(packed, unpacked):
    """Unpack LZF (libLZF): literal runs of 1..32 bytes, and references of 3..264 bytes up to 8192 bytes back.

    Returns the number of bytes, or -1 for data that is not LZF or does not fit.
    """
    at, to = 0, 0
    while at < len(packed):
        control = np.int64(packed[at])
        at += 1
        if control < 32:
            length = control + 1
            if at + length > len(packed) or to + length > len(unpacked):
                return -1
            for i in range(length):
                unpacked[to + i] = packed[at + i]
            at += length
            to += length
            continue
        length = control >> 5
        if length == 7:
            if at >= len(packed):
                return -1
            length += np.int64(packed[at])
            at += 1
        if at >= len(packed):
            return -1
        back = ((control & 31) << 8) + np.int64(packed[at]) + 1
        at += 1
        length += 2
        if back > to or to + length > len(unpacked):
            return -1
        for i in range(length):
            unpacked[to + i] = unpacked[to + i - back]
        to += length
    return to
