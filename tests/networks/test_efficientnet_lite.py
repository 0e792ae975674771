"""EfficientNet-Lite against its slow twin, its strides and dilations, and its form for inference."""

import pytest
import torch
from reference import efficientnet_lite as twin

from wsss_ros.networks.classifier import normalise_images
from wsss_ros.networks.efficientnet_lite import EfficientNetLite, published_name
from wsss_ros.networks.recompute import recomputed


def lively(version: int = 0, stride: int = 32, seed: int = 0) -> EfficientNetLite:
    """Random weights and statistics, so that every part of the network counts."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = EfficientNetLite(version, stride).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for value, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.4),
                (module.running_mean, -0.2, 0.2),
            ):
                value.data.uniform_(low, high, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return net


def published(net: EfficientNetLite) -> dict[str, torch.Tensor]:
    return {published_name(name): value for name, value in net.state_dict().items() if name != "_extra_state"}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_features_are_those_of_the_twin(version):
    net = lively(version).double()
    for size in ((64, 96), (65, 71), (1, 3)):
        rgb = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(size[0])).double()
        with torch.inference_mode():
            features, expected = net(normalise_images(rgb / 255)), twin.features(published(net), version, rgb)
        torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
        assert features.shape[2:] == tuple(-(-n // 32) for n in size) and features.std() > 0.05


@pytest.mark.parametrize("version, count", [(0, 3_371_008), (1, 4_135_680), (2, 4_811_072)])
def test_sizes(version, count):
    net = EfficientNetLite(version)
    assert sum(p.numel() for p in net.parameters()) == count
    assert net.out_channels == net.last.conv.out_channels == 1280


@pytest.mark.parametrize("fine, coarse", [(16, 32), (8, 32)])
@pytest.mark.parametrize("size", [(64, 96), (65, 81)])
def test_at_the_coarse_positions_the_dilated_network_computes_the_strided_one(fine, coarse, size):
    """Also at the borders. Of an even number of cells, a stride keeps the second, of an odd one the first."""
    nets = [lively(stride=stride).double() for stride in (fine, coarse)]
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    with torch.inference_mode():
        dense, sparse = (net(images) for net in nets)
    while dense.shape != sparse.shape:
        dense = dense[:, :, 1 - dense.shape[2] % 2 :: 2, 1 - dense.shape[3] % 2 :: 2]
    torch.testing.assert_close(dense, sparse)


@pytest.mark.parametrize(
    "stride, strides, dilations",
    [
        (32, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1), (1,) * 16),
        (16, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), (1,) * 12 + (2,) * 4),
        (8, (1, 2, 1, 2, 1) + (1,) * 11, (1,) * 6 + (2,) * 6 + (4,) * 4),
    ],
)
def test_dilation_begins_after_the_block_that_lost_its_stride(stride, strides, dilations):
    convolutions = [block.depthwise.conv for block in EfficientNetLite(0, stride).blocks]
    assert tuple(conv.stride[0] for conv in convolutions) == strides
    assert tuple(conv.dilation[0] for conv in convolutions) == dilations


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_folded_batch_norm_and_channels_last_change_nothing(stride):
    net, images = lively(1, stride), torch.randn(1, 3, 65, 96, generator=torch.Generator().manual_seed(0))
    fused = net.fused()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    with torch.inference_mode():
        expected = net(images)
        torch.testing.assert_close(fused(images), expected, rtol=1e-3, atol=1e-3)
        last = fused.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-3, atol=1e-3)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())  # the network itself stays


def test_a_frozen_network_keeps_its_statistics_and_learns_all_its_weights():
    net = lively()
    net.freeze()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad.abs().sum() > 0 for weight in net.parameters())
    other = EfficientNetLite(0, 32).train()
    assert other.last.norm.training
    other.load_state_dict(net.state_dict())
    assert other.frozen and not other.last.norm.training


def test_checkpointing_recomputes_each_block(monkeypatch):
    """Values and gradients stay; what a block computes inside is not kept (``recomputed`` has tests of its own)."""
    called = []
    monkeypatch.setattr(
        "wsss_ros.networks.efficientnet_lite.recomputed", lambda *args: (called.append(args[0]), recomputed(*args))[1]
    )
    plain = lively()
    thrifty = EfficientNetLite(0, 32, checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    images, results = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), []
    for net in (plain, thrifty):
        net.train()
        out = net(images)
        results.append([out, *torch.autograd.grad(out.sum(), list(net.parameters()))])
    assert called == list(thrifty.blocks)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("options", [{"version": 3}, {"stride": 4}])
def test_other_versions_and_strides_are_refused(options):
    with pytest.raises(ValueError, match="version is 0, 1 or 2, stride 8, 16 or 32"):
        EfficientNetLite(**options)
