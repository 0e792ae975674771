"""Slow, obvious twins of wsss_ros.geometry.superpoints and wsss_ros.methods.densify.primitives, in float64."""

import numpy as np
from reference.regions import ball_planes


def hand_made(points, colors, region, voxel_m, radius_m, bins, zeros) -> np.ndarray:
    """Mean colour minus 0.5 and histogram of normal products of each region, voxel by voxel and pair by pair."""
    voxels: dict[tuple, list[int]] = {}
    for number, point in enumerate(points):
        voxels.setdefault(tuple(np.floor(point.astype(np.float64) / voxel_m).astype(int)), []).append(number)
    middle = np.array([points[rows].astype(np.float64).mean(axis=0) for rows in voxels.values()])
    normals = [_signed(normal) for normal in ball_planes(middle, radius_m)[0]]
    out = []
    for own in range(region.max() + 1):
        cells = [([i for i in rows if region[i] == own], n) for rows, n in zip(voxels.values(), normals, strict=True)]
        cells = [(rows, normal) for rows, normal in cells if rows]
        tints = [colors[rows].mean(axis=0) / 255 - 0.5 for rows, _ in cells]
        planes = [normal for _, normal in cells if np.abs(normal).any()]
        products = [planes[i] @ planes[j] for i in range(len(planes)) for j in range(i, len(planes))]
        products += [0.0] * (len(planes) * (len(planes) - 1) // 2 if zeros else 0)
        counts = np.histogram(np.clip(products, -1, 1), bins, (-1, 1))[0]
        out.append([*np.mean(tints, axis=0), *counts / max(counts.sum(), 1)])
    return np.array(out)


def _signed(normal: np.ndarray) -> np.ndarray:
    return normal * (np.sign(normal[np.abs(normal).argmax()]) or 1)


def superpoint_features(features, region, hand_made, color, shape) -> tuple[np.ndarray, list[int]]:
    """A row for each superpoint with a point."""
    numbers, rows = sorted(set(region.tolist()) - {-1}), []
    for number in numbers:
        row = _unit(features[region == number].mean(axis=0))
        if hand_made is not None:
            row = _unit(np.concatenate([row, color * hand_made[number, :3], shape * hand_made[number, 3:]]))
        rows.append(row)
    return np.array(rows), numbers


def _unit(row: np.ndarray) -> np.ndarray:
    length = np.sqrt((row**2).sum())
    return row / length if length > 0 else row


def kmeans(rows, centres, iterations, tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm from given centres; a centre without rows moves to the row farthest from its own centre."""
    centres, still = centres.copy(), tolerance * rows.var(axis=0).mean()
    for _ in range(iterations):
        squared = np.array([[((row - centre) ** 2).sum() for centre in centres] for row in rows])
        nearest, before = squared.argmin(axis=1), centres.copy()
        farthest = list(np.argsort(-squared.min(axis=1), kind="stable"))
        for number in range(len(centres)):
            own = rows[nearest == number]
            centres[number] = own.mean(axis=0) if len(own) else rows[farthest.pop(0)]
        if ((centres - before) ** 2).sum() <= still:
            break
    squared = np.array([[((row - centre) ** 2).sum() for centre in centres] for row in rows])
    return centres, squared.argmin(axis=1)


def propagated(label: list[int], group: list[int]) -> list[int]:
    """The one label of the group of each primitive, -1 where there is none or more than one."""
    out = []
    for mine in group:
        labels = {each for each, other in zip(label, group, strict=True) if other == mine and each >= 0}
        out.append(labels.pop() if len(labels) == 1 else -1)
    return out
