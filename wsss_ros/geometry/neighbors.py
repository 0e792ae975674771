"""Neighbourhoods in one cloud: farthest point sampling, ball query, k nearest neighbours, interpolation.

All functions take torch tensors of one cloud. On the CPU they run numba kernels over a tree of tight boxes
(``_grow``): a box is cut in the middle of its longest side and shrunk to its points, so that one far outlier
costs one more box, never memory. On other devices the same results come from plain torch, in slices.

Distances are computed in float64 from the float32 coordinates on every path, so all paths and the slow twins
choose the very same neighbours, ties included: the lowest index wins everywhere.

The kernels are sequential and free of the GIL; queries are shared among as many Python threads as torch
uses (``torch.get_num_threads``). Numba's own threading layers are left alone: they either forbid two
callers at a time or forbid ``fork``, which data-loading workers need.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numba import njit
from torch import Tensor

from wsss_ros.types import BadInput

LEAF = 16  # points in a box of the tree at most; 8 to 32 differ little
SLICE = 1 << 24  # elements of a distance matrix held at once by the plain torch path (128 MB in float64)
SHARE = 256  # fewest queries worth a thread of their own


class Tree(NamedTuple):
    """A tree over one CPU cloud, see ``_grow``. For callers with several questions about the same cloud."""

    place: np.ndarray
    order: np.ndarray
    boxes: np.ndarray
    first: np.ndarray
    last: np.ndarray
    child: np.ndarray
    lowest: np.ndarray


def grow(xyz: Float32[Tensor, "N 3"]) -> Tree | None:
    """The tree that the functions below grow themselves if none is given; None where they need none (not a CPU).

    Raises:
        BadInput: an empty cloud or coordinates that are not finite.
    """
    _check(xyz, "the cloud")
    return Tree(*_grow(_array(xyz), LEAF)) if _on_cpu(xyz) else None


def farthest_point_sample(
    xyz: Float32[Tensor, "N 3"], count: int, start: int = 0, tree: Tree | None = None
) -> Int64[Tensor, "S"]:
    """Indices of ``count`` points, each the farthest from those before it; the first is ``start``.

    Equal to the plain loop, ties to the lowest index. Once every distance is zero (``count`` above the
    number of different points) index 0 repeats, as in the loop.

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``count`` < 1, ``start`` outside the cloud.
    """
    tree = tree or grow(xyz)
    _check_count(count, "count")
    if not 0 <= start < len(xyz):
        raise BadInput(f"start is {start}: an index from 0 to {len(xyz) - 1} is wanted.")
    if not _on_cpu(xyz):
        return _torch_farthest_point_sample(xyz, count, start)
    return torch.from_numpy(_sample(_array(xyz), *tree, count, start))


def ball_query(
    xyz: Float32[Tensor, "N 3"], centres: Float32[Tensor, "M 3"], radius: float, count: int, tree: Tree | None = None
) -> Int64[Tensor, "M S"]:
    """For each centre the first ``count`` points, in index order, nearer than ``radius`` metres.

    Short rows are padded with their first hit. A centre without any hit (it cannot be a point of the
    cloud then) gets its nearest point.

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``radius`` <= 0, ``count`` < 1.
    """
    tree = tree or grow(xyz)
    _check(centres, "the centres", empty=True)
    _check_count(count, "count")
    if not 0 < radius < float("inf"):
        raise BadInput(f"radius is {radius}: a positive number of metres is wanted.")
    if not _on_cpu(xyz, centres):
        return _torch_ball_query(xyz, centres, radius, count)
    index = np.empty((len(centres), count), dtype=np.int64)
    _share(_balls, len(centres), *tree, _array(centres), float(radius) ** 2, index)
    return torch.from_numpy(index)


def knn(
    xyz: Float32[Tensor, "N 3"],
    queries: Float32[Tensor, "M 3"],
    k: int,
    tree: Tree | None = None,
    query_tree: Tree | None = None,
) -> tuple[Int64[Tensor, "M K"], Float32[Tensor, "M K"]]:
    """The K = min(k, N) nearest points of each query, nearest first, and their squared distances in m².

    ``tree`` is that of ``xyz``. A ``query_tree`` at hand only saves time: neighbours follow one another then.

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``k`` < 1.
    """
    tree = tree or grow(xyz)
    _check(queries, "the queries", empty=True)
    _check_count(k, "k")
    k = min(k, len(xyz))
    if not _on_cpu(xyz, queries):
        return _torch_knn(xyz, queries, k)
    visit = query_tree.order if query_tree else np.arange(len(queries))
    index, squared = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float64)
    _share(_nearest, len(queries), *tree, _array(queries), visit, index, squared)
    return torch.from_numpy(index), torch.from_numpy(squared.astype(np.float32))


def interpolation_weights(squared_distance: Float32[Tensor, "*M K"]) -> Float32[Tensor, "*M K"]:
    """Inverse distance weights 1 / (d + 1e-8), normalised over the K neighbours (PointNet++, eq. 2 with p = 1)."""
    weight = 1.0 / (squared_distance.sqrt() + 1e-8)
    return weight / weight.sum(-1, keepdim=True)


def interpolate(
    features: Float[Tensor, "N C"], index: Int64[Tensor, "M K"], weight: Float[Tensor, "M K"]
) -> Float[Tensor, "M C"]:
    """Weighted sums of K rows of ``features``; differentiable in ``features``. ``weight`` carries no gradient."""
    return torch.nn.functional.embedding_bag(index, features, per_sample_weights=weight.to(features), mode="sum")


# --------------------------------------------------------------------------------------------- checks and threads


def _check(xyz: Tensor, what: str, empty: bool = False) -> None:
    if not len(xyz) and not empty:
        raise BadInput(f"{what} has no points: at least one is wanted.")
    finite = torch.isfinite(xyz.sum())
    if not finite and not torch.isfinite(xyz).all():  # the sum alone may overflow
        bad = int((~torch.isfinite(xyz)).any(1).sum())
        raise BadInput(f"{bad} of {len(xyz)} points in {what} have NaN or infinite coordinates: remove them first.")


def _check_count(count: int, name: str) -> None:
    if count < 1:
        raise BadInput(f"{name} is {count}: 1 or more is wanted.")


def _on_cpu(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cpu" for tensor in tensors)


def _array(xyz: Tensor) -> np.ndarray:
    return xyz.detach().contiguous().numpy()


@lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads do not survive a fork, hence the process number among the keys."""
    return ThreadPoolExecutor(threads, thread_name_prefix="neighbours")


def _share(kernel: Callable[..., None], queries: int, *arguments: object) -> None:
    """Run ``kernel(first, last, *arguments)`` over all queries, split among torch's number of threads."""
    threads = max(1, min(torch.get_num_threads(), queries // SHARE))
    if threads == 1:
        return kernel(0, queries, *arguments)
    parts = 4 * threads  # queries differ in cost
    cuts = [queries * part // parts for part in range(parts + 1)]
    pool = _pool(threads, os.getpid())
    for done in [pool.submit(kernel, a, b, *arguments) for a, b in zip(cuts, cuts[1:], strict=False)]:
        done.result()


# ------------------------------------------------------------------------------------------------- numba kernels
# Scalars instead of array views throughout: views cost compile time and reference counts. ``no_type_check`` keeps
# the type checking of the tests away from functions that numba compiles.


def _kernel(function: Callable) -> Callable:
    """Compiled at the first call, and kept for later processes where numba finds a folder it may write to."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # read-only installation and no home: numba's word for it
        return njit(nogil=True)(function)


@_kernel
@no_type_check
def _grow(points, leaf):
    """The tree of a cloud: (place, order, boxes, first, last, child, lowest).

    Node n holds the points order[first[n]:last[n]], ascending, at place[:, first[n]:last[n]]; boxes[n] are
    their minimum and maximum; lowest[n] is the lowest index among them; its children are child[n] and
    child[n] + 1, or child[n] is 0.
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
        for i in range(a, b):  # stable, so that indices stay ascending within a node; without branches
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


@_kernel
@no_type_check
def _gap(boxes, node, x, y, z):
    """Squared distance from a point to a box, rounded like the distances to the points in it: never above them."""
    total = 0.0
    for axis in range(3):
        value = x if axis == 0 else y if axis == 1 else z
        below, above = boxes[node, axis] - value, value - boxes[node, 3 + axis]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
    return total


@_kernel
@no_type_check
def _sample(points, place, order, boxes, first, last, child, lowest, count, start):
    """Farthest points. Every node knows its farthest point; a new sample visits only boxes it comes nearer to."""
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
            if _gap(boxes, node, x, y, z) >= far[node]:
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


@_kernel
@no_type_check
def _balls(begin, end, place, order, boxes, first, last, child, lowest, centres, squared_radius, index):
    count = index.shape[1]
    stack = np.empty(len(child) + 1, np.int64)
    bounds, one, distance = np.empty(len(stack)), np.empty((1, 1), np.int64), np.empty((1, 1))
    for query in range(begin, end):
        x, y, z = np.float64(centres[query, 0]), np.float64(centres[query, 1]), np.float64(centres[query, 2])
        found, limit = 0, len(order)  # only indices below the limit can still enter the row
        stack[0], depth = 0, 1
        while depth:
            depth -= 1
            node = stack[depth]
            if lowest[node] >= limit or _gap(boxes, node, x, y, z) >= squared_radius:
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
            _search(0, place, order, boxes, first, last, child, x, y, z, stack, bounds, one, distance)
            index[query, 0], found = one[0, 0], 1
        for slot in range(found, count):
            index[query, slot] = index[query, 0]


@_kernel
@no_type_check
def _nearest(begin, end, place, order, boxes, first, last, child, lowest, queries, visit, index, squared):
    stack, bounds = np.empty(len(child) + 1, np.int64), np.empty(len(child) + 1)
    for i in range(begin, end):
        query = visit[i]
        x, y, z = np.float64(queries[query, 0]), np.float64(queries[query, 1]), np.float64(queries[query, 2])
        _search(query, place, order, boxes, first, last, child, x, y, z, stack, bounds, index, squared)


@_kernel
@no_type_check
def _search(row, place, order, boxes, first, last, child, x, y, z, stack, bounds, index, squared):
    """The nearest points by (distance, index), as many as ``index`` has columns, into ``index`` and ``squared``."""
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
            here, other = _gap(boxes, node, x, y, z), _gap(boxes, node + 1, x, y, z)
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


# --------------------------------------------------------------------------- plain torch, for any device (CUDA)


def _torch_farthest_point_sample(xyz: Tensor, count: int, start: int) -> Tensor:
    points = xyz.detach().double()
    squared = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
    index = torch.empty(count, dtype=torch.int64, device=points.device)
    chosen = torch.full((1,), start, dtype=torch.int64, device=points.device)
    for step in range(count):  # nothing here waits for the device
        index[step : step + 1] = chosen
        squared = torch.minimum(squared, _squared_distances(points[chosen], points)[0])
        chosen = squared.argmax(keepdim=True)
    return index


def _torch_ball_query(xyz: Tensor, centres: Tensor, radius: float, count: int) -> Tensor:
    points, rows = xyz.detach().double(), []
    order = torch.arange(len(points), device=points.device)
    for part in _slices(centres, len(points)):
        squared = _squared_distances(part, points)
        hits = torch.where(squared < radius**2, order, len(points))
        row = hits.topk(min(count, len(points)), largest=False, sorted=True).values
        row[:, 0] = torch.where(row[:, 0] == len(points), squared.argmin(1), row[:, 0])
        row = torch.cat([row, row[:, :1].expand(-1, count - row.shape[1])], 1)
        rows.append(torch.where(row == len(points), row[:, :1], row))
    return torch.cat(rows)


def _torch_knn(xyz: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    points, indices, distances = xyz.detach().double(), [], []
    for part in _slices(queries, len(points)):
        squared, index = _squared_distances(part, points), []
        for _ in range(k):  # argmin promises the first of equals, topk does not
            index.append(squared.argmin(1, keepdim=True))
            distances.append(squared.gather(1, index[-1]).float())
            squared.scatter_(1, index[-1], torch.inf)
        indices.append(torch.cat(index, 1))
        distances[-k:] = [torch.cat(distances[-k:], 1)]
    return torch.cat(indices), torch.cat(distances)


def _slices(queries: Tensor, points: int) -> tuple[Tensor, ...]:
    return queries.detach().double().split(max(1, SLICE // points))


def _squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """[M N], each sum in the order of the kernels: a matrix product would round differently."""
    squared = (points[:, 0] - queries[:, :1]).square_()
    for axis in (1, 2):
        squared += (points[:, axis] - queries[:, axis : axis + 1]).square_()
    return squared
