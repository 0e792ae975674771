"""EfficientNet-Lite 0, 1 and 2: small image networks of depthwise convolutions, with ImageNet weights to start from.

Inverted residual blocks with ReLU6 and without squeeze-and-excitation, as TensorFlow's `efficientnet/lite` has them.
"""

import copy
import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wsss_ros.networks.backbone import FreezableBackbone
from wsss_ros.networks.classifier import IMAGENET_MEAN, IMAGENET_STD
from wsss_ros.networks.recompute import recomputed

_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # version -> factors on width and depth
# repeats, kernel, stride of the first block, expansion, channels out
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# part of the network -> names of its convolution and normalisation in the published state dicts
_PUBLISHED = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "last": ("_conv_head", "_bn1"),
}
_STEM, _FEATURES = 32, 1280  # channels; the same in each version


class _Convolution(nn.Module):
    """Convolution, batch normalisation and, if ``active``, ReLU6."""

    def __init__(
        self,
        cin: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        half = dilation * (kernel // 2)
        self.conv = nn.Conv2d(cin, out, kernel, stride, half, dilation, groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out, eps=1e-3)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x) if self.conv.stride == (1, 1) else _strided(self.conv, x))
        return F.relu6(x, inplace=True) if self.active else x


def _strided(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of stride 2 with the padding of TensorFlow: the zeros that are missing, the odd one at the end."""
    rows, columns = (conv.kernel_size[0] - 2 + n % 2 for n in x.shape[2:])
    x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, groups=conv.groups)


class _Block(nn.Module):
    """Expand 1x1, depthwise, project 1x1; a shortcut where the shape stays."""

    def __init__(
        self, cin: int, out: int, kernel: int, expansion: int, stride: int, dilation: int, residual: bool
    ) -> None:
        super().__init__()
        wide = cin * expansion
        self.expand = _Convolution(cin, wide) if expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, kernel, stride, dilation, groups=wide)
        self.project = _Convolution(wide, out, active=False)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        branch = self.depthwise(x if self.expand is None else self.expand(x))
        branch = self.project(branch)
        return x + branch if self.residual else branch


class EfficientNetLite(FreezableBackbone):
    """Images ``B 3 H W`` (normalised) to features ``B 1280 h w``.

    The input is the same as that of the other networks (``classifier.normalise_images``). The network itself changes it
    to (RGB 0..255 - 127) / 128, which the published weights expect, so nothing else has to know about it.

    Convolutions of stride 2 pad as TensorFlow does, on which these weights were trained.

    Args:
        version: 0, 1 or 2; 3.4, 4.1 or 4.8 M parameters.
        stride: of the output: 8, 16 or 32. Below 32 the later stages are dilated and not strided; dilation begins after
            the block that lost its stride. The weights are the same.
        checkpointing: keep only what is passed between the blocks for the backward pass (recompute.py).

    Raises:
        ValueError: another version or stride.
    """

    out_channels = _FEATURES
    input_scale: Tensor
    input_shift: Tensor

    def __init__(self, version: int = 0, stride: int = 16, checkpointing: bool = False) -> None:
        super().__init__()
        if version not in _SCALES or stride not in (8, 16, 32):
            raise ValueError(
                f"EfficientNetLite(version={version}, stride={stride}): version is 0, 1 or 2, stride 8, 16 or 32"
            )
        self.version, self.stride, self.checkpointing = version, stride, checkpointing
        self.register_buffer("input_scale", tensor(IMAGENET_STD).view(3, 1, 1) * 255 / 128, persistent=False)
        self.register_buffer("input_shift", (tensor(IMAGENET_MEAN).view(3, 1, 1) * 255 - 127) / 128, persistent=False)
        self.stem = _Convolution(3, _STEM, 3, 2)
        self.blocks, last = _blocks(*_SCALES[version], stride)
        self.last = _Convolution(last, _FEATURES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def fused(self) -> "EfficientNetLite":
        """A copy for inference with batch normalisation folded into the convolutions."""
        twin = copy.deepcopy(self).eval()
        for module in twin.modules():
            if isinstance(module, _Convolution) and isinstance(module.norm, nn.BatchNorm2d):
                module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
        return twin

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features on a grid of ``1 / stride`` of the image's size, rounded up."""
        x = self.stem(images * self.input_scale + self.input_shift)
        for block in self.blocks:
            x = recomputed(block, x) if self.checkpointing else block(x)
        return self.last(x)


def _blocks(width: float, depth: float, stride: int) -> tuple[nn.ModuleList, int]:
    """The blocks of all stages, and their channels at the end. ``depth`` leaves the first and the last stage alone."""
    blocks, cin, reached, dilation = nn.ModuleList(), _STEM, 2, 1
    for index, (repeats, kernel, usual, expansion, channels) in enumerate(_STAGES):
        out = _rounded(channels * width)
        if 0 < index < len(_STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        step = usual if reached * usual <= stride else 1
        blocks.append(_Block(cin, out, kernel, expansion, step, dilation, residual=False))
        reached, dilation = reached * step, dilation * usual // step
        blocks.extend(_Block(out, out, kernel, expansion, 1, dilation, residual=True) for _ in range(repeats - 1))
        cin = out
    return blocks, cin


def _rounded(channels: float) -> int:
    """The nearest multiple of 8; the next one where that would take off more than a tenth."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8


def published_name(own: str) -> str:
    """The published name of a weight: blocks.3.expand.norm.bias -> _blocks.3._bn0.bias."""
    *block, part, kind, value = own.split(".")
    module = _PUBLISHED[part][kind == "norm"]
    return f"_blocks.{block[1]}.{module}.{value}" if block else f"{module}.{value}"
