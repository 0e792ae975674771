"""The sparse U-Net of 2D3DNet on dense grids: conv3d, max_pool3d and an upsampling, with masks of occupied voxels."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from wsss_ros.networks.sparse_unet import Layers, SparseUNet


def features(net: SparseUNet, grid: Tensor, occupied: Tensor) -> Tensor:
    """The features [B D X Y Z] of a grid [B C X Y Z]; ``occupied`` is [B 1 X Y Z] of 0 and 1."""
    x, levels = grid[:, : net.inputs] * occupied, []
    for layers in net.down:
        x = block(layers, x, occupied)
        levels.append((x, occupied))
        x = F.max_pool3d(x.masked_fill(occupied == 0, -torch.inf), 2)
        occupied = F.max_pool3d(occupied, 2)
        x = x.masked_fill(occupied == 0, 0.0)
    x = block(net.bottleneck, x, occupied)
    for layers, (beside, finer) in zip(net.up, reversed(levels), strict=True):
        x = F.interpolate(x, scale_factor=2, mode="nearest") * finer
        x = block(layers, torch.cat([x, beside], 1) if net.skips else x, finer)
    return block(net.last, x, levels[0][1] if levels else occupied)


def block(layers: Layers, x: Tensor, occupied: Tensor) -> Tensor:
    """Each convolution over its occupied voxels: divided by their number, normalised over the batch, ReLU."""
    for number, conv in enumerate(layers.convs):
        kernel = conv.kernel
        weight = conv.weight.unflatten(0, (kernel, kernel, kernel)).permute(4, 3, 0, 1, 2)
        count = F.conv3d(occupied, occupied.new_ones(1, 1, kernel, kernel, kernel), padding=kernel // 2)
        x = F.conv3d(x, weight, padding=kernel // 2) / count.clamp(min=1) * occupied
        if number < len(layers.norms):
            x = normalised(layers.norms[number], x, occupied)
    return x


def normalised(norm: torch.nn.BatchNorm1d, x: Tensor, occupied: Tensor) -> Tensor:
    """Batch normalisation with the statistics of the occupied voxels of the batch in training, then ReLU."""
    shape = (1, -1, 1, 1, 1)
    mean, variance = norm.running_mean, norm.running_var
    if norm.training:
        total = occupied.sum()
        mean = (x * occupied).sum((0, 2, 3, 4)) / total
        variance = ((x - mean.view(shape)) ** 2 * occupied).sum((0, 2, 3, 4)) / total
    scaled = (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + norm.eps)
    return (scaled * norm.weight.view(shape) + norm.bias.view(shape)).relu() * occupied
