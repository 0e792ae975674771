"""The numba kernels of surfels.py: the principal directions of the neighbourhood of a point."""

import math
from typing import no_type_check

import numpy as np

from wsss_ros.geometry.compiled import compiled
from wsss_ros.geometry.neighbor_kernels import gap


@compiled
@no_type_check
def discs(
    start,
    stop,
    place,
    order,
    boxes,
    first,
    last,
    child,
    lowest,
    points,
    sizes,
    most,
    rest,
    normal,
    tangent,
    bitangent,
    radius,
):
    """The surfels of the points at the places ``start`` to ``stop`` of the tree.

    ``sizes`` are the smallest and the largest radius, ``most`` the most neighbours, ``rest`` the normal, tangent and
    bitangent of a point without a plane.
    """
    smallest, largest = sizes
    stack, near, keys = np.empty(len(child) + 1, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64)
    moment, vectors = np.empty((3, 3)), np.empty((3, 3))
    for i in range(start, stop):
        point, size, found = order[i], smallest, False
        while not found and size <= largest:
            count = _neighbourhood(place, order, boxes, first, last, child, points, point, size, stack, near, keys)
            if count >= 3:
                _moments(points, point, near, count, moment)
                _eigen(moment, vectors)
                a, b, c = _descending(moment)
                least = min(max(0.1 * size, 0.0025), 0.01)
                s0, s1 = math.sqrt(max(moment[a, a], 0.0)), math.sqrt(max(moment[b, b], 0.0))
                if s1 >= least:
                    for axis in range(3):
                        tangent[point, axis], bitangent[point, axis] = vectors[axis, a], vectors[axis, b]
                        normal[point, axis] = vectors[axis, c]
                    radius[point, 0] = 0.25 * size
                    radius[point, 1] = 0.25 * size * s1 / s0
                    found = True
            size *= 2.0
        if not found:
            for axis in range(3):
                normal[point, axis], tangent[point, axis] = rest[0, axis], rest[1, axis]
                bitangent[point, axis] = rest[2, axis]
            radius[point, 0] = radius[point, 1] = 0.25 * smallest


@compiled
@no_type_check
def _neighbourhood(place, order, boxes, first, last, child, points, point, size, stack, near, keys):
    """The points within a radius, the point itself included; of too many, those with the smallest keys."""
    x, y, z = np.float64(points[point, 0]), np.float64(points[point, 1]), np.float64(points[point, 2])
    squared, most, count, worst = size * size, len(near), 0, 0
    stack[0], depth = 0, 1
    while depth:
        depth -= 1
        node = stack[depth]
        if gap(boxes, node, x, y, z) > squared:
            continue
        if child[node]:
            stack[depth], stack[depth + 1] = child[node] + 1, child[node]
            depth += 2
            continue
        for i in range(first[node], last[node]):
            dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
            if dx * dx + dy * dy + dz * dz > squared:
                continue
            key = mixed(point, order[i])
            if count < most:
                near[count], keys[count] = order[i], key
                count += 1
                if count == most:
                    worst = _largest(keys)
            elif key < keys[worst]:
                near[worst], keys[worst] = order[i], key
                worst = _largest(keys)
    return count


@compiled
@no_type_check
def mixed(a, b):
    """A hash of two indices, different for each pair of indices below 2^32 (the finaliser of SplitMix64)."""
    value = (np.uint64(a) << np.uint64(32)) + np.uint64(b)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
@no_type_check
def _largest(keys):
    worst = 0
    for i in range(1, len(keys)):
        if keys[i] > keys[worst]:
            worst = i
    return worst


@compiled
@no_type_check
def _moments(points, point, near, count, moment):
    """The second moments of the neighbours about the point."""
    moment[:] = 0.0
    for i in range(count):
        other = near[i]
        for a in range(3):
            da = np.float64(points[other, a]) - np.float64(points[point, a])
            for b in range(a, 3):
                moment[a, b] += da * (np.float64(points[other, b]) - np.float64(points[point, b]))
    for a in range(3):
        for b in range(a, 3):
            moment[a, b] /= count
            moment[b, a] = moment[a, b]


@compiled
@no_type_check
def _eigen(matrix, vectors):
    """Jacobi's method for a symmetric 3x3 matrix: its diagonal becomes the eigenvalues, ``vectors`` has the columns."""
    for a in range(3):
        for b in range(3):
            vectors[a, b] = 1.0 if a == b else 0.0
    for _ in range(30):
        off = abs(matrix[0, 1]) + abs(matrix[0, 2]) + abs(matrix[1, 2])
        if off <= 1e-15 * (abs(matrix[0, 0]) + abs(matrix[1, 1]) + abs(matrix[2, 2])):
            return
        for p, q in ((0, 1), (0, 2), (1, 2)):
            if matrix[p, q] == 0.0:
                continue
            ratio = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
            t = math.copysign(1.0, ratio) / (abs(ratio) + math.sqrt(ratio * ratio + 1.0))
            c = 1.0 / math.sqrt(t * t + 1.0)
            s = t * c
            for k in range(3):
                mp, mq = matrix[k, p], matrix[k, q]
                matrix[k, p], matrix[k, q] = c * mp - s * mq, s * mp + c * mq
            for k in range(3):
                mp, mq = matrix[p, k], matrix[q, k]
                matrix[p, k], matrix[q, k] = c * mp - s * mq, s * mp + c * mq
                vp, vq = vectors[k, p], vectors[k, q]
                vectors[k, p], vectors[k, q] = c * vp - s * vq, s * vp + c * vq


@compiled
@no_type_check
def _descending(matrix):
    """The columns in the order of their eigenvalues, largest first."""
    a, b, c = 0, 1, 2
    if matrix[b, b] > matrix[a, a]:
        a, b = b, a
    if matrix[c, c] > matrix[b, b]:
        b, c = c, b
    if matrix[b, b] > matrix[a, a]:
        a, b = b, a
    return a, b, c
