"""Labels for the points of a LiDAR scan: those of the pixels at which the camera sees the points."""

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, UInt8

from wsss_ros.fusion.map_kernels import NOT_SEEN
from wsss_ros.fusion.map_views import LabelledScan
from wsss_ros.geometry import project
from wsss_ros.geometry.compiled import compiled, readonly
from wsss_ros.types import Camera

_NEARER_M, _NEARER_SHARE = 0.1, 0.1  # how much nearer a point must be to hide another one; the share is of its distance


def label_scan(
    points_world: Float64[np.ndarray, "N 3"],
    labels: UInt8[np.ndarray, "H W"],
    camera: Camera,
    world_from_camera: Float64[np.ndarray, "4 4"],
    cell_px: int = 6,
    stamp_ns: int = 0,
    dt_s: float = 0.0,
) -> LabelledScan:
    """Give each point the label of its pixel, where the camera sees it.

    The LiDAR is not where the camera is, so it sees points that are hidden from the camera. A point is hidden where
    another one in its cell of the image, or in the eight cells around, is nearer by more than 0.1 m and more than a
    tenth of the distance.

    Args:
        points_world: the points where they were at the stamp of the scan.
        labels: label image of the size of the camera.
        camera: that took the image.
        world_from_camera: its pose at the stamp of the image.
        cell_px: edge of a cell; about the distance of two beams in the image.
        stamp_ns: of the scan.
        dt_s: stamp of the image minus stamp of the scan.

    Returns:
        The points with their labels, NOT_SEEN for those that the camera does not see; the nearest depth of each cell as
        a depth image, 0 without a point, and the camera of that image.
    """
    uv, z = project(points_world, camera, world_from_camera)
    coarse = coarser(camera, cell_px)
    nearest = np.zeros((coarse.height, coarse.width), np.float32)
    _nearest(uv, z, camera.width, camera.height, cell_px, nearest)
    given = np.empty(len(uv), np.uint8)
    _labels_of_seen(uv, z, readonly(labels), cell_px, nearest, given)
    return LabelledScan(points_world, given, nearest, coarse, world_from_camera, stamp_ns, dt_s)


def coarser(camera: Camera, cell_px: int) -> Camera:
    """The camera whose pixels are cells of ``cell_px`` x ``cell_px`` pixels; the last ones may be cut off."""
    columns, rows = math.ceil(camera.width / cell_px), math.ceil(camera.height / cell_px)
    cx, cy = (camera.cx + 0.5) / cell_px - 0.5, (camera.cy + 0.5) / cell_px - 0.5
    return Camera(camera.fx / cell_px, camera.fy / cell_px, cx, cy, columns, rows, camera.distortion)


def fitted(labels: np.ndarray, width: int, height: int) -> np.ndarray:
    """A label image at another size of the same proportions, by the nearest pixel; as it is for other proportions."""
    rows, columns = labels.shape
    if (rows, columns) == (height, width) or abs(columns * height - width * rows) > max(width, columns):
        return labels
    at_rows = (np.arange(height) + 0.5) * rows / height
    at_columns = (np.arange(width) + 0.5) * columns / width
    return labels[at_rows.astype(np.int64)[:, None], at_columns.astype(np.int64)]


@compiled
@no_type_check
def _nearest(uv, z, width, height, cell, nearest):
    for n in range(len(z)):
        u, v = uv[n, 0] + 0.5, uv[n, 1] + 0.5
        if not (z[n] > 0 and 0 <= u < width and 0 <= v < height):
            continue
        row, column = np.int64(v) // cell, np.int64(u) // cell
        if nearest[row, column] == 0 or z[n] < nearest[row, column]:
            nearest[row, column] = z[n]


@compiled
@no_type_check
def _labels_of_seen(uv, z, labels, cell, nearest, given):
    height, width = labels.shape
    rows, columns = nearest.shape
    for n in range(len(z)):
        given[n] = NOT_SEEN
        u, v = uv[n, 0] + 0.5, uv[n, 1] + 0.5
        if not (z[n] > 0 and 0 <= u < width and 0 <= v < height):
            continue
        row, column = np.int64(v) // cell, np.int64(u) // cell
        least = z[n]
        for i in range(max(row - 1, 0), min(row + 2, rows)):
            for j in range(max(column - 1, 0), min(column + 2, columns)):
                if 0 < nearest[i, j] < least:
                    least = np.float64(nearest[i, j])
        if z[n] - least <= max(_NEARER_M, _NEARER_SHARE * z[n]):
            given[n] = labels[np.int64(v), np.int64(u)]
