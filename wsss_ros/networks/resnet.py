"""A light residual network for CPUs and Jetsons, with the parameter names torchvision uses."""

import copy
from itertools import chain

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.recompute import recomputed

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class _Block(nn.Module):
    def __init__(self, cin: int, out: int, stride: int, dilation1: int, dilation2: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, out, 3, stride, padding=dilation1, dilation=dilation1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=dilation2, dilation=dilation2, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = cin == out and stride == 1
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(cin, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(shortcut + branch)


class ResNet(Backbone):
    """Images ``B 3 H W`` (normalised) to features ``B D h w``; basic blocks, depth 18 or 34.

    Args:
        depth: 18 or 34.
        width: factor on all numbers of channels. 0.5 has 2.8 M parameters and D = 256; 1.0 at depth 18 or 34 takes
            torchvision's state dict.
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
        if depth not in _BLOCKS or stride not in (8, 16, 32):
            raise ValueError(f"ResNet(depth={depth}, stride={stride}): depth is 18 or 34, stride 8, 16 or 32")
        channels = [int(64 * width * 2**i) for i in range(4)]
        self.stride, self.out_channels, self.checkpointing = stride, channels[-1], checkpointing
        self.conv1 = nn.Conv2d(3, channels[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        reached, dilation, cin = 4, 1, channels[0]
        for index, (out, count) in enumerate(zip(channels, _BLOCKS[depth], strict=True), start=1):
            usual, before = (1 if index == 1 else 2), dilation
            step = usual if reached * usual <= stride else 1
            reached, dilation = reached * step, dilation * usual // step
            first = _Block(cin, out, step, before, dilation)
            rest = [_Block(out, out, 1, dilation, dilation) for _ in range(count - 1)]
            self.add_module(f"layer{index}", nn.Sequential(first, *rest))
            cin = out
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, _Block):
                # Each block starts as the identity, which trains better from scratch.
                nn.init.zeros_(module.bn2.weight)

    def fused(self) -> "ResNet":
        """A copy for inference with batch normalisation folded into the convolutions."""
        twin = copy.deepcopy(self).eval()
        for module in twin.modules():
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
                if hasattr(module, conv):
                    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                    setattr(module, norm, nn.Identity())
            if isinstance(module, _Block) and module.downsample is not None:
                module.downsample = nn.Sequential(fuse_conv_bn_eval(*module.downsample))
        return twin

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features on a grid of ``1 / stride`` of the image's size, rounded up."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, padding=1)
        for block in chain(self.layer1, self.layer2, self.layer3, self.layer4):
            x = recomputed(block, x) if self.checkpointing else block(x)
        return x
