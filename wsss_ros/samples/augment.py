"""Augmentation: random views of images and clouds for training, as the supplement of the paper (sec. 1.2) describes.

Every augmentation is one affine map, so that pixel-point links follow it exactly: ``View.uv_from_source`` maps pixels,
a 3x3 matrix maps points, a 3x4 matrix maps colours.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64, Int64, Integer, UInt8
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from wsss_ros.config import Config
from wsss_ros.labels import UNLABELLED

_SCENE_POINTS = 1_000_000
_LUMA = (0.299, 0.587, 0.114)
_YIQ_FROM_RGB = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class ImageAugment(Config):
    """Augmentation of images."""

    long_side: tuple[int, int] = Field((256, 512), description="Range of the longer side after rescaling, pixels.")
    crop: int = Field(256, ge=32, le=2048, description="Edge of the square crop, pixels.")
    jitter: tuple[float, float, float, float] = Field(
        (0.3, 0.3, 0.3, 0.1), description="Colour jitter: brightness, contrast, saturation, hue."
    )


class CloudAugment(Config):
    """Augmentation of clouds."""

    points: int = Field(40_000, ge=256, description="Points of one sample; repeated when the cloud has fewer.")
    rotation_deg: float = Field(5.0, ge=0, le=180, description="Rotation about the upright axis, plus or minus.")
    flip: bool = Field(True, description="Mirror along x and y, each with p = 0.5.")
    accumulated: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the samples that are not made from the scene's cloud, but accumulated "
        "from the depth of a run of its frames as on a robot: partial, noisy, with holes.",
    )
    frames: tuple[PositiveInt, PositiveInt] = Field(
        (4, 40), description="Range of the number of consecutive frames of an accumulated cloud."
    )
    voxel_m: float = Field(0.02, ge=0.005, le=1, description="Voxels of an accumulated cloud, metres.")
    cut: float = Field(0.0, ge=0, le=1, description="Share of the samples that are cut horizontally below the ceiling.")
    cut_m: tuple[float, float] = Field((1.6, 2.4), description="Range of the height of the cut over the floor, metres.")
    thinned_m: tuple[float, float] = Field(
        (0.0, 0.0),
        description="Range of the distance between points: a random voxel size keeps one point of each "
        "voxel; (0, 0): all points.",
    )
    crop_m: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Edge of a square around a random point; a sample has the points above and "
        "below it; 0: all points.",
    )
    tilt_deg: float = Field(0.0, ge=0, le=45, description="Largest rotation about a random horizontal axis.")
    scale: tuple[PositiveFloat, PositiveFloat] = Field((1.0, 1.0), description="Range of the random scale.")
    noise_m: float = Field(
        0.0,
        ge=0,
        le=0.2,
        description="Largest deviation of the noise along the rays from the nearest camera, in "
        "metres at 2 m distance; it grows with the square of the distance, and each sample has its own deviation.",
    )
    drop_color: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the samples whose points lose their colours, so that the network learns to segment "
        "clouds without colours, too; the cloud network's inputs should then include has_color.",
    )

    @property
    def scene_points(self) -> int:
        """The points of a whole scene that a network takes, as dense as in training: ``points``, or a million of crops.

        A crop has nearly all points of its column, if ``points`` are many; 2D3DNet takes a million of a scene.
        """
        return _SCENE_POINTS if self.crop_m else self.points


@dataclass(frozen=True)
class View:
    """A square crop of a rescaled, perhaps mirrored image: ``uv_view = scale * uv + offset``, per axis."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def uv_from_source(self, uv: Float64[np.ndarray, "M 2"]) -> Float64[np.ndarray, "M 2"]:
        """Map pixels of the source image (centres at whole numbers) to pixels of the view."""
        return uv * np.array(self.scale) + np.array(self.offset)


def random_stretch(rng: np.random.Generator) -> float:
    """A random factor for the width of an image that was squeezed to a square: common ratios of width to height."""
    return rng.uniform(0.75, 1.5)


def random_view(
    rng: np.random.Generator, width: int, height: int, long_side: tuple[int, int], crop: int, stretch: float = 1.0
) -> View:
    """Rescale the longer side to a random size in ``long_side``, crop ``crop`` x ``crop``, flip with p = 0.5.

    An axis that is shorter than the crop after rescaling is placed at random inside it and padded. The width is
    multiplied by ``stretch`` first.
    """
    scale = rng.uniform(*long_side) / max(width * stretch, height)
    spare = np.array([width * stretch, height]) * scale - crop
    start = rng.uniform(np.minimum(spare, 0), np.maximum(spare, 0))
    # Pixel centres: u_scaled = (u + 0.5) * scale - 0.5, minus the crop's origin.
    scales = scale * stretch, scale
    offset = 0.5 * np.array(scales) - 0.5 - start
    if rng.random() < 0.5:
        return View((-scales[0], scale), (float(crop - 1 - offset[0]), float(offset[1])))
    return View(scales, (float(offset[0]), float(offset[1])))


def apply_views(images: UInt8[Tensor, "B 3 H W"], views: list[View], crop: int) -> Float[Tensor, "B 3 S S"]:
    """The views of the images as RGB in 0..1, bilinear; pixels outside the image have ImageNet's mean grey (0.45)."""
    height, width = images.shape[2:]
    scale = torch.tensor([view.scale for view in views], dtype=torch.float64)
    offset = torch.tensor([view.offset for view in views], dtype=torch.float64)
    # grid_sample expects the source position of each output pixel; -1 and 1 are the outer edges of the image.
    size = torch.tensor([width, height], dtype=torch.float64)
    theta = torch.zeros(len(views), 2, 3, dtype=torch.float64)
    theta[:, [0, 1], [0, 1]] = crop / (scale * size)
    theta[:, :, 2] = (2 * (((crop - 1) / 2 - offset) / scale) + 1) / size - 1
    grid = F.affine_grid(theta.float(), [len(views), 3, crop, crop], align_corners=False)
    return F.grid_sample(images.float() / 255 - 0.45, grid, align_corners=False) + 0.45


def apply_view_to_labels(
    labels: Integer[np.ndarray, "h w"],
    size: tuple[int, int],
    view: View,
    crop: int,
    cell: int = 1,
    outside: int = UNLABELLED,
) -> Int64[np.ndarray, "s s"]:
    """The labels of a view, or other numbers, by nearest neighbour; ``outside`` the image they are unlabelled.

    ``labels`` cover the whole image, whose (height, width) is ``size``; they may be of another resolution. The result
    has one label, that of the middle, for each ``cell`` x ``cell`` pixels of the view.
    """
    resolution, pixels = np.array(labels.shape[::-1]), np.arange(0, crop, cell) + (cell - 1) / 2
    scale = resolution / np.array(size[::-1])
    u, v = (
        np.rint(((pixels - view.offset[k]) / view.scale[k] + 0.5) * scale[k] - 0.5).astype(np.int64) for k in (0, 1)
    )
    height, width = labels.shape
    inside = np.outer((v >= 0) & (v < height), (u >= 0) & (u < width))
    found = labels[np.ix_(v.clip(0, height - 1), u.clip(0, width - 1))]
    return np.where(inside, found, outside).astype(np.int64)


def random_color_matrix(
    rng: np.random.Generator, brightness: float, contrast: float, saturation: float, hue: float
) -> Float32[np.ndarray, "3 4"]:
    """Random colour jitter as one matrix: ``rgb' = matrix[:, :3] @ rgb + matrix[:, 3] * mean_luma``.

    The factors of brightness, contrast and saturation are random in 1 ± the given amounts. The hue angle is random in
    ± ``hue`` turns; it rotates the chroma plane of YIQ, which is a linear map.
    """
    bright, contrasted, saturated = (rng.uniform(1 - a, 1 + a) for a in (brightness, contrast, saturation))
    angle = 2 * math.pi * rng.uniform(-hue, hue)
    turn = np.eye(3)
    turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    grey = np.tile(_LUMA, (3, 1))
    linear = np.linalg.inv(_YIQ_FROM_RGB) @ turn @ _YIQ_FROM_RGB @ (saturated * np.eye(3) + (1 - saturated) * grey)
    matrix = np.concatenate([bright * contrasted * linear, np.full((3, 1), bright * (1 - contrasted))], axis=1)
    return matrix.astype(np.float32)


def apply_color_matrices(rgb: Float[Tensor, "B 3 H W"], matrices: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B 3 H W"]:
    """Apply to each image its own colour matrix (``random_color_matrix``); the result is clipped to 0..1."""
    luma = torch.einsum("bchw,c->b", rgb, torch.tensor(_LUMA, device=rgb.device)) / (rgb.shape[2] * rgb.shape[3])
    mixed = torch.bmm(matrices[:, :, :3], rgb.flatten(2)) + (matrices[:, :, 3] * luma[:, None])[:, :, None]
    return mixed.view_as(rgb).clamp_(0, 1)


def random_cloud_matrix(rng: np.random.Generator, rotation_deg: float, flip: bool) -> Float32[np.ndarray, "3 3"]:
    """Random flips along x and y, p = 0.5 each, and a random rotation of ± ``rotation_deg`` about the upright axis."""
    angle = math.radians(rng.uniform(-rotation_deg, rotation_deg))
    rotation = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    signs = np.where(rng.random(2) < 0.5, -1, 1) if flip else np.ones(2)
    return (rotation @ np.diag([*signs, 1])).astype(np.float32)


def sample_points(rng: np.random.Generator, available: int, count: int) -> np.ndarray:
    """``count`` random indices of ``available`` points; indices repeat only when there are fewer points than that."""
    if available >= count:
        return rng.choice(available, count, replace=False)
    return np.concatenate([np.arange(available), rng.choice(available, count - available)])
