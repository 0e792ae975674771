"""Which way is up in a scene."""

import logging

import numpy as np
from jaxtyping import Float64

from wsss_ros import geometry
from wsss_ros.types import BadInput, Frame, Scene

log = logging.getLogger("wsss_ros")


def leveling(scene: Scene, up: str = "auto", views: int = 12) -> Float64[np.ndarray, "3 3"]:
    """The rotation of the scene's world that makes z point up, as REP-105 wants of `map`.

    ``up`` is 'x,y,z', 'none', or 'auto': what the scene knows, else found from the floor of some views.
    Raises BadInput when it has to be found and there is neither a cloud nor depth.
    """
    if up == "none":
        return np.eye(3)
    if up != "auto":
        return geometry.upright(geometry.parse_up(up))
    if scene.world_up is not None:
        return geometry.upright(np.asarray(scene.world_up, np.float64))
    points, poses = _sampled_points(scene, views)
    found = geometry.find_up(points, poses[:, :3, 3], geometry.camera_up(poses))
    log.info("scene '%s': up found as %s; its world is turned upright", scene.name, np.round(found, 3))
    return geometry.upright(found)


def _sampled_points(scene: Scene, views: int) -> tuple[np.ndarray, np.ndarray]:
    """World points (N x 3) of some frames spread over the scene, and all those frames' poses (V x 4 x 4)."""
    chosen = np.unique(np.linspace(0, len(scene) - 1, views).astype(int))
    frames = [_posed(scene.frame(int(index))) for index in chosen]
    clouds = [
        geometry.unproject(frame.depth_m, frame.camera, frame.world_from_camera)[0]
        for frame in frames
        if frame.depth_m is not None and frame.camera is not None
    ]
    if not clouds and scene.cloud is None:
        raise BadInput(
            f"scene '{scene.name}': which way is up is unknown, and without depth it cannot be found; "
            f"give it (wsss bag --up 0,0,1) or keep the world as it is (--up none)"
        )
    points = np.concatenate(clouds) if clouds else scene.cloud.xyz.astype(np.float64)
    return points[:: 1 + len(points) // 300_000], np.stack([frame.world_from_camera for frame in frames])


def _posed(frame: Frame) -> Frame:
    if frame.world_from_camera is None:
        raise BadInput(f"frame '{frame.name}' has no pose; a recording needs one for every frame")
    return frame
