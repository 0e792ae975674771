"""Clouds in npz and npy files of NumPy."""

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from wsss_ros.scenes.cloud_files.columns import ROLES
from wsss_ros.scenes.cloud_files.table import columns_of_table
from wsss_ros.types import BadInput

_POINTS = ("xyz", "points", "point", "pos", "positions", "coords", "coord", "pc", "vertices", "data", "arr_0")
_COLORS = ("rgb", "colors", "color", "colours", "colour")
_MOST_FOLD = 1100  # deflate makes data at most about 1032 times smaller
_FAULTS = (OSError, ValueError, EOFError, KeyError, NotImplementedError, SyntaxError, zipfile.BadZipFile) + (
    zlib.error,
    tokenize.TokenError,  # of a broken header
)


def read(path: Path, columns: str) -> dict[str, np.ndarray]:
    """The columns of an array [N, D], of a structured array, or of the arrays of an npz file.

    An npz file has an array for each column, or the points under one of ``xyz points coords ...`` and the colours under
    one of ``rgb colors ...``. Raises BadInput naming the file when it cannot be read or has other arrays.
    """
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                return _of_array(path, _array(file, path.stat().st_size), columns)
        with zipfile.ZipFile(path) as archive:
            found = {entry.filename.removesuffix(".npy"): _member(archive, entry) for entry in archive.infolist()}
    except BadInput as error:
        raise error if str(path) in str(error) else BadInput(f"{path}: {error}") from error
    except _FAULTS as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected arrays of NumPy, without objects") from error
    return _of_arrays(path, found, columns)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.file_size > entry.compress_size * _MOST_FOLD + 1000:
        raise BadInput(f"'{entry.filename}' unpacks to {entry.file_size} bytes from {entry.compress_size}")
    with archive.open(entry) as file:
        return _array(file, entry.file_size)


def _array(file: IO[bytes] | zipfile.ZipExtFile, size: int) -> np.ndarray:
    """Read an array from a file of ``size`` bytes; the size in its header is checked before memory is taken."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    count = 1
    for side in shape:
        count *= side
    if dtype.hasobject or not 0 <= count * dtype.itemsize <= size:
        raise BadInput(f"an array {shape} of {dtype} in {size} bytes; expected numbers, and a complete file")
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise BadInput(f"cut short, {len(data)} bytes of {count * dtype.itemsize}; get the file again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _of_array(path: Path, array: np.ndarray, columns: str) -> dict[str, np.ndarray]:
    if array.dtype.names:
        if columns:
            raise BadInput(f"{path}: its columns have names, and columns '{columns}' are given; leave them out")
        return {name: array[name].reshape(-1) for name in array.dtype.names}
    if array.ndim == 2 and 3 not in array.shape[1:] and array.shape[0] == 3 and array.shape[1] > 10:
        array = array.T
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise BadInput(f"{path}: an array {array.shape} of {array.dtype}; expected rows of numbers, x y z first")
    return columns_of_table(str(path), array, columns)


def _of_arrays(path: Path, found: Mapping[str, np.ndarray], columns: str) -> dict[str, np.ndarray]:
    points = next((name for name in _POINTS if name in found and found[name].ndim == 2 or len(found) == 1), None)
    if points is None:
        plain = {name: values.reshape(-1) for name, values in found.items() if values.squeeze().ndim == 1}
        if not {"x", "y", "z"} <= set(plain):
            shapes = ", ".join(f"{name} {values.shape}" for name, values in found.items())
            raise BadInput(f"{path}: has {shapes}; expected points [N, 3] under 'xyz', 'points' or 'coords'")
        return plain
    points = points if points in found else next(iter(found))
    parts = _of_array(path, found[points], columns)
    count = len(next(iter(parts.values())))
    colors = next((name for name in _COLORS if name in found), None)
    if colors is not None:
        if found[colors].shape not in ((count, 3), (count, 4)):
            raise BadInput(
                f"{path}: '{colors}' is {found[colors].shape}, and there are {count} points; expected 3 each"
            )
        parts |= dict(zip(("red", "green", "blue"), found[colors].T[:3], strict=True))
    for name in found:
        if name.lower() in ROLES["label"]:
            if found[name].size != count:
                raise BadInput(
                    f"{path}: '{name}' is {found[name].shape}, and there are {count} points; expected one each"
                )
            parts[name] = found[name].reshape(-1)
    return parts
