"""A slow, obvious twin of networks.efficientnet_lite: convolution after convolution, from the published state dict."""

import torch
import torch.nn.functional as F

# The strides of the depthwise convolutions, block by block, written out.
_LITE0 = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
_LITE1_AND_2 = (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1)
STRIDES = {0: _LITE0, 1: _LITE1_AND_2, 2: _LITE1_AND_2}


def tensorflow_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """TensorFlow's padding "SAME": the output has ceil(size / stride) values; of an odd padding the end gets more."""
    for axis in (2, 3):
        size = x.shape[axis]
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        before = torch.zeros_like(x.narrow(axis, 0, 1)).repeat_interleave(total // 2, axis)
        after = torch.zeros_like(x.narrow(axis, 0, 1)).repeat_interleave(total - total // 2, axis)
        x = torch.cat([before, x, after], axis)
    return x


def features(weights: dict[str, torch.Tensor], version: int, rgb: torch.Tensor) -> torch.Tensor:
    """The features of stride 32 of RGB images ``B 3 H W`` in 0..255, in float64."""
    weights = {name: value.double() for name, value in weights.items()}

    def convolve(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = weights[f"{conv}.weight"]
        padded = tensorflow_same(x, weight.shape[-1], stride)
        x = F.conv2d(padded, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, var, gamma, beta = (
            weights[f"{norm}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * gamma + beta

    def relu6(x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 6)

    x = relu6(convolve((rgb.double() - 127) / 128, "_conv_stem", "_bn0", 2))
    for index, stride in enumerate(STRIDES[version]):
        name, block = f"_blocks.{index}", x
        if f"{name}._expand_conv.weight" in weights:
            x = relu6(convolve(x, f"{name}._expand_conv", f"{name}._bn0"))
        x = relu6(convolve(x, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        x = convolve(x, f"{name}._project_conv", f"{name}._bn2")
        if x.shape == block.shape:
            x = x + block
    return relu6(convolve(x, "_conv_head", "_bn1"))
