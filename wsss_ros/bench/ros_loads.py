"""What the benchmarks of nodes and of networks send."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from wsss_ros.types import Cloud

POINTS, HEIGHT, WIDTH = 300_000, 480, 640


def random_cloud(points: int = POINTS, seed: int = 0) -> Cloud:
    """A coloured cloud in a box of 6 x 5 x 2.5 m."""
    generator = np.random.default_rng(seed)
    xyz = generator.random((points, 3), np.float32) * np.array((6, 5, 2.5), np.float32)
    return Cloud(xyz, generator.integers(0, 256, (points, 3), dtype=np.uint8))


def random_image() -> UInt8[np.ndarray, "H W 3"]:
    """A picture of noise, HEIGHT x WIDTH."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def patches(height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """A picture of soft patches of colour with a little noise, of any size."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR)).astype(np.int16)
    return np.clip(soft + generator.integers(-9, 10, soft.shape), 0, 255).astype(np.uint8)
