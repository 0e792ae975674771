"""Kernels of the semantic map: votes of pixels and points, voxels that a view sees or sees through, and forgetting.

The arrays of a map: ``keys`` and ``slots`` are the hash table (voxel key -> row). The rows of ``mean`` (x y z),
``votes`` (one column for each class), ``total`` (votes, those without a class included), ``seen`` (number of the last
view) and ``key`` (-1: the row is free) belong to one voxel each. ``free`` is the stack of rows that were freed;
``sizes`` has the rows ever used, the rows in ``free`` and the voxels in the map.
"""

from typing import no_type_check

import numpy as np

from wsss_ros.geometry.compiled import compiled, inlined
from wsss_ros.geometry.voxels import find_slot, remove_key, voxel_key
from wsss_ros.labels import UNLABELLED

NOT_SEEN = 254  # instead of a label: the pixel or point has no vote at all
TOP, FREED, COUNT = 0, 1, 2  # the entries of ``sizes``
_NEAR_M, _NEAR_SHARE = 1.5, 0.02  # tolerance of a depth: voxels, and a share of the distance


@compiled
@no_type_check
def vote_rows(
    depth, labels, stride, camera, rays, pose, limits, weights, most, keys, slots, rows, free, sizes, view, row
):
    """Let every ``stride``-th pixel vote, from the line ``row`` on, up to a line for which the map may lack room.

    ``camera`` has fx fy cx cy, ``limits`` the edge of a voxel, the nearest and the farthest depth. ``weights`` is a
    table of the weight of a vote by depth, from 0 to the farthest. A pixel counts as the share of a voxel's face that
    it covers, so that a view has about one vote for each voxel. ``rays`` are those of a camera with distortion, else it
    is empty. Returns the next line, and the pixels that voted and those out of range.
    """
    fx, fy, cx, cy = camera
    size, near, far = limits
    height, width = depth.shape
    used = strayed = 0
    step = (len(weights) - 1) / far
    covered = stride * stride / (fx * fy * size * size)
    last_key, last = np.int64(-2), np.int64(-1)
    while row < height:
        if len(rows[0]) - sizes[COUNT] < width // stride + 1:
            break
        for column in range(0, width, stride):
            z = np.float64(depth[row, column])
            label = labels[row, column]
            if label == NOT_SEEN or not (near <= z <= far and z > 0):
                continue
            place = min(z * step, len(weights) - 2.0)
            entry = np.int64(place)
            weight = weights[entry] + (weights[entry + 1] - weights[entry]) * (place - entry)
            weight *= min(1.0, z * z * covered)
            if len(rays):
                a, b = rays[row, column, 0] * z, rays[row, column, 1] * z
            else:
                a, b = (column - cx) / fx * z, (row - cy) / fy * z
            if a != a or weight <= 0:  # NaN: the lens does not show this pixel
                continue
            x = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * z + pose[0, 3]
            y = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * z + pose[1, 3]
            w = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * z + pose[2, 3]
            key = voxel_key(x, y, w, size)
            if key != last_key:  # neighbouring pixels mostly share a voxel
                last_key = key
                last = _row_of(key, keys, slots, rows, free, sizes) if key >= 0 else np.int64(-1)
            if last < 0:
                strayed += 1
                continue
            used += 1
            _vote(last, x, y, w, label, weight, most, rows, view)
        row += stride
    return row, used, strayed


@compiled
@no_type_check
def vote_points(xyz, labels, weights, size, most, keys, slots, rows, free, sizes, view, start):
    """Let points vote from the point ``start`` on until the map is full. Returns the next point, used, out of range."""
    used = strayed = 0
    for point in range(start, len(xyz)):
        if labels[point] == NOT_SEEN or weights[point] <= 0:
            continue
        if sizes[COUNT] == len(rows[0]):
            return point, used, strayed
        x, y, z = xyz[point, 0], xyz[point, 1], xyz[point, 2]
        key = voxel_key(x, y, z, size)
        if key < 0:
            strayed += 1
            continue
        used += 1
        _vote(_row_of(key, keys, slots, rows, free, sizes), x, y, z, labels[point], weights[point], most, rows, view)
    return len(xyz), used, strayed


@inlined
@no_type_check
def _row_of(key, keys, slots, rows, free, sizes):
    """The row of a voxel; a new one where the map does not have it. There has to be room."""
    slot = find_slot(keys, key)
    if keys[slot] >= 0:
        return np.int64(slots[slot])
    if sizes[FREED]:
        sizes[FREED] -= 1
        row = np.int64(free[sizes[FREED]])
    else:
        row = sizes[TOP]
        sizes[TOP] += 1
    sizes[COUNT] += 1
    keys[slot], slots[slot] = key, row
    rows[0][row] = key
    return row


@inlined
@no_type_check
def _vote(row, x, y, z, label, weight, most, rows, view):
    """Count one vote. A voxel with more than ``most`` votes keeps half of them, so the past is outvoted."""
    _, mean, votes, total, seen = rows
    total[row] += weight
    share = weight / total[row]
    mean[row, 0] += (x - mean[row, 0]) * share
    mean[row, 1] += (y - mean[row, 1]) * share
    mean[row, 2] += (z - mean[row, 2]) * share
    if label != UNLABELLED:
        votes[row, label] += weight
    seen[row] = view
    if total[row] > most:
        total[row] *= 0.5
        for k in range(votes.shape[1]):
            votes[row, k] *= 0.5


@compiled
@no_type_check
def in_view(mean, key, top, camera_from_world, bounds, near, far, found, rays):
    """The voxels inside the cone of a view: their rows in ``found`` and their x/z y/z z in ``rays``; returns how many.

    ``bounds`` are the least and the largest x/z, and those of y/z.
    """
    left, right, above, below = bounds
    p = camera_from_world
    count = 0
    for row in range(top):
        if key[row] < 0:
            continue
        x, y, w = mean[row, 0], mean[row, 1], mean[row, 2]
        z = p[2, 0] * x + p[2, 1] * y + p[2, 2] * w + p[2, 3]
        if not near <= z <= far:
            continue
        a = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * w + p[0, 3]) / z
        b = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * w + p[1, 3]) / z
        if left <= a <= right and above <= b <= below:
            found[count] = row
            rays[count, 0], rays[count, 1], rays[count, 2] = a, b, z
            count += 1
    return count


@compiled
@no_type_check
def compare_depth(depth, uv, z, size, through):
    """Which voxels of a view the depth image looks through: ``through[n]``; returns how many, and how many it shows.

    A voxel is seen through where the depth at its pixel and at the eight pixels around it is farther away; pixels
    around it without depth do not count. Voxels at the border of the image are left out.
    """
    height, width = depth.shape
    empty = shown = 0
    for n in range(len(z)):
        through[n] = False
        column, row = uv[n, 0] + 0.5, uv[n, 1] + 0.5
        if not (1 <= column < width - 1 and 1 <= row < height - 1):
            continue
        u, v = np.int64(column), np.int64(row)
        measured = np.float64(depth[v, u])
        if not measured > 0:
            continue
        tolerance = _NEAR_M * size + _NEAR_SHARE * z[n]
        nearest = measured
        for i in range(v - 1, v + 2):
            for j in range(u - 1, u + 2):
                if 0 < depth[i, j] < nearest:
                    nearest = np.float64(depth[i, j])
        if nearest > z[n] + tolerance:
            through[n] = True
            empty += 1
        elif abs(measured - z[n]) <= tolerance:
            shown += 1
    return empty, shown


@compiled
@no_type_check
def weaken(found, through, keep, least, keys, slots, rows, free, sizes):
    """Reduce the votes of the voxels that were seen through to the share ``keep``; fewer than ``least`` remove them."""
    key, _, votes, total, _ = rows
    removed = 0
    for n in range(len(through)):
        if not through[n]:
            continue
        row = found[n]
        total[row] *= keep
        for k in range(votes.shape[1]):
            votes[row, k] *= keep
        if total[row] < least:
            remove_row(row, keys, slots, rows, free, sizes)
            removed += 1
    return removed


@compiled
@no_type_check
def remove_rows(given, keys, slots, rows, free, sizes):
    """Remove the voxels of these rows."""
    for n in range(len(given)):
        remove_row(given[n], keys, slots, rows, free, sizes)


@compiled
@no_type_check
def remove_row(row, keys, slots, rows, free, sizes):
    """Remove the voxel of a row; the row is free then, and all its values are 0."""
    key, mean, votes, total, seen = rows
    remove_key(keys, slots, key[row])
    key[row], total[row], seen[row] = -1, 0, 0
    mean[row, :] = 0
    votes[row, :] = 0
    free[sizes[FREED]] = row
    sizes[FREED] += 1
    sizes[COUNT] -= 1


@compiled
@no_type_check
def insert_rows(keys, slots, key, count):
    """Enter the first ``count`` rows of a map that was read into its empty table. Returns whether all keys differ."""
    for row in range(count):
        slot = find_slot(keys, key[row])
        if keys[slot] >= 0:
            return False
        keys[slot], slots[slot] = key[row], row
    return True


@compiled
@no_type_check
def winners(key, votes, total, top, least, rows, labels, confidence):
    """The voxels with at least ``least`` votes: rows, class with the most votes, its share; returns how many."""
    count = 0
    for row in range(top):
        if key[row] < 0 or total[row] < least:
            continue
        best, most = UNLABELLED, np.float32(0)
        for k in range(votes.shape[1]):
            if votes[row, k] > most:
                best, most = k, votes[row, k]
        rows[count], labels[count], confidence[count] = row, best, most / total[row]
        count += 1
    return count


@compiled
@no_type_check
def pack(votes, used, counts, classes, values):
    """The votes of the rows ``used`` that are not 0, row by row: how many, their classes, their values. Returns all."""
    total = 0
    for n in range(len(used)):
        row, count = used[n], 0
        for k in range(votes.shape[1]):
            if votes[row, k] > 0:
                if len(classes):
                    classes[total + count], values[total + count] = k, votes[row, k]
                count += 1
        counts[n] = count
        total += count
    return total


@compiled
@no_type_check
def unpack(votes, counts, classes, values):
    """The inverse of ``pack``: fill the first rows of ``votes``."""
    at = 0
    for row in range(len(counts)):
        for _ in range(counts[row]):
            votes[row, classes[at]] = values[at]
            at += 1
