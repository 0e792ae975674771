"""The product of a sparse convolution: rows are gathered, multiplied by the matrix of their offset, and summed.

The CPU has compiled kernels for it (sparse_kernels.py); other devices use the operations of torch, offset by offset.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from wsss_ros.geometry.neighbors import share
from wsss_ros.networks import sparse_kernels
from wsss_ros.networks.sparse_maps import KernelMap, compiled_on
from wsss_ros.types import BadInput


def gather_multiply_scatter(
    features: Float[Tensor, "N C"], weight: Float[Tensor, "K E D"], pairs: KernelMap
) -> Float[Tensor, "M D"]:
    """out[j] = sum of features[i] @ weight[k] over the pairs (i, j) of each offset k.

    Features of 16 bits are summed in float32.

    Args:
        features: rows of the input voxels.
        weight: a matrix for each offset, with E = C.
        pairs: which rows reach which.

    Raises:
        BadInput: features or matrices of another size than expected; compiled code does not look at it.
    """
    rows, matrices = (pairs.inputs, weight.shape[1]), (pairs.offsets, features.shape[1])
    if tuple(features.shape) != rows or tuple(weight.shape[:2]) != matrices or not weight.shape[2]:
        raise BadInput(
            f"features {list(features.shape)} and weights {list(weight.shape)}; expected features [{rows[0]}, C], and "
            f"weights [{matrices[0]}, C, D] with the same C and a D above 0"
        )
    result: Tensor = _GatherMultiplyScatter.apply(features, weight, pairs)
    return result


class _GatherMultiplyScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        return multiply(features, weight, pairs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            mirrored = ctx.pairs.mirrored
            back = ctx.pairs if mirrored else ctx.pairs.transposed
            of_features = multiply(gradient, (weight.flip(0) if mirrored else weight).transpose(1, 2), back)
        if ctx.needs_input_grad[1]:
            of_weight = correlate(features, gradient, ctx.pairs)
        return of_features, of_weight, None


def multiply(rows: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """The sum ``gather_multiply_scatter`` without gradients."""
    if compiled_on(rows.device):
        return _compiled_multiply(rows, weight, pairs)
    out = rows.new_zeros((pairs.outputs, weight.shape[2]), dtype=_sum_dtype(rows))
    for starts in pairs.starts:
        for offset, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            if last > first:
                product = rows[pairs.source[first:last]] @ weight[offset]
                out.index_add_(0, pairs.target[first:last], product.to(out.dtype))
    return out.to(rows.dtype)


def correlate(rows: Tensor, gradient: Tensor, pairs: KernelMap) -> Tensor:
    """For each offset, the sum of rows[i]ᵀ gradient[j] over its pairs: the gradient of its matrix."""
    if compiled_on(rows.device):
        return _compiled_correlate(rows, gradient, pairs)
    out = rows.new_zeros((pairs.offsets, rows.shape[1], gradient.shape[1]), dtype=_sum_dtype(rows))
    for starts in pairs.starts:
        for offset, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            if last > first:
                out[offset] += rows[pairs.source[first:last]].T @ gradient[pairs.target[first:last]]
    return out.to(rows.dtype)


def _compiled_multiply(rows: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    dtype, columns = _sum_dtype(rows), weight.shape[2]
    out = torch.zeros(pairs.outputs, _padded(columns, dtype), dtype=dtype)
    weight = pad(weight, (0, out.shape[1] - columns))
    if rows.dtype == torch.bfloat16 and sparse_kernels.BFLOAT16:
        odd = rows.shape[1] % 2
        factors = _packed(pad(rows, (0, odd)), pad(weight, (0, 0, 0, odd)))
    else:
        factors = rows.to(dtype).contiguous(), weight.to(dtype).contiguous()
    chunks, chunk = _chunks(out)
    arrays = [part.detach().numpy() for part in (*factors, pairs.source, pairs.target)]
    share(sparse_kernels.multiply, chunks * len(pairs.starts), *arrays, pairs.starts, chunk, out.numpy(), least=1)
    return out[:, :columns].to(rows.dtype)


def _compiled_correlate(rows: Tensor, gradient: Tensor, pairs: KernelMap) -> Tensor:
    dtype, columns = _sum_dtype(rows), gradient.shape[1]
    out = torch.zeros(pairs.offsets, rows.shape[1], _padded(columns, dtype), dtype=dtype)
    factors = rows.to(dtype).contiguous(), pad(gradient.to(dtype), (0, out.shape[2] - columns)).contiguous()
    arrays = [part.detach().numpy() for part in (*factors, pairs.source, pairs.target)]
    share(sparse_kernels.correlate, pairs.offsets, *arrays, pairs.starts, _chunks(out)[1], out.numpy(), least=1)
    return out[..., :columns].to(rows.dtype)


def _packed(rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of bfloat16 numbers as int32: two neighbouring channels of a row, and these two rows of a matrix."""
    pairs = weight.unflatten(1, (-1, 2)).transpose(2, 3).contiguous()
    return rows.contiguous().view(torch.int32), pairs.view(torch.int32)[..., 0]


def _padded(columns: int, dtype: torch.dtype) -> int:
    """The columns, rounded up to complete vectors."""
    lanes = sparse_kernels.VECTOR_BYTES // dtype.itemsize
    return -(-columns // lanes) * lanes


def _chunks(out: Tensor) -> tuple[int, int]:
    """Number of chunks of columns, and vectors of a chunk: as equal as they can be."""
    vectors = out.shape[-1] * out.element_size() // sparse_kernels.VECTOR_BYTES
    chunks = -(-vectors // sparse_kernels.VECTORS)
    return chunks, -(-vectors // chunks)


def _sum_dtype(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)
