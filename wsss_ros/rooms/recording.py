"""A walk through a world is rendered, fused to a cloud and written in ScanNet's layout."""

from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float64, Int64

from wsss_ros.geometry.poses import transform
from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.fused_cloud import fuse, scan_frame
from wsss_ros.rooms.render.light import Light
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.shots import take_shots
from wsss_ros.rooms.views import Views, room_camera
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput, Frame


def record(
    folder: Path,
    world: World,
    labels: LabelSpace,
    poses: Float64[np.ndarray, "F 4 4"],
    steps: Int64[np.ndarray, "F"],
    seed: int,
    size: tuple[int, int],
    scene_type: str,
    lamps: Light | None = None,
) -> None:
    """Write the scene that a camera at these poses records; ``size`` is the width and height of its images.

    ``steps`` are the poses' numbers in the walk, ``lamps`` those of a place larger than a room. The scene has a random
    frame of its own, as scans have. Raises BadInput when the folder exists.
    """
    world_from_room = scan_frame(np.random.default_rng([seed, 3]))
    shots = list(take_shots(world, room_camera(size), poses, steps, seed, lamps))
    xyz, rgb, point_labels, instances = fuse(shots, world, np.random.default_rng([seed, 6]))
    write_scene(
        folder,
        labels=labels,
        xyz=transform(world_from_room, xyz).astype(np.float32),
        rgb=rgb,
        point_labels=point_labels,
        instances=instances,
        frames=((_moved(shot.frame, world_from_room), shot.truth) for shot in shots),
        axis_alignment=np.linalg.inv(world_from_room),
        scene_type=scene_type,
    )


def check_recording(what: str, seed: int, frames: int | None, size: tuple[int, int], views: Views) -> None:
    """Raise BadInput when ``what``, a room or a place, cannot be recorded so."""
    if seed < 0:
        raise BadInput(f"seed {seed} of a {what}; expected 0 or more")
    if frames is not None and frames < 2:
        raise BadInput(f"{frames} frames of a {what}; expected at least 2")
    if views not in get_args(Views):
        raise BadInput(f"views '{views}' of a {what}; there are: {', '.join(get_args(Views))}")
    if min(size) < 32:
        raise BadInput(f"frames of {size[0]}x{size[1]}; expected at least 32x32")


def _moved(frame: Frame, world_from_room: np.ndarray) -> Frame:
    pose = world_from_room @ frame.world_from_camera
    return Frame(frame.rgb, frame.camera, frame.depth_m, pose, frame.stamp_ns, frame.name)
