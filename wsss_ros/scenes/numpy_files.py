"""Arrays in npy and npz files of NumPy, whose sizes are checked before memory is taken."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from wsss_ros.files import replace
from wsss_ros.types import BadInput

_FAULTS = (
    *(OSError, ValueError, EOFError, KeyError, NotImplementedError, SyntaxError, TypeError, IndexError, RuntimeError),
    *(OverflowError, AttributeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
_LONGEST_HEADER = 1 << 16
_MOST_FOLD = 1100  # deflate makes data at most about 1032 times smaller


def read_npy(path: Path) -> np.ndarray:
    """The array of a npy file. Raises BadInput naming the file when it is cut short, or holds no numbers."""
    try:
        with open(path, "rb") as file:
            return _array(file, path.stat().st_size)
    except _FAULTS as error:
        raise _unreadable(path, error) from error


def read_npz(path: Path, chosen: str = "", most_bytes: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of a npz file by name; with ``chosen`` only that one, or the only one that the file has.

    Raises BadInput as ``read_npy`` does, and for an array of more than ``most_bytes``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if chosen and len(entries) > 1:
                if chosen not in entries:
                    raise BadInput(f"arrays {', '.join(entries)}; expected one array, or one named {chosen}")
                entries = {chosen: entries[chosen]}
            return {name: _member(archive, entry, most_bytes) for name, entry in entries.items()}
    except _FAULTS as error:
        raise _unreadable(path, error) from error


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write one array as a npy file, atomically. Raises OSError."""
    replace(path, lambda file: np.save(_Stream(file), array))


class _Stream:
    """A file without a descriptor: NumPy's own way to write to a descriptor raises errors that have no cause."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def _unreadable(path: Path, error: Exception) -> BadInput:
    if isinstance(error, BadInput):
        return BadInput(f"{path}: {error}")
    return BadInput(f"{path}: cannot be read ({error}); expected arrays of NumPy, without objects")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most_bytes: int | None) -> np.ndarray:
    if entry.file_size > entry.compress_size * _MOST_FOLD + 1000:
        raise BadInput(f"'{entry.filename}' unpacks to {entry.file_size} bytes from {entry.compress_size}")
    if most_bytes is not None and entry.file_size > most_bytes:
        raise BadInput(f"'{entry.filename}' unpacks to {entry.file_size} bytes; expected at most {most_bytes}")
    with archive.open(entry) as file:
        return _array(file, entry.file_size)


def _array(file: IO[bytes] | zipfile.ZipExtFile, size: int) -> np.ndarray:
    """Read an array from a file of ``size`` bytes; the size in its header is checked before memory is taken."""
    version = np.lib.format.read_magic(file)
    is_short = version == (1, 0)
    place, length = file.tell(), int.from_bytes(file.read(2 if is_short else 4), "little")
    if length > _LONGEST_HEADER:
        raise BadInput(f"a header of {length} bytes; expected at most {_LONGEST_HEADER}, get the file again")
    file.seek(place)
    header = np.lib.format.read_array_header_1_0 if is_short else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = header(file)
    except MemoryError as error:  # of Python's parser, for brackets inside brackets
        raise BadInput("a header that is nested too deeply; get the file again") from error
    count = 1
    for side in shape:
        count *= side
    if dtype.hasobject or not 0 <= count * dtype.itemsize <= size:
        raise BadInput(f"an array {shape} of {dtype} in {size} bytes; expected numbers, and a complete file")
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise BadInput(f"cut short, {len(data)} bytes of {count * dtype.itemsize}; get the file again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
