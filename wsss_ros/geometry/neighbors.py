"""Neighbourhoods in one cloud: farthest point sampling, ball query, k nearest neighbours, interpolation.

All functions take torch tensors of one cloud. On the CPU they run numba kernels over a tree of boxes
(neighbor_kernels.py). A box is cut in the middle of its longest side, and each half is shrunk to its points: an outlier
far away costs one more box, not memory. On other devices plain torch gives the same results (neighbor_torch.py).

Distances are computed in float64 from float32 coordinates, on the CPU and elsewhere. So both versions and the slow
twins of the tests choose the very same neighbours. Among equal distances the lowest index wins.

The kernels are sequential and run without the GIL. The queries are shared among as many Python threads as torch uses
(``torch.get_num_threads``). Numba's own threading layers are not used: some of them forbid two callers at a time,
others forbid ``fork``, which data-loading workers need.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from wsss_ros.geometry import neighbor_kernels, neighbor_torch
from wsss_ros.types import BadInput

LEAF = 16  # most points in a box without children; 8 to 32 are about equally fast
SHARE = 256  # fewest queries that are worth a thread


class Tree(NamedTuple):
    """The tree of boxes over one cloud on the CPU, see ``neighbor_kernels.grow``.

    The functions below build it themselves. A caller with several searches in one cloud builds it once with ``grow``.
    """

    place: np.ndarray
    order: np.ndarray
    boxes: np.ndarray
    first: np.ndarray
    last: np.ndarray
    child: np.ndarray
    lowest: np.ndarray


def grow(xyz: Float32[Tensor, "N 3"]) -> Tree | None:
    """Build the tree of a cloud.

    Returns:
        The tree, or None for a cloud on another device than the CPU, where the functions below need no tree.

    Raises:
        BadInput: an empty cloud or coordinates that are not finite.
    """
    _check(xyz, "the cloud")
    return Tree(*neighbor_kernels.grow(_array(xyz), LEAF)) if _on_cpu(xyz) else None


def farthest_point_sample(
    xyz: Float32[Tensor, "N 3"], count: int, start: int = 0, tree: Tree | None = None
) -> Int64[Tensor, "S"]:
    """Choose points so that each is the farthest from all points chosen before it (PointNet++).

    Args:
        xyz: metres.
        count: number S of points. Where it is above the number of different points, index 0 repeats at the end.
        start: index of the first point.
        tree: that of ``xyz``, if the caller has it.

    Returns:
        Indices of the points, in the order in which they were chosen.

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``count`` < 1, ``start`` outside the cloud.
    """
    tree = tree or grow(xyz)
    _check_count(count, "count")
    if not 0 <= start < len(xyz):
        raise BadInput(f"start is {start}; expected an index from 0 to {len(xyz) - 1}")
    if tree is None or not _on_cpu(xyz):
        return neighbor_torch.farthest_point_sample(xyz, count, start)
    return torch.from_numpy(neighbor_kernels.sample(_array(xyz), *tree, count, start))


def ball_query(
    xyz: Float32[Tensor, "N 3"], centres: Float32[Tensor, "M 3"], radius: float, count: int, tree: Tree | None = None
) -> Int64[Tensor, "M S"]:
    """For each centre, the first points, in index order, that are nearer than a radius (PointNet++).

    A row with fewer points repeats its first one. A centre without any such point gets its nearest point instead; that
    happens only where the centre is not a point of the cloud.

    Args:
        xyz: metres.
        centres: metres.
        radius: metres.
        count: number S of points for each centre.
        tree: that of ``xyz``, if the caller has it.

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``radius`` <= 0, ``count`` < 1.
    """
    tree = tree or grow(xyz)
    _check(centres, "the centres", empty=True)
    _check_count(count, "count")
    if not 0 < radius < float("inf"):
        raise BadInput(f"radius is {radius}; expected a positive number of metres")
    if tree is None or not _on_cpu(xyz, centres):
        return neighbor_torch.ball_query(xyz, centres, radius, count)
    index = np.empty((len(centres), count), dtype=np.int64)
    share(neighbor_kernels.balls, len(centres), *tree, _array(centres), float(radius) ** 2, index)
    return torch.from_numpy(index)


def knn(
    xyz: Float32[Tensor, "N 3"],
    queries: Float32[Tensor, "M 3"],
    k: int,
    tree: Tree | None = None,
    query_tree: Tree | None = None,
) -> tuple[Int64[Tensor, "M K"], Float32[Tensor, "M K"]]:
    """The K = min(k, N) nearest points of each query, nearest first.

    Args:
        xyz: metres.
        queries: metres.
        k: number of neighbours.
        tree: that of ``xyz``, if the caller has it.
        query_tree: that of ``queries``, if the caller has it. It saves time: queries that are near each other are then
            searched one after the other.

    Returns:
        Indices of the points, and their squared distances in m².

    Raises:
        BadInput: an empty cloud, coordinates that are not finite, ``k`` < 1.
    """
    tree = tree or grow(xyz)
    _check(queries, "the queries", empty=True)
    _check_count(k, "k")
    k = min(k, len(xyz))
    if tree is None or not _on_cpu(xyz, queries):
        return neighbor_torch.knn(xyz, queries, k)
    visit = query_tree.order if query_tree else np.arange(len(queries))
    index, squared = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float64)
    share(neighbor_kernels.nearest, len(queries), *tree, _array(queries), visit, index, squared)
    return torch.from_numpy(index), torch.from_numpy(squared.astype(np.float32))


def interpolation_weights(squared_distance: Float32[Tensor, "*M K"]) -> Float32[Tensor, "*M K"]:
    """Inverse distance weights 1 / (d + 1e-8), divided by their sum over the K neighbours (PointNet++, eq. 2, p = 1).

    Args:
        squared_distance: m², as ``knn`` returns them.
    """
    weight = 1.0 / (squared_distance.sqrt() + 1e-8)
    return weight / weight.sum(-1, keepdim=True)


def interpolate(
    features: Float[Tensor, "N C"], index: Int64[Tensor, "M K"], weight: Float[Tensor, "M K"]
) -> Float[Tensor, "M C"]:
    """Weighted sums of K rows of the features. Gradients reach ``features`` only, not ``weight``.

    Args:
        features: one row for each point of the cloud.
        index: the K points of each query, as ``knn`` returns them.
        weight: their weights, as ``interpolation_weights`` returns them.
    """
    return torch.nn.functional.embedding_bag(index, features, per_sample_weights=weight.to(features), mode="sum")


def interpolate_at(
    queries: Float32[Tensor, "M 3"], xyz: Float32[Tensor, "N 3"], features: Float[Tensor, "N C"]
) -> Float[Tensor, "M C"]:
    """The features at other points: those of the nearest three points, weighted by inverse distance.

    Raises:
        BadInput: as ``knn``.
    """
    index, squared_distance = knn(xyz, queries, 3)
    return interpolate(features, index, interpolation_weights(squared_distance))


def _check(xyz: Tensor, what: str, empty: bool = False) -> None:
    if not len(xyz) and not empty:
        raise BadInput(f"{what} has no points; expected at least one")
    finite = torch.isfinite(xyz.sum())
    if not finite and not torch.isfinite(xyz).all():  # the sum alone may overflow
        bad = int((~torch.isfinite(xyz)).any(1).sum())
        raise BadInput(f"{bad} of {len(xyz)} points in {what} have NaN or infinite coordinates; remove them first")


def _check_count(count: int, name: str) -> None:
    if count < 1:
        raise BadInput(f"{name} is {count}; expected 1 or more")


def _on_cpu(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cpu" for tensor in tensors)


def _array(xyz: Tensor) -> np.ndarray:
    return xyz.detach().contiguous().numpy()


@lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool for each process: threads do not survive a fork, so ``process`` is part of the cache's key."""
    return ThreadPoolExecutor(threads, thread_name_prefix="neighbours")


def share(kernel: Callable[..., None], queries: int, *arguments: object, least: int = SHARE) -> None:
    """Run ``kernel(first, last, *arguments)`` over all queries, split among torch's number of threads.

    Args:
        kernel: a compiled function; each call writes the rows of its own queries only.
        queries: their number.
        arguments: the further arguments of the kernel.
        least: fewest queries that are worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), queries // least))
    if threads == 1:
        kernel(0, queries, *arguments)
        return
    parts = min(queries, 4 * threads)  # queries differ in cost
    cuts = [queries * part // parts for part in range(parts + 1)]
    pool = _pool(threads, os.getpid())
    for done in [pool.submit(kernel, a, b, *arguments) for a, b in zip(cuts, cuts[1:], strict=False)]:
        done.result()
