"""A small scene with a wall that slides by, and how it is written as a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wsss_ros.types import Camera, Cloud, Frame

CAMERA = Camera(20.0, 21.0, 15.5, 11.5, 32, 24)
SECOND = 10**9


@dataclass
class TinyScene:
    """A wall two metres ahead, seen by a camera that slides along it."""

    name: str = "tiny"
    frames: int = 5
    tags: tuple[str, ...] | None = None
    world_up: tuple[float, float, float] | None = (0.0, -1.0, 0.0)
    has_cloud: bool = True
    has_depth: bool = True
    step_ns: int = 33_333_333
    scale: int = 1

    def __len__(self) -> int:
        return self.frames

    unknown = ()

    def image_tags(self, index: int) -> None:
        return None

    def image_unknown(self, index: int) -> tuple[str, ...]:
        return ()

    def frame(self, index: int) -> Frame:
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("y", 2 * index, degrees=True).as_matrix()
        pose[0, 3] = 0.3 * index
        camera = CAMERA.resized(32 * self.scale, 24 * self.scale)
        rgb = np.random.default_rng(index).integers(0, 256, (camera.height, camera.width, 3), np.uint8)
        depth_m = np.full(rgb.shape[:2], 2.0, np.float32)
        depth_m[0, :4] = 0, 1.2344, 70.0, 0.0004
        stamp_ns = 1_700_000_000 * SECOND + index * self.step_ns
        return Frame(rgb, camera, depth_m if self.has_depth else None, pose, stamp_ns, f"frame {index}")

    @property
    def cloud(self) -> Cloud | None:
        if not self.has_cloud:
            return None
        x, y = np.meshgrid(np.arange(-3, 6, 0.1), np.arange(-2, 2, 0.1))
        xyz = np.stack([x.ravel(), y.ravel(), np.full(x.size, 2.0)], axis=1).astype(np.float32)
        rgb = np.random.default_rng(0).integers(0, 256, (len(xyz), 3), np.uint8)
        return Cloud(xyz, rgb)

    def frame_truth(self, index: int) -> np.ndarray | None:
        return np.random.default_rng(index).choice(np.array([0, 3, 19, 255], np.uint8), self.frame(index).rgb.shape[:2])

    def cloud_truth(self) -> np.ndarray | None:
        return (np.arange(len(self.cloud)) % 20).astype(np.uint8) if self.has_cloud else None


def write_scene_folder(folder: Path, labels) -> Path:
    """TinyScene in ScanNet's layout."""
    from wsss_ros.scenes.scannet_write import write_scene

    scene = TinyScene(world_up=(0, 0, 1))
    cloud = scene.cloud
    write_scene(
        folder,
        labels=labels,
        xyz=cloud.xyz,
        rgb=cloud.rgb,
        point_labels=scene.cloud_truth(),
        instances=np.zeros(len(cloud), np.int32),
        frames=[(scene.frame(i), scene.frame_truth(i)) for i in range(len(scene))],
    )
    return folder
