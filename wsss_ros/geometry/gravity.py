"""Which way is up: the direction against gravity of a cloud, of cameras, or as a user gives it."""

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial import cKDTree

from wsss_ros.geometry.voxels import voxel_downsample
from wsss_ros.types import BadInput


def parse_up(text: str) -> Float64[np.ndarray, "3"]:
    """The unit vector of the text ``'x,y,z'``.

    Raises:
        BadInput: not three finite numbers, or all of them 0.
    """
    try:
        up = np.array([float(part) for part in text.split(",")])
    except ValueError:
        up = np.empty(0)
    length = np.linalg.norm(up)
    if up.shape != (3,) or not np.isfinite(length) or length < 1e-9:
        raise BadInput(f"up direction '{text}'; expected three numbers 'x,y,z', not all 0, such as '0,0,1' or '0,-1,0'")
    return up / length


def upright(up: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The smallest rotation that turns ``up`` to +z: ``R @ up = (0, 0, 1) * length of up``."""
    x, y, z = up / np.linalg.norm(up)
    off_axis = x * x + y * y
    if z < 0 and off_axis < 1e-24:
        return np.diag([1.0, -1.0, -1.0])  # straight down: half a turn about x
    s = 1 / (1 + z) if z >= 0 else (1 - z) / off_axis  # equal; each is exact where the other cancels
    return np.array([[1 - x * x * s, -x * y * s, -x], [-x * y * s, 1 - y * y * s, -y], [x, y, z]])


def camera_up(poses: Float[np.ndarray, "V 4 4"]) -> Float64[np.ndarray, "3"]:
    """The mean of the cameras' own up axes (-y of the optical frame) in the world frame, of unit length.

    This is the ``hint`` of ``find_up`` where poses are known.

    Args:
        poses: ``world_from_camera`` of each view.

    Raises:
        BadInput: the axes point in so different directions that their mean has no direction.
    """
    mean = -poses[:, :3, 1].astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    if not length > 0.1:
        raise BadInput("the cameras' up axes cancel out, so they give no hint of gravity; give up as 'x,y,z'")
    return mean / length


def find_up(
    xyz: Float[np.ndarray, "N 3"],
    viewpoints: Float[np.ndarray, "V 3"] | None = None,
    hint: Float[np.ndarray, "3"] | None = None,
) -> Float64[np.ndarray, "3"]:
    """Find the unit vector against gravity in an indoor cloud whose world frame has any orientation.

    Most surfaces of rooms are horizontal or vertical. So candidates come from the dominant normals, and each candidate
    is turned until the normals are parallel or perpendicular to it. The best candidate has a large plane below
    everything else, cameras included: the floor.

    Args:
        xyz: metres; points that are not finite are ignored.
        viewpoints: centres of the cameras, metres.
        hint: a rough up direction, right within about 35 degrees (see ``camera_up``). With it, no floor has to be in
            view.

    Raises:
        BadInput: the cloud has no planes, or two directions fit about equally well. A hint mostly helps then.
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
            "up cannot be determined: two directions fit about equally well (is a floor in view?); "
            "give up as 'x,y,z', or the camera poses with the cloud"
        )
    return best


_LEVEL = np.radians(12)  # a normal within this angle of vertical or horizontal counts as such


def _surfaces(xyz: np.ndarray, spacing: float = 0.04, patches: int = 15_000) -> tuple[np.ndarray, np.ndarray]:
    """Points on planar patches, thinned to an even density, and their normals, which may have either sign."""
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
    """The normals with the sign that makes each face its nearest camera."""
    _, nearest = cKDTree(viewpoints).query(points)
    away = np.einsum("pi,pi->p", normals, viewpoints[nearest] - points) < 0
    return np.where(away[:, None], -normals, normals)


def _directions(normals: np.ndarray, hint: np.ndarray | None) -> list[np.ndarray]:
    """Candidates for up, but for the sign: a dominant normal, perpendicular to two of them, or near the hint."""
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
    """``up`` turned until normals that are nearly parallel or perpendicular to it are so as exactly as possible."""
    for cone in (_LEVEL, *4 * (_LEVEL / 2,)):
        cosine = np.abs(normals @ up)
        flat, plumb = normals[cosine > np.cos(cone)], normals[cosine < np.sin(cone)]
        # The last term keeps ``up`` where there are no such normals.
        moment = (plumb.T @ plumb - flat.T @ flat) / len(normals) - 0.01 * np.outer(up, up)
        turned = np.linalg.eigh(moment)[1][:, 0]
        up = turned * np.copysign(1, turned @ up)
    return up


def _evidence(
    up: np.ndarray, points: np.ndarray, normals: np.ndarray, viewpoints: np.ndarray | None, hint: np.ndarray | None
) -> float:
    """How well ``up`` fits the surfaces, the floor, the cameras and the hint: a product of factors, most in 0..1."""
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
    """Share of the points in the largest horizontal slab (10 cm) below ``below`` with at most 5 % of them beneath."""
    edges = np.arange(height.min() - 0.1, height.max() + 0.15, 0.05)
    counts = np.histogram(height[level], edges)[0]
    slab = counts[:-1] + counts[1:]
    beneath = np.searchsorted(np.sort(height), edges[:-2] - 0.1) / len(height)
    eligible = (beneath <= 0.05) & (edges[2:] <= below)
    return float(slab[eligible].max(initial=0) / len(height))


def _walking_level(eyes: np.ndarray, viewpoints: np.ndarray) -> float:
    """1 where the cameras do not move along up; less, the more they do. People carry a camera along the floor."""
    spread = np.sqrt(viewpoints.var(axis=0).sum())
    return float(np.exp(-2 * eyes.std() / spread)) if spread > 0.2 else 1.0


def _tops_share(height: np.ndarray, level: np.ndarray, cosine: np.ndarray) -> float:
    """Of the horizontal surfaces between floor and ceiling, the share that faces up, as tables and beds do."""
    low, high = np.percentile(height, (1, 99))
    between = level & (height > low + 0.15) & (height < high - 0.15)
    tops, undersides = np.mean(between & (cosine > 0)), np.mean(between & (cosine < 0))
    return float((tops + 0.005) / (tops + undersides + 0.01))
