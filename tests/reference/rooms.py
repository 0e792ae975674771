"""Slow, obvious float64 twins for the rooms: rays against every triangle, rectangles against sampled points."""

import numpy as np

from wsss_ros.rooms.layout.room import Placed, Room
from wsss_ros.types import Camera


def triangles_of(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """All triangles [T 3 3] of a room in the order of its pieces and parts, and the index of the part of each."""
    corners, owner, count = [], [], 0
    for spot in room.placed:
        c, s = np.cos(spot.yaw), np.sin(spot.yaw)
        for part in spot.piece.parts:
            x, y, z = part.mesh.vertices.T
            world = np.stack([c * x - s * y + spot.x, s * x + c * y + spot.y, z + spot.z], 1)
            corners.append(world[part.mesh.triangles])
            owner += [count] * len(part.mesh.triangles)
            count += 1
    return np.concatenate(corners), np.array(owner)


def first_hit(triangles: np.ndarray, camera: Camera, pose: np.ndarray, u: int, v: int) -> tuple[float, int]:
    """Depth along the optical axis and triangle that the ray of pixel (u, v) meets first (Moeller and Trumbore)."""
    direction = pose[:3, :3] @ np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
    a = triangles[:, 0]
    e1, e2 = triangles[:, 1] - a, triangles[:, 2] - a
    p = np.cross(direction, e2)
    determinant = (e1 * p).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        to = pose[:3, 3] - a
        b1 = (to * p).sum(1) / determinant
        q = np.cross(to, e1)
        b2 = (q * direction).sum(1) / determinant
        t = (e2 * q).sum(1) / determinant
    hit = (np.abs(determinant) > 1e-12) & (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1) & (t > 1e-6)
    t = np.where(hit, t, np.inf)
    return float(t.min()), int(np.argmin(t))


def shared_floor(a: Placed, b: Placed, step: float = 0.02) -> float:
    """Square metres of floor that two pieces share, by sampling one and asking the other; 0 at different heights."""
    low, high = max(a.z, b.z), min(a.z + a.piece.size[2], b.z + b.piece.size[2])
    if high <= low:
        return 0.0
    w, d, _ = a.piece.size
    x, y = np.meshgrid(np.arange(-w / 2 + step / 2, w / 2, step), np.arange(-d / 2 + step / 2, d / 2, step))
    c, s = np.cos(a.yaw), np.sin(a.yaw)
    x, y = c * x - s * y + a.x - b.x, s * x + c * y + a.y - b.y
    c, s = np.cos(b.yaw), np.sin(b.yaw)
    x, y = c * x + s * y, c * y - s * x
    inside = (np.abs(x) < b.piece.size[0] / 2) & (np.abs(y) < b.piece.size[1] / 2)
    return float(inside.sum()) * step * step


def picture_at(pixels: np.ndarray, u: float, v: float) -> np.ndarray:
    """The linear colour of a picture [H W 3] at (u, v), between its four nearest pixels; it repeats."""
    height, width = pixels.shape[:2]
    linear = (pixels.astype(np.float64) / 255) ** 2.2
    x, y = u * width - 0.5, v * height - 0.5
    color = np.zeros(3)
    for row in (np.floor(y), np.floor(y) + 1):
        for column in (np.floor(x), np.floor(x) + 1):
            share = (1 - abs(x - column)) * (1 - abs(y - row))
            color += share * linear[int(row) % height, int(column) % width]
    return color
