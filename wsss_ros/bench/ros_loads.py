"""What the benchmark of the ROS side sends, and light networks to send it to."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import scannet20
from wsss_ros.types import Cloud

POINTS, HEIGHT, WIDTH = 300_000, 480, 640


def random_cloud(points: int = POINTS) -> Cloud:
    """A coloured cloud in a box of 6 x 5 x 2.5 m."""
    generator = np.random.default_rng(0)
    xyz = generator.random((points, 3), np.float32) * np.array((6, 5, 2.5), np.float32)
    return Cloud(xyz, generator.integers(0, 256, (points, 3), dtype=np.uint8))


def random_image() -> UInt8[np.ndarray, "H W 3"]:
    """A picture of noise, HEIGHT x WIDTH."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def light_checkpoint(kind: str, folder: Path) -> Path:
    """Write a light network with random weights: it is as fast as a trained one. Returns its file."""
    from wsss_ros.networks import checkpoint

    config = {
        "image": checkpoint.NetworkConfig("image", "resnet"),
        "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", {"width": 0.5}, inputs=("color", "height")),
    }[kind]
    path = folder / f"{kind}.safetensors"
    checkpoint.save(path, config.build(scannet20()), config, scannet20())
    return path
