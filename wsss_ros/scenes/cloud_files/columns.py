"""From the named columns of a file to a cloud: coordinates in metres, colours of 8 bits, class ids."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss_ros.geometry import compact
from wsss_ros.scenes.cloud_files.packed import unpacked
from wsss_ros.scenes.cloud_files.units import metres_per_unit
from wsss_ros.types import BadInput, Cloud, few_of

# Names of each role, in order of preference; case, spaces, _, - and CloudCompare's "scalar" in front do not count.
ROLES = {
    "x": ("x", "px", "posx", "positionx", "coordx", "points0", "point0"),
    "y": ("y", "py", "posy", "positiony", "coordy", "points1", "point1"),
    "z": ("z", "pz", "posz", "positionz", "coordz", "points2", "point2"),
    "red": ("red", "diffusered", "r", "colorr", "colorred", "rgbr", "rgb0", "rgba0", "color0", "colors0"),
    "green": ("green", "diffusegreen", "g", "colorg", "colorgreen", "rgbg", "rgb1", "rgba1", "color1", "colors1"),
    "blue": ("blue", "diffuseblue", "b", "colorb", "colorblue", "rgbb", "rgb2", "rgba2", "color2", "colors2"),
    "packed": ("rgb", "rgba", "color"),
    "label": (
        "label",
        "labels",
        "semanticlabel",
        "semantic",
        "semanticclass",
        "class",
        "classid",
        "classlabel",
        "category",
    )
    + ("categoryid", "classification", "semclass", "semlabel", "semanticgt", "semanticgt20", "segment", "segment20")
    + ("gtlabel", "nyu40", "nyu40id", "segmentid"),
}
_SPLATS, _SH0 = ("f_dc_0", "f_dc_1", "f_dc_2"), 0.28209479177387814  # constant spherical harmonic of 3D Gaussians
_FARTHEST_M = 1e8  # of a coordinate; those of the earth are smaller, those of a missing point may be 1e30
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class CloudFile:
    """The content of a file: a cloud, and the class ids of its points as they are stored, -1 for not a number.

    ``ids`` is None if the file has none. ``labels.ids`` says what they mean.
    """

    cloud: Cloud
    ids: Int64[np.ndarray, "N"] | None = None


def role_of(name: str) -> str | None:
    """The role of a column with this name, or None."""
    return next((role for role, names in ROLES.items() if _plain(name) in names), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-./:]", "", name.lower()).removeprefix("scalar")


def cloud_of_columns(source: str, columns: Mapping[str, np.ndarray], unit: str = "auto") -> CloudFile:
    """The cloud of columns [N]; ``open_cloud`` says what ``unit`` is.

    Raises BadInput naming the ``source`` for columns without x, y and z, or with other values than their roles have.
    """
    roles = _roles(source, columns)
    missing = [axis for axis in "xyz" if axis not in roles]
    if missing:
        raise BadInput(f"{source}: no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}")
    xyz = np.stack([_floats(source, name, columns[name]) for name in (roles[axis] for axis in "xyz")], axis=1)
    xyz *= metres_per_unit(source, xyz, unit)
    if others := [name for name in columns if name not in roles.values() and role_of(name) is None]:
        _log.info("%s: not read: %s", source, few_of(others, 8))
    xyz[~(np.abs(xyz) <= _FARTHEST_M).all(axis=1)] = np.nan
    if lost := int(np.isnan(xyz[:, 0]).sum()):
        _log.warning("%s: %d of %d points have no position (NaN, infinite or out of all range)", source, lost, len(xyz))
    return CloudFile(Cloud(compact(xyz), _colors(source, columns, roles)), _ids(source, columns, roles))


def _roles(source: str, columns: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The name of the column that has each role."""
    named: dict[str, list[str]] = {}
    for name in columns:
        if role := role_of(name):
            named.setdefault(role, []).append(name)
    for role, names in named.items():
        preference = {plain: place for place, plain in enumerate(ROLES[role])}
        names.sort(key=lambda name: preference[_plain(name)])  # noqa: B023  used at once
        if len(names) > 1:
            _log.info("%s: '%s' is taken for the %s; also there: %s", source, names[0], role, ", ".join(names[1:]))
    return {role: names[0] for role, names in named.items()}


def _floats(source: str, name: str, column: np.ndarray) -> Float64[np.ndarray, "N"]:
    if column.dtype.kind not in "iuf" or column.ndim != 1:
        raise BadInput(f"{source}: column '{name}' holds {column.dtype} of shape {column.shape}; expected numbers")
    return column.astype(np.float64)


# --- colours ---------------------------------------------------------------------------------------


def _colors(
    source: str, columns: Mapping[str, np.ndarray], roles: Mapping[str, str]
) -> UInt8[np.ndarray, "N 3"] | None:
    found = [roles[channel] for channel in ("red", "green", "blue") if channel in roles]
    if len(found) == 3:
        return to_bytes(source, np.stack([columns[name] for name in found], axis=1))
    if "packed" in roles:
        return unpacked(source, columns[roles["packed"]])
    if all(name in columns for name in _SPLATS):
        _log.info("%s: splats of Gaussians; their colours are those of f_dc", source)
        parts = [0.5 + _SH0 * _floats(source, name, columns[name]) for name in _SPLATS]
        return np.rint(np.nan_to_num(np.clip(np.stack(parts, axis=1), 0, 1)) * 255).astype(np.uint8)
    if found:
        raise BadInput(f"{source}: of the colours it has only {', '.join(found)}; expected red, green and blue")
    return None


def to_bytes(source: str, colors: np.ndarray) -> UInt8[np.ndarray, "N 3"]:
    """Colours of 0..1, 0..255 or 0..65535 as 0..255. The largest value says which; bytes stay as they are.

    Not a number becomes 0. Raises BadInput naming the ``source`` for other values.
    """
    if colors.dtype == np.uint8:
        return colors
    values = np.nan_to_num(colors.astype(np.float64), nan=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or high > 65535:
        raise BadInput(f"{source}: colours of {low:g} to {high:g}; expected 0..1, 0..255 or 0..65535")
    is_of_one = colors.dtype.kind == "f" and high <= 1
    factor = 255.0 if is_of_one else 1.0 if high <= 255 else 1 / 257
    if colors.dtype.kind == "u" and colors.dtype.itemsize == 2 and 0 < high <= 255:
        _log.info("%s: colours of 16 bits have values up to %g only; they are read as 0..255", source, high)
    return np.rint(values * factor).astype(np.uint8)


# --- ids -------------------------------------------------------------------------------------------


def _ids(source: str, columns: Mapping[str, np.ndarray], roles: Mapping[str, str]) -> Int64[np.ndarray, "N"] | None:
    if "label" not in roles:
        return None
    name = roles["label"]
    values = _floats(source, name, columns[name])
    values = np.where(np.isfinite(values), values, -1)
    fractions = np.flatnonzero(values != np.round(values))
    if len(fractions):
        _log.warning("%s: '%s' is not read as classes: %g is not a whole number", source, name, values[fractions[0]])
        return None
    return values.astype(np.int64)
