"""A fused cloud in a frame with depth: what the map says of each pixel."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

from wsss_ros.geometry import neighbors, posed_depth, unproject
from wsss_ros.labels import UNLABELLED
from wsss_ros.types import Frame


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
