"""Slow, obvious twins of functions of scenes.rig and scenes.scannet_labels, in float64."""

import numpy as np

from wsss_ros.types import Camera


def labels_on_depth(labels: np.ndarray, color: Camera, depth: Camera) -> np.ndarray:
    """Pixel by pixel: a ray through the depth pixel, its place in the colour image, the label there."""
    k_color, k_depth = color.resized(labels.shape[1], labels.shape[0]).matrix(), depth.matrix()
    out = np.full((depth.height, depth.width), 255, np.uint8)
    for v in range(depth.height):
        for u in range(depth.width):
            at = k_color @ np.linalg.inv(k_depth) @ [u, v, 1]
            x, y = int(np.rint(at[0])), int(np.rint(at[1]))
            if 0 <= x < labels.shape[1] and 0 <= y < labels.shape[0]:
                out[v, u] = labels[y, x]
    return out


def ids_by_segment(groups: list[dict], segment_of_point: list[int], nyu40_of_name: dict[str, int]) -> list[int]:
    """Point by point: of the objects that contain its segment, the last one listed gives the name."""
    ids = []
    for segment in segment_of_point:
        names = [group["label"] for group in groups if segment in group["segments"]]
        ids.append(nyu40_of_name.get(names[-1], 0) if names else 0)
    return ids
