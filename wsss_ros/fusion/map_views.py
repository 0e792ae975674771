"""What a semantic map takes and gives: labelled views, labelled scans, and the cloud of its voxels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from wsss_ros.types import Camera


@dataclass(frozen=True)
class LabelledView:
    """The labels of an image, its depth on the same pixels, its camera and its pose; labels may be NOT_SEEN."""

    labels: UInt8[np.ndarray, "H W"]
    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]
    stamp_ns: int = 0


@dataclass(frozen=True)
class LabelledScan:
    """Points of the world with labels, which may be NOT_SEEN; and what a camera sees of them as a coarse depth image.

    ``dt_s`` is the time between the scan and its labels.
    """

    xyz: Float64[np.ndarray, "N 3"]
    labels: UInt8[np.ndarray, "N"]
    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]
    stamp_ns: int = 0
    dt_s: float = 0.0


@dataclass(frozen=True)
class SemanticCloud:
    """One point for each voxel: position, class with the most votes (255: none), and the share of its votes."""

    xyz: Float[np.ndarray, "N 3"]
    labels: UInt8[np.ndarray, "N"]
    confidence: Float32[np.ndarray, "N"]
    stamp_ns: int = 0

    def __len__(self) -> int:
        return len(self.xyz)
