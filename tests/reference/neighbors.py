"""Slow, obvious twins of wsss_ros.geometry.neighbors in float64 numpy: loops, full distance matrices, full sorts."""

import numpy as np


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = a.astype(np.float64)[:, None] - b.astype(np.float64)[None]
    return d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] + d[..., 2] * d[..., 2]


def farthest_point_sample(xyz: np.ndarray, count: int, start: int = 0) -> np.ndarray:
    index, squared = [], np.full(len(xyz), np.inf)
    for _ in range(count):
        index.append(start)
        squared = np.minimum(squared, squared_distances(xyz[start : start + 1], xyz)[0])
        start = int(np.argmax(squared))
    return np.array(index)


def ball_query(xyz: np.ndarray, centres: np.ndarray, radius: float, count: int) -> np.ndarray:
    rows = []
    for squared in squared_distances(centres, xyz):
        hits = np.flatnonzero(squared < radius**2)[:count]
        hits = hits if len(hits) else np.array([np.argmin(squared)])
        rows.append(np.r_[hits, np.full(count - len(hits), hits[0])])
    return np.array(rows).reshape(len(centres), count)


def knn(xyz: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    squared = squared_distances(queries, xyz)
    index = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(squared, index, 1)


def interpolate(features: np.ndarray, index: np.ndarray, squared: np.ndarray) -> np.ndarray:
    out = np.zeros((len(index), features.shape[1]))
    for row, (neighbours, distances) in enumerate(zip(index, np.sqrt(squared), strict=True)):
        weight = 1 / (distances + 1e-8)
        out[row] = (features[neighbours] * (weight / weight.sum())[:, None]).sum(0)
    return out
