"""Clouds in npz and npy files of NumPy."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wsss_ros.scenes.cloud_files.columns import role_of
from wsss_ros.scenes.cloud_files.table import columns_of_table
from wsss_ros.scenes.numpy_files import read_npy, read_npz
from wsss_ros.types import BadInput

_log = logging.getLogger("wsss_ros")
_POINTS = ("xyz", "points", "point", "pos", "positions", "coords", "coord", "pc", "vertices", "data", "arr_0")
_COLORS = ("rgb", "colors", "color", "colours", "colour")


def read(path: Path, columns: str) -> dict[str, np.ndarray]:
    """The columns of an array [N, D], of a structured array, or of the arrays of an npz file.

    An npz file has an array for each column, or the points under one of ``xyz points coords ...`` and the colours under
    one of ``rgb colors ...``. Raises BadInput naming the file when it cannot be read or has other arrays.
    """
    if path.suffix.lower() == ".npy":
        return _of_array(path, read_npy(path), columns)
    found = {name.lower(): values for name, values in read_npz(path).items()}
    return _of_arrays(path, found, columns)


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
        if role_of(name) == "label":
            if found[name].size != count:
                raise BadInput(
                    f"{path}: '{name}' is {found[name].shape}, and there are {count} points; expected one each"
                )
            parts[name] = found[name].reshape(-1)
    if others := [name for name in found if name not in (points, colors, *parts)]:
        _log.info("%s: not read: %s", path, ", ".join(others))
    return parts
