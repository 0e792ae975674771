"""Sparse convolutions: features at the occupied voxels of a grid, and nothing elsewhere.

A convolution sums, over the offsets of its kernel, the features of the neighbours times the offset's matrix. Which
voxels are neighbours is found once for each level and kernel (sparse_maps.py) and shared by all layers. Three kinds are
here: submanifold convolutions keep the voxels, strided ones go to larger voxels, transposed ones go back to the smaller
voxels that the strided one came from. Each equals a dense convolution of a grid with zeros in its empty voxels, read at
the output voxels. ``max_pool`` and ``unpool`` go to larger voxels and back without weights.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding

from wsss_ros.networks.sparse_maps import KernelMap, Sites, connect, sites
from wsss_ros.networks.sparse_product import gather_multiply_scatter
from wsss_ros.types import BadInput

KERNELS = (1, 2, 3, 5)


class Levels:
    """The voxels of a batch at all strides, and the kernel maps between them, each computed once.

    ``finest`` are the voxels to begin with.
    """

    def __init__(self, finest: Sites) -> None:
        self._sites = {finest.stride: finest}
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
            object.__setattr__(self, "levels", Levels(sites(self.coordinates, self.stride)))

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

    def _product(self, features: Tensor, pairs: KernelMap, normalised: bool = False) -> Tensor:
        dtype, kind = features.dtype, features.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        out = gather_multiply_scatter(features.to(dtype), self.weight.to(dtype), pairs)
        if normalised:
            out = out / pairs.reached.clamp(min=1).to(dtype)[:, None]
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
        normalised: divide each sum by the number of occupied voxels under the kernel (2D3DNet, G.2), before the bias.

    Raises:
        BadInput: another kernel, or a stride below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        bias: bool = False,
        normalised: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, bias)
        self.normalised = normalised

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The convolution of ``x``."""
        coarse = x.stride * self.stride
        features = self._product(x.features, x.levels.map(x.stride, coarse, self.kernel), self.normalised)
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


def max_pool(x: SparseTensor, factor: int = 2) -> SparseTensor:
    """The largest value of each channel among the voxels inside each voxel that is ``factor`` times as large."""
    coarse = x.stride * factor
    inside = _parents(x.levels, x.stride, coarse)
    voxels = x.levels.sites(coarse).coordinates
    largest = x.features.new_zeros(len(voxels), x.features.shape[1])
    index = inside[:, None].expand_as(x.features)
    pooled = largest.scatter_reduce(0, index, x.features, "amax", include_self=False)
    return SparseTensor(pooled, voxels, coarse, x.levels)


def unpool(x: SparseTensor, factor: int = 2) -> SparseTensor:
    """The features of each voxel at those ``factor`` times smaller voxels inside it that ``max_pool`` left.

    Raises:
        BadInput: the input does not come from voxels that are ``factor`` times smaller.
    """
    if x.stride % factor:
        raise BadInput(f"voxels of stride {x.stride} cannot be divided by {factor}")
    fine = x.stride // factor
    voxels = x.levels.sites(fine).coordinates
    return SparseTensor(embedding(_parents(x.levels, fine, x.stride), x.features), voxels, fine, x.levels)


def _parents(levels: Levels, fine: int, coarse: int) -> Int64[Tensor, " N"]:
    """For each voxel of the finer level, the row of the coarser voxel that it is in."""
    pairs = levels.map(fine, coarse, coarse // fine)
    return torch.empty_like(pairs.source, dtype=torch.int64).index_put((pairs.source.long(),), pairs.target.long())
