"""Properties derived from a scene's frames where the scene does not provide them: the up direction and the cloud."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Float, Float64

from wsss_ros.geometry import camera_up, find_up, mounted_turns, parse_up, unproject, up_in_frame, upright
from wsss_ros.geometry.voxel_map import VoxelMap
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import BadInput, Cloud, Frame, Scene

_VIEWS = 12  # number of frames from which the up direction is estimated
_MOST_POINTS = 300_000  # largest number of their points that is used, approximately
_log = logging.getLogger("wsss_ros")

Seen = tuple[Float[np.ndarray, "N 3"], Float64[np.ndarray, "V 4 4"]]  # points and the poses they were seen from


# --- the up direction --------------------------------------------------------------------------------


def up_of(scene: Scene) -> tuple[float, float, float]:
    """The unit vector against gravity in the scene's world: the scene's ``world_up``, else estimated from some frames.

    Raises BadInput when it must be estimated, and the scene has neither cloud nor depth, or its frames show no floor.
    """
    up = _up(scene, lambda: _sampled(scene))
    x, y, z = map(float, up / np.linalg.norm(up))
    return x, y, z


def upright_rotation(scene: Scene, up: str = "auto") -> Float64[np.ndarray, "3 3"]:
    """The rotation of the scene's world that makes z point up, as REP-105 asks of the frame ``map``.

    ``up`` is 'x,y,z', 'none' (the identity), or 'auto', which takes the direction of ``up_of``.
    Raises BadInput as ``up_of`` and ``geometry.parse_up`` do.
    """
    if up == "none":
        return np.eye(3)
    return upright(parse_up(up) if up != "auto" else _up(scene, lambda: _sampled(scene)))


def upright_from_world(
    scene: Scene, points: Float[np.ndarray, "N 3"], poses: Float64[np.ndarray, "V 4 4"]
) -> Float64[np.ndarray, "4 4"]:
    """The motion that makes z point up: the scene's axis alignment, which also aligns the walls, else a rotation.

    If the scene does not know its up direction, it is estimated from ``points`` (world frame, metres) and ``poses``
    (world_from_camera). Raises BadInput when they show no floor.
    """
    aligned = getattr(scene, "axis_alignment", None)
    if aligned is not None:
        return np.asarray(aligned, np.float64)
    motion = np.eye(4)
    motion[:3, :3] = upright(_up(scene, lambda: (points, poses)))
    return motion


def _up(scene: Scene, seen: Callable[[], Seen]) -> Float64[np.ndarray, "3"]:
    if scene.world_up is not None:
        return np.asarray(scene.world_up, np.float64)
    points, poses = seen()
    frame_id = getattr(scene, "world_frame", None)
    if frame_id is None:
        found = find_up(points, poses[:, :3, 3], camera_up(poses))
    else:
        (found, _), problem = up_in_frame(points, frame_id, poses[:, :3, 3] if len(poses) else None)
        if problem:
            _log.warning("scene '%s': %s", scene.name, problem)
    _log.info("scene '%s': estimated up direction %s", scene.name, np.round(found, 3))
    return found


def _sampled(scene: Scene) -> Seen:
    """World points of some frames spread over the scene, and the poses of these frames.

    The points are those of the scene's cloud if no frame has depth. Frames that cannot be read or have no pose are left
    out. Raises BadInput where these are all.
    """
    if not len(scene):
        points = _own_points(scene)
        return points[:: 1 + len(points) // _MOST_POINTS], np.zeros((0, 4, 4))
    chosen = np.unique(np.linspace(0, len(scene) - 1, _VIEWS).astype(int))
    frames, fault = [], None
    for index in chosen:
        try:
            frame = scene.frame(int(index))
            _pose(frame)
            frames.append(frame)
        except BadInput as error:
            fault = fault or error
    if fault is not None and not frames:
        raise fault
    poses = np.stack([_pose(frame) for frame in frames])
    seen = [
        unproject(frame.depth_m, frame.camera, pose)[0]
        for frame, pose in zip(frames, poses, strict=True)
        if frame.depth_m is not None and frame.camera is not None
    ]
    points = np.concatenate(seen) if seen else _own_points(scene)
    return points[:: 1 + len(points) // _MOST_POINTS], poses


def _pose(frame: Frame) -> Float64[np.ndarray, "4 4"]:
    if frame.world_from_camera is None:
        raise BadInput(f"frame '{frame.name}' has no pose; to find which way is up, frames need one")
    return frame.world_from_camera


def _own_points(scene: Scene) -> Float64[np.ndarray, "N 3"]:
    cloud = scene.cloud
    if cloud is None:
        raise BadInput(
            f"scene '{scene.name}': which way is up is unknown, and without depth it cannot be found; "
            f"give it (wsss bag --up 0,0,1) or keep the world as it is (--up none)"
        )
    return cloud.xyz.astype(np.float64)


def turns_of(scene: Scene) -> int:
    """How many quarter turns make the images of a scene upright, from its poses; 0 where up is not known.

    Frames that cannot be read or have no pose are left out.
    """
    if not len(scene):
        return 0
    up = up_of(scene) if hasattr(scene, "world_frame") else scene.world_up
    return 0 if up is None else mounted_turns(_some_poses(scene), np.asarray(up, np.float64))


def _some_poses(scene: Scene) -> Iterator[Float64[np.ndarray, "4 4"]]:
    for index in spread(len(scene), _VIEWS):
        with suppress(BadInput):
            yield _pose(scene.frame(index))


# --- the cloud -------------------------------------------------------------------------------------


def cloud_of(scene: Scene, frames: Iterable[Frame] | None = None) -> Cloud:
    """The scene's own cloud; if it has none or an empty one, the cloud ``fused`` from its frames.

    ``frames`` replace the frames of the scene; they are read only if the cloud is fused. Frames without depth give a
    cloud without points; frames that cannot be read are left out (``readable_frames``). Raises BadInput when the cloud,
    or none of the frames, can be read.
    """
    return scene.cloud or fused(readable_frames(scene) if frames is None else frames)


def readable_frames(
    scene: Scene, indices: Sequence[int] | None = None, unread: dict[str, str] | None = None
) -> Iterator[Frame]:
    """The frames of a scene, or those with some ``indices``, without those that cannot be read.

    ``unread`` gets the reason of each of these under its number; without it, one warning names the first. Raises
    BadInput where none can be read.
    """
    chosen, found = range(len(scene)) if indices is None else indices, {} if unread is None else unread
    read = 0
    for index in chosen:
        try:
            frame = scene.frame(index)
        except BadInput as error:
            found[f"frame {index}"] = str(error)
            continue
        read += 1
        yield frame
    if found and not read:
        raise BadInput(f"none of {len(chosen)} frames can be read; the first: {next(iter(found.values()))}")
    if found and unread is None:
        first = next(iter(found.values()))
        _log.warning("%s: %d of %d frames cannot be read; the first: %s", scene.name, len(found), len(chosen), first)


def fused(frames: Iterable[Frame]) -> Cloud:
    """Fuse frames: one point for each voxel of 2 cm that is seen at least twice. Frames without depth add nothing.

    Raises BadInput for a frame with depth and camera, but without a usable pose.
    """
    voxels = VoxelMap()
    for frame in frames:
        fuse(voxels, frame)
    return voxels.cloud()


def fuse(voxels: VoxelMap, frame: Frame) -> None:
    """Add a frame to the map if it has depth and a camera. Raises BadInput as ``VoxelMap.add`` does."""
    if frame.depth_m is not None and frame.camera is not None:
        voxels.add(frame)
