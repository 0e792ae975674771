"""A scene without a data set: a box around the camera, with links as a real room has them."""

import numpy as np
from jaxtyping import Float

from wsss_ros.types import Camera, Cloud, Frame


class BoxScene:
    """A room of four walls, floor and ceiling around the camera, in random colours."""

    SIZE_M = (6.0, 5.0, 2.6)
    tags = ("wall", "floor")
    unknown = ()
    world_up = (0.0, 0.0, 1.0)

    def __init__(self, seed: int, long_side: int, points: int, frames: int = 4):
        self.name, self.seed, self.points, self.frames = f"box{seed}", seed, points, frames
        width, height = long_side, long_side * 3 // 4
        self.camera = Camera(0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2, width, height)

    def __len__(self) -> int:
        return self.frames

    def image_tags(self, index: int) -> tuple[str, ...]:
        """The same for each image."""
        return self.tags

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """No class: all are judged."""
        return self.unknown

    def frame(self, index: int) -> Frame:
        """A level view from the middle in a random direction."""
        rng = np.random.default_rng([self.seed, index])
        pose = _level_pose(rng.uniform(0, 2 * np.pi))
        v, u = np.mgrid[: self.camera.height, : self.camera.width]
        across, down = (u - self.camera.cx) / self.camera.fx, (v - self.camera.cy) / self.camera.fy
        rays = np.stack([across, down, np.ones(u.shape)])
        directions = np.tensordot(pose[:3, :3], rays, 1)
        half = np.array(self.SIZE_M)[:, None, None] / 2
        depth = (half / np.maximum(np.abs(directions), 1e-9)).min(axis=0)  # every ray's z is 1
        rgb = rng.integers(0, 256, (*u.shape, 3), dtype=np.uint8)
        return Frame(rgb, self.camera, depth.astype(np.float32), pose)

    @property
    def cloud(self) -> Cloud:
        """Points spread evenly over the six faces."""
        rng = np.random.default_rng(self.seed)
        xyz = rng.uniform(-0.5, 0.5, (self.points, 3))
        axis = rng.integers(0, 3, self.points)
        xyz[np.arange(self.points), axis] = rng.choice([-0.5, 0.5], self.points)
        xyz = (xyz * self.SIZE_M).astype(np.float32)
        return Cloud(xyz, rng.integers(0, 256, xyz.shape, dtype=np.uint8))

    def frame_truth(self, index: int) -> None:
        """None: this scene has no truth."""

    def cloud_truth(self) -> None:
        """None: this scene has no truth."""


def _level_pose(yaw: float) -> Float[np.ndarray, "4 4"]:
    """``world_from_camera`` at the origin, horizontal, in the direction ``yaw``."""
    forward, down = np.array([np.cos(yaw), np.sin(yaw), 0]), np.array([0.0, 0, -1])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(down, forward), down, forward], axis=1)
    return pose
