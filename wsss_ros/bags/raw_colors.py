"""RGB from what cameras send instead of it: YUV of 8 bits (BT.601), Bayer mosaics, samples of 16 bits."""

from typing import no_type_check

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16

from wsss_ros.geometry.compiled import compiled

# BT.601 with Y in 16..235 and U, V in 16..240, times 2^20 and rounded to integers, as OpenCV computes it.
_BRIGHTNESS, _RED_V, _GREEN_V, _GREEN_U, _BLUE_U = 1220542, 1673527, -852492, -409993, 2116026
_BITS = 20


def yuv_to_rgb(
    y: UInt8[np.ndarray, "H W"], u: UInt8[np.ndarray, "h w"], v: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "H W 3"]:
    """RGB of YUV with a limited range: white is Y 235, black Y 16.

    ``u`` and ``v`` have the size of ``y`` or half of its rows or columns; each of their values holds for all pixels of
    its cell.

        R = 1.164 (Y - 16) + 1.596 (V - 128)
        G = 1.164 (Y - 16) - 0.813 (V - 128) - 0.391 (U - 128)
        B = 1.164 (Y - 16) + 2.018 (U - 128)
    """
    rgb = np.empty((*y.shape, 3), np.uint8)
    halves = [int(large > small) for large, small in zip(y.shape, u.shape, strict=True)]
    _yuv(_strided(y), _strided(u), _strided(v), *halves, rgb)
    return rgb


def demosaic(raw: Shaped[np.ndarray, "H W"], red_at: tuple[int, int]) -> Shaped[np.ndarray, "H W 3"]:
    """RGB of a Bayer mosaic, bilinear: a missing colour is the mean of its 2 or 4 nearest neighbours, rounded.

    Args:
        raw: samples of uint8 or uint16, at least 2 x 2.
        red_at: row and column of the red sample in the first 2 x 2 samples; blue is diagonal to it.

    At the border the mosaic is mirrored about its outermost samples, which keeps the pattern.
    """
    rgb = np.empty((*raw.shape, 3), raw.dtype.newbyteorder("="))
    _bayer(_strided(raw.astype(rgb.dtype, copy=False)), *red_at, rgb)
    return rgb


def to_8_bit(samples: UInt16[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Samples of 0..65535 as 0..255, rounded to the nearest."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _strided(array: np.ndarray) -> np.ndarray:
    """A read-only view of any layout. Numba then compiles one version for writable and read-only arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


@compiled
@no_type_check
def _byte(value):
    return min(max(value >> _BITS, 0), 255)


@compiled
@no_type_check
def _yuv(y, u, v, half_rows, half_columns, rgb):
    half = 1 << (_BITS - 1)
    for row in range(y.shape[0]):
        for column in range(y.shape[1]):
            grey = max(np.int32(y[row, column]) - 16, 0) * _BRIGHTNESS + half
            blueness = np.int32(u[row >> half_rows, column >> half_columns]) - 128
            redness = np.int32(v[row >> half_rows, column >> half_columns]) - 128
            rgb[row, column, 0] = _byte(grey + _RED_V * redness)
            rgb[row, column, 1] = _byte(grey + _GREEN_V * redness + _GREEN_U * blueness)
            rgb[row, column, 2] = _byte(grey + _BLUE_U * blueness)


@compiled
@no_type_check
def _bayer(raw, red_row, red_column, rgb):
    height, width = raw.shape
    for row in range(height):
        above = raw[row - 1 if row else 1]
        here = raw[row]
        below = raw[row + 1 if row + 1 < height else height - 2]
        main = 0 if row % 2 == red_row else 2  # the channel that this row has in addition to green
        for column in range(width):
            left, right = column - 1 if column else 1, column + 1 if column + 1 < width else width - 2
            across = np.int32(here[left]) + here[right]
            down = np.int32(above[column]) + below[column]
            if (column % 2 == red_column) == (main == 0):
                corners = np.int32(above[left]) + above[right] + below[left] + below[right]
                rgb[row, column, main] = here[column]
                rgb[row, column, 1] = (across + down + 2) >> 2
                rgb[row, column, 2 - main] = (corners + 2) >> 2
            else:
                rgb[row, column, main] = (across + 1) >> 1
                rgb[row, column, 1] = here[column]
                rgb[row, column, 2 - main] = (down + 1) >> 1
