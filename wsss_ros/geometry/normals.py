"""Normals and curvature of the points of a cloud, from the planes through their neighbours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64

from wsss_ros.geometry import neighbors, normal_kernels
from wsss_ros.types import BadInput


class Planes(NamedTuple):
    """The planes through the neighbours of N points.

    ``normal`` has unit vectors, 0 where fewer than three points, or points at one place, have no plane. ``curvature``
    is the smallest eigenvalue of the covariance of the neighbours, divided by the sum of all three, as in PCL: 0 for a
    plane, 1/3 for a ball. ``neighbor`` has the K nearest points, itself first, if they were asked for.
    """

    normal: Float64[np.ndarray, "N 3"]
    curvature: Float64[np.ndarray, "N"]
    neighbor: Int32[np.ndarray, "N K"]


def normals(
    points: Float[np.ndarray, "N 3"],
    neighbor_count: int = 30,
    radius_m: float = 0.0,
    viewpoint: Sequence[float] | None = None,
) -> Planes:
    """The planes through the neighbours of each point.

    Args:
        points: metres.
        neighbor_count: number of nearest neighbours, the point itself included; 30 is Open3D's default.
        radius_m: if above 0, all points within this radius instead.
        viewpoint: a place to which all normals point, metres; None: their signs have no meaning.

    Raises:
        BadInput: coordinates that are not finite, a count below 1, a radius below 0.
    """
    if neighbor_count < 1 or not 0 <= radius_m < np.inf:
        raise BadInput(f"{neighbor_count} neighbours, radius {radius_m} m; expected 1 or more, and 0 or more metres")
    if not len(points):
        return _no_planes(0, 0)
    if not np.isfinite(points).all():
        raise BadInput(f"the cloud of {len(points)} points has NaN or infinite coordinates; remove these points first")
    near = (points.astype(np.float64) - np.median(points, axis=0)).astype(np.float32)
    tree = cpu_tree(near)
    found = ball_planes(tree, near, radius_m)[0] if radius_m > 0 else planes(tree, near, neighbor_count, 0)
    if viewpoint is not None:
        away = ((points - np.asarray(viewpoint, np.float64)) * found.normal).sum(axis=1) > 0
        found.normal[away] *= -1
    return found


def cpu_tree(points: Float32[np.ndarray, "N 3"]) -> neighbors.Tree:
    """The tree of boxes of a cloud (``neighbors.grow``)."""
    tree = neighbors.grow(torch.from_numpy(points))
    assert tree is not None  # noqa: S101 - the points are on the CPU
    return tree


def planes(tree: neighbors.Tree, points: Float32[np.ndarray, "N 3"], neighbor_count: int, kept: int) -> Planes:
    """Planes from the nearest ``neighbor_count`` points; ``kept`` of them are returned (fewer in a small cloud)."""
    count = len(points)
    found = _no_planes(count, min(kept, count))
    used = min(neighbor_count, count)
    neighbors.share(normal_kernels.planes, count, *tree, points, used, found.neighbor, found.normal, found.curvature)
    return found


def ball_planes(
    tree: neighbors.Tree, queries: Float32[np.ndarray, "M 3"], radius_m: float
) -> tuple[Planes, Int64[np.ndarray, "M"]]:
    """Planes from all points within a radius of each query, and the number of these points."""
    found, count = _no_planes(len(queries), 0), np.zeros(len(queries), np.int64)
    squared = float(radius_m) ** 2
    neighbors.share(
        normal_kernels.ball_planes, len(queries), *tree, queries, squared, found.normal, found.curvature, count
    )
    return found, count


def _no_planes(count: int, kept: int) -> Planes:
    return Planes(np.zeros((count, 3)), np.zeros(count), np.zeros((count, kept), np.int32))
