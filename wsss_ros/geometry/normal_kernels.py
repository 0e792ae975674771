"""The numba kernels of normals.py: the plane through the neighbours of a point."""

import math
from typing import no_type_check

import numpy as np

from wsss_ros.geometry.compiled import compiled
from wsss_ros.geometry.neighbor_kernels import gap, search


@compiled
@no_type_check
def planes(
    start, stop, place, order, boxes, first, last, child, lowest, points, normal_neighbors, neighbor, normal, curvature
):
    """Normal and curvature of each point from its nearest neighbours, itself included; ``neighbor`` keeps some of them.

    The points are those at the places ``start`` to ``stop`` of the tree. ``neighbor`` has a row for each point, and
    as many columns as neighbours are kept, nearest first.
    """
    keep = neighbor.shape[1]
    most = keep if keep > normal_neighbors else normal_neighbors
    index, squared = np.empty((1, most), np.int64), np.empty((1, most))
    stack, bounds = np.empty(len(child) + 1, np.int64), np.empty(len(child) + 1)
    for i in range(start, stop):
        point = order[i]
        x, y, z = np.float64(place[0, i]), np.float64(place[1, i]), np.float64(place[2, i])
        search(0, place, order, boxes, first, last, child, x, y, z, stack, bounds, index, squared)
        for slot in range(keep):
            neighbor[point, slot] = index[0, slot]
        sums = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for slot in range(normal_neighbors):
            other = index[0, slot]
            dx, dy, dz = points[other, 0] - x, points[other, 1] - y, points[other, 2] - z
            sums = moments(sums, dx, dy, dz)
        a, b, c, normal_curvature = plane(sums, normal_neighbors)
        normal[point, 0], normal[point, 1], normal[point, 2], curvature[point] = a, b, c, normal_curvature


@compiled
@no_type_check
def ball_planes(
    start, stop, place, order, boxes, first, last, child, lowest, queries, squared_radius, normal, curvature, count
):
    """Normal and curvature of each query from all points within a radius, and the number of these points."""
    stack = np.empty(len(child) + 1, np.int64)
    for query in range(start, stop):
        x, y, z = np.float64(queries[query, 0]), np.float64(queries[query, 1]), np.float64(queries[query, 2])
        sums = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        stack[0], depth, found = 0, 1, 0
        while depth:
            depth -= 1
            node = stack[depth]
            if gap(boxes, node, x, y, z) > squared_radius:
                continue
            if child[node]:
                stack[depth], stack[depth + 1] = child[node] + 1, child[node]
                depth += 2
                continue
            for i in range(first[node], last[node]):
                dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
                if dx * dx + dy * dy + dz * dz <= squared_radius:
                    sums = moments(sums, dx, dy, dz)
                    found += 1
        a, b, c, normal_curvature = plane(sums, found)
        normal[query, 0], normal[query, 1], normal[query, 2], curvature[query] = a, b, c, normal_curvature
        count[query] = found


@compiled
@no_type_check
def moments(sums, x, y, z):
    """The sums of x, y, z and of their six products, with one more point."""
    return (
        sums[0] + x,
        sums[1] + y,
        sums[2] + z,
        sums[3] + x * x,
        sums[4] + x * y,
        sums[5] + x * z,
        sums[6] + y * y,
        sums[7] + y * z,
        sums[8] + z * z,
    )


@compiled
@no_type_check
def plane(sums, count):
    """The plane of least squares of some points: its unit normal, and the curvature as in PCL.

    ``sums`` are their ``moments``. The curvature is the smallest eigenvalue of the covariance, divided by the sum of
    all three: 0 for a plane, 1/3 for a ball. The normal is 0 if fewer than three points, or points at one place, have
    no plane. Points in a line have one of the planes through it.
    """
    if count < 3:
        return 0.0, 0.0, 0.0, 0.0
    mx, my, mz = sums[0] / count, sums[1] / count, sums[2] / count
    xx, xy, xz = sums[3] / count - mx * mx, sums[4] / count - mx * my, sums[5] / count - mx * mz
    yy, yz, zz = sums[6] / count - my * my, sums[7] / count - my * mz, sums[8] / count - mz * mz
    trace = xx + yy + zz
    if not trace > 0.0:
        return 0.0, 0.0, 0.0, 0.0
    xx, xy, xz, yy, yz, zz = xx / trace, xy / trace, xz / trace, yy / trace, yz / trace, zz / trace
    # The smallest root of the characteristic polynomial of a symmetric matrix of trace 1, by its trigonometric form.
    third = 1.0 / 3.0
    ax, ay, az = xx - third, yy - third, zz - third
    spread = math.sqrt((ax * ax + ay * ay + az * az + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0)
    if spread == 0.0:
        return 0.0, 0.0, 1.0, third
    determinant = ax * (ay * az - yz * yz) - xy * (xy * az - yz * xz) + xz * (xy * yz - ay * xz)
    half = determinant / (2.0 * spread * spread * spread)
    half = -1.0 if half < -1.0 else 1.0 if half > 1.0 else half
    smallest = third + 2.0 * spread * math.cos((math.acos(half) + 2.0 * math.pi) / 3.0)
    xx, yy, zz = xx - smallest, yy - smallest, zz - smallest
    curvature = smallest if smallest > 0.0 else 0.0
    # The eigenvector is orthogonal to all rows: the longest product of two rows.
    ax, ay, az = xy * yz - xz * yy, xz * xy - xx * yz, xx * yy - xy * xy  # rows 0 and 1
    bx, by, bz = xy * zz - xz * yz, xz * xz - xx * zz, xx * yz - xy * xz  # rows 0 and 2
    cx, cy, cz = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz  # rows 1 and 2
    length, other = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz
    if other > length:
        ax, ay, az, length = bx, by, bz, other
    other = cx * cx + cy * cy + cz * cz
    if other > length:
        ax, ay, az, length = cx, cy, cz, other
    if not length > 0.0:
        return _beside_line(xx, xy, xz, yy, yz, zz)
    length = math.sqrt(length)
    return ax / length, ay / length, az / length, curvature


@compiled
@no_type_check
def _beside_line(xx, xy, xz, yy, yz, zz):
    """A unit vector orthogonal to the rows of a symmetric matrix of rank 1, and the curvature 0."""
    ax, ay, az = xx, xy, xz
    if yy > xx and yy >= zz:
        ax, ay, az = xy, yy, yz
    elif zz > xx:
        ax, ay, az = xz, yz, zz
    if abs(ax) <= abs(ay) and abs(ax) <= abs(az):
        bx, by, bz = 0.0, az, -ay
    elif abs(ay) <= abs(az):
        bx, by, bz = -az, 0.0, ax
    else:
        bx, by, bz = ay, -ax, 0.0
    length = math.sqrt(bx * bx + by * by + bz * bz)
    return bx / length, by / length, bz / length, 0.0
