"""A slow, obvious twin of networks.resnet at depth 50: the table of the paper, from torchvision's state dict."""

import torch
import torch.nn.functional as F

# Table 1 of "Deep Residual Learning", the columns of 50 layers: the blocks of conv2_x to conv5_x.
BLOCKS = (3, 4, 6, 3)
# Output stride -> for each stage the stride of its first block, the dilation of its first block, that of the others.
STAGES = {
    32: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
}


def with_holes(weight: torch.Tensor, dilation: int) -> torch.Tensor:
    """A dilated kernel as a larger one with zeros between its values."""
    size = dilation * (weight.shape[-1] - 1) + 1
    large = weight.new_zeros(*weight.shape[:2], size, size)
    large[:, :, ::dilation, ::dilation] = weight
    return large


def features(weights: dict[str, torch.Tensor], stride: int, images: torch.Tensor) -> torch.Tensor:
    """The features of normalised images ``B 3 H W``, of this output stride; normalisation as at inference."""

    def convolve(x: torch.Tensor, conv: str, norm: str, step: int = 1, dilation: int = 1) -> torch.Tensor:
        weight = with_holes(weights[f"{conv}.weight"], dilation)
        x = F.conv2d(x, weight, stride=step, padding=weight.shape[-1] // 2)
        mean, var, gamma, beta = (
            weights[f"{norm}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * gamma + beta

    def block(x: torch.Tensor, name: str, step: int, dilation: int) -> torch.Tensor:
        inner = F.relu(convolve(x, f"{name}.conv1", f"{name}.bn1"))
        inner = F.relu(convolve(inner, f"{name}.conv2", f"{name}.bn2", step, dilation))
        inner = convolve(inner, f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in weights:
            x = convolve(x, f"{name}.downsample.0", f"{name}.downsample.1", step)
        return F.relu(inner + x)

    x = F.relu(convolve(images, "conv1", "bn1", 2))
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-torch.inf), 3, 2)
    for stage, (step, first, others) in enumerate(STAGES[stride]):
        for index in range(BLOCKS[stage]):
            of_first = index == 0
            x = block(x, f"layer{stage + 1}.{index}", step if of_first else 1, first if of_first else others)
    return x
