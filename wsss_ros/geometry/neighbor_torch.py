"""The functions of neighbors.py in plain torch, for any device.

They choose the very same points as the numba kernels, ties included. The checks of the input are in neighbors.py.
"""

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

SLICE = 1 << 24  # elements of a distance matrix held at once (128 MB in float64)


def farthest_point_sample(xyz: Float32[Tensor, "N 3"], count: int, start: int) -> Int64[Tensor, "S"]:
    """See ``neighbors.farthest_point_sample``."""
    points = xyz.detach().double()
    squared = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
    index = torch.empty(count, dtype=torch.int64, device=points.device)
    chosen = torch.full((1,), start, dtype=torch.int64, device=points.device)
    for step in range(count):  # no operation here waits for the device
        index[step : step + 1] = chosen
        squared = torch.minimum(squared, _squared_distances(points[chosen], points)[0])
        chosen = squared.argmax(keepdim=True)
    return index


def ball_query(
    xyz: Float32[Tensor, "N 3"], centres: Float32[Tensor, "M 3"], radius: float, count: int
) -> Int64[Tensor, "M S"]:
    """See ``neighbors.ball_query``."""
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


def knn(
    xyz: Float32[Tensor, "N 3"], queries: Float32[Tensor, "M 3"], k: int
) -> tuple[Int64[Tensor, "M K"], Float32[Tensor, "M K"]]:
    """See ``neighbors.knn``; ``k`` is at most N."""
    points, indices, distances = xyz.detach().double(), [], []
    for part in _slices(queries, len(points)):
        squared, index = _squared_distances(part, points), []
        for _ in range(k):  # argmin returns the first of equal distances, topk may return any
            index.append(squared.argmin(1, keepdim=True))
            distances.append(squared.gather(1, index[-1]).float())
            squared.scatter_(1, index[-1], torch.inf)
        indices.append(torch.cat(index, 1))
        distances[-k:] = [torch.cat(distances[-k:], 1)]
    return torch.cat(indices), torch.cat(distances)


def _slices(queries: Tensor, points: int) -> tuple[Tensor, ...]:
    return queries.detach().double().split(max(1, SLICE // points))


def _squared_distances(queries: Float64[Tensor, "M 3"], points: Float64[Tensor, "N 3"]) -> Float64[Tensor, "M N"]:
    """Each sum in the order of the kernels: a matrix product would round differently."""
    squared = (points[:, 0] - queries[:, :1]).square_()
    for axis in (1, 2):
        squared += (points[:, axis] - queries[:, axis : axis + 1]).square_()
    return squared
