"""Random cameras, poses and depth images, and real frames of the kitchen."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from wsss_ros.types import Camera, Frame

SMALL = Camera(fx=9.0, fy=8.0, cx=3.3, cy=2.6, width=8, height=6)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = rng.normal(scale=3, size=3)
    return pose


def random_depth(rng: np.random.Generator, camera: Camera = SMALL) -> np.ndarray:
    """Depth with every kind of missing pixel."""
    depth = rng.uniform(0.3, 6, (camera.height, camera.width)).astype(np.float32)
    kinds = rng.integers(0, 12, depth.shape)
    for kind, value in enumerate((0, np.nan, np.inf, -1)):
        depth[kinds == kind] = value
    return depth


def kitchen_frame(folder: Path, number: int) -> Frame:
    """Frame ``number`` of the fixture ``kitchen``, with depth in metres and its pose."""
    path = folder / f"frame-{number:06d}"
    depth = np.array(Image.open(f"{path}.depth.png")).astype(np.float32)
    depth[depth == 65535] = 0
    rgb = np.array(Image.open(f"{path}.color.jpg"))
    return Frame(rgb, Camera(585.0, 585.0, 320.0, 240.0, 640, 480), depth / 1000, np.loadtxt(f"{path}.pose.txt"))
