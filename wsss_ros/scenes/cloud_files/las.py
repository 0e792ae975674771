"""LAS and LAZ files, read by laspy (``pip install wsss_ros[las]``)."""

import logging
from pathlib import Path

import numpy as np

from wsss_ros.scenes.cloud_files.columns import role_of
from wsss_ros.types import BadInput

_log = logging.getLogger("wsss_ros")


def read(path: Path) -> dict[str, np.ndarray]:
    """Coordinates, colours and the extra dimension with class ids of a LAS or LAZ file, by name.

    The field ``classification`` is not read: its codes are those of aerial surveys (ground, building), not of a label
    space. Raises BadInput naming the file when it cannot be read, and without laspy.
    """
    try:
        import laspy
    except ImportError as error:
        raise BadInput(f"{path}: LAS files need laspy; install it: pip install laspy lazrs") from error
    try:
        with laspy.open(path) as file:
            _check_size(path, file.header)
            points = file.read()
    except BadInput:
        raise
    except Exception as error:  # laspy raises errors of many kinds, also of its backends
        raise BadInput(
            f"{path}: cannot be read as LAS ({error or type(error).__name__}); get the file again"
        ) from error
    names = set(points.point_format.dimension_names)
    extra = [name for name in points.point_format.extra_dimension_names if role_of(name) == "label"]
    if not extra and np.any(np.asarray(points.classification) > 1):
        _log.info("%s: 'classification' has codes of surveys and is not read; an extra dimension 'label' is", path)
    columns = {axis: np.asarray(getattr(points, axis), np.float64) for axis in "xyz"}
    columns |= {name: np.asarray(points[name]) for name in ("red", "green", "blue") if name in names}
    return columns | {name: np.asarray(points[name]) for name in extra}


def _check_size(path: Path, header) -> None:
    """Raise BadInput where an uncompressed file is too short for its points."""
    size, expected = path.stat().st_size, header.offset_to_point_data + header.point_count * header.point_format.size
    if not header.are_points_compressed and size < expected:
        raise BadInput(f"{path}: cut short, {size} bytes of {expected}; get the file again")
    if header.point_count > 200 * size:
        raise BadInput(f"{path}: {header.point_count} points in {size} bytes; get the file again")
