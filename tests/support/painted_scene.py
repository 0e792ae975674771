"""A scene in which the colour of a surface encodes its place in the world, in the cloud and in every image."""

import numpy as np

from wsss_ros import geometry
from wsss_ros.types import Camera, Cloud, Frame

CAMERA = Camera(70.0, 72.0, 50.0, 35.0, 96, 72)
BOX = (np.array([-1.2, -1.0, 2.0]), np.array([1.2, 1.0, 3.0]))  # what the cameras look at, metres


def paint(xyz: np.ndarray) -> np.ndarray:
    """The colour of a place; smooth, so that reading between pixels changes little."""
    low, high = BOX
    return np.rint(20 + 215 * np.clip((xyz - low) / (high - low), 0, 1)).astype(np.uint8)


def place(rgb: np.ndarray) -> np.ndarray:
    """The place of a colour (0..255), the inverse of ``paint``."""
    low, high = BOX
    return low + (rgb - 20) / 215 * (high - low)


class PaintedScene:
    """A wavy wall seen by three cameras; every point and pixel has the colour of its place."""

    name, tags, world_up = "painted", ("wall", "picture"), (0.0, -1.0, 0.0)

    def __len__(self) -> int:
        return 3

    def image_tags(self, index: int) -> tuple[str, ...]:
        return ("wall",) if index else ("wall", "picture")

    unknown = ()

    def image_unknown(self, index: int) -> tuple[str, ...]:
        return ()

    def _pose(self, index: int) -> np.ndarray:
        turn, pose = np.radians([0.0, 4.0, -5.0])[index], np.eye(4)
        pose[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        pose[:3, 3] = [0.1 * index, -0.05 * index, 0.02 * index]
        return pose

    @staticmethod
    def _surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2.3 + 0.2 * np.sin(2 * x) * np.cos(1.5 * y)

    def frame(self, index: int) -> Frame:
        pose, depth = self._pose(index), np.full((72, 96), 2.3)
        for _ in range(30):  # walk along each ray until it meets the surface
            points, _ = geometry.unproject(depth, CAMERA, pose)
            gap = (self._surface(points[:, 0], points[:, 1]) - points[:, 2]).reshape(72, 96)
            depth = depth + 0.7 * gap
        points, _ = geometry.unproject(depth, CAMERA, pose)
        return Frame(paint(points).reshape(72, 96, 3), CAMERA, depth.astype(np.float32), pose, index + 1, str(index))

    def frame_truth(self, index: int) -> np.ndarray:
        return (self.frame(index).rgb[..., 0] > 127).astype(np.uint8)

    @property
    def cloud(self) -> Cloud:
        x, y = np.random.default_rng(0).uniform(-1, 1, (2, 3000)) * [[1.1], [0.9]]
        xyz = np.stack([x, y, self._surface(x, y)], axis=1)
        hidden = xyz[:500] + [0, 0, 0.3]  # behind the wall: inside every image, seen in none
        xyz = np.concatenate([xyz, hidden]).astype(np.float32)
        return Cloud(xyz, paint(xyz))

    def cloud_truth(self) -> np.ndarray:
        return (self.cloud.rgb[:, 0] > 127).astype(np.uint8)
