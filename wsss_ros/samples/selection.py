"""Choosing images that are worth a tag: 2D3DNet, section 3.3 and appendix G.4."""

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from wsss_ros.types import BadInput

LEAST_SHARE = 0.02  # of the pixels of an image: a class with fewer does not count as present


def presence(labels: UInt8[np.ndarray, "H W"], classes: int, least_share: float = LEAST_SHARE) -> Bool[np.ndarray, "C"]:
    """Which of the classes have at least ``least_share`` of the pixels of an image."""
    counts = np.bincount(labels.ravel(), minlength=256)[:classes]
    return counts >= max(least_share * labels.size, 1)


def diverse(presence: Bool[np.ndarray, "I C"], count: int) -> Int64[np.ndarray, "count"]:
    """Choose images that show many examples of every class: the greedy maximum of the ``objective``.

    The first k of the result are what the same call chooses for k images. The objective is monotone and submodular, so
    that the greedy choice reaches at least 1 - 1/e of the largest possible value (Nemhauser et al., 1978). Of images
    that add equally much, the first one is taken.

    Args:
        presence: whether image I shows class C.
        count: number of images to choose.

    Returns:
        The images, in the order in which they are chosen.

    Raises:
        BadInput: more images to choose than there are, or fewer than 0.
    """
    images, classes = presence.shape
    if not 0 <= count <= images:
        raise BadInput(f"{count} images to choose from {images}; expected a number from 0 to {images}")
    chosen, seen = np.empty(count, np.int64), np.zeros(classes)
    free = np.ones(images, bool)
    for place in range(count):
        gain = np.round(gains(presence, seen), 9)  # sums in another order are no reason to choose
        best = int(np.where(free, gain, -1.0).argmax())
        chosen[place], free[best] = best, False
        seen += presence[best]
    return chosen


def gains(presence: Bool[np.ndarray, "I C"], seen: Float64[np.ndarray, "C"]) -> Float64[np.ndarray, "I"]:
    """How much each image adds to the ``objective`` of images of which ``seen`` show each class."""
    added: Float64[np.ndarray, "I"] = presence @ (np.sqrt(seen + 1) - np.sqrt(seen))
    return added


def objective(presence: Bool[np.ndarray, "I C"]) -> float:
    """The sum over the classes of the square root of the number of images that show the class."""
    return float(np.sqrt(presence.sum(axis=0)).sum())


def with_rare_class(presence: Bool[np.ndarray, "I C"], most_share: float) -> Int64[np.ndarray, "K"]:
    """The images with at least one class that at most ``most_share`` of all images show.

    The paper drops the other images before it chooses, because of their number.
    """
    rare = presence.mean(axis=0) <= most_share
    return np.flatnonzero(presence[:, rare].any(axis=1))
