"""The numba kernels of regions.py: growing over neighbours, and the flow of supervoxels.

Growing is sequential. The kernels of supervoxels take a range of voxels, ``start`` to ``stop``, and read only what an
earlier call has written, so that their result does not depend on the number of threads.
"""

import math
from typing import no_type_check

import numpy as np

from wsss_ros.geometry.compiled import compiled
from wsss_ros.geometry.normal_kernels import moments, plane
from wsss_ros.geometry.voxels import find_slot, packed


@compiled
@no_type_check
def grow_smooth(neighbor, normal, curvature, seeds, cosine, most_curvature, region):
    """Grow regions of smooth surface as PCL does; ``region`` gets their numbers. Returns how many there are.

    A region starts at the first free point of ``seeds``. It takes each free neighbour of its points whose normal is
    within the angle to that of the point, and goes on from those whose curvature is small.
    """
    queue = np.empty(len(normal), np.int64)
    regions = 0
    for seed in seeds:
        if region[seed] >= 0:
            continue
        region[seed], queue[0] = regions, seed
        head, tail = 0, 1
        while head < tail:
            point = queue[head]
            head += 1
            a, b, c = normal[point, 0], normal[point, 1], normal[point, 2]
            for slot in range(neighbor.shape[1]):
                other = neighbor[point, slot]
                if region[other] >= 0:
                    continue
                if abs(a * normal[other, 0] + b * normal[other, 1] + c * normal[other, 2]) < cosine:
                    continue
                region[other] = regions
                if curvature[other] <= most_curvature:
                    queue[tail] = other
                    tail += 1
        regions += 1
    return regions


@compiled
@no_type_check
def grow_planes(points, neighbor, normal, seeds, cosine, most_distance, least, region):
    """Grow planar regions as CGAL does; ``region`` gets their numbers, -1: none. Returns how many there are.

    A region starts at a free point, with the plane of its normal. It takes each free neighbour that is near its plane
    and whose normal is within the angle to that of the plane. After each ring of neighbours, the plane is fitted to
    all points of the region. The points of a region with fewer than ``least`` points become free again.
    """
    queue = np.empty(len(points), np.int64)
    regions = 0
    for seed in seeds:
        if region[seed] >= 0:
            continue
        x, y, z = np.float64(points[seed, 0]), np.float64(points[seed, 1]), np.float64(points[seed, 2])
        a, b, c = normal[seed, 0], normal[seed, 1], normal[seed, 2]
        mx, my, mz = 0.0, 0.0, 0.0  # the mean of the region, relative to the seed
        sums = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        region[seed], queue[0] = regions, seed
        head, ring, tail, fitted = 0, 1, 1, 0
        while head < tail:
            while head < ring:
                point = queue[head]
                head += 1
                for slot in range(neighbor.shape[1]):
                    other = neighbor[point, slot]
                    if region[other] >= 0:
                        continue
                    if abs(a * normal[other, 0] + b * normal[other, 1] + c * normal[other, 2]) < cosine:
                        continue
                    dx, dy, dz = points[other, 0] - x - mx, points[other, 1] - y - my, points[other, 2] - z - mz
                    if abs(a * dx + b * dy + c * dz) > most_distance:
                        continue
                    region[other], queue[tail] = regions, other
                    tail += 1
            ring = tail
            if head < tail:
                for i in range(fitted, tail):
                    other = queue[i]
                    sums = moments(sums, points[other, 0] - x, points[other, 1] - y, points[other, 2] - z)
                fitted = tail
                mx, my, mz = sums[0] / tail, sums[1] / tail, sums[2] / tail
                if tail > 2:
                    a, b, c, _ = plane(sums, tail)
        if tail >= least:
            regions += 1
            continue
        for i in range(tail):
            region[queue[i]] = -1
    return regions


@compiled
@no_type_check
def insert_voxels(cell, keys, values):
    """Fill a hash table with the voxels; ``cell`` has their coordinates."""
    for voxel in range(len(cell)):
        key = packed(cell[voxel, 0], cell[voxel, 1], cell[voxel, 2])
        slot = find_slot(keys, key)
        keys[slot], values[slot] = key, voxel


@compiled
@no_type_check
def adjacent_voxels(start, stop, cell, keys, values, adjacent):
    """The occupied ones of the 26 voxels around each voxel; -1 after the last."""
    for voxel in range(start, stop):
        found = 0
        for i in range(-1, 2):
            for j in range(-1, 2):
                for k in range(-1, 2):
                    key = packed(cell[voxel, 0] + i, cell[voxel, 1] + j, cell[voxel, 2] + k)
                    slot = find_slot(keys, key)
                    if keys[slot] == key and values[slot] != voxel:
                        adjacent[voxel, found] = values[slot]
                        found += 1
        for slot in range(found, adjacent.shape[1]):
            adjacent[voxel, slot] = -1


@compiled
@no_type_check
def flow(start, stop, adjacent, feature, centre, normal_weight, before, owner, distance):
    """One step of all supervoxels: each reaches the voxels next to its own.

    A voxel goes over to a supervoxel if the distance to the centre of that is the smallest that the voxel has seen so
    far (``distance``). Features and centres have nine columns: position and colour times their weights, and between
    them the unit normal.
    """
    for voxel in range(start, stop):
        mine, last = before[voxel], before[voxel]
        best, who = distance[voxel], mine
        for slot in range(adjacent.shape[1]):
            other = adjacent[voxel, slot]
            if other < 0:
                break
            candidate = before[other]
            if candidate < 0 or candidate in (mine, last):
                continue
            last = candidate
            place, color, dot = 0.0, 0.0, 0.0
            for axis in range(3):
                place += (feature[voxel, axis] - centre[candidate, axis]) ** 2
                dot += feature[voxel, 3 + axis] * centre[candidate, 3 + axis]
                color += (feature[voxel, 6 + axis] - centre[candidate, 6 + axis]) ** 2
            far = math.sqrt(place) + math.sqrt(color) + normal_weight * (1.0 - abs(dot))
            if far < best or (far == best and who != mine and candidate < who):
                best, who = far, candidate
        owner[voxel], distance[voxel] = who, best


@compiled
@no_type_check
def recentre(feature, owner, centre, count):
    """The means of each supervoxel; its normals, which have no sign, are turned to the side of the previous mean."""
    previous = centre[:, 3:6].copy()
    for supervoxel in range(len(centre)):
        count[supervoxel] = 0
        for column in range(9):
            centre[supervoxel, column] = 0.0
    for voxel in range(len(feature)):
        mine = owner[voxel]
        if mine < 0:
            continue
        count[mine] += 1
        dot = 0.0
        for axis in range(3):
            dot += feature[voxel, 3 + axis] * previous[mine, axis]
        sign = -1.0 if dot < 0.0 else 1.0
        for axis in range(3):
            centre[mine, axis] += feature[voxel, axis]
            centre[mine, 3 + axis] += sign * feature[voxel, 3 + axis]
            centre[mine, 6 + axis] += feature[voxel, 6 + axis]
    for mine in range(len(centre)):
        number = max(count[mine], 1)
        length = math.sqrt(centre[mine, 3] ** 2 + centre[mine, 4] ** 2 + centre[mine, 5] ** 2)
        for axis in range(3):
            centre[mine, axis] /= number
            centre[mine, 6 + axis] /= number
            centre[mine, 3 + axis] = centre[mine, 3 + axis] / length if length > 0.0 else 0.0
