"""A classifier is a backbone and a linear head. The head at every pixel or point gives the class activation map (CAM).

Also here: what the networks take as input, and how their maps are averaged and read.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn

from wsss_ros.networks.backbone import Backbone
from wsss_ros.types import BadInput


class ImageClassifier(nn.Module):
    """From images to features ``Z`` and class scores ``A`` (logits), both on the grid of the backbone."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, classes)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B C h w"]]:
        """Features and scores.

        Args:
            images: as ``normalise_images`` makes them.
        """
        features = self.backbone(images)
        scores = F.conv2d(features, self.head.weight[:, :, None, None], self.head.bias)
        return features, scores


class CloudClassifier(nn.Module):
    """From clouds to features ``Z`` and class scores ``A`` (logits), one row for each point."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, classes)

    def forward(
        self, xyz: Float[Tensor, "B N 3"], features: Float[Tensor, "B N F"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N C"]]:
        """Features and scores.

        Args:
            xyz: metres.
            features: as ``input_features`` makes them.
        """
        embedded = self.backbone(xyz, features)
        return embedded, self.head(embedded)


def image_mean(scores: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
    """Global average pooling over the pixels of each image (joint paper, eq. 1)."""
    return scores.mean(dim=(2, 3))


def point_mean(scores: Float[Tensor, "B N C"]) -> Float[Tensor, "B C"]:
    """Global average pooling over the points of each cloud (joint paper, eq. 1)."""
    return scores.mean(dim=1)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise_images(rgb: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Subtract ImageNet's mean from RGB in 0..1 and divide by its deviation, as all image backbones expect."""
    mean, std = (torch.tensor(value, device=rgb.device).view(1, 3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb - mean) / std


def input_features(
    xyz: Float[Tensor, "B N 3"],
    rgb: Float[Tensor, "B N 3"] | None,
    inputs: tuple[str, ...] | list[str],
    fused: "FusedLabels | None" = None,
) -> Float[Tensor, "B N F"]:
    """The input features of a cloud network, in addition to the coordinates.

    Args:
        xyz: metres; z points up.
        rgb: in 0..1, NaN for points without a colour; None if no point has one.
        inputs: any of ``color`` (RGB minus 0.5; mid-grey, which is 0, for points without a colour), ``height`` (metres
            above the floor: the 1 % quantile of z), ``has_color`` (1 for points with a colour, else 0),
            ``fused_label`` (one-hot) and ``fused_confidence`` (0 for points without a label).
        fused: the labels that images vote for, of the last two inputs.

    Raises:
        BadInput: the network takes fused labels, and there are none.
    """
    if takes_fused_labels(inputs) and fused is None:
        raise BadInput(
            f"the cloud network takes {', '.join(inputs)}, and the clouds have no fused labels; train it by the method "
            "'fusion', and segment clouds with Cloud.fused_label"
        )
    parts: list[Tensor] = []
    if "color" in inputs:
        parts.append(torch.zeros_like(xyz) if rgb is None else torch.nan_to_num(rgb - 0.5, nan=0.0))
    if "height" in inputs:
        floor = torch.quantile(xyz[..., 2], 0.01, dim=1, keepdim=True)
        parts.append((xyz[..., 2] - floor)[..., None])
    if "has_color" in inputs:
        parts.append(torch.zeros_like(xyz[..., :1]) if rgb is None else rgb[..., :1].isfinite().to(xyz.dtype))
    if fused is not None:
        parts += [getattr(fused, name).to(xyz.dtype) for name in FusedLabels._fields if f"fused_{name}" in inputs]
    return torch.cat(parts, dim=-1) if parts else xyz.new_zeros((*xyz.shape[:2], 0))


class FusedLabels(NamedTuple):
    """The labels that images vote for at the points of clouds, as inputs of a network.

    ``label`` is one-hot, zeros for points without a label; ``confidence`` is the share of the votes, 0 for such points.
    """

    label: Float[Tensor, "B N C"]
    confidence: Float[Tensor, "B N 1"]

    @classmethod
    def of(cls, labels: Integer[Tensor, "B N"], confidence: Float[Tensor, "B N"] | None, classes: int) -> "FusedLabels":
        """The inputs of class indices; other numbers are no label, such as 255. Without ``confidence`` it is 1."""
        labelled = labels < classes
        one_hot = F.one_hot(torch.where(labelled, labels, classes).long(), classes + 1)[..., :classes]
        share = labelled.float() if confidence is None else confidence * labelled
        return cls(one_hot.float(), share[..., None])


def takes_fused_labels(inputs: Sequence[str]) -> bool:
    """Whether a cloud network with these inputs needs the labels that images vote for."""
    return any(f"fused_{name}" in inputs for name in FusedLabels._fields)


def sample_bilinear(maps: Float[Tensor, "D h w"], uv: Float[Tensor, "M 2"], size: int) -> Float[Tensor, "M D"]:
    """Read a map of a square image at sub-pixel positions, bilinear. Beyond the outer cells' centres it is constant.

    Args:
        maps: features or scores on a grid. Each cell covers an equal part of the image, as in ``upsample``.
        uv: positions in the image, pixels; the centre of the first pixel is at (0, 0).
        size: edge of the image, pixels.
    """
    grid = (2 * uv + 1) / size - 1
    found = F.grid_sample(maps[None], grid[None, None].to(maps.dtype), padding_mode="border", align_corners=False)
    return found[0, :, 0].T


def upsample(maps: Float[Tensor, "B D h w"], size: tuple[int, int] | torch.Size) -> Float[Tensor, "B D H W"]:
    """Maps at the size (rows, columns) of their images: ``sample_bilinear`` at the centre of every pixel."""
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def upsampled_mean(maps: Float[Tensor, "B C h w"], size: tuple[int, int]) -> Float[Tensor, "B C"]:
    """``image_mean(upsample(maps, size))`` without the large maps: each cell by the share of the pixels it gives."""

    def shares(cells: int, pixels: int) -> Float[Tensor, " cells"]:
        of_each = torch.eye(cells, dtype=maps.dtype, device=maps.device)
        return F.interpolate(of_each[None], pixels, mode="linear", align_corners=False)[0].mean(dim=1)

    rows, columns = (shares(cells, pixels) for cells, pixels in zip(maps.shape[2:], size, strict=True))
    return maps @ columns @ rows


def averaged_scores(
    network: nn.Module, image: UInt8[Tensor, "3 H W"], long_sides: Sequence[int]
) -> Float[Tensor, "C h w"]:
    """The mean scores of an image at several sizes, each also mirrored, on a grid of a quarter of the image's size."""
    rgb = normalise_images(image[None].float() / 255)
    size = (max(1, image.shape[1] // 4), max(1, image.shape[2] // 4))
    maps = []
    for long_side in long_sides:
        factor = long_side / max(image.shape[1:])
        scaled = tuple(max(1, round(edge * factor)) for edge in image.shape[1:])
        resized = F.interpolate(rgb, scaled, mode="bilinear", antialias=True)
        for view, mirrored in ((resized, False), (resized.flip(3), True)):
            scores = network(view.contiguous(memory_format=torch.channels_last))[1].float()
            maps.append(upsample(scores.flip(3) if mirrored else scores, size)[0])
    return torch.stack(maps).mean(dim=0)
