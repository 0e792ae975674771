"""PointNet++ as it is usually written in plain PyTorch, with the weights of a given ``PointNet2``.

The slow, obvious twin: sampling in a loop, full distance matrices, sorts, 1x1 convolutions on gathered groups.
It is in the package, not in the tests, because ``wsss bench`` compares the fast network with it.
"""

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, relu

from wsss_ros.networks.pointnet2 import Layers, PointNet2


def plain_forward(
    net: PointNet2, xyz: Float32[Tensor, "B N 3"], features: Float[Tensor, "B N F"], dtype: torch.dtype = torch.float64
) -> Float[Tensor, "B N D"]:
    """Compute ``net(xyz, features)`` in the plain way. Running statistics are not updated.

    Args:
        net: gives the weights.
        xyz: metres.
        features: input features.
        dtype: of the distances. Float64 chooses exactly the neighbours of the fast network; float32 is usual in such
            code and the fairer baseline for time.
    """
    places, rows = [xyz.to(dtype)], [features]
    for layers, count, radius, k in zip(net.abstraction, net.centres, net.radii_m, net.neighbours, strict=True):
        centres = torch.stack([cloud[_sample(cloud, min(count, len(cloud)))] for cloud in places[-1]])
        group = torch.stack([_ball(*clouds, radius, k) for clouds in zip(places[-1], centres, strict=True)])
        relative = (_gather(places[-1], group) - centres[:, :, None]) / radius
        grouped = torch.cat([relative.to(features), _gather(rows[-1], group)], -1)
        rows.append(_convolve(layers, grouped).amax(2))
        places.append(centres)
    above = rows.pop()
    for layers, skip in zip(net.propagation, reversed(rows), strict=True):
        coarse = places.pop()
        pairs = [_three_nearest(*clouds) for clouds in zip(coarse, places[-1], strict=True)]
        near, weight = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        interpolated = (_gather(above, near) * weight.to(features)[..., None]).sum(2)
        above = _convolve(layers, torch.cat([interpolated, skip], -1)[:, :, None])[:, :, 0]
    return above


def _convolve(layers: Layers, rows: Tensor) -> Tensor:
    """[B M K C] -> [B M K C']: convolution, batch normalisation, ReLU."""
    maps = rows.permute(0, 3, 1, 2)
    for linear, norm in zip(layers.linear, layers.norm, strict=True):
        maps = relu(_normalise(norm, conv2d(maps, linear.weight[:, :, None, None])))
    return maps.permute(0, 2, 3, 1)


def _normalise(norm: nn.BatchNorm1d, maps: Tensor) -> Tensor:
    statistics = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    return batch_norm(maps, *statistics, norm.weight, norm.bias, norm.training, 0.0, norm.eps)


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """[B N C], [B M K] -> [B M K C]."""
    return torch.stack([cloud[chosen] for cloud, chosen in zip(rows, index, strict=True)])


def _sample(xyz: Tensor, count: int) -> Tensor:
    index = torch.zeros(count, dtype=torch.int64)
    squared = torch.full((len(xyz),), torch.inf, dtype=xyz.dtype)
    for step in range(1, count):
        squared = torch.minimum(squared, _squared_distances(xyz[index[step - 1]][None], xyz)[0])
        index[step] = squared.argmax()
    return index


def _ball(xyz: Tensor, centres: Tensor, radius: float, count: int) -> Tensor:
    index = torch.arange(len(xyz)).expand(len(centres), -1).clone()
    index[_squared_distances(centres, xyz) >= radius**2] = len(xyz)
    index = index.sort(1).values[:, :count]
    index = torch.cat([index, index[:, :1].expand(-1, count - index.shape[1])], 1)
    return torch.where(index == len(xyz), index[:, :1], index)


def _three_nearest(xyz: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    squared, index = _squared_distances(queries, xyz).sort(dim=1, stable=True)
    weight = 1 / (squared[:, :3].sqrt() + 1e-8)
    return index[:, :3], weight / weight.sum(1, keepdim=True)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    x, y, z = ((a[:, None, axis] - b[:, axis]).square() for axis in range(3))
    return x + y + z
