"""MinkUNet: a U-Net of sparse convolutions (Choy et al., 4D Spatio-Temporal ConvNets, 2019), for features per point.

Points become voxels, whose input is the mean of their points; each point gets the features of its voxel. By default it
is MinkUNet18A, which WSegPC uses: 5^3 stem, planes 32 64 128 256 128 128 96 96, two residual blocks at each level.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import batch_norm, embedding

from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.recompute import recomputed
from wsss_ros.networks.sparse import Levels, SparseConv, SparseConvTransposed, SparseTensor
from wsss_ros.networks.sparse_maps import occupied
from wsss_ros.types import BadInput

STEM = 32  # channels of the finest level before the first block
PLANES = (32, 64, 128, 256, 128, 128, 96, 96)
BLOCKS = (2, 2, 2, 2, 2, 2, 2, 2)
NARROW = {"planes": (24, 32, 48, 64, 48, 48, 32, 32), "blocks": (1,) * 8, "stem": 16}  # options for CPU training
FURTHEST = 1 << 30  # voxels from the origin; beyond, an int32 has no number


class MinkUNet(Backbone):
    """From clouds to features per point.

    The input of a voxel has in_features + 4 channels: the mean of its points' features, a constant 1, and the mean
    position of its points from its centre, in voxels.

    Args:
        in_features: number F of input features per point, in addition to xyz (3 for rgb).
        voxel_m: edge of a voxel, metres. Voxels have a corner at the origin.
        planes: channels of the four levels downwards, then of the four upwards. The last is the number of features.
        blocks: residual blocks of each of these levels.
        stem: channels of the stem, and of the way down to the first level.
        stem_kernel: edge of the stem's kernel, voxels.
        checkpointing: keep only what is passed between the levels for the backward pass (recompute.py).

    Raises:
        BadInput: another number of levels than 8, a level without channels or blocks, or voxels without size.
    """

    def __init__(
        self,
        in_features: int,
        voxel_m: float = 0.04,
        planes: Sequence[int] = PLANES,
        blocks: Sequence[int] = BLOCKS,
        stem: int = STEM,
        stem_kernel: int = 5,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not len(planes) == len(blocks) == len(PLANES) or min(*planes, *blocks, stem) < 1:
            raise BadInput(f"planes {planes}, blocks {blocks}, stem {stem}; expected 8 planes, 8 blocks, all above 0")
        if not voxel_m > 0:
            raise BadInput(f"voxel_m is {voxel_m}; expected metres above 0")
        self.in_features, self.voxel_m, self.checkpointing = in_features, voxel_m, checkpointing
        self.stem = SparseConv(in_features + 4, stem, stem_kernel)
        self.stem_norm = Norm(stem)
        down, up, before = [], [], stem
        for width, count in zip(planes[:4], blocks[:4], strict=True):
            down.append(Down(before, width, count))
            before = width
        skips = [stem, *planes[:3]][::-1]
        for width, skip, count in zip(planes[4:], skips, blocks[4:], strict=True):
            up.append(Up(before, skip, width, count))
            before = width
        # A ModuleList does not know the type of its modules.
        self.down, self.up = cast(Sequence[Down], nn.ModuleList(down)), cast(Sequence[Up], nn.ModuleList(up))
        self.out_channels = planes[-1]

    def forward(self, xyz: Float[Tensor, "B N 3"], features: Float[Tensor, "B N F"]) -> Float[Tensor, "B N D"]:
        """Features of every point.

        Args:
            xyz: metres.
            features: input features.

        Raises:
            BadInput: no points, coordinates that are not finite or 2^30 voxels from the origin, points so far apart
                that their voxels cannot be numbered, or another number of features than the network was built for.
        """
        if features.shape[2] != self.in_features:
            raise BadInput(f"{features.shape[2]} input features; the network was built for {self.in_features}")
        voxels, voxel_of_point = voxelise(xyz, features, self.voxel_m)
        return embedding(voxel_of_point, self.voxel_features(voxels).features)

    def voxel_features(self, voxels: SparseTensor) -> SparseTensor:
        """Features of every voxel of a level of stride 1, whose features are those of ``voxelise``."""
        x = self.stem_norm(self.stem(voxels), activate=True)
        skips = []
        for down in self.down:
            skips.append(x)
            x = self._run(down, x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = self._run(up, x, skip)
        return x

    def _run(self, part: nn.Module, *inputs: SparseTensor) -> SparseTensor:
        if not self.checkpointing:
            return cast(SparseTensor, part(*inputs))
        result: list[SparseTensor] = []

        def features_of(module: nn.Module, *features: Tensor) -> Tensor:
            of_inputs = (x.with_features(rows) for x, rows in zip(inputs, features, strict=True))
            result.append(module(*of_inputs))
            return result[-1].features

        features = recomputed(features_of, part, *(x.features for x in inputs))
        return result[0].with_features(features)


class Down(nn.Module):
    """A strided convolution to voxels twice as large, and residual blocks there."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.conv, self.norm = SparseConv(in_channels, in_channels, 2, stride=2), Norm(in_channels)
        self.blocks = _residual_blocks(in_channels, out_channels, blocks)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The next coarser level."""
        return cast(SparseTensor, self.blocks(self.norm(self.conv(x), activate=True)))


class Up(nn.Module):
    """A transposed convolution to voxels half as large, joined with ``skip``, and residual blocks there."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.conv, self.norm = SparseConvTransposed(in_channels, out_channels, 2, stride=2), Norm(out_channels)
        self.blocks = _residual_blocks(out_channels + skip_channels, out_channels, blocks)

    def forward(self, x: SparseTensor, skip: SparseTensor) -> SparseTensor:
        """The next finer level."""
        x = self.norm(self.conv(x), activate=True)
        return cast(SparseTensor, self.blocks(x.with_features(torch.cat([x.features, skip.features], 1))))


class Residual(nn.Module):
    """Two submanifold convolutions with a path around them (BasicBlock): a 1^3 convolution if the channels change."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = SparseConv(in_channels, out_channels, 3), Norm(out_channels)
        self.conv2, self.norm2 = SparseConv(out_channels, out_channels, 3), Norm(out_channels)
        changes = in_channels != out_channels
        self.around = SparseConv(in_channels, out_channels, 1) if changes else None
        self.around_norm = Norm(out_channels) if changes else None

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The block of ``x``."""
        y = self.norm2(self.conv2(self.norm1(self.conv1(x), activate=True)))
        around = x
        if self.around is not None and self.around_norm is not None:
            around = self.around_norm(self.around(x))
        return x.with_features(y.features.add_(around.features).relu_())


def _residual_blocks(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    widths = [in_channels, *[out_channels] * blocks]
    return nn.Sequential(*(Residual(a, b) for a, b in zip(widths, widths[1:], strict=False)))


class Norm(nn.BatchNorm1d):
    """Batch normalisation over all voxels of a batch, then ReLU if asked.

    A single voxel has no variance: the running statistics normalise it, also in training.
    """

    def forward(self, x: SparseTensor, activate: bool = False) -> SparseTensor:  # type: ignore[override]
        """Normalise the features."""
        rows = x.features
        if self.training and len(rows) > 1:
            rows = super().forward(rows)
        else:
            rows = batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return x.with_features(rows.relu_() if activate else rows)


def voxelise(
    xyz: Float[Tensor, "B N 3"], features: Float[Tensor, "B N F"], voxel_m: float
) -> tuple[SparseTensor, Int64[Tensor, "B N"]]:
    """The voxels ``floor(xyz / voxel_m)`` of each cloud, in sorted order.

    Args:
        xyz: metres.
        features: of the points.
        voxel_m: edge of a voxel, metres.

    Returns:
        The voxels, with F + 4 features: the mean of the points' features, a 1, and the points' mean position from the
        centre in voxels. And the row of each point's voxel.

    Raises:
        BadInput: a cloud without points, coordinates that are not finite, or 2^30 voxels from the origin.
    """
    batch, points = xyz.shape[:2]
    if not points:
        raise BadInput("a cloud has no points; expected at least one")
    place = xyz.flatten(0, 1).double() / voxel_m
    if not bool((place.abs() < FURTHEST).all()):
        raise BadInput(f"a point is not finite or {FURTHEST:,} voxels of {voxel_m} m from the origin; remove it first")
    corner = place.floor()
    cloud = torch.arange(batch, device=xyz.device).repeat_interleave(points)
    sites, voxel = occupied(torch.cat([cloud[:, None], corner.long()], 1))
    rows = torch.cat([features.flatten(0, 1), features.new_ones(len(place), 1), (place - corner - 0.5).to(features)], 1)
    count = torch.bincount(voxel, minlength=len(sites.keys))
    sums = rows.new_zeros((len(sites.keys), rows.shape[1]), dtype=torch.promote_types(rows.dtype, torch.float32))
    means = sums.index_add_(0, voxel, rows.to(sums.dtype)) / count[:, None]
    return SparseTensor(means.to(rows.dtype), sites.coordinates, 1, Levels(sites)), voxel.view(batch, points)
