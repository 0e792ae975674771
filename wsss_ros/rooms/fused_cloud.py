"""The cloud of a room, fused from its views like that of a scan."""

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from wsss_ros.geometry.poses import transform
from wsss_ros.labels import UNLABELLED
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.shots import Shot
from wsss_ros.rooms.views import FEW

SPACING_M = 0.02  # distance between the cloud's points


def scan_frame(rng: np.random.Generator) -> Float64[np.ndarray, "4 4"]:
    """A random world_from_room: scans start at any position and yaw, but z points up."""
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    moved = np.eye(4)
    moved[:2, :2] = [[c, -s], [s, c]]
    moved[:3, 3] = [*rng.uniform(-2, 4, 2), rng.uniform(-0.1, 0.1)]
    return moved


def fuse(
    shots: list[Shot], world: World, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], UInt8[np.ndarray, "N"], Int32[np.ndarray, "N"]]:
    """Fuse the views to one point for each voxel that is seen at least twice; with few views, once is enough.

    A point has the mean position and colour of the object that is seen most in its voxel. The samples are exact surface
    points, because a fused scan has thin surfaces; a little noise is added to the means.

    Returns xyz, rgb, labels and instances.
    """
    xyz = np.concatenate([s.points for s in shots])
    rgb = np.concatenate([s.colors for s in shots])
    owner = np.concatenate([s.instances for s in shots]) + 1
    # The grid is rotated against the walls, so that no wall is on a border between voxels.
    turned = transform(scan_frame(np.random.default_rng(7)), xyz).astype(np.float32)
    cell = np.floor((turned - turned.min(0)) / SPACING_M).astype(np.int64)
    extent = cell.max(0) + 1
    voxel = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    keys, group, hits = np.unique(voxel * (owner.max() + 1) + owner, return_inverse=True, return_counts=True)
    voxel_of, owner_of = np.divmod(keys, owner.max() + 1)
    order = np.lexsort((-hits, voxel_of))
    winner = order[np.append(True, np.diff(voxel_of[order]) > 0)]
    winner = np.sort(winner[hits[winner] >= (1 if len(shots) < FEW else 2)])

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(group, values[:, k], len(keys)) / hits for k in range(3)], 1)[winner]

    points = mean(xyz) + rng.normal(0, 0.0015, (len(winner), 3))
    instances = owner_of[winner] - 1
    label_of = np.full(world.instance.max() + 2, UNLABELLED, np.uint8)
    label_of[world.instance] = world.label  # instance -1 is the last entry, which is unlabelled
    return (
        points.astype(np.float32),
        np.round(mean(rgb)).astype(np.uint8),
        label_of[instances],
        instances.astype(np.int32),
    )
