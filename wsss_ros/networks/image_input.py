"""The input of an image network from the bytes of an image: resized and normalised in one pass over the image (CPU).

The result is that of ``classifier.normalise_images`` and torch's bilinear ``interpolate``, with antialiasing where the
image becomes smaller. Both are linear, so the image may be resized first; the large image is read once, as bytes.
"""

from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.networks.classifier import IMAGENET_MEAN, IMAGENET_STD


def network_input(rgb: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> Float32[np.ndarray, "h w 3"]:
    """The image at ``size`` (rows, columns), minus ImageNet's mean and divided by its deviation.

    Both sides become smaller, or both become larger or stay: the scales of an image of the same proportions.
    """
    smaller = size[0] < rgb.shape[0] or size[1] < rgb.shape[1]
    rows, columns = (_shares(pixels, cells, smaller) for pixels, cells in zip(rgb.shape[:2], size, strict=True))
    deviation = np.array(IMAGENET_STD)
    scale, offset = 1 / (255 * deviation), -np.array(IMAGENET_MEAN) / deviation
    resized = np.empty((*size, 3), np.float32)
    _resize(readonly(rgb), *rows, *columns, scale.astype(np.float32), offset.astype(np.float32), resized)
    return resized


@lru_cache(maxsize=16)
def _shares(
    pixels: int, cells: int, antialias: bool
) -> tuple[Int32[np.ndarray, "cells"], Float32[np.ndarray, "cells taps"]]:
    """The first pixel that each cell is made of, and the shares of the pixels from there, as torch interpolates.

    A pixel's share falls linearly with its distance from the centre of the cell, to 0 at one cell with antialiasing
    and at one pixel without.
    """
    step = pixels / cells
    reach = max(step, 1.0) if antialias else 1.0
    centre = (np.arange(cells) + 0.5) * step
    first = np.floor(centre - reach + 0.5).astype(np.int32)
    taps = int(np.ceil(2 * reach)) + 1
    place = first[:, None] + np.arange(taps)
    share = np.maximum(1 - np.abs(place + 0.5 - centre[:, None]) / reach, 0)
    inside = (place >= 0) & (place < pixels)
    if antialias:
        share *= inside  # the pixels that are there share the whole
        return _from_inside(first, share / share.sum(axis=1, keepdims=True), pixels)
    return _from_inside(first, _moved_inside(place, share, pixels), pixels)


def _moved_inside(place: np.ndarray, share: np.ndarray, pixels: int) -> np.ndarray:
    """The shares, those of pixels outside of the image given to the nearest pixel inside."""
    moved = np.zeros_like(share)
    nearest = np.clip(place, 0, pixels - 1) - place[:, :1]
    np.add.at(moved, (np.arange(len(share))[:, None], nearest), share)
    return moved


def _from_inside(first: np.ndarray, share: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares that start at a pixel of the image and end inside of it."""
    taps = min(share.shape[1], pixels)
    start = np.clip(first, 0, pixels - taps)
    moved = np.zeros((len(share), taps), np.float32)
    for cell, (at, begin) in enumerate(zip(first, start, strict=True)):
        for tap, value in enumerate(share[cell]):
            if value:
                moved[cell, at + tap - begin] = value
    return start.astype(np.int32), moved


@compiled
@no_type_check
def _resize(rgb, first_row, row_share, first_column, column_share, scale, offset, resized):
    flat = rgb.reshape(rgb.shape[0], 3 * rgb.shape[1])
    line = np.empty(flat.shape[1], np.float32)
    for y in range(resized.shape[0]):
        line[:] = 0
        for tap in range(row_share.shape[1]):
            share = row_share[y, tap]
            if share != 0:
                source = flat[first_row[y] + tap]
                for i in range(len(line)):
                    line[i] += share * np.float32(source[i])
        for x in range(resized.shape[1]):
            red = green = blue = np.float32(0)
            at = 3 * first_column[x]
            for tap in range(column_share.shape[1]):
                share = column_share[x, tap]
                red += share * line[at]
                green += share * line[at + 1]
                blue += share * line[at + 2]
                at += 3
            resized[y, x, 0] = red * scale[0] + offset[0]
            resized[y, x, 1] = green * scale[1] + offset[1]
            resized[y, x, 2] = blue * scale[2] + offset[2]
