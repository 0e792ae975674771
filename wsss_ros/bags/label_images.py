"""Pixels of the images that show labels: the colours of the classes, alone and over the image."""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.labels import UNLABELLED, LabelSpace

_PARTS = 256  # an overlay mixes parts of this many


def write_colors(labels: UInt8[np.ndarray, "H W"], space: LabelSpace, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
    """Fill ``pixels`` with the colour of each label; unlabelled is black."""
    _write_colors(readonly(labels).reshape(-1), _table(space), pixels.reshape(-1, 3))


def write_overlay(
    rgb: UInt8[np.ndarray, "H W 3"],
    labels: UInt8[np.ndarray, "H W"],
    space: LabelSpace,
    alpha: float,
    pixels: UInt8[np.ndarray, "H W 3"],
) -> None:
    """Fill ``pixels`` with ``alpha`` of the class colour over the image; an unlabelled pixel keeps the image's colour.

    The share of the class colour is rounded to 1 / 256, the result to the integer below.
    """
    share = np.full(256, round(alpha * _PARTS), np.uint16)
    share[UNLABELLED] = 0
    added = _table(space).astype(np.uint16) * share[:, None]
    _write_overlay(readonly(rgb).reshape(-1, 3), readonly(labels).reshape(-1), share, added, pixels.reshape(-1, 3))


def _table(space: LabelSpace) -> UInt8[np.ndarray, "256 3"]:
    return space.colorize(np.arange(256, dtype=np.uint8))


@compiled
@no_type_check
def _write_colors(labels, table, pixels):
    for n in range(len(labels)):
        label = labels[n]
        pixels[n, 0], pixels[n, 1], pixels[n, 2] = table[label, 0], table[label, 1], table[label, 2]


@compiled
@no_type_check
def _write_overlay(rgb, labels, share, added, pixels):
    for n in range(len(labels)):
        label = labels[n]
        kept = np.uint32(256) - share[label]
        for channel in range(3):
            pixels[n, channel] = (rgb[n, channel] * kept + added[label, channel]) >> 8
