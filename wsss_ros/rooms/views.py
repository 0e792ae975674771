"""The views of a room: the camera, a walk that keeps its distance to surfaces, and the choice of a few views."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from wsss_ros.rooms.layout.room import OPENINGS
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.walk import drive, walk
from wsss_ros.scenes.scannet import EXCERPT_CAMERA
from wsss_ros.types import Camera

FEW, WALK = 40, 240  # fewer views than FEW are chosen from a walk of WALK views
Views = Literal["walk", "robot"]  # the names of the ways to look at a room
MIN_CLEARANCE_M = 0.1  # smallest distance between the camera and any surface
CLOUD_RANGE_M = 4.5  # largest distance of surfaces that are added to the cloud


def room_camera(size: tuple[int, int]) -> Camera:
    """ScanNet's depth camera for images of ``size`` (width, height), scaled as for its 320x240 excerpt (FACTS 3)."""
    full, (width, height) = EXCERPT_CAMERA, size
    return Camera(
        full.fx * width / full.width,
        full.fy * height / full.height,
        full.cx * (width - 1) / (full.width - 1),
        full.cy * (height - 1) / (full.height - 1),
        width,
        height,
    )


def choose_views(
    world: World, frames: int, seed: int, views: Views = "walk"
) -> tuple[Float64[np.ndarray, "F 4 4"], Int64[np.ndarray, "F"]]:
    """The poses of the views, and the step of the walk of each. Few views are chosen to see the whole room.

    ``views``: "walk", a hand-held camera that is carried through the room; "robot", an upright camera on a robot.
    """
    if views == "robot":
        return _robot_views(world, frames, seed)
    if frames >= FEW:
        return safe_walk(world, frames, seed), np.arange(frames)
    poses = safe_walk(world, WALK, seed, floor=0.3)
    steps = choose_complementary(cells_seen(world, poses), frames)
    return poses[steps], steps


def _robot_views(world: World, frames: int, seed: int) -> tuple[Float64[np.ndarray, "F 4 4"], Int64[np.ndarray, "F"]]:
    """Views of a robot's drive, without the half that shows the least: empty corners and close surfaces."""
    poses = safe_walk(world, 3 * max(frames, FEW), seed, drive)
    steps = better_half(world, poses)
    if frames < FEW:
        steps = steps[choose_complementary(cells_seen(world, poses[steps]), frames)]
    else:
        steps = steps[np.linspace(0, len(steps) - 1, frames).round().astype(np.int64)]
    return poses[steps], steps


def better_half(world: World, poses: Float64[np.ndarray, "F 4 4"]) -> Int64[np.ndarray, "S"]:
    """The half of the poses that shows the most (``interest``), in their order."""
    return np.sort(np.argsort(-interest(world, poses), kind="stable")[: len(poses) // 2])


def interest(world: World, poses: Float64[np.ndarray, "F 4 4"]) -> Float64[np.ndarray, "F"]:
    """How much each pose shows, estimated by a few rays: its share of things, how many they are, few close surfaces.

    Doors, windows and curtains count less than furniture does.
    """
    camera, worth = room_camera((32, 24)), []
    shell = np.append(world.shell, True)  # part -1, no surface, is the last
    kinds = [world.room.placed[k].piece.kind for k in world.piece]
    opening = np.array([kind in OPENINGS for kind in kinds] + [False])
    for pose in poses:
        view = world.cast(camera, pose)
        thing = ~shell[view.part]
        count = len(np.unique(world.piece[view.part[thing]]))
        close = float((view.depth_m < 0.5).mean())
        share = float(thing.mean() - 0.6 * opening[view.part].mean())
        worth.append(min(share, 0.6) + 0.06 * min(count, 8) - 2 * max(close - 0.1, 0.0))
    return np.array(worth)


def safe_walk(
    world: World, frames: int, seed: int, way: Callable[..., Float64[np.ndarray, "F 4 4"]] = walk, **options
) -> Float64[np.ndarray, "F 4 4"]:
    """The first of a few walks with MIN_CLEARANCE_M to every surface; else the walk with the largest clearance."""
    walks = []
    for attempt in range(8):
        poses = way(world.room, frames, np.random.default_rng([seed, 2, attempt]), **options)
        clear = float(world.clearance(poses[:, :3, 3]).min())
        if clear >= MIN_CLEARANCE_M:
            return poses
        walks.append((clear, attempt, poses))
    return max(walks, key=lambda w: w[:2])[2]


def cells_seen(world: World, poses: Float64[np.ndarray, "F 4 4"], cell: float = 0.15) -> Bool[np.ndarray, "F K"]:
    """Whether each pose sees each of K cells of the room's surfaces, estimated by a few rays."""
    camera, frame, cells = room_camera((32, 24)), [], []
    for k, pose in enumerate(poses):
        view = world.cast(camera, pose)
        near = (view.depth_m > 0) & (view.depth_m < CLOUD_RANGE_M)
        cells.append(np.floor(view.point[near] / cell).astype(np.int64))
        frame.append(np.full(len(cells[-1]), k))
    number = np.unique(np.concatenate(cells), axis=0, return_inverse=True)[1].ravel()
    seen = np.zeros((len(poses), number.max() + 1), bool)
    seen[np.concatenate(frame), number] = True
    return seen


def choose_complementary(seen: Bool[np.ndarray, "F K"], count: int) -> Int64[np.ndarray, "V"]:
    """Choose ``count`` views greedily by the cells that they add; returns their indices in the order of the walk.

    A cell counts 1 in the first view that sees it, 0.3 in the second, and less in further views.
    """
    worth, hits, left = np.array([1, 0.3, 0.1, 0.03]), np.zeros(seen.shape[1], np.int64), np.ones(len(seen), bool)
    for _ in range(count):
        gain = seen @ worth[np.minimum(hits, 3)]
        best = int(np.argmax(np.where(left, gain, -1)))
        left[best] = False
        hits += seen[best]
    return np.flatnonzero(~left)
