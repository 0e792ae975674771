"""Two random views of a sample, for a student network and its teacher (WSegPC, whose code has these values).

A view keeps the order of points and the places of pixels, so row n of both views of a cloud is the same point, and a
pixel of both views of an image is the same pixel. Links and regions hold for both.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field, PositiveFloat
from torch import Tensor

from wsss_ros.config import Config
from wsss_ros.samples.augment import apply_color_matrices, random_cloud_matrix, random_color_matrix


class CloudViewSettings(Config):
    """How a random view of a cloud is made."""

    flip: bool = Field(True, description="Mirror along x and y, each with p = 0.5.")
    rotation_deg: float = Field(5.0, ge=0, le=180, description="Rotation about the upright axis, plus or minus.")
    rotated: float = Field(0.5, ge=0, le=1, description="Share of the views that are rotated.")
    scale: tuple[PositiveFloat, PositiveFloat] = Field((1.0, 1.0), description="Range of the random scale.")
    jitter_m: float = Field(0.0, ge=0, le=0.1, description="Deviation of the noise of each coordinate, metres.")
    most_jitter_m: float = Field(0.02, ge=0, le=0.1, description="Largest noise of a coordinate, metres.")


class ViewSettings(Config):
    """How the views of the student and of the teacher are made. The teacher sees the milder changes."""

    student: CloudViewSettings = Field(
        CloudViewSettings(rotation_deg=30.0, scale=(0.8, 1.2), jitter_m=0.005), description="Clouds of the student."
    )
    teacher: CloudViewSettings = Field(CloudViewSettings(), description="Clouds of the teacher.")
    teacher_jitter: float = Field(
        0.5, ge=0, le=1, description="Colour jitter of the teacher's images, as a share of the student's."
    )


def cloud_view(
    xyz: Float[np.ndarray, "N 3"], settings: CloudViewSettings, rng: np.random.Generator
) -> Float64[np.ndarray, "N 3"]:
    """A random view of an upright cloud that is centred at the origin, in metres: row n stays the same point."""
    turned = rng.random() < settings.rotated
    matrix = random_cloud_matrix(rng, settings.rotation_deg if turned else 0.0, settings.flip)
    view = rng.uniform(*settings.scale) * (xyz @ matrix.T.astype(np.float64))
    if settings.jitter_m:
        noise = rng.normal(0, settings.jitter_m, xyz.shape)
        view = view + noise.clip(-settings.most_jitter_m, settings.most_jitter_m)
    return view


def image_views(
    images: Float[Tensor, "K 3 S S"],
    jitter: tuple[float, float, float, float],
    teacher_jitter: float,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "K 3 S S"], Float[Tensor, "K 3 S S"]]:
    """The student's and the teacher's view of images: each image gets a random colour jitter in each view.

    Args:
        images: RGB in 0..1, without jitter.
        jitter: brightness, contrast, saturation, hue of the student (``ImageAugment.jitter``).
        teacher_jitter: share of it that the teacher gets.
        rng: the source of all randomness.
    """
    student, teacher = (
        _jittered(images, tuple(share * amount for amount in jitter), rng) for share in (1, teacher_jitter)
    )
    return student, teacher


def _jittered(images: Tensor, jitter: tuple[float, ...], rng: np.random.Generator) -> Tensor:
    if not len(images):
        return images
    matrices = np.stack([random_color_matrix(rng, *jitter) for _ in images])
    return apply_color_matrices(images, torch.from_numpy(matrices))
