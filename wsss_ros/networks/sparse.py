"""Sparse convolutions: features at the occupied voxels of a grid, and nothing elsewhere.

A convolution sums, over the offsets of its kernel, the features of the neighbours times the offset's matrix. Which
voxels are neighbours is found once for each level and kernel (sparse_maps.py) and shared by all layers. Three kinds are
here: submanifold convolutions keep the voxels, strided ones go to larger voxels, transposed ones go back to the smaller
voxels that the strided one came from. Each equals a dense convolution of a grid with zeros in its empty voxels, read at
the output voxels.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from wsss_ros.networks.sparse_maps import KernelMap, Sites, connect, sites
from wsss_ros.types import BadInput

KERNELS = (1, 2, 3, 5)


class Levels:
    """The voxels of a batch at all strides, and the kernel maps between them, each computed once.

    Args:
        coordinates: batch, x, y, z of the finest level.
        stride: of the finest level.

    Raises:
        BadInput: as ``sparse_maps.sites``.
    """

    def __init__(self, coordinates: Int32[Tensor, "N 4"], stride: int) -> None:
        self._sites = {stride: sites(coordinates, stride)}
        self._maps: dict[tuple[int, int, int], KernelMap] = {}

    def sites(self, stride: int, below: int = 0) -> Sites:
        """The voxels at a stride. A stride that is new is made from the stride ``below``.

        Raises:
            BadInput: a stride that is neither here nor can be made.
        """
        if stride not in self._sites:
            if below not in self._sites:
                raise BadInput(f"no voxels of stride {stride}; there are {sorted(self._sites)}")
            self._sites[stride] = self._sites[below].coarser(stride // below)
        return self._sites[stride]

    def map(self, fine: int, coarse: int, kernel: int) -> KernelMap:
        """The pairs from the level of stride ``fine`` to that of stride ``coarse``."""
        key = fine, coarse, kernel
        if key not in self._maps:
            self._maps[key] = connect(self.sites(fine), self.sites(coarse, fine), kernel)
        return self._maps[key]


@dataclass(frozen=True)
class SparseTensor:
    """Features at the occupied voxels of a batch of grids.

    Attributes:
        features: one row for each voxel.
        coordinates: batch, x, y, z of each row, in any order; x, y, z are multiples of ``stride``.
        stride: edge of a voxel, in voxels of the finest level.
        levels: voxels and kernel maps; tensors that layers make of each other share them.
    """

    features: Float[Tensor, "N C"]
    coordinates: Int32[Tensor, "M 4"]  # M = N, which is checked
    stride: int = 1
    levels: Levels = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if len(self.features) != len(self.coordinates):
            raise BadInput(
                f"{len(self.features)} rows of features and {len(self.coordinates)} coordinates; expected as many"
            )
        if self.levels is None:
            object.__setattr__(self, "levels", Levels(self.coordinates, self.stride))

    def with_features(self, features: Float[Tensor, "N D"]) -> "SparseTensor":
        """Other features at the same voxels."""
        return replace(self, features=features)


class _Convolution(nn.Module):
    """Weights [K, C_in, C_out] of the K offsets of a kernel, in the order of ``sparse_maps.connect``."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__()
        if kernel not in KERNELS or stride < 1:
            raise BadInput(
                f"kernel {kernel}, stride {stride}; expected a kernel of {KERNELS} and a stride of 1 or more"
            )
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(kernel**3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.normal_(self.weight, std=(2 / (kernel**3 * out_channels)) ** 0.5)  # Kaiming, by the outputs

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        _, inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}, kernel={self.kernel}, stride={self.stride}"

    def _product(self, features: Tensor, pairs: KernelMap) -> Tensor:
        dtype, kind = features.dtype, features.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        out = gather_multiply_scatter(features.to(dtype), self.weight.to(dtype), pairs)
        return out if self.bias is None else out + self.bias.to(dtype)


class SparseConv(_Convolution):
    """A sparse convolution.

    With stride 1 it is a submanifold convolution: the output has the voxels of the input. With a stride s the output
    has the voxels that are s times as large and contain a voxel of the input.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel: edge of the kernel, input voxels: 1, 2, 3 or 5. An odd kernel is centred at the output voxel's lowest
            corner voxel, an even one begins there.
        stride: how many times larger the output's voxels are.
        bias: whether to add one.

    Raises:
        BadInput: another kernel, or a stride below 1.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The convolution of ``x``."""
        coarse = x.stride * self.stride
        features = self._product(x.features, x.levels.map(x.stride, coarse, self.kernel))
        return SparseTensor(features, x.levels.sites(coarse).coordinates, coarse, x.levels)


class SparseConvTransposed(_Convolution):
    """A transposed sparse convolution: the output has the voxels, s times smaller, that a strided convolution left.

    Arguments are those of ``SparseConv``.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The transposed convolution of ``x``.

        Raises:
            BadInput: the input does not come from voxels that are ``stride`` times smaller.
        """
        if x.stride % self.stride:
            raise BadInput(f"voxels of stride {x.stride} cannot be divided by {self.stride}")
        fine = x.stride // self.stride
        voxels = x.levels.sites(fine)
        features = self._product(x.features, x.levels.map(fine, x.stride, self.kernel).transposed)
        return SparseTensor(features, voxels.coordinates, fine, x.levels)


def gather_multiply_scatter(
    features: Float[Tensor, "N C"], weight: Float[Tensor, "K C D"], pairs: KernelMap
) -> Float[Tensor, "M D"]:
    """out[j] = sum of features[i] @ weight[k] over the pairs (i, j) of each offset k.

    Features of 16 bits are summed in float32.

    Args:
        features: rows of the input voxels.
        weight: a matrix for each offset.
        pairs: which rows reach which.
    """
    result: Tensor = _GatherMultiplyScatter.apply(features, weight, pairs)
    return result


class _GatherMultiplyScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        return _multiply(features, weight, pairs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            mirrored = ctx.pairs.mirrored
            back = ctx.pairs if mirrored else ctx.pairs.transposed
            of_features = _multiply(gradient, (weight.flip(0) if mirrored else weight).transpose(1, 2), back)
        if ctx.needs_input_grad[1]:
            of_weight = _correlate(features, gradient, ctx.pairs)
        return of_features, of_weight, None


def _multiply(rows: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    out = rows.new_zeros((pairs.outputs, weight.shape[2]), dtype=_sum_dtype(rows))
    for starts in pairs.starts:
        for offset, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            if last > first:
                product = rows[pairs.source[first:last]] @ weight[offset]
                out.index_add_(0, pairs.target[first:last], product.to(out.dtype))
    return out.to(rows.dtype)


def _correlate(rows: Tensor, gradient: Tensor, pairs: KernelMap) -> Tensor:
    """For each offset, the sum of rows[i]ᵀ gradient[j] over its pairs."""
    out = rows.new_zeros((pairs.offsets, rows.shape[1], gradient.shape[1]), dtype=_sum_dtype(rows))
    for starts in pairs.starts:
        for offset, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            if last > first:
                out[offset] += rows[pairs.source[first:last]].T @ gradient[pairs.target[first:last]]
    return out.to(rows.dtype)


def _sum_dtype(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)
