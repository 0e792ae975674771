"""Voxels: cubes of one size with a corner at the origin. A hash table finds the voxel of a point."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float64, Int64

from wsss_ros.geometry.compiled import compiled, inlined, readonly
from wsss_ros.types import BadInput

VOXEL_RANGE = 1 << 20  # largest voxel coordinate; three of them are packed as 3 x 21 bits into one int64
_EARTH_M = 2e7  # coordinates on Earth are smaller
_ORIGINS_M = 1024.0  # distance between two possible local origins
_FLOAT32_M = 16_384.0  # up to here, float32 has a coordinate for each millimetre


def local_origin(xyz: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "3"]:
    """A whole multiple of 1024 m near the first finite point: 0 near the origin of the frame.

    It is subtracted without loss in float64, and what is left is small. In a map of UTM coordinates, points are 500 km
    from the origin. It is 0 as well for a point that is no place on Earth in any coordinates: a runaway pose.
    """
    for block in np.array_split(xyz, max(1, len(xyz) // 4096)):
        finite = np.flatnonzero(np.isfinite(block).all(axis=1))
        if len(finite):
            first = block[finite[0]].astype(np.float64)
            return np.round(first / _ORIGINS_M) * _ORIGINS_M if np.abs(first).max() < _EARTH_M else np.zeros(3)
    return np.zeros(3)


def compact(xyz: Float64[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Positions as float32 where that keeps them to half a millimetre, as it does within 16 km of the origin."""
    farthest = np.abs(xyz).max(initial=0, where=np.isfinite(xyz))
    return xyz.astype(np.float32) if farthest <= _FLOAT32_M else xyz


def voxel_downsample(
    xyz: Float[np.ndarray, "N 3"], size: float
) -> tuple[Int64[np.ndarray, "M"], Int64[np.ndarray, "N"]]:
    """Assign each point to its voxel ``floor(xyz / size)``.

    If points are out of range, the voxels are counted from ``local_origin``.

    Args:
        xyz: metres.
        size: edge of a voxel, metres.

    Returns:
        The index of the first point of each occupied voxel, in the order of the points, and the number of the voxel
        that each point is in.

    Raises:
        BadInput: a size that is not above 0, a point that is not finite or is beyond 2^20 voxels from both origins.
    """
    if not size > 0:
        raise BadInput(f"voxel size {size}; expected metres above 0")
    capacity = table_size(len(xyz))
    keys, values = np.full(capacity, -1, np.int64), np.empty(capacity, np.int64)
    first, voxel = np.empty(len(xyz), np.int64), np.empty(len(xyz), np.int64)
    count = _assign_voxels(readonly(xyz), float(size), keys, values, first, voxel)
    if count < 0 and (origin := local_origin(xyz)).any():
        keys[:] = -1
        count = _assign_voxels(readonly(xyz - origin), float(size), keys, values, first, voxel)
    if count < 0:
        bad = xyz[-count - 1].tolist()
        raise BadInput(f"point {bad} is not finite or more than {VOXEL_RANGE} voxels of {size} m from the origin")
    return first[:count].copy(), voxel


def table_size(entries: int) -> int:
    """Slots of a hash table for this many keys: a power of two, at most half full."""
    return 1 << max(4, (2 * entries - 1).bit_length())


@compiled
@no_type_check
def voxel_key(x, y, z, size):
    """The voxel's coordinates packed into one int64 >= 0, or -1 where they are out of range."""
    i, j, k = np.floor(x / size), np.floor(y / size), np.floor(z / size)
    if not (abs(i) < VOXEL_RANGE and abs(j) < VOXEL_RANGE and abs(k) < VOXEL_RANGE):
        return np.int64(-1)
    return packed(np.int64(i), np.int64(j), np.int64(k))


@compiled
@no_type_check
def packed(i, j, k):
    """The coordinates of a voxel, which are in range, as one int64 >= 0."""
    return ((i + VOXEL_RANGE) << 42) | ((j + VOXEL_RANGE) << 21) | (k + VOXEL_RANGE)


@compiled
@no_type_check
def find_slot(keys, key):
    """The slot of ``key``, or the empty slot (-1) for it: linear probing; ``len(keys)`` is a power of two."""
    mask = len(keys) - 1
    slot = _home(key, mask)
    while keys[slot] != key and keys[slot] != -1:
        slot = (slot + 1) & mask
    return slot


@inlined
@no_type_check
def _home(key, mask):
    """The slot where the search for ``key`` begins."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing; the high bits are the good ones
    return np.int64(mixed >> np.uint64(32)) & mask


@compiled
@no_type_check
def remove_key(keys, values, key):
    """Remove ``key`` from a table that ``find_slot`` searches. Later keys of its run move up, so no gap stays."""
    mask = len(keys) - 1
    gap = find_slot(keys, key)
    if keys[gap] < 0:
        return
    keys[gap], slot = -1, (gap + 1) & mask
    while keys[slot] >= 0:
        if ((slot - _home(keys[slot], mask)) & mask) >= ((slot - gap) & mask):
            keys[gap], values[gap], keys[slot] = keys[slot], values[slot], -1
            gap = slot
        slot = (slot + 1) & mask


@compiled
@no_type_check
def _assign_voxels(xyz, size, keys, values, first, voxel):
    count = 0
    for n in range(len(xyz)):
        key = voxel_key(np.float64(xyz[n, 0]), np.float64(xyz[n, 1]), np.float64(xyz[n, 2]), size)
        if key < 0:
            return -n - 1
        slot = find_slot(keys, key)
        if keys[slot] < 0:
            keys[slot], values[slot], first[count] = key, count, n
            count += 1
        voxel[n] = values[slot]
    return count
