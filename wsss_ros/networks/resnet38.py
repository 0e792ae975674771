"""ResNet38 (A1 of "Wider or Deeper"), the image backbone of the joint learning paper.

Pre-activation residual blocks, output stride 8 by dilation, 4096 features. 105,070,912 parameters.
"""

from collections import OrderedDict

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from wsss_ros.networks.backbone import FreezableBackbone
from wsss_ros.networks.recompute import recomputed

# name, channels in, middle, out, stride, dilation of the first and of the second convolution
_BASIC = (
    ("b2", 64, 128, 128, 2, 1, 1),
    ("b2_1", 128, 128, 128, 1, 1, 1),
    ("b2_2", 128, 128, 128, 1, 1, 1),
    ("b3", 128, 256, 256, 2, 1, 1),
    ("b3_1", 256, 256, 256, 1, 1, 1),
    ("b3_2", 256, 256, 256, 1, 1, 1),
    ("b4", 256, 512, 512, 2, 1, 1),
    *((f"b4_{i}", 512, 512, 512, 1, 1, 1) for i in range(1, 6)),
    ("b5", 512, 512, 1024, 1, 1, 2),
    ("b5_1", 1024, 512, 1024, 1, 2, 2),
    ("b5_2", 1024, 512, 1024, 1, 2, 2),
)
# name, channels in, first, second, out, dropout; all stride 1, the 3x3 convolution has dilation 4
_BOTTLENECK = (
    ("b6", 1024, 512, 1024, 2048, 0.3),
    ("b7", 2048, 1024, 2048, 4096, 0.5),
)
_FROZEN = ("conv1a", "blocks.b2", "blocks.b2_1", "blocks.b2_2")


class _Basic(nn.Module):
    """BN-ReLU-conv3x3 twice. The projection shortcut of the first block of a level starts after the first ReLU."""

    def __init__(
        self, cin: int, mid: int, out: int, stride: int, dilation1: int, dilation2: int, project: bool
    ) -> None:
        super().__init__()
        self.bn_2a = nn.BatchNorm2d(cin)
        self.conv_2a = nn.Conv2d(cin, mid, 3, stride, padding=dilation1, dilation=dilation1, bias=False)
        self.bn_2b1 = nn.BatchNorm2d(mid)
        self.conv_2b1 = nn.Conv2d(mid, out, 3, padding=dilation2, dilation=dilation2, bias=False)
        self.conv_1 = nn.Conv2d(cin, out, 1, stride, bias=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn_2a(x))
        shortcut = x if self.conv_1 is None else self.conv_1(active)
        branch = self.conv_2b1(F.relu(self.bn_2b1(self.conv_2a(active))))
        return shortcut + branch


class _Bottleneck(nn.Module):
    """BN-ReLU-conv 1x1, 3x3 with dilation 4, 1x1, with dropout before the last two."""

    def __init__(self, cin: int, mid1: int, mid2: int, out: int, dropout: float) -> None:
        super().__init__()
        self.bn_2a = nn.BatchNorm2d(cin)
        self.conv_2a = nn.Conv2d(cin, mid1, 1, bias=False)
        self.bn_2b1 = nn.BatchNorm2d(mid1)
        self.conv_2b1 = nn.Conv2d(mid1, mid2, 3, padding=4, dilation=4, bias=False)
        self.bn_2b2 = nn.BatchNorm2d(mid2)
        self.conv_2b2 = nn.Conv2d(mid2, out, 1, bias=False)
        self.conv_1 = nn.Conv2d(cin, out, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn_2a(x))
        branch = self.conv_2a(active)
        branch = self.conv_2b1(self.dropout(F.relu(self.bn_2b1(branch))))
        branch = self.conv_2b2(self.dropout(F.relu(self.bn_2b2(branch))))
        return self.conv_1(active) + branch


class ResNet38(FreezableBackbone):
    """Images ``B 3 H W`` (normalised) to features ``B D H/8 W/8``; D = 4096 at full width.

    In a frozen network, the affine part of batch normalisation, the stem and the first stage take no gradient either.
    This is usual in weakly supervised work. A network without pretrained weights learns all its weights.

    Args:
        width: factor on all numbers of channels; 1 is the published network.
        checkpointing: keep only what is passed between the blocks for the backward pass (recompute.py).

    Raises:
        ValueError: a width that is not above 0 and at most 4.
    """

    stride = 8

    def __init__(self, width: float = 1.0, checkpointing: bool = False) -> None:
        super().__init__()
        if not 0 < width <= 4:
            raise ValueError(f"ResNet38(width={width}): width is above 0 and at most 4")
        self.checkpointing = checkpointing

        def wide(channels: int) -> int:
            return max(1, round(width * channels))

        self.conv1a = nn.Conv2d(3, wide(64), 3, padding=1, bias=False)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for name, cin, mid, out, stride, first, second in _BASIC:
            project = "_" not in name
            blocks[name] = _Basic(wide(cin), wide(mid), wide(out), stride, first, second, project)
        for name, cin, first, second, out, dropout in _BOTTLENECK:
            blocks[name] = _Bottleneck(wide(cin), wide(first), wide(second), wide(out), dropout)
        self.blocks = nn.Sequential(blocks)
        self.out_channels = wide(4096)
        self.bn7 = nn.BatchNorm2d(self.out_channels)

    def without_gradient(self) -> list[nn.Module]:
        """Batch normalisation, the stem and the first stage."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        return norms + [self.get_submodule(name) for name in _FROZEN]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features on a grid of an eighth of the image's size, rounded up."""
        features = self.conv1a(images)
        for block in self.blocks:
            features = recomputed(block, features) if self.checkpointing else block(features)
        return F.relu(self.bn7(features))
