"""Clouds of generated rooms, cast as rays: what a hand-held depth camera or a LiDAR sees, with true labels."""

from functools import lru_cache

import numpy as np

from wsss_ros.labels import scannet20
from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.views import choose_views, room_camera

RANGE_M = 4.5


@lru_cache(maxsize=12)
def world(kind: str, seed: int = 0) -> World:
    """A furnished room whose floor is z = 0."""
    return World(plan(kind, np.random.default_rng([seed, 1]), DEFAULT), scannet20())


def walked_cloud(room: World, frames: int = 48, seed: int = 0, size: tuple[int, int] = (80, 60)) -> np.ndarray:
    """The points that the views of a walk see (N 3), with 5 mm of noise."""
    camera, rng = room_camera(size), np.random.default_rng(seed)
    seen = [room.cast(camera, pose) for pose in choose_views(room, frames, seed)[0]]
    points = np.concatenate([view.point[(view.part >= 0) & (view.depth_m < RANGE_M)] for view in seen])
    return points + rng.normal(scale=0.005, size=points.shape)


def lidar_scan(room: World, rings: int = 64, columns: int = 1024, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One turn of a LiDAR above the middle of the room's free floor: xyz (rings columns 3) and labels.

    Points are in the sensor's frame, whose z points up. A ray without a return is NaN with label 255; every 50th is
    lost.
    """
    rng = np.random.default_rng(seed)
    eye = choose_views(room, 48, seed, "robot")[0][24, :3, 3]
    up, around = np.radians(np.linspace(-45, 45, rings))[:, None], np.linspace(0, 2 * np.pi, columns, endpoint=False)
    rays = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around], axis=2)
    part, distance = room.first_hits(np.broadcast_to(eye, (rings * columns, 3)), rays.reshape(-1, 3))
    lost = (part < 0) | (rng.random(len(part)) < 0.02)
    xyz = rays.reshape(-1, 3) * (distance + rng.normal(scale=0.005, size=len(part)))[:, None]
    xyz[lost] = np.nan
    labels = np.where(lost, 255, room.label[np.maximum(part, 0)])
    return xyz.reshape(rings, columns, 3).astype(np.float32), labels.reshape(rings, columns).astype(np.uint8)
