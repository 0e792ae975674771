"""A room of known shape for the benchmark of the semantic mapper: views on a round trip, and a large first map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8, UInt16

from wsss_ros.fusion.map_files import AboutMap, write_map
from wsss_ros.fusion.semantic_map import SemanticMapConfig
from wsss_ros.geometry.voxels import packed
from wsss_ros.types import Camera

ROOM_M = (6.0, 5.0, 2.5)
VIEWS = 60  # of a round
NOISE_M = 0.004  # standard deviation of the depth


@dataclass(frozen=True)
class RoomView:
    """A view of the room: the ids of its faces in stripes, their colours, depth and pose."""

    ids: UInt16[np.ndarray, "H W"]
    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]


def round_trip(width: int, height: int, views: int = VIEWS) -> list[RoomView]:
    """Views of a camera that goes round in the room and looks outwards; the last one is next to the first one."""
    camera = Camera(0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2, width, height)
    random = np.random.default_rng(0)
    return [_view(camera, 2 * np.pi * number / views, random) for number in range(views)]


def _view(camera: Camera, angle: float, random: np.random.Generator) -> RoomView:
    c, s = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])  # looks along (c, s, 0), with z up
    pose[:3, 3] = 0.5 * c, 0.5 * s, 1.2
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    rays = rays @ pose[:3, :3].T
    half = np.array(ROOM_M) / 2
    low, high = np.array([-half[0], -half[1], 0]), np.array([half[0], half[1], ROOM_M[2]])
    with np.errstate(divide="ignore"):
        ends = (np.where(rays > 0, high, low) - pose[:3, 3]) / rays
    axis = ends.argmin(axis=-1)
    z = ends.min(axis=-1)
    points = pose[:3, 3] + rays * z[..., None]
    face = 2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)
    stripe = np.floor(points.sum(axis=-1)).astype(int) % 3
    ids = (face * 3 + stripe).astype(np.uint16)
    depth = (z + random.normal(scale=NOISE_M, size=z.shape)).astype(np.float32)
    colors = np.random.default_rng(1).integers(40, 220, (18, 3))
    return RoomView(ids, colors[ids].astype(np.uint8), depth, camera, pose)


def write_large_map(path: Path, voxels: int, classes: tuple[str, ...]) -> None:
    """Write a map with this many voxels: a square floor 3 m below the room, each with votes for two classes."""
    size = SemanticMapConfig().voxel_size_m
    side = int(np.ceil(np.sqrt(voxels)))
    cells = np.stack(np.divmod(np.arange(voxels), side), axis=1) - side // 2
    cells = np.column_stack([cells, np.full(voxels, round(-3 / size))]).astype(np.int64)
    state = {
        "key": packed.py_func(*cells.T),
        "mean": ((cells + 0.5) * size).astype(np.float32),
        "total": np.full(voxels, 5, np.float32),
        "seen": np.zeros(voxels, np.int32),
        "counts": np.full(voxels, 2, np.uint8),
        "classes": np.tile(np.array([0, 1], np.uint8), voxels),
        "votes": np.tile(np.array([3, 2], np.float32), voxels),
        "origin": np.zeros(3),
        "clock": np.array([1, 1], np.int64),
    }
    write_map(path, AboutMap(classes, "map", size), state)
