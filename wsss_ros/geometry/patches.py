"""Planar patches of a cloud: the points of each occupied cube of a grid, as a plane with its area."""

from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float64

from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.geometry.voxels import find_slot, local_origin, table_size, voxel_key

_SIZES_M = (0.2, 0.4, 0.8, 1.6)  # edges of a cube; a sparse cloud needs the larger ones
_LEAST = 10  # points of a cube with a plane
_MOST = 6_000  # cubes that are looked at; of more, evenly spread ones


class Patches(NamedTuple):
    """The cubes of a cloud, with edges of ``size``, and their planes, in metres, relative to ``origin``.

    ``cubes`` are the mean points of all occupied cubes. ``centres normals areas`` belong to the planar ones among them;
    a normal may have either sign.
    """

    origin: Float64[np.ndarray, "3"]
    cubes: Float64[np.ndarray, "M 3"]
    centres: Float64[np.ndarray, "P 3"]
    normals: Float64[np.ndarray, "P 3"]
    areas: Float64[np.ndarray, "P"]
    size: float


def planar_patches(xyz: Float[np.ndarray, "N 3"], sizes: Sequence[float] = _SIZES_M) -> Patches:
    """The planar patches of a cloud; points that are not finite are ignored.

    The cubes have the first edge of ``sizes`` for which most points share their cube with enough others, else the last.
    The area is that of a rectangle with the spread of the points, so that it hardly depends on their density.
    """
    origin = local_origin(xyz)
    for size in sizes:
        moments = _moments(readonly(xyz), origin, size)
        count = moments[:, 0]
        if count[count >= _LEAST].sum() >= 0.8 * count.sum():
            break
    moments = moments[np.linspace(0, len(moments) - 1, min(_MOST, len(moments))).astype(np.int64)]
    count = moments[:, 0]
    mean = moments[:, 1:4] / count[:, None]
    full = count >= _LEAST
    second = moments[full][:, [4, 5, 6, 5, 7, 8, 6, 8, 9]].reshape(-1, 3, 3) / count[full, None, None]
    offset = moments[full, 10:13]
    spread, axes = np.linalg.eigh(second - offset[:, :, None] * offset[:, None, :])
    planar = (spread[:, 0] < 0.15 * spread[:, 1]) & (spread[:, 1] > 0.15 * spread[:, 2])
    areas = 12 * np.sqrt(spread[planar, 1] * spread[planar, 2])
    return Patches(origin, mean, mean[full][planar], axes[planar, :, 0], areas, size)


def _moments(xyz: np.ndarray, origin: np.ndarray, size: float) -> np.ndarray:
    """For each cube: count, sums of x y z, second moments xx xy xz yy yz zz, and means, about the cube's corner."""
    capacity = table_size(max(len(xyz) // 4, 1024))
    while True:
        sums = np.zeros((capacity // 2, 13))
        count = _sum_moments(xyz, origin, size, np.full(capacity, -1, np.int64), np.empty(capacity, np.int64), sums)
        if count >= 0:
            break
        capacity *= 4
    sums = sums[:count]
    sums[:, 10:13] /= np.maximum(sums[:, :1], 1)
    return sums


@compiled
@no_type_check
def _sum_moments(xyz, origin, size, keys, cubes, sums):
    count = 0
    for n in range(len(xyz)):
        x, y, z = xyz[n, 0] - origin[0], xyz[n, 1] - origin[1], xyz[n, 2] - origin[2]
        key = voxel_key(x, y, z, size)
        if key < 0:  # not finite, or too far away
            continue
        slot = find_slot(keys, key)
        if keys[slot] < 0:
            if count == len(sums):
                return -1
            keys[slot], cubes[slot] = key, count
            count += 1
        row = sums[cubes[slot]]
        a = x - size * np.floor(x / size)
        b = y - size * np.floor(y / size)
        c = z - size * np.floor(z / size)
        row[0] += 1
        row[1] += x
        row[2] += y
        row[3] += z
        row[4] += a * a
        row[5] += a * b
        row[6] += a * c
        row[7] += b * b
        row[8] += b * c
        row[9] += c * c
        row[10] += a
        row[11] += b
        row[12] += c
    return count
