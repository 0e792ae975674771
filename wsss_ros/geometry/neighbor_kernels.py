"""The numba kernels of neighbors.py: a tree of boxes over one cloud, and the searches in it.

The kernels use scalars and no array views: views cost compile time and reference counts. ``no_type_check`` keeps type
checkers away from functions that numba compiles.

Each search works on a range of queries, ``start`` to ``stop``, so that several threads can share the queries.
"""

from typing import no_type_check

import numpy as np

from wsss_ros.geometry.compiled import compiled


@compiled
@no_type_check
def grow(points, leaf):
    """Build the tree of a cloud: (place, order, boxes, first, last, child, lowest).

    Node n holds the points with the indices order[first[n]:last[n]], in ascending order. Their coordinates are
    place[:, first[n]:last[n]], the minimum and maximum of these are boxes[n], and lowest[n] is the lowest index.
    The children of node n are child[n] and child[n] + 1; a node without children has child[n] = 0.
    """
    count = len(points)
    order, spare = np.arange(count), np.empty(count, np.int64)
    place, spare_place = np.empty((3, count), np.float32), np.empty((3, count), np.float32)
    for i in range(count):
        for axis in range(3):
            place[axis, i] = points[i, axis]
    room = 2 * count
    boxes = np.empty((room, 6), np.float32)
    first, last, child = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    lowest, stack = np.empty(room, np.int64), np.empty(room, np.int64)
    first[0], last[0], stack[0] = 0, count, 0
    nodes, depth = 1, 1
    while depth:
        depth -= 1
        node = stack[depth]
        a, b = first[node], last[node]
        child[node] = 0
        lowest[node] = order[a]
        longest, widest = 0, np.float32(-1.0)
        for axis in range(3):
            low, high = place[axis, a], place[axis, a]
            for i in range(a, b):
                value = place[axis, i]
                low = value if value < low else low
                high = value if value > high else high
            boxes[node, axis], boxes[node, 3 + axis] = low, high
            if high - low > widest:
                longest, widest = axis, high - low
        low, high = boxes[node, longest], boxes[node, 3 + longest]
        if b - a <= leaf or low == high:
            continue
        middle = np.float32(0.5 * (np.float64(low) + np.float64(high)))
        if middle >= high:
            middle = low
        left, right = a, 0
        for i in range(a, b):  # stable: indices stay ascending within a node; no branches: faster
            x, y, z, index = place[0, i], place[1, i], place[2, i], order[i]
            goes_left = place[longest, i] <= middle
            place[0, left], place[1, left], place[2, left], order[left] = x, y, z, index
            spare_place[0, right], spare_place[1, right], spare_place[2, right], spare[right] = x, y, z, index
            left += goes_left
            right += not goes_left
        for i in range(right):
            order[left + i] = spare[i]
        for axis in range(3):
            for i in range(right):
                place[axis, left + i] = spare_place[axis, i]
        child[node] = nodes
        first[nodes], last[nodes], stack[depth] = a, left, nodes
        first[nodes + 1], last[nodes + 1], stack[depth + 1] = left, b, nodes + 1
        nodes += 2
        depth += 2
    return place, order, boxes, first, last, child[:nodes], lowest


@compiled
@no_type_check
def gap(boxes, node, x, y, z):
    """Squared distance from a point to a box, rounded like those to the points in the box and so never above them."""
    total = 0.0
    for axis in range(3):
        value = x if axis == 0 else y if axis == 1 else z
        below, above = boxes[node, axis] - value, value - boxes[node, 3 + axis]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
    return total


@compiled
@no_type_check
def sample(points, place, order, boxes, first, last, child, lowest, count, start):
    """Farthest point sampling.

    Each node knows its point that is the farthest from all samples. A new sample visits only those boxes in which it
    may be nearer than the samples before it.
    """
    nodes = len(child)
    squared = np.full(len(points), np.inf)
    far = np.full(nodes, np.inf)
    who, stack, visited = np.empty(nodes, np.int64), np.empty(nodes + 1, np.int64), np.empty(nodes, np.int64)
    index = np.zeros(count, np.int64)
    chosen = start
    for step in range(count):
        index[step] = chosen
        x, y, z = np.float64(points[chosen, 0]), np.float64(points[chosen, 1]), np.float64(points[chosen, 2])
        stack[0], depth, seen = 0, 1, 0
        while depth:
            depth -= 1
            node = stack[depth]
            if gap(boxes, node, x, y, z) >= far[node]:
                continue
            if child[node]:
                visited[seen] = node
                seen += 1
                stack[depth], stack[depth + 1] = child[node], child[node] + 1
                depth += 2
                continue
            best, where = -1.0, 0
            for i in range(first[node], last[node]):
                dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
                distance = dx * dx + dy * dy + dz * dz
                distance = distance if distance < squared[i] else squared[i]
                squared[i] = distance
                if distance > best:
                    best, where = distance, i
            far[node], who[node] = best, order[where]
        for i in range(seen - 1, -1, -1):  # children were visited after their parents
            node = visited[i]
            a = child[node]
            b = a + 1
            winner = a if far[a] > far[b] or (far[a] == far[b] and who[a] < who[b]) else b
            far[node], who[node] = far[winner], who[winner]
        if far[0] == 0.0:
            break  # index 0 from here on
        chosen = who[0]
    return index


@compiled
@no_type_check
def balls(start, stop, place, order, boxes, first, last, child, lowest, centres, squared_radius, index):
    """Ball query of the centres ``start`` to ``stop``, written to their rows of ``index``."""
    count = index.shape[1]
    stack = np.empty(len(child) + 1, np.int64)
    bounds, one, distance = np.empty(len(stack)), np.empty((1, 1), np.int64), np.empty((1, 1))
    for query in range(start, stop):
        x, y, z = np.float64(centres[query, 0]), np.float64(centres[query, 1]), np.float64(centres[query, 2])
        found, limit = 0, len(order)  # only indices below the limit can still enter the row
        stack[0], depth = 0, 1
        while depth:
            depth -= 1
            node = stack[depth]
            if lowest[node] >= limit or gap(boxes, node, x, y, z) >= squared_radius:
                continue
            if child[node]:
                near = child[node] + (lowest[child[node] + 1] < lowest[child[node]])  # low indices first
                stack[depth], stack[depth + 1] = 2 * child[node] + 1 - near, near
                depth += 2
                continue
            for i in range(first[node], last[node]):
                point = order[i]
                if point >= limit:
                    break
                dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
                if dx * dx + dy * dy + dz * dz < squared_radius:
                    slot = found if found < count else count - 1
                    while slot > 0 and index[query, slot - 1] > point:
                        index[query, slot] = index[query, slot - 1]
                        slot -= 1
                    index[query, slot] = point
                    found = found + 1 if found < count else count
                    limit = index[query, count - 1] if found == count else limit
        if not found:
            search(0, place, order, boxes, first, last, child, x, y, z, stack, bounds, one, distance)
            index[query, 0], found = one[0, 0], 1
        for slot in range(found, count):
            index[query, slot] = index[query, 0]


@compiled
@no_type_check
def nearest(start, stop, place, order, boxes, first, last, child, lowest, queries, visit, index, squared):
    """Nearest neighbours of the queries ``visit[start:stop]``, written to their rows of ``index`` and ``squared``."""
    stack, bounds = np.empty(len(child) + 1, np.int64), np.empty(len(child) + 1)
    for i in range(start, stop):
        query = visit[i]
        x, y, z = np.float64(queries[query, 0]), np.float64(queries[query, 1]), np.float64(queries[query, 2])
        search(query, place, order, boxes, first, last, child, x, y, z, stack, bounds, index, squared)


@compiled
@no_type_check
def search(row, place, order, boxes, first, last, child, x, y, z, stack, bounds, index, squared):
    """Nearest neighbours of one query, by (distance, index), written to one row of ``index`` and ``squared``."""
    k = index.shape[1]
    for slot in range(k):
        index[row, slot], squared[row, slot] = len(order), np.inf
    worst = np.inf
    stack[0], bounds[0], depth = 0, 0.0, 1
    while depth:
        depth -= 1
        if bounds[depth] > worst:
            continue
        node = stack[depth]
        while child[node]:
            node = child[node]
            here, other = gap(boxes, node, x, y, z), gap(boxes, node + 1, x, y, z)
            swap = other < here
            stack[depth], bounds[depth] = node + 1 - swap, here if swap else other
            node += swap
            depth += 1
        for i in range(first[node], last[node]):
            dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
            distance = dx * dx + dy * dy + dz * dz
            if distance > worst:
                continue
            point, slot = order[i], k
            while slot > 0 and (
                distance < squared[row, slot - 1] or distance == squared[row, slot - 1] and point < index[row, slot - 1]
            ):
                slot -= 1
                if slot < k - 1:
                    squared[row, slot + 1], index[row, slot + 1] = squared[row, slot], index[row, slot]
            if slot < k:
                squared[row, slot], index[row, slot] = distance, point
                worst = squared[row, k - 1]
