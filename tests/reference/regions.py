"""Slow, obvious twins of wsss_ros.geometry.normals and .regions in float64 numpy: full sorts, loops, eigh."""

import itertools

import numpy as np
from reference.neighbors import knn, squared_distances


def plane(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Normal and curvature of some points; 0 where fewer than three, or points at one place, have none."""
    covariance = np.cov(points.astype(np.float64).T, bias=True) if len(points) > 2 else np.zeros((3, 3))
    values, vectors = np.linalg.eigh(covariance)
    if values.sum() <= 0:
        return np.zeros(3), 0.0
    return vectors[:, 0], max(values[0], 0) / values.sum()


def planes(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    found = [plane(points[index]) for index in knn(points, points, min(count, len(points)))[0]]
    return np.array([normal for normal, _ in found]), np.array([curvature for _, curvature in found])


def ball_planes(points: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    found = [plane(points[squared <= radius**2]) for squared in squared_distances(points, points)]
    return np.array([normal for normal, _ in found]), np.array([curvature for _, curvature in found])


def grow_smooth(neighbor, normal, curvature, seeds, cosine, most_curvature) -> list[set[int]]:
    """Regions of smooth surface (PCL): a set of the reached points for each seed that is still free."""
    free, found = set(range(len(normal))), []
    for seed in seeds:
        if seed not in free:
            continue
        region, front = {seed}, [seed]
        free.remove(seed)
        while front:
            point = front.pop(0)
            for other in neighbor[point]:
                if other in free and abs(normal[point] @ normal[other]) >= cosine:
                    free.remove(other)
                    region.add(other)
                    if curvature[other] <= most_curvature:
                        front.append(other)
        found.append(region)
    return found


def grow_planes(points, neighbor, normal, seeds, cosine, most_distance, least) -> list[set[int]]:
    """Planar regions (CGAL): the plane is fitted from scratch after each ring; small regions become free again."""
    free, found = set(range(len(points))), []
    for seed in seeds:
        if seed not in free:
            continue
        region, ring, place, axis = [seed], [seed], points[seed].astype(np.float64), normal[seed]
        free.remove(seed)
        while ring:
            reached = []
            for point in ring:
                for other in neighbor[point]:
                    near = abs(axis @ (points[other] - place)) <= most_distance
                    if other in free and near and abs(axis @ normal[other]) >= cosine:
                        free.remove(other)
                        reached.append(other)
            region, ring = region + reached, reached
            if reached:
                place = points[region].astype(np.float64).mean(axis=0)
                axis = plane(points[region])[0] if len(region) > 2 else axis
        if len(region) >= least:
            found.append(set(region))
        else:
            free |= set(region)
    return found


def supervoxels(cell, xyz, normal, rgb, seeds, seed_m, weights, steps) -> np.ndarray:
    """VCCS: in each step, each voxel looks at the supervoxels of the adjacent voxels of the step before."""
    spatial, normal_weight, color = weights
    where = {tuple(index): voxel for voxel, index in enumerate(cell)}
    around = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    owner, smallest = np.full(len(xyz), -1), np.full(len(xyz), np.inf)
    owner[seeds] = np.arange(len(seeds))
    centres = [(xyz[seed], normal[seed], rgb[seed]) for seed in seeds]
    for _ in range(steps):
        before = owner.copy()
        for voxel, index in enumerate(cell):
            near = {before[where[key]] for step in around if (key := tuple(index + step)) in where}
            for candidate in sorted(near - {-1, before[voxel]}):
                place, axis, tint = centres[candidate]
                far = spatial * np.linalg.norm(xyz[voxel] - place) / seed_m
                far += normal_weight * (1 - abs(normal[voxel] @ axis)) + color * np.linalg.norm(rgb[voxel] - tint) / 255
                if far < smallest[voxel]:
                    smallest[voxel], owner[voxel] = far, candidate
        for number, (_, axis, _) in enumerate(centres):
            own = owner == number
            if not own.any():
                continue
            total = (np.where(normal[own] @ axis < 0, -1, 1)[:, None] * normal[own]).sum(axis=0)
            length = np.linalg.norm(total)
            centres[number] = xyz[own].mean(axis=0), total / length if length else total, rgb[own].mean(axis=0)
    return owner


def joined(supervoxel: np.ndarray, grown: np.ndarray, majority: float) -> np.ndarray:
    """Each supervoxel takes the region that has more than the share ``majority`` of it."""
    out = np.full(len(grown), -1)
    for number in set(supervoxel) - {-1}:
        own = supervoxel == number
        out[own] = grown.max(initial=0) + 1 + number
        for region in set(grown[own]) - {-1}:
            if (grown[own] == region).sum() > majority * own.sum():
                out[own] = region
    return out
