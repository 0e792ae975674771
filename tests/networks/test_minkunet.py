"""MinkUNet: its size, what it makes of points and voxels, orders, batches, edges, gradients, refusals."""

import numpy as np
import pytest
import torch
from torch import Tensor

from wsss_ros import networks
from wsss_ros.inference import CloudSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.minkunet import NARROW, MinkUNet, voxelise
from wsss_ros.types import BadInput, Cloud

SMALL = {"planes": (4, 6, 8, 8, 8, 6, 6, 5), "blocks": (1,) * 8, "stem": 4, "voxel_m": 0.1}


def lively(net: MinkUNet) -> MinkUNet:
    """Give batch normalisation random statistics, so that evaluation does more than pass values on."""
    generator = torch.Generator().manual_seed(1)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.normal_(0.0, 0.3, generator=generator)
            part.running_var.uniform_(0.3, 2.0, generator=generator)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0.0, 0.3)
    return net


def cloud(seed: int, points: int, batch: int = 1, features: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.rand(batch, points, 3, generator=generator) * torch.tensor([2.0, 2.0, 0.5]) - 0.7
    return xyz, torch.randn(batch, points, features, generator=generator)


@pytest.fixture(scope="module")
def net() -> MinkUNet:
    torch.manual_seed(0)
    return lively(MinkUNet(3, **SMALL)).double().eval()


def test_the_papers_network_has_the_published_shape():
    net = MinkUNet(3)
    assert net.out_channels == 96 and net.stem.weight.shape == (125, 7, 32)
    # The stem, four strided and four transposed convolutions, two blocks at each level.
    inputs, planes = [32, 32, 64, 128, 128 + 128, 128 + 64, 96 + 32, 96 + 32], [32, 64, 128, 256, 128, 128, 96, 96]
    ways = [(32, 32), (32, 32), (64, 64), (128, 128), (256, 128), (128, 128), (128, 96), (96, 96)]
    expected = 125 * 7 * 32 + 8 * sum(a * b for a, b in ways)
    expected += 27 * sum(a * b + 3 * b * b for a, b in zip(inputs, planes, strict=True))
    expected += sum(a * b for a, b in zip(inputs, planes, strict=True) if a != b)  # paths around
    assert sum(p.numel() for p in net.parameters() if p.dim() == 3) == expected
    assert sum(p.numel() for p in MinkUNet(7, **NARROW).parameters()) < 1_100_000


def test_voxels_have_the_means_of_their_points():
    xyz = torch.tensor([[[0.01, 0.02, 0.03], [0.05, -0.06, 0.05], [0.09, 0.04, 0.05]]])
    features = torch.tensor([[[1.0], [2.0], [4.0]]])
    voxels, row = voxelise(xyz, features, 0.1)
    assert voxels.coordinates.tolist() == [[0, 0, -1, 0], [0, 0, 0, 0]]
    assert row.tolist() == [[1, 0, 1]]
    expected = torch.tensor([[2.0, 1.0, 0.0, -0.1, 0.0], [2.5, 1.0, 0.0, -0.2, -0.1]])
    torch.testing.assert_close(voxels.features, expected)


@torch.no_grad()
def test_points_of_one_voxel_have_the_same_features(net):
    xyz, features = cloud(0, 400)
    xyz[0, 200:] = (xyz[0, :200] / 0.1).floor() * 0.1 + 0.05  # in the voxels of the others
    found = net(xyz.double(), features.double())[0]
    assert torch.equal(found[:200], found[200:]) and found.shape == (400, 5)
    assert len(torch.unique(found, dim=0)) > 100


@torch.no_grad()
def test_neither_the_order_of_points_nor_the_batch_matters(net):
    xyz, features = (part.double() for part in cloud(1, 300, batch=3))
    together = net(xyz, features)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(net(xyz[:, order], features[:, order]), together[:, order], rtol=1e-10, atol=1e-10)
    for number in range(3):
        alone = net(xyz[number : number + 1], features[number : number + 1])[0]
        torch.testing.assert_close(alone, together[number], rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_neighbours_matter(net):
    xyz, features = (part.double() for part in cloud(3, 300))
    whole = net(xyz, features)[0, :150]
    assert float((net(xyz[:, :150], features[:, :150])[0] - whole).abs().max()) > 1e-3


def test_checkpointing_changes_nothing():
    xyz, features = (part.double() for part in cloud(4, 200, batch=2))
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        net = MinkUNet(3, **SMALL, checkpointing=checkpointing).double().train()
        out = net(xyz, features)
        (out**2).mean().backward()
        results.append([out.detach(), *(p.grad for p in net.parameters()), *net.buffers()])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-9, atol=1e-12)


def test_every_weight_learns():
    net = MinkUNet(3, **SMALL).train()
    net(*cloud(5, 500, batch=2))[..., 0].sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("points", [1, 2, 5])
def test_few_points_train(points):
    net = MinkUNet(3, **SMALL).train()
    net(*cloud(6, points)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_without_features():
    xyz, features = cloud(7, 50, features=0)
    assert MinkUNet(0, **SMALL).eval()(xyz, features).shape == (1, 50, 5)


@pytest.mark.parametrize("points", [1, 3_000, 300_000])
def test_a_checkpoint_segments_clouds_of_any_size(points, tmp_path, labels: LabelSpace):
    options = {**SMALL, "planes": list(SMALL["planes"])}
    config = checkpoint.NetworkConfig("cloud", "minkunet", options, ("color", "height"), points=2_000)
    checkpoint.save(tmp_path / "cloud.safetensors", config.build(labels), config, labels)
    random = np.random.default_rng(0)
    xyz, rgb = random.random((points, 3), np.float32) * 5, random.integers(0, 255, (points, 3), np.uint8)
    found, confidence = CloudSegmenter(tmp_path / "cloud.safetensors", "cpu", "float32")(Cloud(xyz, rgb))
    assert found.shape == confidence.shape == (points,) and found.max() < len(labels) and np.isfinite(confidence).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: MinkUNet(3, planes=(4, 8)), "8 planes"),
        (lambda: MinkUNet(3, blocks=(1,) * 7), "8 blocks"),
        (lambda: MinkUNet(3, blocks=(1,) * 7 + (0,)), "above 0"),
        (lambda: MinkUNet(3, voxel_m=0.0), "voxel_m is 0.0"),
        (lambda: MinkUNet(3, **SMALL)(*cloud(0, 5, features=2)), "built for 3"),
        (lambda: MinkUNet(3, **SMALL)(*cloud(0, 0)), "no points"),
        (lambda: MinkUNet(3, **SMALL)(cloud(0, 5)[0] * float("nan"), cloud(0, 5)[1]), "not finite"),
        (lambda: MinkUNet(3, **SMALL)(cloud(0, 5)[0] * 1e12, cloud(0, 5)[1]), "from the origin"),
        (lambda: MinkUNet(3, **SMALL)(cloud(0, 50)[0] * 4e7, cloud(0, 50)[1]), "63 bits"),
        (lambda: networks.build("cloud", "minkunet", 20, {"width": 2}, ("color",)), "minkunet.*width"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(BadInput, match=message):
        call()
