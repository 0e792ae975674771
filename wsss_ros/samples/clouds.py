"""Training clouds as a robot gets them: from some of a scene's frames, tilted, cut, thinned and noisy.

``draw`` takes the points of a sample from the scene, ``placed`` moves them to the coordinates of the network. By
default a sample is a random part of the complete cloud of the scene (``augment.CloudAugment``).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64, UInt8

from wsss_ros.geometry import transform, unproject
from wsss_ros.geometry.voxels import voxel_downsample
from wsss_ros.samples import augment
from wsss_ros.samples.augment import CloudAugment
from wsss_ros.samples.augment_tags import union_tags
from wsss_ros.samples.prepared import LEAST_POINTS, PreparedScene

NEAR_M, FAR_M = 0.2, 5.0  # depth that is accumulated, as in VoxelMapConfig
_MOST_PIXELS = 400_000  # of all frames of an accumulated cloud, approximately
_ENOUGH_FRAMES = 4  # from this number of frames on, a voxel must be seen twice


@dataclass(frozen=True)
class DrawnCloud:
    """Points in the scene's world frame; what the scene has not is None: colours, truth, regions, fused labels.

    ``tags`` and ``known`` are multi-hot, as in ``PreparedScene``. They are those of the scene, or of the frames that
    the points come from.
    """

    xyz: Float[np.ndarray, "N 3"]
    rgb: UInt8[np.ndarray, "N 3"] | None
    truth: UInt8[np.ndarray, "N"] | None
    tags: Float32[np.ndarray, "C"]
    known: Float32[np.ndarray, "C"]
    region: Int32[np.ndarray, "N"] | None = None
    fused_label: UInt8[np.ndarray, "N"] | None = None
    fused_confidence: Float32[np.ndarray, "N"] | None = None

    def rows(self, chosen: np.ndarray) -> "DrawnCloud":
        """Some of the points, by their indices."""
        columns = self.rgb, self.truth, self.region, self.fused_label, self.fused_confidence
        rgb, truth, *others = (None if column is None else column[chosen] for column in columns)
        return DrawnCloud(self.xyz[chosen], rgb, truth, self.tags, self.known, *others)


def draw(scene: PreparedScene, settings: CloudAugment, rng: np.random.Generator) -> DrawnCloud:
    """The ``settings.points`` points of a sample. Points repeat only if the cloud has fewer."""
    cloud = _whole(scene)
    if _chance(rng, settings.accumulated):
        frames = random_run(rng, len(scene.poses), settings.frames)
        seen = accumulate(scene, frames, settings.voxel_m)
        cloud = seen if len(seen.xyz) >= LEAST_POINTS else cloud
    if _chance(rng, settings.cut):
        height = transform(scene.upright_from_world, cloud.xyz)[:, 2]
        below = np.flatnonzero(height < np.quantile(height, 0.01) + rng.uniform(*settings.cut_m))
        cloud = cloud.rows(below) if len(below) >= LEAST_POINTS else cloud
    if settings.crop_m:
        cloud = cloud.rows(_column(transform(scene.upright_from_world, cloud.xyz), settings.crop_m, rng))
    if settings.thinned_m[1] > 0:
        cloud = cloud.rows(voxel_downsample(cloud.xyz, max(1e-3, rng.uniform(*settings.thinned_m)))[0])
    return cloud.rows(augment.sample_points(rng, len(cloud.xyz), settings.points))


def placed(
    xyz: Float[np.ndarray, "N 3"], scene: PreparedScene, settings: CloudAugment, rng: np.random.Generator
) -> Float64[np.ndarray, "N 3"]:
    """World points as the network takes them: upright (but for a random tilt), centred, turned, scaled and noisy."""
    matrix = augment.random_cloud_matrix(rng, settings.rotation_deg, settings.flip)
    if settings.noise_m:
        xyz = xyz + rng.uniform(0, settings.noise_m) * camera_noise(rng, xyz, scene.poses[:, :3, 3])
    if settings.tilt_deg or settings.scale != (1.0, 1.0):
        matrix = rng.uniform(*settings.scale) * random_tilt(rng, settings.tilt_deg) @ matrix
    upright = transform(scene.upright_from_world, xyz)
    return (upright - upright.mean(axis=0)) @ matrix.T


def random_run(rng: np.random.Generator, available: int, count: tuple[int, int]) -> Int64[np.ndarray, "K"]:
    """The indices of a random run of consecutive frames; its random length is within ``count``, at most all frames."""
    length = min(int(rng.integers(count[0], count[1] + 1)), available)
    return np.arange(length) + rng.integers(available - length + 1)


def accumulate(scene: PreparedScene, frames: Int64[np.ndarray, "K"], voxel_m: float) -> DrawnCloud:
    """The cloud that the depth images of some frames give, with their noise and holes: what a voxel map publishes.

    There is one point for each voxel that is seen twice (once if there are few frames): the mean position and colour
    of its pixels. It has the label of one of them. The tags are those of the frames, or of the scene if a frame has no
    tag. Most pixels of long runs are left out.
    """
    step = max(1, math.ceil(math.sqrt(len(frames) * scene.depth_mm[0].size / _MOST_PIXELS)))
    columns = zip(*(_pixels(scene, int(frame), step) for frame in frames), strict=True)
    xyz, rgb, truth = (np.concatenate(parts) for parts in columns)
    first, voxel = voxel_downsample(xyz, voxel_m)
    hits = np.bincount(voxel, minlength=len(first))
    kept = np.flatnonzero(hits >= (2 if len(frames) >= _ENOUGH_FRAMES else 1))

    def mean(values: np.ndarray) -> Float64[np.ndarray, "M 3"]:
        sums = (np.bincount(voxel, values[:, axis], len(first)) for axis in range(3))
        return np.stack([total[kept] / hits[kept] for total in sums], axis=1)

    colors, labels = np.rint(mean(rgb)).astype(np.uint8), truth[first[kept]]
    return DrawnCloud(mean(xyz), colors, labels if scene.frame_truth is not None else None, *_tags(scene, frames))


def frame_points(
    scene: PreparedScene, frame: int, step: int, near_m: float = 0.0, far_m: float = math.inf
) -> tuple[Float64[np.ndarray, "M 3"], UInt8[np.ndarray, "M 3"], Int64[np.ndarray, "M"]]:
    """World points and colours of every ``step``-th row and column of a frame that has depth in a range.

    Returns also the pixel of each point in the depth image, row * width + column.
    """
    depth_m = scene.depth_mm[frame].astype(np.float32) / 1000
    depth_m[depth_m < near_m] = 0
    xyz, pixel = unproject(depth_m, scene.camera(frame), scene.poses[frame], step, far_m)
    v, u = np.divmod(pixel, depth_m.shape[1])
    height, width = scene.images.shape[2:]
    row, column = v * height // depth_m.shape[0], u * width // depth_m.shape[1]
    return xyz, scene.images[frame][:, row, column].T, pixel


def camera_noise(
    rng: np.random.Generator, xyz: Float[np.ndarray, "N 3"], cameras: Float[np.ndarray, "F 3"]
) -> Float64[np.ndarray, "N 3"]:
    """Random offsets along the rays from the nearest camera; the deviation is (distance / 2 m)^2, in metres.

    The depth noise of structured light and stereo grows with the square of the distance.
    """
    squared = (xyz**2).sum(1)[:, None] - 2 * xyz @ cameras.T + (cameras**2).sum(1)
    ray = xyz - cameras[squared.argmin(axis=1)]
    distance = np.linalg.norm(ray, axis=1, keepdims=True)
    return ray * (distance / 4) * rng.standard_normal((len(xyz), 1))


def random_tilt(rng: np.random.Generator, most_deg: float) -> Float64[np.ndarray, "3 3"]:
    """A rotation about a random horizontal axis, by a random angle up to ``most_deg``."""
    azimuth, angle = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(0, most_deg))
    x, y = math.cos(azimuth), math.sin(azimuth)
    cross = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _column(upright: Float[np.ndarray, "N 3"], edge_m: float, rng: np.random.Generator) -> Int64[np.ndarray, "M"]:
    """The points in an upright column on a square around a random point; all if it has too few for training."""
    offset = np.abs(upright[:, :2] - upright[rng.integers(len(upright)), :2])
    inside = np.flatnonzero((offset <= edge_m / 2).all(axis=1))
    return inside if len(inside) >= LEAST_POINTS else np.arange(len(upright))


def _whole(scene: PreparedScene) -> DrawnCloud:
    rgb = scene.rgb if len(scene.rgb) else None
    fused = scene.fused_label, scene.fused_confidence
    return DrawnCloud(scene.xyz, rgb, scene.cloud_truth, scene.tags, scene.known, scene.region, *fused)


def _chance(rng: np.random.Generator, share: float) -> bool:
    """True with the probability ``share``. Without a chance no number is drawn."""
    return share > 0 and rng.random() < share


def _pixels(scene: PreparedScene, frame: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points, colours and labels of every ``step``-th row and column of a frame that has depth."""
    xyz, rgb, pixel = frame_points(scene, frame, step, NEAR_M, FAR_M)
    if scene.frame_truth is None:
        return xyz, rgb, np.zeros(len(xyz), np.uint8)
    v, u = np.divmod(pixel, scene.depth_mm.shape[2])
    truth, (height, width) = scene.frame_truth[frame], scene.depth_mm.shape[1:]
    return xyz, rgb, truth[v * truth.shape[0] // height, u * truth.shape[1] // width]


def _tags(
    scene: PreparedScene, frames: Int64[np.ndarray, "K"]
) -> tuple[Float32[np.ndarray, "C"], Float32[np.ndarray, "C"]]:
    """The tags of a cloud of some frames, and which classes are known; those of the scene if a frame has no tag."""
    tags, known = scene.image_tags[frames], scene.image_known[frames]
    if not tags.any(axis=1).all():
        return scene.tags, scene.known
    return union_tags(tags, known)
