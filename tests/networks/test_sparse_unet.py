"""The sparse U-Net of 2D3DNet against its dense twin: values, gradients, pools; its size; refusals."""

import pytest
import torch
from reference import sparse_unet as dense_unet
from torch import Tensor

from wsss_ros import networks
from wsss_ros.networks.minkunet import Norm
from wsss_ros.networks.sparse import SparseConv, SparseTensor, max_pool, unpool
from wsss_ros.networks.sparse_unet import SparseUNet
from wsss_ros.types import BadInput

EDGE = 8
SMALL = {"encoder": [[4, 5], [5, 6]], "bottleneck": [7, 6], "decoder": [[6, 5], [4, 4]], "head": [4, 5, 6]}


def grid(seed: int, channels: int, share: float = 0.25) -> tuple[Tensor, Tensor]:
    """A dense grid [2 C 8 8 8] and its occupied voxels, float64."""
    generator = torch.Generator().manual_seed(seed)
    occupied = (torch.rand(2, 1, EDGE, EDGE, EDGE, generator=generator) < share).double()
    return torch.randn(2, channels, EDGE, EDGE, EDGE, generator=generator).double() * occupied, occupied


def sparse(values: Tensor, occupied: Tensor) -> SparseTensor:
    places = occupied[:, 0].nonzero()
    return SparseTensor(read(values, places), places.int())


def read(values: Tensor, places: Tensor) -> Tensor:
    b, x, y, z = places.long().unbind(1)
    return values.permute(0, 2, 3, 4, 1)[b, x, y, z]


def small(**options) -> SparseUNet:
    torch.manual_seed(0)
    net = SparseUNet(3, **{**SMALL, **options}).double()
    for part in net.modules():
        if isinstance(part, Norm):
            part.running_mean.normal_(0.0, 0.1)
            part.running_var.uniform_(0.3, 2.0)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0.0, 0.3)
    return net


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"skips": False}, {"kernel": 1}, {"places": True}], ids=str)
def test_equals_the_dense_network(options, training, way):
    net = small(**options).train(training)
    values, occupied = grid(1, net.inputs)
    theirs, ours = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected = dense_unet.features(net, theirs, occupied)
    parameters = list(net.parameters())
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).double() * occupied
    dense_gradients = torch.autograd.grad(expected, [theirs, *parameters], gradient)
    found = net.voxel_features(sparse(ours, occupied))
    torch.testing.assert_close(found.features, read(expected, found.coordinates), rtol=1e-9, atol=1e-10)
    gradients = torch.autograd.grad(found.features, [ours, *parameters], read(gradient, found.coordinates))
    for mine, other in zip(gradients, dense_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-9)


def test_without_levels_it_is_a_network_of_each_voxel():
    net = small(encoder=[], decoder=[], kernel=1).eval()
    values, occupied = grid(3, 3)
    found = net.voxel_features(sparse(values, occupied))
    torch.testing.assert_close(found.features, read(dense_unet.features(net, values, occupied), found.coordinates))


def test_a_normalised_convolution_is_the_mean_over_occupied_neighbours():
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 5, 5, 5]], dtype=torch.int32)
    conv = SparseConv(1, 1, 3, bias=True, normalised=True)
    torch.nn.init.ones_(conv.weight)
    torch.nn.init.constant_(conv.bias, 1.0)
    found = conv(SparseTensor(torch.tensor([[2.0], [4.0], [7.0]]), coordinates))
    assert found.features[:, 0].tolist() == [4.0, 4.0, 8.0]


def test_pools_by_hand():
    coordinates = torch.tensor([[0, -1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.int32)
    x = SparseTensor(torch.tensor([[-3.0, 1.0], [2.0, -5.0], [1.0, -4.0], [9.0, 9.0]]), coordinates)
    pooled = max_pool(x)
    assert pooled.coordinates.tolist() == [[0, -2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]] and pooled.stride == 2
    assert pooled.features.tolist() == [[-3.0, 1.0], [2.0, -4.0], [9.0, 9.0]]
    back = unpool(pooled)
    assert torch.equal(back.coordinates, coordinates) and back.stride == 1
    assert back.features.tolist() == [[-3.0, 1.0], [2.0, -4.0], [2.0, -4.0], [9.0, 9.0]]
    with pytest.raises(BadInput, match="cannot be divided by 2"):
        unpool(x)


def test_the_papers_network_has_the_published_layers():
    net = SparseUNet(44)
    convs = [part.weight.shape for part in net.modules() if isinstance(part, SparseConv)]
    assert len(convs) == 7 * 2 + 2 + 7 * 2 + 3 and all(shape[0] == 27 for shape in convs)
    first = [conv.weight.shape[1:] for layers in net.down[:2] for conv in layers.convs]
    assert first == [(44, 64), (64, 64), (64, 64), (64, 96)]
    assert net.out_channels == 64 and net.voxel_m == 0.2


def test_points_get_the_features_of_their_voxel_and_one_voxel_is_enough():
    net = SparseUNet(2, voxel_m=0.1, **SMALL)
    xyz = torch.tensor([[[0.01, 0.02, 0.03], [0.05, 0.06, 0.05], [0.95, 0.5, 0.3]]])
    found = net(xyz, torch.randn(1, 3, 2))
    assert torch.equal(found[0, 0], found[0, 1]) and not torch.equal(found[0, 0], found[0, 2])
    assert net(xyz[:, :1], torch.randn(1, 1, 2)).isfinite().all()


@pytest.mark.parametrize(
    "options",
    [{"decoder": [[4, 4]]}, {"bottleneck": []}, {"head": [0]}, {"voxel_m": 0.0}, {"encoder": [[4], []]}],
    ids=str,
)
def test_a_network_that_cannot_be_built_is_refused(options):
    with pytest.raises(BadInput, match="expected"):
        networks.build("cloud", "sparse_unet", 5, {**SMALL, **options}, ("color",))
