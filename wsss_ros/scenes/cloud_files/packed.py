"""Colours that are packed into one number 0xAARRGGBB, as PCL writes them."""

import logging
import math

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from wsss_ros.types import BadInput

_MOST_VALUES = 2000  # different colours that are looked at to find out how many digits were written
_DOUBT = 30.0  # how much less likely it is that exact numbers have so few digits, from which colours are in doubt
_LOST = np.uint32(0x7FC00000)  # the bits of 'nan' as a program reads it from text
_log = logging.getLogger("wsss_ros")


def unpacked(source: str, packed: np.ndarray) -> UInt8[np.ndarray, "N 3"]:
    """The colours in one number 0xAARRGGBB, which PCL stores as an integer or as the float with these bits.

    Numbers that were once written with too few digits have wrong colours: a warning says how wrong, and what to do.
    A colour that is not a number in a text file becomes black, with a warning. Raises BadInput naming the ``source``
    for columns that hold no numbers.
    """
    _report_few_digits(source, packed)
    if packed.dtype.kind == "f":
        values = packed.astype(np.float64)
        numbers = _is_whole(values)
        bits = np.ascontiguousarray(packed, np.float32).view(np.uint32)
        lost = np.isnan(values) if packed.dtype.itemsize == 8 else bits == _LOST
        if count := int(lost.sum()):
            _log.warning(
                "%s: %d of %d packed colours are written as 'nan' and are lost; they are black here: %s",
                source, count, len(packed), _REMEDY,
            )  # fmt: skip
        packed = np.where(lost, 0, np.where(numbers, np.where(numbers, values, 0).astype(np.uint64), bits))
    if packed.dtype.kind not in "iu":
        raise BadInput(f"{source}: colours of type {packed.dtype}; expected red, green and blue packed into a number")
    whole = packed.astype(np.int64)
    return np.stack([(whole >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)


_REMEDY = "write rgb as whole numbers (TYPE U), with 9 digits (%.9g), as red, green and blue, or the file as binary"


def _report_few_digits(source: str, packed: np.ndarray) -> None:
    """Warn of numbers with so few digits that several colours have the same ones.

    Of exact numbers, hardly any colour has few digits; a program that writes ``%g`` gives all of them six at most.
    """
    if packed.dtype.kind not in "iuf":
        return
    different = np.unique(packed)
    different = np.abs(different[np.isfinite(different) & (different != 0)].astype(np.float64))
    values = different[:: 1 + len(different) // _MOST_VALUES]
    if not len(values):
        return
    digits = max(_digits(value) for value in values)
    colors = _colors_between(values, digits)
    if float(np.log(np.maximum(colors, 1)).sum()) < math.log(_DOUBT):
        return
    wrong = int(np.ceil(np.median(colors[colors > 1]) / 2))
    channels = "blue" if wrong < 128 else "blue and green"
    by = f"by up to {wrong} of 255" if wrong < 128 else "in all"
    _log.warning(
        "%s: packed colours are written with %d digits, which do not tell colours apart: %s may be wrong %s; %s",
        source, digits, channels, by, _REMEDY,
    )  # fmt: skip


def _digits(value: float) -> int:
    """The fewest digits that tell a number from its neighbours: those of float32 for the bits of a colour."""
    if 1 <= value < 2**32:
        return len(str(int(value)).rstrip("0"))
    return len(np.format_float_scientific(np.float32(value), trim="-").split("e")[0].replace(".", ""))


def _colors_between(values: Float64[np.ndarray, "N"], digits: int) -> Float64[np.ndarray, "N"]:
    """How many colours there are from a number to the next one with so many digits."""
    step = 10.0 ** (np.floor(np.log10(values)) - digits + 1)
    return step / np.where(_is_whole(values), 1.0, np.spacing(values.astype(np.float32)).astype(np.float64))


def _is_whole(values: Float64[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Which numbers are 0xAARRGGBB itself, not the float with these bits."""
    found: Bool[np.ndarray, "N"] = (values >= 1) & (values < 2**32)
    return found
