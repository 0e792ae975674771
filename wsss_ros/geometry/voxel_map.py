"""A voxel map of posed RGB-D frames: one coloured point for each voxel seen, in bounded memory."""

import logging
from collections import Counter
from typing import no_type_check

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.geometry.distortion import rays
from wsss_ros.geometry.projection import posed_depth
from wsss_ros.geometry.voxels import compact, find_slot, local_origin, table_size, voxel_key
from wsss_ros.types import BadInput, Camera, Cloud, Frame

_log = logging.getLogger("wsss_ros")
_FIRST_TABLE = 1 << 16
_NO_RAYS = readonly(np.zeros((0, 0, 2)))


class VoxelMapConfig(Config):
    """Size of the voxels, range of the depth, and the bounds of a map."""

    voxel_size_m: float = Field(0.02, ge=0.005, le=1, description="Edge of a voxel; one point each.")
    max_points: int = Field(
        1_000_000, ge=1_000, le=20_000_000, description="Bound on the map; full, it takes no new voxels."
    )
    min_depth_m: float = Field(0.2, ge=0, le=10, description="Nearer pixels are ignored.")
    max_depth_m: float = Field(5.0, gt=0, le=100, description="Farther pixels are ignored.")
    min_hits: int = Field(2, ge=1, le=100, description="Observations before a voxel is published.")


class VoxelMap:
    """Fuses frames into voxels. Each voxel has the mean position and mean colour of the pixels that are in it.

    A map with ``max_points`` voxels is ``full``: it takes no new voxels and keeps refining those it has. It needs at
    most about 120 bytes for each of ``max_points``. Not for use from several threads.

    Attributes:
        frames: number of fused frames.
        stamp_ns: stamp of the last of them.
        refused: counts of ``frames_without_depth`` (no pixel within the depth range), ``pixels_map_full`` and
            ``pixels_out_of_range`` (beyond 2^20 voxels from the map's origin, which is near its first camera).
    """

    def __init__(self, config: VoxelMapConfig | None = None) -> None:
        self.config = config or VoxelMapConfig()
        self.clear()
        self._warm_up()

    def clear(self) -> None:
        """Remove all voxels, reset the counts and free the memory."""
        self.frames = 0
        self.stamp_ns = 0
        self.refused: Counter[str] = Counter()
        self._count = 0
        self._origin: Float64[np.ndarray, "3"] | None = None
        self._keys, self._voxels = _table(_FIRST_TABLE)
        # Sums of x y z r g b, and hits. Memory pages that are never written take no memory.
        self._sums = np.zeros((self.config.max_points, 7))

    def __len__(self) -> int:
        """Number of voxels in the map, those below ``min_hits`` included."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether the map has ``max_points`` voxels and takes no new ones."""
        return self._count >= self.config.max_points

    def add(self, frame: Frame) -> int:
        """Fuse one frame.

        Args:
            frame: with depth, camera and pose.

        Returns:
            The number of new voxels.

        Raises:
            BadInput: depth, camera or pose is missing, their sizes differ, or the pose is not a rigid motion. The map
                is then unchanged.
        """
        depth_m, camera, world_from_camera = posed_depth(frame)
        if frame.rgb.shape[:2] != depth_m.shape:
            raise BadInput(
                f"frame '{frame.name}': colour of {frame.rgb.shape[1]}x{frame.rgb.shape[0]} and depth of "
                f"{depth_m.shape[1]}x{depth_m.shape[0]}; expected depth registered to the colour image"
            )
        if self._origin is None:
            self._origin = local_origin(world_from_camera[None, :3, 3])
        before, was_full = self._count, self.full
        used = self._fuse(frame.rgb, depth_m, camera, world_from_camera)
        if not used:
            self.refused["frames_without_depth"] += 1
            return 0
        self.frames += 1
        self.stamp_ns = frame.stamp_ns
        if self.full and not was_full:
            _log.warning("the map is full at %d points; new surfaces are ignored", self._count)
        return self._count - before

    def cloud(self) -> Cloud:
        """One point for each voxel with ``min_hits`` or more, oldest voxel first; stamped like the last frame.

        Positions are float64 where float32 is too coarse: more than 16 km from the origin.
        """
        sums = self._sums[: self._count]
        sums = sums[sums[:, 6] >= self.config.min_hits]
        mean = sums[:, :6] / sums[:, 6:]
        rgb = np.rint(mean[:, 3:]).astype(np.uint8)
        xyz = mean[:, :3] if self._origin is None else mean[:, :3] + self._origin
        return Cloud(xyz=compact(xyz), rgb=rgb, stamp_ns=self.stamp_ns)

    def _fuse(self, rgb: np.ndarray, depth_m: np.ndarray, camera: Camera, world_from_camera: np.ndarray) -> int:
        """Run the kernel over all pixels and enlarge the table as needed; returns how many pixels had depth."""
        config = self.config
        intrinsics = (float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy))
        limits = (config.voxel_size_m, config.min_depth_m, config.max_depth_m)
        pose = world_from_camera.astype(np.float64)
        if self._origin is not None:
            pose[:3, 3] -= self._origin
        depth, rgb, pose = readonly(depth_m), readonly(rgb), readonly(pose)
        table = _NO_RAYS if camera.distortion is None else rays(camera)
        row = used = 0
        while True:
            row, count, seen, refused, strayed = _fuse_rows(
                depth, rgb, intrinsics, table, pose, limits, self._keys, self._voxels, self._sums, self._count, row
            )
            self._count, used = count, used + seen
            self.refused.update(pixels_map_full=refused, pixels_out_of_range=strayed)
            if row == len(depth):
                return used
            self._enlarge(depth.shape[1])

    def _enlarge(self, row_length: int) -> None:
        keys, voxels = self._keys, self._voxels
        room = max(4 * self._count, 2 * (self._count + row_length))
        self._keys, self._voxels = _table(min(table_size(room), table_size(self.config.max_points + row_length)))
        _rehash(keys, voxels, self._keys, self._voxels)

    def _warm_up(self) -> None:
        """Compile the kernels now, not at the first frame: seconds the first time, then milliseconds from the cache."""
        camera, depth_m = Camera(1.0, 1.0, 0.0, 0.0, 1, 1), np.zeros((1, 1), np.float32)
        self._fuse(np.zeros((1, 1, 3), np.uint8), depth_m, camera, np.eye(4))
        _rehash(*_table(1), *_table(1))


def _table(slots: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(slots, -1, np.int64), np.empty(slots, np.int32)


@compiled
@no_type_check
def _fuse_rows(depth, rgb, intrinsics, rays, pose, limits, keys, voxels, sums, count, row):
    """Fuse the rows from ``row`` on, up to the first row that might fill more than half of the hash table.

    ``rays`` are those of a camera with distortion, else it is empty.
    """
    fx, fy, cx, cy = intrinsics
    size, near, far = limits
    height, width = depth.shape
    used = refused = strayed = 0
    last_key, last_voxel = np.int64(-2), np.int64(-1)
    while row < height:
        if min(count + width, len(sums)) * 2 > len(keys):
            break
        for column in range(width):
            z = np.float64(depth[row, column])
            if not (near <= z <= far and z > 0):
                continue
            if len(rays):
                a, b = rays[row, column, 0] * z, rays[row, column, 1] * z
                if a != a:  # NaN: the lens does not show this pixel
                    continue
            else:
                a, b = (column - cx) / fx * z, (row - cy) / fy * z
            used += 1
            x = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * z + pose[0, 3]
            y = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * z + pose[1, 3]
            w = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * z + pose[2, 3]
            key = voxel_key(x, y, w, size)
            if key != last_key:  # neighbouring pixels mostly share a voxel
                last_key, last_voxel = key, np.int64(-1)
                if key >= 0:
                    slot = find_slot(keys, key)
                    if keys[slot] < 0 and count < len(sums):
                        keys[slot], voxels[slot] = key, count
                        count += 1
                    if keys[slot] >= 0:
                        last_voxel = np.int64(voxels[slot])
            if last_voxel < 0:
                strayed += key < 0
                refused += key >= 0
                continue
            total = sums[last_voxel]
            total[0] += x
            total[1] += y
            total[2] += w
            total[3] += rgb[row, column, 0]
            total[4] += rgb[row, column, 1]
            total[5] += rgb[row, column, 2]
            total[6] += 1
        row += 1
    return row, count, used, refused, strayed


@compiled
@no_type_check
def _rehash(keys, voxels, new_keys, new_voxels):
    for slot in range(len(keys)):
        if keys[slot] >= 0:
            new = find_slot(new_keys, keys[slot])
            new_keys[new], new_voxels[new] = keys[slot], voxels[slot]
