"""Sparse convolutions against dense conv3d on random masks: values and gradients; orders, batches, edges, refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wsss_ros.networks import sparse_maps
from wsss_ros.networks.sparse import SparseConv, SparseConvTransposed, SparseTensor
from wsss_ros.types import BadInput

EDGE = 8  # voxels of the dense grids
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def random_tensor(generator: torch.Generator, channels: int, share: float = 0.2, batch: int = 2) -> SparseTensor:
    """Random features at random voxels of grids of EDGE^3, in random order, float64."""
    coordinates = (torch.rand(batch, EDGE, EDGE, EDGE, generator=generator) < share).nonzero().int()
    coordinates = coordinates[torch.randperm(len(coordinates), generator=generator)]
    return SparseTensor(torch.randn(len(coordinates), channels, generator=generator).double(), coordinates)


def dense(features: Tensor, coordinates: Tensor, stride: int = 1, batch: int = 2) -> Tensor:
    """The grid [B C X Y Z] with the features at their voxels and zeros elsewhere."""
    b, x, y, z = coordinates.long().unbind(1)
    edge = EDGE // stride
    grid = features.new_zeros(batch, edge, edge, edge, features.shape[1])
    return grid.index_put((b, x // stride, y // stride, z // stride), features).permute(0, 4, 1, 2, 3)


def read(grid: Tensor, coordinates: Tensor, stride: int = 1) -> Tensor:
    b, x, y, z = coordinates.long().unbind(1)
    return grid.permute(0, 2, 3, 4, 1)[b, x // stride, y // stride, z // stride]


def dense_conv(x: SparseTensor, features: Tensor, weight: Tensor, kernel: int, stride: int) -> tuple[Tensor, Tensor]:
    """The convolution by conv3d: coordinates and features of the output."""
    edges = weight.unflatten(0, (kernel, kernel, kernel)).permute(4, 3, 0, 1, 2)
    grid = dense(features, x.coordinates)
    before, after = (kernel // 2, kernel // 2) if kernel % 2 else (0, kernel - 1)
    whole = F.conv3d(F.pad(grid, (before, after) * 3), edges, stride=stride)
    cells = x.coordinates.clone()
    cells[:, 1:] = cells[:, 1:] // stride * stride
    coordinates = x.coordinates if stride == 1 else torch.unique(cells, dim=0)
    return coordinates, read(whole, coordinates, stride)


def close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    scale = expected.abs().max().clamp(min=1.0)
    assert float((found.double() - expected.double()).abs().max().detach() / scale.detach()) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel, stride", [(1, 1), (2, 1), (3, 1), (5, 1), (2, 2), (3, 2), (5, 2)])
def test_equals_a_dense_convolution(kernel, stride, dtype, way):
    generator = torch.Generator().manual_seed(kernel + 10 * stride)
    x = random_tensor(generator, 7)
    conv = SparseConv(7, 20, kernel, stride).to(dtype)
    rounded = x.features.to(dtype)
    mine = rounded.clone().requires_grad_()
    y = conv(SparseTensor(mine, x.coordinates))
    theirs, weight = rounded.double().requires_grad_(), conv.weight.detach().double().requires_grad_()
    coordinates, expected = dense_conv(x, theirs, weight, kernel, stride)
    assert torch.equal(y.coordinates, coordinates) and y.stride == stride
    close(y.features, expected, dtype)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    y.features.backward(gradient)
    expected.backward(gradient.double())
    close(mine.grad, theirs.grad, dtype)
    close(conv.weight.grad, weight.grad, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_transposed_convolution_equals_the_dense_one(kernel, dtype, way):
    generator = torch.Generator().manual_seed(kernel)
    x = random_tensor(generator, 5)
    down = SparseConv(5, 6, kernel, stride=2).to(dtype)(SparseTensor(x.features.to(dtype), x.coordinates))
    up = SparseConvTransposed(6, 17, kernel, stride=2, bias=True).to(dtype)
    torch.nn.init.normal_(up.bias)
    mine = down.features.detach().requires_grad_()
    y = up(down.with_features(mine))
    assert torch.equal(y.coordinates, x.coordinates) and y.stride == 1
    theirs = mine.detach().double().requires_grad_()
    weight = up.weight.detach().double().requires_grad_()
    edges = weight.unflatten(0, (kernel, kernel, kernel)).permute(3, 4, 0, 1, 2)
    options = {"stride": 2, "padding": kernel // 2 if kernel % 2 else 0, "output_padding": kernel % 2}
    whole = F.conv_transpose3d(dense(theirs, down.coordinates, 2), edges, up.bias.double(), **options)
    expected = read(whole, x.coordinates)
    close(y.features, expected, dtype)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    y.features.backward(gradient)
    expected.backward(gradient.double())
    close(mine.grad, theirs.grad, dtype)
    close(up.weight.grad, weight.grad, dtype)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2]), st.floats(0.0, 1.0))
def test_the_order_of_voxels_does_not_matter(seed, kernel, stride, share):
    generator = torch.Generator().manual_seed(seed)
    x = random_tensor(generator, 3, share)
    conv = SparseConv(3, 4, kernel, stride).double()
    order = torch.randperm(len(x.features), generator=generator)
    plain = conv(x)
    shuffled = conv(SparseTensor(x.features[order], x.coordinates[order]))
    expected = plain.features[order] if stride == 1 else plain.features
    torch.testing.assert_close(shuffled.features, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from([2, 3, 5]), st.sampled_from([1, 2]))
def test_both_ways_find_the_same_pairs(seed, kernel, stride):
    x = random_tensor(torch.Generator().manual_seed(seed), 1, 0.6, batch=6)  # more than one block of output voxels
    fine = sparse_maps.sites(x.coordinates - torch.tensor([0, 5, 5, 5], dtype=torch.int32), 1)
    coarse = fine if stride == 1 else fine.coarser(stride)
    maps = []
    for compiled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sparse_maps, "compiled_on", lambda device, compiled=compiled: compiled)
            maps.append(sparse_maps.connect(fine, coarse, kernel))
    for ours, theirs in (maps, [found.transposed for found in maps]):
        assert torch.equal(ours.source, theirs.source) and torch.equal(ours.target, theirs.target)
        np.testing.assert_array_equal(ours.starts, theirs.starts)
        assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)


def test_maps_are_built_once_and_shared(monkeypatch):
    from wsss_ros.networks import sparse

    built = []

    def counted(*arguments):
        built.append(arguments)
        return sparse_maps.connect(*arguments)

    monkeypatch.setattr(sparse, "connect", counted)
    x = random_tensor(torch.Generator().manual_seed(0), 4)
    same, down, up = (
        SparseConv(4, 4, 3).double(),
        SparseConv(4, 4, 2, 2).double(),
        SparseConvTransposed(4, 4, 2, 2).double(),
    )
    y = down(same(same(x)))
    up(same(y))
    assert len(built) == 3


def test_batches_do_not_mix():
    x = random_tensor(torch.Generator().manual_seed(1), 3, 0.5)
    conv = SparseConv(3, 4, 5).double()
    together = conv(x).features
    for number in range(2):
        own = x.coordinates[:, 0] == number
        alone = conv(SparseTensor(x.features[own], x.coordinates[own])).features
        torch.testing.assert_close(together[own], alone, rtol=1e-12, atol=1e-12)


def test_negative_coordinates_and_distant_voxels():
    coordinates = torch.tensor([[0, -3, -1, 0], [0, -4, -1, 0], [0, 300_000, 7, -500_000]], dtype=torch.int32)
    x = SparseTensor(torch.eye(3).double(), coordinates)
    conv = SparseConv(3, 2, 3).double()
    expected = torch.stack(
        [conv.weight[13, 0] + conv.weight[4, 1], conv.weight[13, 1] + conv.weight[22, 0], conv.weight[13, 2]]
    )
    torch.testing.assert_close(conv(x).features, expected, rtol=0, atol=1e-12)
    down = SparseConv(3, 2, 2, 2).double()(x)
    assert down.coordinates.tolist() == [[0, -4, -2, 0], [0, 300_000, 6, -500_000]]


@pytest.mark.parametrize("voxels", [0, 1])
def test_no_voxel_and_one_voxel(voxels, way):
    x = SparseTensor(torch.ones(voxels, 3, requires_grad=True), torch.zeros(voxels, 4, dtype=torch.int32))
    down, same, up = SparseConv(3, 4, 2, 2), SparseConv(4, 4, 3), SparseConvTransposed(4, 5, 2, 2)
    y = up(same(down(x)))
    assert y.features.shape == (voxels, 5)
    y.features.sum().backward()
    assert x.features.grad.shape == (voxels, 3)


def test_gradcheck():
    x = random_tensor(torch.Generator().manual_seed(3), 2, 0.02)
    conv, levels = SparseConv(2, 3, 3).double(), x.levels

    def run(features: Tensor, weight: Tensor) -> Tensor:
        y = SparseTensor(features, x.coordinates, 1, levels)
        return torch.func.functional_call(conv, {"weight": weight}, (y,)).features

    assert torch.autograd.gradcheck(run, (x.features.requires_grad_(), conv.weight.detach().requires_grad_()))


def test_autocast_computes_in_16_bits():
    x = random_tensor(torch.Generator().manual_seed(4), 8)
    conv, x = SparseConv(8, 16, 3), x.with_features(x.features.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x).features
    assert found.dtype == torch.bfloat16
    close(found, conv(x).features, torch.bfloat16)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: SparseConv(5, 4, 3)(random_tensor(torch.Generator().manual_seed(0), 3)), "expected features"),
        (lambda: SparseConv(3, 4, 4), "kernel 4"),
        (lambda: SparseConv(3, 4, 3, 0), "stride 0"),
        (lambda: SparseTensor(torch.ones(2, 3), torch.zeros(2, 4, dtype=torch.int32)), "comes twice"),
        (lambda: SparseTensor(torch.ones(1, 3), torch.zeros(2, 4, dtype=torch.int32)), "expected as many"),
        (lambda: SparseTensor(torch.ones(1, 3), torch.ones(1, 4, dtype=torch.int32), 2), "multiple of the stride 2"),
        (lambda: SparseTensor(torch.ones(1, 3), -torch.ones(1, 4, dtype=torch.int32)), "batch index is -1"),
        (
            lambda: SparseTensor(torch.ones(2, 3), torch.tensor([[0] * 4, [0] + [2**30] * 3], dtype=torch.int32)),
            "63 bits",
        ),
        (
            lambda: SparseConvTransposed(3, 4, 2, 2)(
                SparseTensor(torch.ones(1, 3), torch.zeros(1, 4, dtype=torch.int32))
            ),
            "cannot be divided",
        ),
        (
            lambda: SparseConvTransposed(3, 4, 2, 2)(
                SparseTensor(torch.ones(1, 3), torch.zeros(1, 4, dtype=torch.int32), 2)
            ),
            "no voxels of stride 1",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(BadInput, match=message):
        call()
