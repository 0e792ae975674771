"""The unit of the coordinates of a cloud, which most files do not say: found or doubted by its size."""

import logging

import numpy as np
from jaxtyping import Float64

from wsss_ros.types import BadInput

UNITS = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "km": 1000.0, "ft": 0.3048, "in": 0.0254}
_TOO_LARGE_M = (100.0, 500.0)  # smallest and middle side of a cloud above which it is not in metres
_LARGE_M = 7.0  # smallest side from which other units are looked at
_TOO_SMALL_M = 0.1  # largest side
# The smallest side of a room (its height, or the width of a corridor), by unit; feet are near metres.
_SMALLEST_SIDE_M = {"mm": (1.8, 5.0), "cm": (1.8, 5.0), "in": (1.8, 5.0), "dm": (1.8, 5.0), "ft": (2.1, 3.5)}
_LARGEST_SIDES_M = (15.0, 40.0)  # of a room, the middle and the largest one
_log = logging.getLogger("wsss_ros")


def metres_per_unit(source: str, xyz: Float64[np.ndarray, "N 3"], unit: str) -> float:
    """The number of metres in a unit; reports the size of the cloud.

    ``auto`` takes metres. A warning names the units in which a large cloud has the size of a room. Raises BadInput for
    a cloud that is too large for metres, and for an unknown unit.
    """
    if unit != "auto" and unit not in UNITS:
        raise BadInput(f"{source}: unit '{unit}'; expected auto or one of {', '.join(UNITS)}")
    finite = xyz[np.isfinite(xyz).all(axis=1)]
    if not len(finite):
        raise BadInput(f"{source}: none of its {len(xyz)} points is finite; expected a cloud")
    low, high = np.percentile(finite[:: 1 + len(finite) // 200_000], (1, 99), axis=0)
    scale = UNITS.get(unit, 1.0)
    sides = (high - low) * scale
    text = _text(sides)
    if unit == "auto":
        _doubt(source, sides, text)
    _log.info("%s: %s points, spans %s", source, f"{len(xyz):,}", text)
    return scale


def _doubt(source: str, sides: Float64[np.ndarray, "3"], text: str) -> None:
    """Refuse, or warn of, a size that says another unit than metres."""
    smallest, middle, largest = sorted(sides)
    if largest < _TOO_SMALL_M:
        _log.warning("%s: spans only %s if its coordinates are metres; --unit says another unit", source, text)
    others = [unit for unit in _SMALLEST_SIDE_M if _is_room(sides * UNITS[unit], unit)]
    if smallest > _TOO_LARGE_M[0] or middle > _TOO_LARGE_M[1]:
        raise BadInput(
            f"{source}: spans {text} if its coordinates are metres, which no room does; it is "
            f"{_offers(sides, others or ['mm', 'cm'])}; say which, or --unit m"
        )
    if smallest > _LARGE_M and others:
        _log.warning(
            "%s: spans %s if its coordinates are metres; it is a room of %s; say which, or --unit m",
            source, text, _offers(sides, others),
        )  # fmt: skip


def _is_room(sides: Float64[np.ndarray, "3"], unit: str) -> bool:
    smallest, middle, largest = sorted(sides)
    low, high = _SMALLEST_SIDE_M[unit]
    return bool(low <= smallest <= high and middle <= _LARGEST_SIDES_M[0] and largest <= _LARGEST_SIDES_M[1])


def _offers(sides: Float64[np.ndarray, "3"], units: list[str]) -> str:
    return ", or ".join(f"{_text(sides * UNITS[unit], 3)} with --unit {unit}" for unit in units)


def _text(sides: Float64[np.ndarray, "3"], digits: int = 4) -> str:
    return f"{' x '.join(f'{side:.{digits}g}' for side in sides)} m"
