"""Kernel maps: which voxel reaches which voxel through which offset of a convolution's kernel.

The coordinates of a voxel are packed into one key. Sorted keys are voxels in lexicographic order, and an offset of the
kernel adds a constant to a key. So the CPU finds the neighbours by running through two sorted lists at once, without a
hash table, and rows of neighbours are near each other in memory. On other devices ``torch.searchsorted`` finds the same
pairs.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from wsss_ros.geometry.neighbors import share
from wsss_ros.networks import sparse_kernels
from wsss_ros.types import BadInput

BLOCK = 1024  # output rows of a block: their sums stay in the cache of a core while all offsets add to them
MARGIN = 8  # empty voxels around all coordinates: an offset never leads into the next line of voxels


@dataclass(frozen=True)
class Sites:
    """The occupied voxels of one level.

    Attributes:
        coordinates: batch, x, y, z of each row; x, y and z are multiples of ``stride``.
        stride: edge of a voxel, in voxels of the finest level.
        low: x, y, z of key 0, in voxels of this level.
        size: number of keys along x, y, z.
        keys: of the voxels, sorted.
        order: row of each key.
    """

    coordinates: Int32[Tensor, "N 4"]
    stride: int
    low: tuple[int, int, int]
    size: tuple[int, int, int]
    keys: Int64[Tensor, " N"]
    order: Int32[Tensor, " N"]

    def coarser(self, factor: int) -> "Sites":
        """The voxels that are ``factor`` times as large and contain one of these, in sorted order."""
        stride = self.stride * factor
        cells = self.coordinates.long()
        cells[:, 1:] = cells[:, 1:].div(stride, rounding_mode="floor")
        low, size = _box(cells)
        keys = torch.unique(_pack(cells, low, size))
        cells = _unpack(keys, low, size)
        cells[:, 1:] *= stride
        order = torch.arange(len(keys), dtype=torch.int32, device=keys.device)
        return Sites(cells.int(), stride, low, size, keys, order)

    def keys_of(self, other: "Sites") -> Int64[Tensor, " M"]:
        """The keys that the voxels of another level, in its sorted order, have among the keys of this level."""
        cells = other.coordinates[other.order.long()].long()
        cells[:, 1:] = cells[:, 1:].div(self.stride, rounding_mode="floor")
        return _pack(cells, self.low, self.size)


def sites(coordinates: Int32[Tensor, "N 4"], stride: int) -> Sites:
    """Sort the voxels of a level.

    Args:
        coordinates: batch, x, y, z; each voxel once, in any order.
        stride: edge of a voxel, in voxels of the finest level.

    Raises:
        BadInput: a voxel that comes twice, a coordinate that is not a multiple of the stride, or voxels so far apart
            that their keys do not fit into 63 bits.
    """
    cells = coordinates.long()
    if bool((cells[:, 1:] % stride).any()):
        raise BadInput(f"a coordinate is not a multiple of the stride {stride}; multiply voxel indices by the stride")
    cells[:, 1:] = cells[:, 1:].div(stride, rounding_mode="floor")
    low, size = _box(cells)
    keys, order = torch.sort(_pack(cells, low, size))
    if bool((keys[1:] == keys[:-1]).any()):
        raise BadInput("a voxel comes twice; expected each voxel of each batch once: merge points of one voxel first")
    return Sites(coordinates, stride, low, size, keys, order.int())


def occupied(cells: Int64[Tensor, "N 4"]) -> tuple[Sites, Int64[Tensor, " N"]]:
    """The voxels of stride 1 that contain at least one of the given cells, sorted, and the row of each cell.

    Args:
        cells: batch, x, y, z; a cell may come several times.

    Raises:
        BadInput: cells so far apart that their keys do not fit into 63 bits.
    """
    low, size = _box(cells)
    keys, row = torch.unique(_pack(cells, low, size), return_inverse=True)
    order = torch.arange(len(keys), dtype=torch.int32, device=keys.device)
    return Sites(_unpack(keys, low, size).int(), 1, low, size, keys, order), row


def _box(cells: Int64[Tensor, "N 4"]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Lowest cell with the margin, and number of cells along x, y, z with the margin on both sides."""
    if not len(cells):
        return (0, 0, 0), (1, 1, 1)
    low, high = cells.amin(0).tolist(), cells.amax(0).tolist()
    if low[0] < 0:
        raise BadInput(f"a batch index is {low[0]}; expected 0 or more")
    size = [b - a + 1 + 2 * MARGIN for a, b in zip(low[1:], high[1:], strict=True)]
    if (high[0] + 1) * math.prod(size) >= 1 << 63:
        raise BadInput(
            f"the voxels span {' x '.join(map(str, size))}, which is more than 63 bits can number; remove points that "
            "are far from the others, or choose larger voxels"
        )
    x, y, z = (value - MARGIN for value in low[1:])
    return (x, y, z), (size[0], size[1], size[2])


def _pack(cells: Int64[Tensor, "N 4"], low: tuple[int, int, int], size: tuple[int, int, int]) -> Int64[Tensor, " N"]:
    batch, x, y, z = cells.unbind(1)
    return ((batch * size[0] + (x - low[0])) * size[1] + (y - low[1])) * size[2] + (z - low[2])


def _unpack(keys: Int64[Tensor, " N"], low: tuple[int, int, int], size: tuple[int, int, int]) -> Int64[Tensor, "N 4"]:
    columns = []
    for edge, lowest in zip(reversed(size), reversed(low), strict=True):
        columns.append(keys % edge + lowest)
        keys = keys.div(edge, rounding_mode="floor")
    return torch.stack([keys, *reversed(columns)], 1)


@dataclass(frozen=True)
class KernelMap:
    """The pairs of a convolution: the input row ``source`` reaches the output row ``target`` through an offset.

    The pairs are sorted by block of output rows, then by offset. Blocks have no output row in common, and an output row
    comes at most once among the pairs of one block and offset.

    Attributes:
        source: input row of each pair.
        target: output row of each pair.
        starts: first pair of each offset in each block; the last column is the end of the block.
        inputs: number of input rows.
        outputs: number of output rows.
        mirrored: whether the pair (i, j) of an offset always comes with the pair (j, i) of the opposite offset.
    """

    source: Int32[Tensor, " P"]
    target: Int32[Tensor, " P"]
    starts: Int64[np.ndarray, "T K1"]
    inputs: int
    outputs: int
    mirrored: bool = False

    @property
    def offsets(self) -> int:
        """Number of offsets of the kernel."""
        return self.starts.shape[1] - 1

    @cached_property
    def reached(self) -> Int64[Tensor, " M"]:
        """The number of input rows that reach each output row: the occupied voxels under the kernel."""
        return torch.bincount(self.target, minlength=self.outputs)

    @cached_property
    def transposed(self) -> "KernelMap":
        """The map with input and output exchanged; the offsets keep their numbers."""
        lengths = np.diff(self.starts, axis=1)
        offset = np.tile(np.arange(self.offsets), len(lengths)).repeat(lengths.ravel())
        offsets = torch.from_numpy(offset).to(self.source.device)
        counts = self.offsets, self.outputs, self.inputs
        return _sorted_map(self.target, self.source, offsets, self.source.long(), counts)


def compiled_on(device: torch.device) -> bool:
    """Whether compiled kernels compute on the device; torch computes elsewhere."""
    return device.type == "cpu"


def connect(inputs: Sites, outputs: Sites, kernel: int) -> KernelMap:
    """The pairs of a convolution from one level to the same or a coarser one.

    Offset number (i kernel + j) kernel + k leads from an output voxel to the input voxel at +(i, j, k) - kernel // 2
    input voxels for an odd kernel, and at +(i, j, k) for an even one.

    Args:
        inputs: the level of the input.
        outputs: the level of the output.
        kernel: edge of the kernel, in input voxels.
    """
    first = -(kernel // 2) if kernel % 2 else 0
    steps = range(first, first + kernel)
    base = inputs.keys_of(outputs)
    mirrored = inputs is outputs and kernel % 2 == 1
    join = _join_compiled if compiled_on(base.device) else _join
    return join(inputs, outputs, base, steps, mirrored)


def _join(inputs: Sites, outputs: Sites, base: Tensor, steps: range, mirrored: bool) -> KernelMap:
    pairs = []
    for number, (i, j, k) in enumerate(itertools.product(steps, repeat=3)):
        expected = base + (i * inputs.size[1] + j) * inputs.size[2] + k
        at = torch.searchsorted(inputs.keys, expected).clamp_(max=len(inputs.keys) - 1)
        place = (inputs.keys[at] == expected).nonzero()[:, 0]
        pairs.append((inputs.order[at[place]], outputs.order[place], torch.full_like(place, number), place))
    source, target, offset, place = (torch.cat(column) for column in zip(*pairs, strict=True))
    counts = len(steps) ** 3, len(inputs.keys), len(outputs.keys)
    return _sorted_map(source, target, offset, place, counts, mirrored)


def _join_compiled(inputs: Sites, outputs: Sites, base: Tensor, steps: range, mirrored: bool) -> KernelMap:
    blocks, offsets = max(1, math.ceil(len(base) / BLOCK)), len(steps) ** 3
    lines = np.array([(i * inputs.size[1] + j) * inputs.size[2] for i, j in itertools.product(steps, repeat=2)])
    sides = (part.numpy() for part in (inputs.keys, inputs.order, base, outputs.order))
    search = (*sides, lines, steps[0], steps[-1], BLOCK)
    occupied = blocks if len(base) else 0
    counts, nothing = np.zeros((blocks, offsets), np.int64), np.empty(0, np.int32)
    share(sparse_kernels.join, occupied, *search, counts, nothing, nothing, least=1)
    starts = _starts(np.cumsum(counts).reshape(blocks, offsets))
    source, target = np.empty(starts[-1, -1], np.int32), np.empty(starts[-1, -1], np.int32)
    if len(source):
        share(sparse_kernels.join, occupied, *search, starts[:, :-1].copy(), source, target, least=1)
    pairs = torch.from_numpy(source), torch.from_numpy(target)
    return KernelMap(*pairs, starts, len(inputs.keys), len(outputs.keys), mirrored)


def _sorted_map(
    source: Tensor, target: Tensor, offset: Tensor, place: Tensor, counts: tuple[int, int, int], mirrored: bool = False
) -> KernelMap:
    """The map of pairs in any order. ``place`` // BLOCK is the block of a pair; on a GPU there is one block.

    ``counts`` are the numbers of offsets, input rows and output rows.
    """
    offsets, inputs, outputs = counts
    blocks = max(1, math.ceil(outputs / BLOCK)) if source.device.type == "cpu" else 1
    part = (place // BLOCK if blocks > 1 else torch.zeros_like(place)) * offsets + offset
    part, order = torch.sort(part, stable=True)
    ends = torch.bincount(part, minlength=blocks * offsets).cumsum(0).cpu().numpy()
    return KernelMap(source[order], target[order], _starts(ends.reshape(blocks, offsets)), inputs, outputs, mirrored)


def _starts(ends: Int64[np.ndarray, "T K"]) -> Int64[np.ndarray, "T K1"]:
    """``KernelMap.starts`` from the end of each offset in each block."""
    return np.concatenate([np.append(0, ends[:-1, -1])[:, None], ends], axis=1)
