"""Slow, obvious float64 twins of wsss_ros.geometry, one point or pixel at a time."""

import math

import numpy as np


def quaternion_to_matrix(x, y, z, w):
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def project(points_world, camera, world_from_camera):
    rotation, centre = world_from_camera[:3, :3], world_from_camera[:3, 3]
    uv, depth = [], []
    for point in points_world:
        x, y, z = (rotation.T @ (point.astype(np.float64) - centre)).tolist()
        depth.append(z)
        ahead = z > 0
        uv.append([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy] if ahead else [math.nan, math.nan])
    return np.array(uv).reshape(-1, 2), np.array(depth)


def unproject(depth_m, camera, world_from_camera, stride=1, max_depth_m=math.inf):
    points, pixels = [], []
    for v in range(0, camera.height, stride):
        for u in range(0, camera.width, stride):
            z = float(depth_m[v, u])
            if 0 < z <= max_depth_m and math.isfinite(z):
                in_camera = np.array([(u - camera.cx) * z / camera.fx, (v - camera.cy) * z / camera.fy, z, 1.0])
                points.append((world_from_camera @ in_camera)[:3])
                pixels.append(v * camera.width + u)
    return np.array(points).reshape(-1, 3), np.array(pixels, dtype=np.int64)


def visible(uv, depth, depth_image, tolerance):
    height, width = depth_image.shape
    result = []
    for (u, v), z in zip(uv.tolist(), depth.tolist(), strict=True):
        seen = False
        if z > 0:
            column, row = math.floor(u + 0.5), math.floor(v + 0.5)
            if 0 <= column < width and 0 <= row < height:
                measured = float(depth_image[row, column])
                seen = measured > 0 and abs(measured - z) <= tolerance
        result.append(seen)
    return np.array(result, dtype=bool)


def voxel_downsample(xyz, size):
    voxels, first, voxel_of_point = {}, [], []
    for n, point in enumerate(xyz.tolist()):
        key = tuple(math.floor(coordinate / size) for coordinate in point)
        if key not in voxels:
            voxels[key] = len(voxels)
            first.append(n)
        voxel_of_point.append(voxels[key])
    return np.array(first, dtype=np.int64), np.array(voxel_of_point, dtype=np.int64)


class VoxelMap:
    """A dict from voxel to the list of (position, colour) seen in it; never more than ``max_points`` voxels."""

    def __init__(self, config):
        self.config = config
        self.voxels = {}
        self.turned_away = 0

    def add(self, frame):
        before = len(self.voxels)
        in_range = (frame.depth_m >= self.config.min_depth_m) & (frame.depth_m <= self.config.max_depth_m)
        points, pixels = unproject(np.where(in_range, frame.depth_m, 0), frame.camera, frame.world_from_camera)
        colors = frame.rgb.reshape(-1, 3)[pixels]
        for point, color in zip(points, colors, strict=True):
            key = tuple(math.floor(coordinate / self.config.voxel_size_m) for coordinate in point)
            if key not in self.voxels and len(self.voxels) == self.config.max_points:
                self.turned_away += 1
            else:
                self.voxels.setdefault(key, []).append((point, color))
        return len(self.voxels) - before

    def cloud(self):
        kept = [seen for seen in self.voxels.values() if len(seen) >= self.config.min_hits]
        xyz = np.array([np.mean([point for point, _ in seen], axis=0) for seen in kept]).reshape(-1, 3)
        rgb = np.array([np.mean([color for _, color in seen], axis=0) for seen in kept]).reshape(-1, 3)
        return xyz, rgb
