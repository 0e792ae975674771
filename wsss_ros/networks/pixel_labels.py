"""The label and its probability for each pixel, straight from the coarse map of scores: a compiled loop for the CPU.

The result is that of ``classifier.upsample`` with the largest score and its softmax at every pixel, without the maps of
all classes at the size of the image in memory.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.geometry.compiled import compiled, readonly

SMALLEST_POWER = -20.0  # of e; terms of the softmax below this are 2e-9 of the largest


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
    _label(readonly(maps), classes.astype(np.int32), *rows, *columns, np.float32(1 / temperature), labels, probability)
    return labels, probability


def _neighbours(cells: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells that each pixel is between, and the weight of the second, as torch interpolates."""
    position = np.maximum((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0)
    first = position.astype(np.int32)
    return first, np.minimum(first + 1, cells - 1), (position - first).astype(np.float32)


@compiled
@no_type_check
def _label(maps, classes, top, bottom, down, left, right, across, sharpness, labels, probability):
    height, width = labels.shape
    scores = np.empty((len(classes), width), np.float32)
    row = np.empty(maps.shape[2], np.float32)
    best, total, winner = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.int32)
    for y in range(height):
        best[:], total[:], winner[:] = -np.inf, 0, classes[0]
        for k in range(len(classes)):
            above, below = maps[classes[k], top[y]], maps[classes[k], bottom[y]]
            for j in range(len(row)):
                row[j] = above[j] + (below[j] - above[j]) * down[y]
            of_class, label = scores[k], classes[k]
            for x in range(width):
                of_class[x] = row[left[x]] + (row[right[x]] - row[left[x]]) * across[x]
            for x in range(width):
                larger = of_class[x] > best[x]
                best[x] = of_class[x] if larger else best[x]
                winner[x] = label if larger else winner[x]
        for k in range(len(classes)):
            of_class = scores[k]
            for x in range(width):
                total[x] += _exp((of_class[x] - best[x]) * sharpness)
        for x in range(width):
            labels[y, x] = winner[x]
            probability[y, x] = np.float32(1) / total[x]


@compiled
@no_type_check
def _exp(x):
    """``exp(x)`` for x <= 0, off by at most 1e-6: the polynomial of degree 7 at x / 16, to the power of 16.

    Without a branch or a call, so that the loop around it is compiled to vector instructions.
    """
    one = np.float32(1)
    r = max(x, np.float32(SMALLEST_POWER)) * np.float32(1 / 16)
    p = one + r * np.float32(1 / 7)
    p = one + r * np.float32(1 / 6) * p
    p = one + r * np.float32(1 / 5) * p
    p = one + r * np.float32(1 / 4) * p
    p = one + r * np.float32(1 / 3) * p
    p = one + r * np.float32(1 / 2) * p
    p = one + r * p
    p = p * p
    p = p * p
    p = p * p
    return p * p
