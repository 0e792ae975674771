"""Clouds in single files: PLY, PCD, LAS and LAZ, npz and npy, text. ``open_cloud`` opens them all."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from wsss_ros.files import expanded
from wsss_ros.scenes import ply
from wsss_ros.scenes.cloud_files import arrays, las, pcd, text
from wsss_ros.scenes.cloud_files.columns import CloudFile, cloud_of_columns
from wsss_ros.scenes.cloud_files.units import UNITS
from wsss_ros.types import BadInput

__all__ = ["SUFFIXES", "UNITS", "CloudFile", "is_cloud_file", "open_cloud"]


def _ply(path: Path, columns: str) -> Mapping[str, np.ndarray]:
    vertices = ply.read(path)
    return {name: vertices[name] for name in vertices.dtype.names or ()}


_TEXT = (".txt", ".xyz", ".csv", ".tsv", ".pts", ".asc", ".xyzrgb", ".xyzn")
_READERS: dict[str, Callable[[Path, str], Mapping[str, np.ndarray]]] = {
    ".ply": _ply,
    ".pcd": lambda path, columns: pcd.read(path),
    ".las": lambda path, columns: las.read(path),
    ".laz": lambda path, columns: las.read(path),
    ".npz": arrays.read,
    ".npy": arrays.read,
    **dict.fromkeys(_TEXT, text.read),
}
SUFFIXES = tuple(_READERS)
_WITH_ORDER = (".npz", ".npy", *_TEXT)  # formats whose columns may have no names


def is_cloud_file(path: str | Path) -> bool:
    """Whether a path is a file with a suffix of a cloud."""
    path = Path(path)
    return path.suffix.lower() in _READERS and path.is_file()


def open_cloud(path: str | Path, unit: str = "auto", columns: str = "") -> CloudFile:
    """Read a cloud with its colours, and with the class ids of its points if the file has them.

    Args:
        path: a file with one of ``SUFFIXES``.
        unit: unit of the coordinates, one of ``UNITS``; auto takes metres, and refuses a cloud that is too large for
            them, as one in millimetres is.
        columns: names of the columns of a text file or an array in their order, such as "x y z r g b label"; a column
            named - is not read. Empty: as the header says, else found by the values.

    Raises BadInput naming the file when it cannot be read, is cut short, has no coordinates, or can be read in two
    ways.
    """
    path = expanded(path)
    if not path.is_file():
        raise BadInput(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; expected a cloud, {_EXPECTED}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: not a known kind of cloud; expected {_EXPECTED}")
    if columns and path.suffix.lower() not in _WITH_ORDER:
        raise BadInput(f"{path}: its columns have names, and columns '{columns}' are given; leave them out")
    return cloud_of_columns(str(path), reader(path, columns), unit)


_EXPECTED = f"a file with one of {', '.join(SUFFIXES)}"
