"""The label and its probability for each pixel, straight from the coarse map of scores: a compiled loop for the CPU.

The result is that of ``classifier.upsample`` with the largest score and its softmax at every pixel, without the maps of
all classes at the size of the image in memory.

Between two rows of the grid, the interpolated score of a class is a linear function of the row, so its exponential
grows by a constant factor from row to row. A band is such a group of rows. At its first row each class and column gets
its exponential and its factor; every further row costs one multiplication and one comparison.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.geometry.compiled import compiled, readonly

# Powers of e, relative to the largest score at the ends of a band. A class that stays below NEGLIGIBLE adds less than
# 2e-9 of the sum. Where a class starts below LOWEST and rises, or the best class falls below FAINT inside the band,
# float32 has too few digits: these bands are computed pixel by pixel.
_NEGLIGIBLE, _FAINT, _LOWEST = -20.0, -40.0, -80.0
_LIMIT = 87.0  # powers that float32 can hold
_LOG2_E, _LN_2 = 1.4426950408889634, 0.6931471805599453


def label_pixels(
    maps: Float32[np.ndarray, "C h w"],
    size: tuple[int, int],
    present: Float32[np.ndarray, "C"] | None,
    temperature: float,
) -> tuple[UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """The class with the largest score at each pixel, and its probability (softmax of scores / temperature).

    Args:
        maps: scores (logits) on the grid of the network.
        size: rows and columns of the image.
        present: multi-hot; the other classes get no pixel and no part of the softmax. None: every class may win.
        temperature: above 0.

    Raises:
        ValueError: no class is present.
    """
    classes = np.arange(len(maps)) if present is None else np.flatnonzero(present > 0.5)
    if not len(classes):
        raise ValueError("label_pixels: no class is present")
    rows, columns = (_neighbours(cells, pixels) for cells, pixels in zip(maps.shape[1:], size, strict=True))
    labels, probability = np.empty(size, np.uint8), np.empty(size, np.float32)
    sharpness, chosen = np.float32(1 / temperature), classes.astype(np.int32)
    _label(readonly(maps), chosen, _bands(rows[0], rows[2]), *rows, *columns, sharpness, labels, probability)
    return labels, probability


def _neighbours(cells: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells that each pixel is between, and the weight of the second, as torch interpolates."""
    position = np.maximum((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0)
    first = position.astype(np.int32)
    return first, np.minimum(first + 1, cells - 1), (position - first).astype(np.float32)


def _bands(top: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The first row of each band, and behind the last band the number of rows.

    A band ends where the upper row of the grid changes, and where the rows that lie above the first centre end.
    """
    above = (top == 0) & (down == 0)
    starts = np.flatnonzero((np.diff(top) != 0) | (np.diff(above) != 0)) + 1
    return np.concatenate([[0], starts, [len(top)]]).astype(np.int32)


@compiled
@no_type_check
def _label(maps, classes, bands, top, bottom, down, left, right, across, sharpness, labels, probability):
    count, width = len(classes), labels.shape[1]
    first, last = np.empty((count, width), np.float32), np.empty((count, width), np.float32)
    power, bits = np.empty((count, width), np.float32), np.empty(width, np.int32)
    best, total, winner = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.int32)
    for band in range(len(bands) - 1):
        start, end = bands[band], bands[band + 1]
        for k in range(count):
            above, below = maps[classes[k], top[start]], maps[classes[k], bottom[start]]
            _interpolate(above, below, down[start], left, right, across, first[k])
            _interpolate(above, below, down[end - 1], left, right, across, last[k])
        if _relative(first, last, sharpness, best, total, winner):
            for k in range(count):
                _start(first[k], last[k], end - start, power[k], bits)
            for y in range(start, end):
                _next_row(power, first, classes, best, total, winner, labels[y], probability[y])
        else:
            for y in range(start, end):
                for k in range(count):
                    above, below = maps[classes[k], top[y]], maps[classes[k], bottom[y]]
                    _interpolate(above, below, down[y], left, right, across, first[k])
                _row(first, classes, sharpness, best, total, labels[y], probability[y])


@compiled
@no_type_check
def _interpolate(above, below, down, left, right, across, scores):
    """The scores of a row of pixels that is between two rows of the grid."""
    row = np.empty(len(above), np.float32)
    for j in range(len(row)):
        row[j] = above[j] + (below[j] - above[j]) * down
    for x in range(len(scores)):
        scores[x] = row[left[x]] + (row[right[x]] - row[left[x]]) * across[x]


@compiled
@no_type_check
def _relative(first, last, sharpness, largest_first, largest_last, faint):
    """Turn the scores of the first and the last row into powers of e, 0 for the largest; whether they can be used.

    The last three arguments are memory of the width of the image.
    """
    count, width = first.shape
    largest_first[:], largest_last[:], faint[:] = first[0], last[0], 1
    for k in range(1, count):
        for x in range(width):
            largest_first[x] = max(largest_first[x], first[k, x])
            largest_last[x] = max(largest_last[x], last[k, x])
    lost = 0
    for k in range(count):
        for x in range(width):
            at_first = (first[k, x] - largest_first[x]) * sharpness
            at_last = (last[k, x] - largest_last[x]) * sharpness
            first[k, x], last[k, x] = at_first, at_last
            faint[x] = 0 if min(at_first, at_last) >= _FAINT else faint[x]
            lost += (at_first < _LOWEST) & (at_last >= _NEGLIGIBLE)
    for x in range(width):
        lost += faint[x]
    return lost == 0


@compiled
@no_type_check
def _start(first, last, rows, power, bits):
    """Fill ``power`` with the exponentials of the first row, and ``first`` with the factor from row to row."""
    steps = np.float32(1 / max(rows - 1, 1))
    for x in range(len(first)):
        counts = max(first[x], last[x]) >= _NEGLIGIBLE
        at_first = first[x]
        first[x] = (last[x] - at_first) * steps if counts else np.float32(0)
        last[x] = 1 if counts else 0
        power[x] = at_first
    _exponentials(power, bits)
    _exponentials(first, bits)
    for x in range(len(first)):
        power[x] *= last[x]


@compiled
@no_type_check
def _next_row(power, factor, classes, best, total, winner, labels, probability):
    """Labels and probabilities of a row from the exponentials of its classes, which then become those of the next."""
    width = len(labels)
    best[:], total[:], winner[:] = -1, 0, classes[0]
    for k in range(len(classes)):
        of_class, growth, label = power[k], factor[k], classes[k]
        for x in range(width):
            value = of_class[x]
            larger = value > best[x]
            best[x] = value if larger else best[x]
            winner[x] = label if larger else winner[x]
            total[x] += value
            of_class[x] = value * growth[x]
    for x in range(width):
        labels[x] = winner[x]
        probability[x] = best[x] / total[x]


@compiled
@no_type_check
def _row(scores, classes, sharpness, best, total, labels, probability):
    """Labels and probabilities of a row from its scores."""
    width = len(labels)
    best[:], total[:], labels[:] = -np.inf, 0, classes[0]
    for k in range(len(classes)):
        for x in range(width):
            if scores[k, x] > best[x]:
                best[x], labels[x] = scores[k, x], classes[k]
    for k in range(len(classes)):
        for x in range(width):
            total[x] += np.exp((scores[k, x] - best[x]) * sharpness)
    for x in range(width):
        probability[x] = np.float32(1) / total[x]


@compiled
@no_type_check
def _exponentials(values, bits):
    """Replace each value by ``exp(value)``, off by 2e-7 of it; ``bits`` is memory of the same length.

    The value is n ln 2 + r, so that its exponential is 2^n times the polynomial of degree 7 at r. The loops have no
    branch and no call, so that they are compiled to vector instructions.
    """
    one, scale = np.float32(1), bits.view(np.float32)
    for i in range(len(values)):
        value = min(max(values[i], np.float32(-_LIMIT)), np.float32(_LIMIT))
        n = np.floor(value * np.float32(_LOG2_E) + np.float32(0.5))
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
        r = np.float32(np.float64(value) - np.float64(n) * _LN_2)
        p = one + r * np.float32(1 / 7)
        p = one + r * np.float32(1 / 6) * p
        p = one + r * np.float32(1 / 5) * p
        p = one + r * np.float32(1 / 4) * p
        p = one + r * np.float32(1 / 3) * p
        p = one + r * np.float32(1 / 2) * p
        values[i] = one + r * p
    for i in range(len(values)):
        values[i] *= scale[i]
