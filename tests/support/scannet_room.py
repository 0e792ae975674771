"""A small scene with truth in ScanNet's layout, as ``write_scene`` writes it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsss_ros.types import Camera, Frame

CAMERA = Camera(30.0, 31.0, 15.5, 11.5, 32, 24)
NATIVE_COLOR = Camera(1170.187988, 1170.187988, 647.75, 483.75, 1296, 968)
NATIVE_DEPTH = Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480)


def room_frames(count: int = 3, lost: tuple[int, ...] = ()) -> Iterator[tuple[Frame, np.ndarray]]:
    """Smooth colours (JPEG keeps them), whole millimetres, a pose and labels that tell the frames apart."""
    v, u = np.mgrid[:24, :32]
    for i in range(count):
        rgb = np.stack([u * 6, v * 8, np.full_like(u, 40 * i)], axis=2).astype(np.uint8)
        depth_m = ((1000 + 10 * i + u + v) / 1000).astype(np.float32)
        depth_m[0, 0], truth = 0, np.full((24, 32), i, np.uint8)
        truth[0, :5] = 255
        pose = np.eye(4)
        pose[:3, 3] = i + 1 / 3, 0.1, -2
        stamp_ns = 1_700_000_000_000_000_001 + i * 50_000_000
        yield Frame(rgb, CAMERA, depth_m, None if i in lost else pose, stamp_ns), truth


def room_points(count: int = 200) -> dict:
    rng = np.random.default_rng(0)
    point_labels = np.repeat(np.array([0, 1, 4, 255], np.uint8), count // 4)
    return {
        "xyz": rng.normal(size=(count, 3)).astype(np.float32),
        "rgb": rng.integers(0, 256, (count, 3), dtype=np.uint8),
        "point_labels": point_labels,
        "instances": np.where(point_labels == 4, np.arange(count) % 2, -1).astype(np.int32),
    }


def corner_points(count: int) -> dict:
    """The corner of a room: a floor of class 1 and two walls of class 0, 1.5 m wide, all of one colour."""
    random = np.random.default_rng(0)
    xyz, face = random.random((count, 3)) * 1.5, random.integers(0, 3, count)
    xyz[np.arange(count), face] = 0
    return {
        "xyz": xyz.astype(np.float32),
        "rgb": np.full((count, 3), 90, np.uint8),
        "point_labels": np.where(face == 2, 1, 0).astype(np.uint8),
        "instances": face.astype(np.int32),
    }


def write_matrix(path: Path, camera: Camera) -> None:
    path.parent.mkdir(exist_ok=True)
    k = np.eye(4)
    k[:3, :3] = camera.matrix()
    np.savetxt(path, k)


def remove_lines(folder: Path, *keys: str) -> None:
    """Take lines out of the scene's .txt."""
    path = folder / f"{folder.name}.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(keys)))
