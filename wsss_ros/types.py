"""The values that travel between the rooms: cameras, frames, clouds, links, scenes; and the error of unusable input.

Conventions, everywhere: metres; poses are ``world_from_camera`` with optical camera axes (x right,
y down, z forward); pixels are ``(u, v)`` with the centre of the top-left pixel at (0, 0); missing
depth is 0; colours are RGB; labels are uint8 class indices with 255 = unlabelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

KINDS = ("image", "cloud")  # of networks


KINDS = ("image", "cloud")  # of networks: the domains they see


class BadInput(ValueError):
    """Input that cannot be used. The message reports what came, what was expected and what to do."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion; focal lengths and centre in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def matrix(self) -> Float64[np.ndarray, "3 3"]:
        """The intrinsic matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def resized(self, width: int, height: int) -> "Camera":
        """The camera of the same view resampled to ``width`` x ``height`` (pixel areas preserved)."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return Camera(self.fx * sx, self.fy * sy, cx, cy, width, height)


@dataclass(frozen=True)
class Frame:
    """One view. Depth, where present, is on the pixels of the colour image."""

    rgb: UInt8[np.ndarray, "H W 3"]
    camera: Camera | None = None
    depth_m: Float32[np.ndarray, "H W"] | None = None
    world_from_camera: Float64[np.ndarray, "4 4"] | None = None
    stamp_ns: int = 0
    name: str = ""


@dataclass(frozen=True)
class Cloud:
    """Points in the world frame; ``rgb`` is None for a sensor without colour."""

    xyz: Float32[np.ndarray, "N 3"]
    rgb: UInt8[np.ndarray, "N 3"] | None = None
    stamp_ns: int = 0

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True)
class Links:
    """Which point of a cloud is seen at which (sub-)pixel of a frame."""

    point: Int64[np.ndarray, "M"]
    uv: Float64[np.ndarray, "M 2"]

    def __len__(self) -> int:
        return len(self.point)


@runtime_checkable
class Scene(Protocol):
    """What every scene reader offers; frames and clouds are decoded when they are asked for.

    ``tags`` are the class names of the scene and ``image_tags(i)`` those of one frame, or None where there are none.
    Truth is for evaluation only: training never calls ``*_truth``, but for its supervised comparison.
    """

    name: str

    def __len__(self) -> int:
        """Number of frames with a usable pose."""

    @property
    def tags(self) -> tuple[str, ...] | None:
        """Class names of the scene, or None where there are none."""

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Class names of one frame, or None where there are none."""

    def frame(self, index: int) -> Frame:
        """Decode one frame. Raises BadInput when it cannot be read."""

    @property
    def cloud(self) -> Cloud | None:
        """The scene's own cloud, or None where it has to be accumulated from the frames."""

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """True labels of the pixels of one frame, or None where there are none."""

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """True labels of the points of ``cloud``, or None where there are none."""

    @property
    def world_up(self) -> Sequence[float] | None:
        """Unit vector against gravity in the world frame, or None where it has to be found."""
