"""Residual networks with the parameter names of torchvision: light ones for CPUs and Jetsons, and ResNet50 and 101."""

import copy
from itertools import chain

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.recompute import recomputed


def _shortcut(cin: int, out: int, stride: int) -> nn.Sequential | None:
    """A projection where a block changes the shape, else None."""
    if cin == out and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(cin, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class _Basic(nn.Module):
    """Convolutions 3x3 and 3x3, of two dilations. The first one has the stride."""

    expansion, last_norm = 1, "bn2"

    def __init__(self, cin: int, middle: int, stride: int, dilation1: int, dilation2: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, middle, 3, stride, padding=dilation1, dilation=dilation1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=dilation2, dilation=dilation2, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.downsample = _shortcut(cin, middle, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(shortcut + branch)


class _Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 and 1x1. The 3x3 has the stride, as in torchvision ("v1.5"), and the first dilation."""

    expansion, last_norm = 4, "bn3"

    def __init__(self, cin: int, middle: int, stride: int, dilation1: int, dilation2: int) -> None:
        super().__init__()
        out = self.expansion * middle
        self.conv1 = nn.Conv2d(cin, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=dilation1, dilation=dilation1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(cin, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        branch = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(shortcut + self.bn3(self.conv3(branch)))


_Block = type[_Basic] | type[_Bottleneck]
_DEPTHS: dict[int, tuple[_Block, tuple[int, ...]]] = {  # depth -> kind of block, number in each stage
    18: (_Basic, (2, 2, 2, 2)),
    34: (_Basic, (3, 4, 6, 3)),
    50: (_Bottleneck, (3, 4, 6, 3)),
    101: (_Bottleneck, (3, 4, 23, 3)),
}


class ResNet(Backbone):
    """Images ``B 3 H W`` (normalised) to features ``B D h w``.

    Args:
        depth: 18 or 34 of basic blocks, 50 or 101 of bottleneck blocks.
        width: factor on all numbers of channels. 0.5 at depth 18 has 2.8 M parameters and D = 256. 1.0 takes the state
            dict of torchvision; D is then 512 for basic blocks and 2048 for bottleneck blocks.
        stride: of the output: 8, 16 or 32. Below 32 the later stages are dilated and not strided. The weights are the
            same, so a network may be trained at 16 and used at 8.
        checkpointing: keep only what is passed between the blocks for the backward pass (recompute.py).

    Raises:
        ValueError: another depth or stride.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, depth: int = 18, width: float = 0.5, stride: int = 8, checkpointing: bool = False) -> None:
        super().__init__()
        if depth not in _DEPTHS or stride not in (8, 16, 32):
            raise ValueError(f"ResNet(depth={depth}, stride={stride}): depth is 18, 34, 50 or 101, stride 8, 16 or 32")
        block, counts = _DEPTHS[depth]
        channels = [int(64 * width * 2**i) for i in range(4)]
        self.stride, self.checkpointing = stride, checkpointing
        self.conv1 = nn.Conv2d(3, channels[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        reached, dilation, cin = 4, 1, channels[0]
        for index, (middle, count) in enumerate(zip(channels, counts, strict=True), start=1):
            usual, before = (1 if index == 1 else 2), dilation
            step = usual if reached * usual <= stride else 1
            reached, dilation = reached * step, dilation * usual // step
            first = block(cin, middle, step, before, dilation)
            cin = block.expansion * middle
            rest = [block(cin, middle, 1, dilation, dilation) for _ in range(count - 1)]
            self.add_module(f"layer{index}", nn.Sequential(first, *rest))
        self.out_channels = cin
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, _Basic | _Bottleneck):
                # Each block starts as the identity, which trains better from scratch.
                nn.init.zeros_(getattr(module, module.last_norm).weight)

    def fused(self) -> "ResNet":
        """A copy for inference with batch normalisation folded into the convolutions."""
        twin = copy.deepcopy(self).eval()
        for module in twin.modules():
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
                if hasattr(module, conv):
                    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                    setattr(module, norm, nn.Identity())
            if isinstance(module, _Basic | _Bottleneck) and module.downsample is not None:
                module.downsample = nn.Sequential(fuse_conv_bn_eval(*module.downsample))
        return twin

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features on a grid of ``1 / stride`` of the image's size, rounded up."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, padding=1)
        for block in chain(self.layer1, self.layer2, self.layer3, self.layer4):
            x = recomputed(block, x) if self.checkpointing else block(x)
        return x
