"""Rigid motions, projection, visibility, links, voxels and gravity, in float64 numpy.

Poses are ``world_from_camera`` (4x4, metres); pixels ``(u, v)`` have the centre of the top-left pixel
at (0, 0); missing depth is 0.
"""

import inspect

import numba
import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from wsss_ros.types import BadInput, Camera, Cloud, Frame, Links

VOXEL_RANGE = 1 << 20  # voxel coordinates are packed as 3 x 21 bits into one int64


def compiled(function):
    """numba, kept on disk between runs where there is a place to write and compiled anew where there is none."""
    function = inspect.unwrap(function)  # the type checks of a test run do not compile
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba: "no locator available": read-only installation, no home
        return numba.njit(nogil=True)(function)


def readonly(array: np.ndarray) -> np.ndarray:
    """A contiguous read-only view: one type for numba, whether the caller's array is writable or a message's."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


# --- rigid motions ---------------------------------------------------------------------------------


def invert(pose: Float[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """The general inverse: real poses are rounded text, and this way ``invert(T) @ T`` is 1 for them too."""
    return np.linalg.inv(pose.astype(np.float64))


def transform(pose: Float[np.ndarray, "4 4"], xyz: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 3"]:
    """``xyz`` carried from the pose's right-hand frame to its left-hand one."""
    return xyz.astype(np.float64) @ pose[:3, :3].T.astype(np.float64) + pose[:3, 3]


def check_pose(pose: np.ndarray, tolerance: float = 1e-2) -> None:
    """Raises BadInput unless ``pose`` is a finite rigid 4x4 motion, up to ``tolerance`` in ``R Rᵀ = 1``."""
    pose = np.asarray(pose)
    if pose.shape != (4, 4):
        raise BadInput(f"pose of shape {pose.shape}; wanted a 4x4 matrix world_from_camera")
    if not np.isfinite(pose).all():
        raise BadInput("pose with NaN or infinite values, which usually mark lost tracking; leave this frame out")
    rotation = pose[:3, :3].astype(np.float64)
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > tolerance or np.linalg.det(rotation) < 0:
        raise BadInput(
            f"pose is not rigid: R Rᵀ is off the identity by {off:.3g} and det R is {np.linalg.det(rotation):.3g}; "
            "wanted rotation and translation only, no scale, shear or mirror"
        )
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise BadInput(f"pose with last row {pose[3].tolist()}; wanted 0 0 0 1 (is the matrix transposed?)")


def quaternion_to_matrix(xyzw: np.ndarray, tolerance: float = 0.01) -> Float64[np.ndarray, "3 3"]:
    """Rotation of a quaternion ``x y z w``; one off unit length by at most ``tolerance`` is normalised.

    Raises BadInput for NaN, for the zero quaternion of an unset message, and for other lengths.
    """
    xyzw = np.asarray(xyzw, np.float64)
    if xyzw.shape != (4,) or not np.isfinite(xyzw).all():
        raise BadInput(f"quaternion {xyzw.tolist()}; wanted four finite numbers x y z w")
    length = np.linalg.norm(xyzw)
    if length < 1e-6:
        raise BadInput("quaternion 0 0 0 0: the orientation was never set; the identity is x y z w = 0 0 0 1")
    if abs(length - 1) > tolerance:
        raise BadInput(f"quaternion {xyzw.tolist()} of length {length:.4g}; wanted length 1: normalise at the source")
    return Rotation.from_quat(xyzw).as_matrix()


def matrix_to_quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float64[np.ndarray, "4"]:
    """The unit quaternion ``x y z w`` with ``w >= 0`` of the nearest rotation."""
    return Rotation.from_matrix(rotation).as_quat(canonical=True)


# --- cameras ---------------------------------------------------------------------------------------


def check_camera(camera: Camera) -> None:
    """Raises BadInput for a camera that cannot project."""
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not np.isfinite(values).all() or camera.fx <= 0 or camera.fy <= 0:
        raise BadInput(f"uncalibrated camera: fx fy cx cy = {values}; wanted finite values and focal lengths above 0")


def project(
    points_world: Float[np.ndarray, "N 3"], camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]
) -> tuple[Float64[np.ndarray, "N 2"], Float64[np.ndarray, "N"]]:
    """Sub-pixel positions and depths along the optical axis (eq. 3); uv is NaN where the depth is not above 0."""
    check_camera(camera)
    camera_from_world = invert(world_from_camera)
    x, y, depth = camera_from_world[:3, :3] @ points_world.T + camera_from_world[:3, 3:]
    ahead = np.where(depth > 0, depth, np.nan)
    uv = np.empty((len(depth), 2))
    uv[:, 0] = x / ahead * camera.fx + camera.cx
    uv[:, 1] = y / ahead * camera.fy + camera.cy
    return uv, depth


def unproject(
    depth_m: Float[np.ndarray, "H W"], camera: Camera, world_from_camera: Float[np.ndarray, "4 4"] | None = None
) -> tuple[Float64[np.ndarray, "M 3"], Int64[np.ndarray, "M"]]:
    """One point for each pixel with finite depth above 0, row by row, and the flat index of that pixel.

    Points are in the world frame, or in the camera's where no pose is given.
    Raises BadInput when the camera is of another size than the depth image.
    """
    check_camera(camera)
    _check_depth_size(depth_m, camera)
    pixel_index = np.flatnonzero((depth_m > 0) & np.isfinite(depth_m))
    z = depth_m.ravel()[pixel_index].astype(np.float64)
    right = (np.arange(camera.width) - camera.cx) / camera.fx
    down = (np.arange(camera.height) - camera.cy) / camera.fy
    v, u = np.divmod(pixel_index.astype(np.int32), np.int32(camera.width))
    points = np.empty((len(z), 3))
    points[:, 0], points[:, 1], points[:, 2] = right[u] * z, down[v] * z, z
    return (points if world_from_camera is None else transform(world_from_camera, points)), pixel_index


def visible(
    uv: Float[np.ndarray, "N 2"],
    depth: Float[np.ndarray, "N"],
    depth_image: Float[np.ndarray, "H W"],
    tolerance: float = 0.05,
) -> Bool[np.ndarray, "N"]:
    """Whether points projected to ``uv`` at ``depth`` are what the camera saw there.

    In front of the camera, inside the image, and within ``tolerance`` metres of the depth at the nearest
    pixel, which must not be missing.
    """
    height, width = depth_image.shape
    inside = np.flatnonzero(_inside(uv, depth, width, height))
    column, row = np.floor(uv[inside] + 0.5).astype(np.int32).T
    seen = depth_image[row, column].astype(np.float64)
    result = np.zeros(len(uv), bool)
    result[inside] = (seen > 0) & (np.abs(seen - depth[inside]) <= tolerance)
    return result


def link(cloud: Cloud, frame: Frame, tolerance: float = 0.05) -> Links:
    """Which points of the cloud the frame sees, and at which sub-pixel positions.

    Raises BadInput when the frame lacks depth, camera or pose.
    """
    check_posed_depth(frame)
    uv, depth = project(cloud.xyz, frame.camera, frame.world_from_camera)
    point = np.flatnonzero(visible(uv, depth, frame.depth_m, tolerance))
    return Links(point=point, uv=uv[point])


def check_posed_depth(frame: Frame) -> None:
    """Raises BadInput, naming what is missing, unless the frame has depth, camera and a sound pose."""
    parts = {"depth": frame.depth_m, "camera": frame.camera, "pose": frame.world_from_camera}
    missing = [name for name, part in parts.items() if part is None]
    if missing:
        raise BadInput(f"frame '{frame.name}' has no {' and no '.join(missing)}; wanted depth, camera and pose")
    check_camera(frame.camera)
    _check_depth_size(frame.depth_m, frame.camera)
    check_pose(frame.world_from_camera)


def _inside(uv: np.ndarray, depth: np.ndarray, width: int, height: int) -> np.ndarray:
    u, v = uv[:, 0], uv[:, 1]
    return (depth > 0) & (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)


def _check_depth_size(depth_m: np.ndarray, camera: Camera) -> None:
    if depth_m.shape != (camera.height, camera.width):
        height, width = depth_m.shape
        raise BadInput(
            f"depth image of {width}x{height} with a camera of {camera.width}x{camera.height}; "
            "wanted depth registered to the colour image, of the camera's size"
        )


# --- voxels ----------------------------------------------------------------------------------------


def voxel_downsample(
    xyz: Float[np.ndarray, "N 3"], size: float
) -> tuple[Int64[np.ndarray, "M"], Int64[np.ndarray, "N"]]:
    """The first point of each occupied voxel, in the order of the points, and the voxel each point is in.

    Voxels are cubes of edge ``size`` with a corner at the origin: ``floor(xyz / size)``.
    Raises BadInput for NaN or infinite points and for coordinates beyond 2^20 voxels.
    """
    if not size > 0:
        raise BadInput(f"voxel size {size}; wanted metres above 0")
    capacity = table_size(len(xyz))
    keys, values = np.full(capacity, -1, np.int64), np.empty(capacity, np.int64)
    first, voxel = np.empty(len(xyz), np.int64), np.empty(len(xyz), np.int64)
    count = _assign_voxels(readonly(xyz), float(size), keys, values, first, voxel)
    if count < 0:
        bad = xyz[-count - 1].tolist()
        raise BadInput(f"point {bad} is not finite or more than {VOXEL_RANGE} voxels of {size} m from the origin")
    return first[:count].copy(), voxel


def table_size(entries: int) -> int:
    """Slots of a hash table for so many keys: a power of two, at most half full."""
    return 1 << max(4, (2 * entries - 1).bit_length())


@compiled
def voxel_key(x, y, z, size):
    """Voxel coordinates packed into one int64 that is never negative, or -1 where they are out of range."""
    i, j, k = np.floor(x / size), np.floor(y / size), np.floor(z / size)
    if not (abs(i) < VOXEL_RANGE and abs(j) < VOXEL_RANGE and abs(k) < VOXEL_RANGE):
        return np.int64(-1)
    return ((np.int64(i) + VOXEL_RANGE) << 42) | ((np.int64(j) + VOXEL_RANGE) << 21) | (np.int64(k) + VOXEL_RANGE)


@compiled
def find_slot(keys, key):
    """The slot of ``key``, or the empty one (-1) where it belongs; linear probing, ``len(keys)`` a power of two."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing; the high bits are the good ones
    mask = len(keys) - 1
    slot = np.int64(mixed >> np.uint64(32)) & mask
    while keys[slot] != key and keys[slot] != -1:
        slot = (slot + 1) & mask
    return slot


@compiled
def _assign_voxels(xyz, size, keys, values, first, voxel):
    count = 0
    for n in range(len(xyz)):
        key = voxel_key(np.float64(xyz[n, 0]), np.float64(xyz[n, 1]), np.float64(xyz[n, 2]), size)
        if key < 0:
            return -n - 1
        slot = find_slot(keys, key)
        if keys[slot] < 0:
            keys[slot], values[slot], first[count] = key, count, n
            count += 1
        voxel[n] = values[slot]
    return count


# --- gravity ---------------------------------------------------------------------------------------


def parse_up(text: str) -> Float64[np.ndarray, "3"]:
    """The unit vector of ``'x,y,z'``. Raises BadInput for anything else."""
    try:
        up = np.array([float(part) for part in text.split(",")])
    except ValueError:
        up = np.empty(0)
    length = np.linalg.norm(up)
    if up.shape != (3,) or not np.isfinite(length) or length < 1e-9:
        raise BadInput(f"up direction '{text}'; wanted three numbers 'x,y,z', not all 0, such as '0,0,1' or '0,-1,0'")
    return up / length


def upright(up: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The smallest rotation with ``R @ up = (0, 0, 1)``."""
    x, y, z = up / np.linalg.norm(up)
    off_axis = x * x + y * y
    if z < 0 and off_axis < 1e-24:
        return np.diag([1.0, -1.0, -1.0])  # straight down: half a turn about x
    s = 1 / (1 + z) if z >= 0 else (1 - z) / off_axis  # equal; each is exact where the other cancels
    return np.array([[1 - x * x * s, -x * y * s, -x], [-x * y * s, 1 - y * y * s, -y], [x, y, z]])


def camera_up(poses: Float[np.ndarray, "V 4 4"]) -> Float64[np.ndarray, "3"]:
    """The mean of the cameras' own up (-y) axes in the world: the hint for find_up where poses are known."""
    mean = -poses[:, :3, 1].astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    if not length > 0.1:
        raise BadInput("the cameras' up axes cancel out, so they say nothing about gravity; give up as 'x,y,z'")
    return mean / length


def find_up(
    xyz: Float[np.ndarray, "N 3"],
    viewpoints: Float[np.ndarray, "V 3"] | None = None,
    hint: Float[np.ndarray, "3"] | None = None,
) -> Float64[np.ndarray, "3"]:
    """The unit vector against gravity of an indoor cloud whose world is neither z-up nor level.

    Surfaces of rooms are mostly level or plumb: candidates come from the dominant normals, and each is
    turned until the normals are parallel or perpendicular to it. Among them wins the one with a large
    plane below everything, cameras included: the floor. ``viewpoints`` are camera centres; ``hint`` is a
    rough up (within about 35 degrees, see ``camera_up``), which suffices where no floor is in view.

    Raises BadInput when the cloud has no planes, or when, mostly for want of a hint, two directions fit
    about equally well.
    """
    if hint is not None:
        hint = parse_up(",".join(map(str, hint)))
    if viewpoints is not None and len(viewpoints) == 0:
        viewpoints = None
    points, normals = _surfaces(xyz)
    if len(points) < 30:
        raise BadInput(f"up cannot be found: {len(points)} planar patches in {len(xyz)} points; give up as 'x,y,z'")
    if viewpoints is not None:
        normals = _facing(points, normals, viewpoints)
    candidates = [sign * _level(up, normals) for up in _directions(normals, hint) for sign in (1, -1)]
    scores = np.array([_evidence(up, points, normals, viewpoints, hint) for up in candidates])
    best = candidates[int(scores.argmax())]
    rivals = scores[[up @ best < np.cos(np.radians(15)) for up in candidates]].max(initial=0)
    if rivals > 0.8 * scores.max():
        raise BadInput(
            "up cannot be told: two directions fit about equally well (is a floor in view?); "
            "give up as 'x,y,z', or the camera poses with the cloud"
        )
    return best


_LEVEL = np.radians(12)  # normals this near to plumb or level count as such


def _surfaces(xyz: np.ndarray, spacing: float = 0.04, patches: int = 15_000) -> tuple[np.ndarray, np.ndarray]:
    """Points on planar patches, thinned to even density, and their normals (of either sign)."""
    xyz = xyz[np.isfinite(xyz).all(axis=1)].astype(np.float64)
    points = xyz[voxel_downsample(xyz, spacing)[0]]
    count = min(24, len(points))
    if count < 8:
        return np.empty((0, 3)), np.empty((0, 3))
    centres = points[np.linspace(0, len(points) - 1, min(patches, len(points))).astype(np.int64)]
    _, near = cKDTree(points).query(centres, count)
    offsets = points[near] - points[near].mean(axis=1, keepdims=True)
    spread, axes = np.linalg.eigh(np.einsum("pki,pkj->pij", offsets, offsets))
    planar = (spread[:, 0] < 0.15 * spread[:, 1]) & (spread[:, 1] > 0.15 * spread[:, 2])
    return centres[planar], axes[planar, :, 0]


def _facing(points: np.ndarray, normals: np.ndarray, viewpoints: np.ndarray) -> np.ndarray:
    """Normals turned to the nearest camera."""
    _, nearest = cKDTree(viewpoints).query(points)
    away = np.einsum("pi,pi->p", normals, viewpoints[nearest] - points) < 0
    return np.where(away[:, None], -normals, normals)


def _directions(normals: np.ndarray, hint: np.ndarray | None) -> list[np.ndarray]:
    """Where up may be, sign apart: along a dominant normal, plumb to two of them, or near the hint."""
    seeds = normals[np.linspace(0, len(normals) - 1, min(500, len(normals))).astype(np.int64)]
    support = (np.abs(seeds @ normals.T) > np.cos(_LEVEL)).mean(axis=1)
    modes: list[np.ndarray] = []
    for seed in seeds[np.argsort(-support, kind="stable")]:
        if len(modes) < 6 and all(abs(seed @ mode) < np.cos(2 * _LEVEL) for mode in modes):
            modes.append(seed)
    found = modes + [np.cross(a, b) for n, a in enumerate(modes) for b in modes[:n]]
    if hint is not None:
        found += [hint, *(hint - (hint @ mode) * mode for mode in modes)]
    return [up / np.linalg.norm(up) for up in found if np.linalg.norm(up) > 0.5]


def _level(up: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """``up`` turned until the normals near it are parallel, and those near its horizon perpendicular, to it."""
    for cone in (_LEVEL, *4 * (_LEVEL / 2,)):
        cosine = np.abs(normals @ up)
        flat, plumb = normals[cosine > np.cos(cone)], normals[cosine < np.sin(cone)]
        moment = (plumb.T @ plumb - flat.T @ flat) / len(normals) - 0.01 * np.outer(up, up)  # stays where nothing pulls
        turned = np.linalg.eigh(moment)[1][:, 0]
        up = turned * np.copysign(1, turned @ up)
    return up


def _evidence(
    up: np.ndarray, points: np.ndarray, normals: np.ndarray, viewpoints: np.ndarray | None, hint: np.ndarray | None
) -> float:
    """How well ``up`` explains the surfaces, the floor, the cameras and the hint: a product of shares."""
    height, cosine = points @ up, normals @ up
    level = np.abs(cosine) > np.cos(_LEVEL)
    score = np.mean(level | (np.abs(cosine) < np.sin(_LEVEL))) ** 2  # any direction has a fifth by chance
    if hint is not None:
        score *= np.exp(-((np.arccos(np.clip(up @ hint, -1, 1)) / np.radians(35)) ** 2))
    if viewpoints is None:
        middle = np.percentile(height, (1, 99)).mean()
        return float(score * np.mean(height < middle) * (0.1 + _floor_share(height, level, np.inf)))
    eyes = viewpoints @ up
    floor = _floor_share(height, level & (cosine > 0), np.percentile(eyes, 5) - 0.3)
    return float(score * _walking_level(eyes, viewpoints) * _tops_share(height, level, cosine) * (0.1 + floor))


def _floor_share(height: np.ndarray, level: np.ndarray, below: float) -> float:
    """Share of the surface in the largest level slab (10 cm) below ``below`` with next to nothing beneath it."""
    edges = np.arange(height.min() - 0.1, height.max() + 0.15, 0.05)
    counts = np.histogram(height[level], edges)[0]
    slab = counts[:-1] + counts[1:]
    beneath = np.searchsorted(np.sort(height), edges[:-2] - 0.1) / len(height)
    eligible = (beneath <= 0.05) & (edges[2:] <= below)
    return float(slab[eligible].max(initial=0) / len(height))


def _walking_level(eyes: np.ndarray, viewpoints: np.ndarray) -> float:
    """A camera is carried along the floor rather than up and down: 1 for no motion along up."""
    spread = np.sqrt(viewpoints.var(axis=0).sum())
    return float(np.exp(-2 * eyes.std() / spread)) if spread > 0.2 else 1.0


def _tops_share(height: np.ndarray, level: np.ndarray, cosine: np.ndarray) -> float:
    """Of the level surfaces between floor and ceiling, the share that faces up: tables and beds are seen from above."""
    low, high = np.percentile(height, (1, 99))
    between = level & (height > low + 0.15) & (height < high - 0.15)
    tops, undersides = np.mean(between & (cosine > 0)), np.mean(between & (cosine < 0))
    return float((tops + 0.005) / (tops + undersides + 0.01))
