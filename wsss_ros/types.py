"""The types that all rooms share: cameras, frames, clouds, links, scenes; unusable input, and lists in messages.

Conventions in the whole package: lengths are in metres; poses are ``world_from_camera`` with optical camera axes (x
right, y down, z forward); pixels are ``(u, v)`` with the centre of the top-left pixel at (0, 0); missing depth is 0;
colours are RGB; labels are uint8 class indices, 255 means unlabelled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt8

KINDS = ("image", "cloud")  # the kinds of networks, by the domain of their input


class BadInput(ValueError):
    """Input that cannot be used. The message names the input, the expected input, and what the user can do."""


def few_of(items: Iterable[object], most: int = 5, between: str = ", ") -> str:
    """The first ``most`` items, and how many more there are: how messages list what may be many."""
    texts = [str(item) for item in items]
    return between.join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


@dataclass(frozen=True)
class Distortion:
    """The distortion of a lens. It moves points of the plane at depth 1, so it does not depend on the image size.

    ``coefficients`` are those of OpenCV. polynomial: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tx ty, or the first of them;
    equidistant (fisheye): k1 k2 k3 k4.
    """

    model: Literal["polynomial", "equidistant"]
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; focal lengths and centre in pixels. ``distortion`` is that of its lens, None without."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: Distortion | None = None

    def matrix(self) -> Float64[np.ndarray, "3 3"]:
        """The intrinsic matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def resized(self, width: int, height: int) -> "Camera":
        """The camera of the same image resized to ``width`` x ``height``, so that pixel areas stay aligned."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return Camera(self.fx * sx, self.fy * sy, cx, cy, width, height, self.distortion)


@dataclass(frozen=True)
class Frame:
    """One view. Depth, if there is any, is on the pixels of the colour image."""

    rgb: UInt8[np.ndarray, "H W 3"]
    camera: Camera | None = None
    depth_m: Float32[np.ndarray, "H W"] | None = None
    world_from_camera: Float64[np.ndarray, "4 4"] | None = None
    stamp_ns: int = 0
    name: str = ""


@dataclass(frozen=True)
class Cloud:
    """Points in the world frame; ``rgb`` is None for a sensor without colour.

    Positions are float32, or float64 where they need it: far from the origin of the frame (see ``geometry.compact``).
    ``fused_label`` is the class that images vote for at each point (255: none), ``fused_confidence`` the share of the
    votes that it has. Only networks with these inputs read them (``networks.CLOUD_INPUTS``).
    """

    xyz: Float[np.ndarray, "N 3"]
    rgb: UInt8[np.ndarray, "N 3"] | None = None
    stamp_ns: int = 0
    fused_label: UInt8[np.ndarray, "N"] | None = None
    fused_confidence: Float32[np.ndarray, "N"] | None = None

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True)
class Links:
    """The M points of a cloud that a frame sees, as rows of the cloud, and their sub-pixel positions in the frame."""

    point: Int64[np.ndarray, "M"]
    uv: Float64[np.ndarray, "M 2"]

    def __len__(self) -> int:
        return len(self.point)


@runtime_checkable
class Scene(Protocol):
    """The interface of all scene readers. Frames and clouds are decoded at each call.

    Truth is for evaluation only: training never calls ``frame_truth`` or ``cloud_truth``, except for the supervised
    comparison.
    """

    name: str

    def __len__(self) -> int:
        """Number of frames with a usable pose."""

    @property
    def tags(self) -> tuple[str, ...] | None:
        """Class names that are tagged (as present) in the scene, or None for an untagged scene."""

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Class names that are tagged (as present) in one frame, or None for an untagged frame."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Class names that were not judged in the scene: neither present nor absent. Empty for an untagged scene."""

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Class names that were not judged in one frame. Empty for an untagged frame."""

    def frame(self, index: int) -> Frame:
        """Decode one frame. Raises BadInput when it cannot be read."""

    @property
    def cloud(self) -> Cloud | None:
        """The scene's own cloud, or None if it must be fused from the frames."""

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """True labels of the pixels of one frame, or None without truth."""

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """True labels of the points of ``cloud``, or None without truth."""

    @property
    def world_up(self) -> Sequence[float] | None:
        """Unit vector against gravity in the world frame, or None if it is unknown."""


@runtime_checkable
class Photos(Protocol):
    """Photographs without depth and pose, which only the image network learns from. They are decoded at each call.

    ``names`` and ``files`` have one entry for each photograph. ``left_out`` has (name, reason) of those that cannot be
    used. Truth is for evaluation only.
    """

    name: str
    names: list[str]
    files: list[Path]
    left_out: list[tuple[str, str]]

    def __len__(self) -> int:
        """Number of photographs."""

    def image_tags(self, index: int) -> tuple[str, ...]:
        """Class names that are tagged in a photograph."""

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Class names that nobody could judge in a photograph."""

    def rgb(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """Decode a photograph. Raises BadInput when it cannot be read."""

    def truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """True labels of the pixels of a photograph, or None without truth."""
