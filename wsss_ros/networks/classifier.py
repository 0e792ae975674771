"""A backbone and a linear head. The head applied to every pixel or point is the class activation map."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """Images to features ``Z`` and class scores ``A`` on the backbone's grid."""

    def __init__(self, backbone: nn.Module, classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, classes)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B C h w"]]:
        features = self.backbone(images)
        scores = F.conv2d(features, self.head.weight[:, :, None, None], self.head.bias)
        return features, scores


class CloudClassifier(nn.Module):
    """Points to features ``Z`` and class scores ``A``, one row a point."""

    def __init__(self, backbone: nn.Module, classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.out_channels, classes)

    def forward(
        self, xyz: Float[Tensor, "B N 3"], features: Float[Tensor, "B N F"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N C"]]:
        embedded = self.backbone(xyz, features)
        return embedded, self.head(embedded)


def image_mean(scores: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
    """Global average pooling over pixels, eq. 1."""
    return scores.mean(dim=(2, 3))


def point_mean(scores: Float[Tensor, "B N C"]) -> Float[Tensor, "B C"]:
    """Global average pooling over points, eq. 1."""
    return scores.mean(dim=1)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise_images(rgb: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """RGB in 0..1 to the statistics both image backbones expect."""
    mean, std = (torch.tensor(value, device=rgb.device).view(1, 3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb - mean) / std


def point_features(
    xyz: Float[Tensor, "B N 3"], rgb: Float[Tensor, "B N 3"] | None, inputs: tuple[str, ...] | list[str]
) -> Float[Tensor, "B N F"]:
    """The inputs of a cloud network beside its coordinates.

    ``inputs`` names them: ``color`` (RGB in 0..1, centred) and ``height`` (metres above the floor, the
    0.99-percentile-robust lowest point). The cloud stands upright, z against gravity.
    """
    parts = []
    if "color" in inputs:
        parts.append(rgb - 0.5)
    if "height" in inputs:
        floor = torch.quantile(xyz[..., 2], 0.01, dim=1, keepdim=True)
        parts.append((xyz[..., 2] - floor)[..., None])
    return torch.cat(parts, dim=-1) if parts else xyz.new_zeros((*xyz.shape[:2], 0))


def read(cells: Float[Tensor, "D h w"], uv: Float[Tensor, "M 2"], size: int) -> Float[Tensor, "M D"]:
    """A square image's map at sub-pixel positions of the image, bilinear, beyond the outer cells' centres constant.

    ``uv`` are pixels with centres at whole numbers, ``size`` is the image's edge. A cell stands for its share of the
    image, as in ``upsample``.
    """
    grid = (2 * uv + 1) / size - 1
    found = F.grid_sample(cells[None], grid[None, None].to(cells.dtype), padding_mode="border", align_corners=False)
    return found[0, :, 0].T


def upsample(cells: Float[Tensor, "B D h w"], size: tuple[int, int] | torch.Size) -> Float[Tensor, "B D H W"]:
    """A map at the size (rows, columns) of its image, bilinear: what ``read`` reads at every pixel centre."""
    return F.interpolate(cells, tuple(size), mode="bilinear", align_corners=False)
