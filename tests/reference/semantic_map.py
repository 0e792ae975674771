"""The semantic map as a dictionary of voxels, pixel by pixel, in float64."""

import itertools
import math

import numpy as np

from wsss_ros.geometry import project, unproject


class SemanticMap:
    """``voxels``: coordinates -> {"votes": {class: weight}, "total", "mean", "seen"}. It never forgets."""

    def __init__(self, config):
        self.config, self.voxels, self.views = config, {}, 0

    def look(self, view):
        """The coordinates of the voxels that the view looks through, and the number of those that it shows."""
        through, shown = [], 0
        for key, voxel in self.voxels.items():
            uv, z = project(voxel["mean"][None], view.camera, view.world_from_camera)
            if not max(self.config.min_depth_m, 1e-3) <= z[0] <= self.config.max_depth_m or np.isnan(uv).any():
                continue
            u, v = (math.floor(value + 0.5) for value in uv[0])
            if not (1 <= u < view.camera.width - 1 and 1 <= v < view.camera.height - 1):
                continue
            measured = float(view.depth_m[v, u])
            around = view.depth_m[v - 1 : v + 2, u - 1 : u + 2]
            tolerance = 1.5 * self.config.voxel_size_m + 0.02 * z[0]
            if not measured > 0:
                continue
            if around[around > 0].min() > z[0] + tolerance:
                through.append(key)
            elif abs(measured - z[0]) <= tolerance:
                shown += 1
        return through, shown

    def add(self, view):
        through, shown = self.look(view)
        if len(through) + shown >= 200 and len(through) > self.config.max_conflict * (len(through) + shown):
            return None
        if self.config.empty_keep < 1:
            self.weaken(through)
        used = 0
        stride, size = self.config.pixel_stride, self.config.voxel_size_m
        rows, columns = (range(0, length, stride) for length in view.depth_m.shape)
        for row, column in itertools.product(rows, columns):
            only = np.zeros_like(view.depth_m)
            z = only[row, column] = view.depth_m[row, column]
            if view.labels[row, column] == 254 or not self.config.min_depth_m <= z <= self.config.max_depth_m:
                continue
            xyz, _ = unproject(only, view.camera, view.world_from_camera)
            share = min(1.0, z * z * stride**2 / (view.camera.fx * view.camera.fy * size**2))
            if len(xyz):
                used += 1
                self.vote(xyz[0], int(view.labels[row, column]), share * max(0, 1 - z / self.config.vote_distance_m))
        self.views += used > 0
        return used

    def vote(self, xyz, label, weight):
        key = tuple(math.floor(value / self.config.voxel_size_m) for value in xyz)
        voxel = self.voxels.setdefault(key, {"votes": {}, "total": 0.0, "mean": np.zeros(3), "seen": 0})
        voxel["total"] += weight
        voxel["mean"] = voxel["mean"] + (xyz - voxel["mean"]) * weight / voxel["total"]
        voxel["seen"] = self.views
        if label != 255:
            voxel["votes"][label] = voxel["votes"].get(label, 0.0) + weight
        if voxel["total"] > self.config.max_votes:
            self.reduce(voxel, 0.5)

    def weaken(self, keys):
        for key in keys:
            self.reduce(self.voxels[key], self.config.empty_keep)
            if self.voxels[key]["total"] < 0.5 * min(self.config.min_votes, 1):
                del self.voxels[key]

    def reduce(self, voxel, share):
        voxel["total"] *= share
        voxel["votes"] = {label: votes * share for label, votes in voxel["votes"].items()}

    def cloud(self):
        """Position, label and confidence by the coordinates of the voxel."""
        found = {}
        for key, voxel in self.voxels.items():
            if voxel["total"] >= max(self.config.min_votes, 1e-6):
                label = max(sorted(voxel["votes"]), key=voxel["votes"].get, default=255)
                found[key] = voxel["mean"], label, voxel["votes"].get(label, 0.0) / voxel["total"]
        return found
