"""Between a fused cloud and frames with depth: which frame has measured a point, and what the map says of a pixel."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8

from wsss_ros.geometry import neighbors, posed_depth, project, unproject, visible
from wsss_ros.labels import UNLABELLED
from wsss_ros.types import Frame


class Observed(NamedTuple):
    """When and from where each of N points was measured; -1 and NaN for a point that no frame sees."""

    stamps_ns: Int64[np.ndarray, "N"]
    viewpoints: Float64[np.ndarray, "N 3"]


def observed(points: Float[np.ndarray, "N 3"], frames: Iterable[Frame], tolerance_m: float = 0.05) -> Observed:
    """Stamp and place of the nearest of the cameras whose depth images show each point.

    A cloud that was fused from frames has no times; these are times for the test of ``fuse``.

    Args:
        points: in the world frame, metres.
        frames: with depth, camera and pose; they are read one by one.
        tolerance_m: how far the depth may differ from that of the point, metres.

    Raises:
        BadInput: depth, camera or pose is missing or not sound.
    """
    stamps, viewpoints = np.full(len(points), -1, np.int64), np.full((len(points), 3), np.nan)
    nearest = np.full(len(points), np.inf)
    for frame in frames:
        depth_m, camera, pose = posed_depth(frame)
        uv, depth = project(points, camera, pose)
        closer = np.flatnonzero(visible(uv, depth, depth_m, tolerance_m) & (depth < nearest))
        stamps[closer], viewpoints[closer], nearest[closer] = frame.stamp_ns, pose[:3, 3], depth[closer]
    return Observed(stamps, viewpoints)


def labels_in_frame(
    points: Float[np.ndarray, "N 3"], label: UInt8[np.ndarray, "N"], frame: Frame, reach_m: float = 0.05
) -> UInt8[np.ndarray, "H W"]:
    """The labels that a labelled cloud gives to the pixels of a frame: those of the nearest points.

    Args:
        points: in the world frame, metres.
        label: of each point.
        frame: with depth, camera and pose.
        reach_m: a pixel whose nearest point is farther away than this, or that has no depth, is unlabelled.

    Raises:
        BadInput: depth, camera or pose is missing or not sound.
    """
    depth_m, camera, pose = posed_depth(frame)
    found = np.full(depth_m.shape, UNLABELLED, np.uint8)
    places, pixel = unproject(depth_m, camera, pose)
    if not len(points) or not len(places):
        return found
    middle = points.mean(axis=0, dtype=np.float64)
    near, seen = (torch.from_numpy((each - middle).astype(np.float32)) for each in (points, places))
    index, squared = neighbors.knn(near, seen, 1)
    reached = squared[:, 0].numpy() <= reach_m**2
    found.ravel()[pixel[reached]] = label[index[:, 0].numpy()[reached]]
    return found
