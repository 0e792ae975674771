"""Votes of frames for the classes of points or voxels: their weight, the class that wins, how sure it is."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

from wsss_ros.labels import UNLABELLED

_ROWS = 1 << 16  # points at a time: tables in float64 of all would take gigabytes


def vote_weight(
    distance_m: Float[np.ndarray, "*N"], dt_s: Float[np.ndarray, "*N"], max_distance_m: float, max_dt_s: float
) -> Float[np.ndarray, "*N"]:
    """The weight of votes: ``max(0, 1 - d / d_max) * max(0, 1 - |dt| / dt_max)``.

    The text of 2D3DNet lacks the formula. It says that near and recent views count more, and has both limits; this is
    the simplest such weight.

    Args:
        distance_m: from the camera to the points, metres.
        dt_s: time of the frame minus time of the points, seconds.
        max_distance_m: from here on the weight is 0; may be infinite.
        max_dt_s: from here on the weight is 0; may be infinite.
    """
    return np.maximum(0, 1 - distance_m / max_distance_m) * np.maximum(0, 1 - np.abs(dt_s) / max_dt_s)


def winners(votes: Float[np.ndarray, "N C"]) -> UInt8[np.ndarray, "N"]:
    """The class with the most votes, the first of equal ones; 255 where nobody has voted."""
    if not votes.shape[1]:
        return np.full(len(votes), UNLABELLED, np.uint8)
    best = votes.argmax(axis=1)
    voted = votes[np.arange(len(votes)), best] > 0
    return np.where(voted, best, UNLABELLED).astype(np.uint8)


def share_of_winner(votes: Float[np.ndarray, "N C"]) -> Float32[np.ndarray, "N"]:
    """The share of all votes of a point that its class has: a confidence from 0 to 1; 0 without votes."""
    total = votes.sum(axis=1)
    best = votes.max(axis=1, initial=0.0)
    return np.divide(best, total, out=np.zeros(len(votes), np.float32), where=total > 0, casting="same_kind")


def entropy(votes: Float[np.ndarray, "N C"]) -> Float32[np.ndarray, "N"]:
    """How much the votes of a point disagree: Shannon's entropy of their shares, in bits.

    0 where all votes are for one class, ``log2 C`` where all classes have equally many. Without votes nothing is known:
    also ``log2 C``.
    """
    found = np.empty(len(votes), np.float32)
    for start in range(0, len(votes), _ROWS):
        found[start : start + _ROWS] = _entropy(votes[start : start + _ROWS])
    return found


def _entropy(votes: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N"]:
    total = votes.sum(axis=1, keepdims=True)
    share = np.divide(votes, total, out=np.full(votes.shape, 1 / max(votes.shape[1], 1)), where=total > 0)
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    bits: Float[np.ndarray, "N"] = np.maximum(0, -(share * logs).sum(axis=1))
    return bits
