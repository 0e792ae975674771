"""Slow, obvious twins of wsss_ros.geometry.surfels and wsss_ros.fusion in float64 numpy: rays, planes, loops."""

import numpy as np

MASK = (1 << 64) - 1


def mixed(a: int, b: int) -> int:
    """The finaliser of SplitMix64 on two indices, in Python's integers."""
    value = (a << 32) + b
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def surfel(points, index, radius, largest, most, up):
    """Normal, tangent, bitangent and both radii of one point (appendix G.3); None where there is no plane."""
    size = radius
    while size <= largest:
        offset = points.astype(np.float64) - points[index].astype(np.float64)
        near = np.flatnonzero((offset**2).sum(axis=1) <= size**2)
        near = sorted(near, key=lambda other: mixed(index, int(other)))[:most]
        values, vectors = np.linalg.eigh(offset[near].T @ offset[near] / len(near))
        deviation = np.sqrt(np.maximum(values, 0))
        if len(near) >= 3 and deviation[1] >= np.clip(size / 10, 0.0025, 0.01):
            return (*vectors.T, np.array([size / 4, size / 4 * deviation[1] / deviation[2]]))
        size *= 2
    return None


def drawn(points, discs, wanted, dilation, camera, pose, farthest):
    """The depth image of the discs with a ray for each pixel; 0 where there is none."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    image = np.full(u.shape, np.inf)
    rotation, centre = pose[:3, :3].T, pose[:3, 3]
    for i in np.flatnonzero(wanted):
        place = rotation @ (points[i] - centre)
        normal, *sides = (rotation @ axis[i] for axis in (discs.normal, discs.tangent, discs.bitangent))
        radii = discs.radius_m[i] * dilation
        deep = sum((side[2] * radius) ** 2 for side, radius in zip(sides, radii, strict=True))
        if place[2] <= 0 or np.linalg.norm(place) >= farthest or deep >= place[2] ** 2:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (normal @ place) / (rays @ normal)
            offset = rays * depth[..., None] - place
            share = sum(((offset @ side) / radius) ** 2 for side, radius in zip(sides, radii, strict=True))
        image = np.where((share <= 1) & (depth > 0) & (depth < image), depth, image)
        column, row = (int(np.floor(place[k] / place[2] * f + c + 0.5)) for k, f, c in _axes(camera))
        if 0 <= row < camera.height and 0 <= column < camera.width:
            image[row, column] = min(image[row, column], place[2])
    return np.where(np.isfinite(image), image, 0)


def _axes(camera):
    return (0, camera.fx, camera.cx), (1, camera.fy, camera.cy)


def fuse(points, frames, labels_2d, settings, classes, discs, stamps_ns, viewpoints):
    """Algorithm 1, a loop over frames and points; returns the votes."""
    votes = np.zeros((len(points), classes))
    for frame, labels in zip(frames, labels_2d, strict=True):
        dt_s = np.abs(stamps_ns - frame.stamp_ns) / 1e9
        pose, camera = frame.world_from_camera, frame.camera
        limits = settings.dilation, camera, pose, settings.max_distance_m
        image = drawn(points, discs, dt_s <= settings.surfel_max_dt_s, *limits)
        for i, point in enumerate(points):
            if dt_s[i] > settings.max_dt_s:
                continue
            normal = discs.normal[i] * np.sign((viewpoints[i] - point) @ discs.normal[i])
            if normal @ (pose[:3, 3] - point) < 0:
                continue
            x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
            if z <= 0:
                continue
            column, row = (
                int(np.floor(x / z * camera.fx + camera.cx + 0.5)),
                int(np.floor(y / z * camera.fy + camera.cy + 0.5)),
            )
            if not (0 <= column < camera.width and 0 <= row < camera.height):
                continue
            if image[row, column] == 0 or abs(z / image[row, column] - 1) > settings.depth_tolerance:
                continue
            if labels[row, column] != 255:
                distance_m = np.linalg.norm(point - pose[:3, 3])
                weight = max(0, 1 - distance_m / settings.max_distance_m) * max(0, 1 - dt_s[i] / settings.max_dt_s)
                votes[i, labels[row, column]] += weight
    return votes
