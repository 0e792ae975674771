"""PointNet2 against its plain twin: outputs and gradients; its size, its edges, its refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wsss_ros.geometry import neighbors
from wsss_ros.networks.pointnet2 import LIGHT, PointNet2, Structure
from wsss_ros.networks.pointnet2_plain import plain_forward
from wsss_ros.types import BadInput

SMALL = {"width": 0.25, "centres": (64, 32, 16, 8), "neighbours": (16, 8, 8, 8)}


def lively(net: PointNet2) -> PointNet2:
    """Normalisation as after some training: statistics, scales (some negative) and shifts differ per channel."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, 0.7, 0.6)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net


def batch(clouds: int, points: int, features: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the floor and two walls of a small room."""
    torch.manual_seed(seed)
    xyz = torch.rand(clouds, points, 3) * torch.tensor([3.0, 2.5, 2.0])
    face = torch.randint(0, 3, (clouds, points, 1))
    return xyz.scatter(2, face, 0.0), torch.randn(clouds, points, features)


def test_parameters_of_the_paper_add_up():
    abstraction = [
        10 * 64 + 64 * 64 + 64 * 128 + 2 * (64 + 64 + 128),
        131 * 128 + 128 * 128 + 128 * 256 + 2 * (128 + 128 + 256),
        *[259 * 128 + 128 * 128 + 128 * 256 + 2 * (128 + 128 + 256)] * 2,
    ]
    propagation = [
        *[512 * 256 + 256 * 256 + 2 * (256 + 256)] * 2,
        384 * 256 + 256 * 256 + 2 * (256 + 256),
        263 * 256 + 256 * 256 + 2 * (256 + 256),
    ]
    net = PointNet2(7)
    assert sum(p.numel() for p in net.parameters()) == sum(abstraction) + sum(propagation) == 941_056
    head = nn.Sequential(nn.BatchNorm1d(256), nn.ReLU(), nn.Conv1d(256, 20, 1))  # WyPR's; ours is linear, elsewhere
    assert 941_056 + sum(p.numel() for p in head.parameters()) == 946_708  # the "about 947k"
    assert net.out_channels == 256


@pytest.mark.slow
def test_paper_configuration_labels_every_point_of_a_large_cloud():
    net = PointNet2(3).eval()
    xyz, features = batch(1, 5000, 3)
    with torch.no_grad():
        out = net(xyz, features)
        structure = net.structure(xyz)
    assert out.shape == (1, 5000, 256)
    assert out.isfinite().all()
    assert [level.group.shape[1:] for level in structure.levels] == [(2048, 64), (1024, 32), (512, 16), (256, 16)]


def test_light_configuration_is_smaller():
    net = PointNet2(3, **LIGHT)
    assert net.out_channels == 128
    assert sum(p.numel() for p in net.parameters()) < 250_000


@pytest.mark.parametrize("gradients", [False, True], ids=["folded", "plain"])
def test_evaluation_equals_the_twin(gradients):
    net = lively(PointNet2(7, **SMALL)).eval()
    xyz, features = batch(2, 700, 7)
    with torch.set_grad_enabled(gradients):
        out, expected = net(xyz, features), plain_forward(net, xyz, features)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_paper_configuration_equals_the_twin():
    net = lively(PointNet2(3)).eval()
    xyz, features = batch(1, 3000, 3)
    with torch.no_grad():
        torch.testing.assert_close(net(xyz, features), plain_forward(net, xyz, features), atol=1e-4, rtol=1e-4)


def test_training_equals_the_twin_in_outputs_and_gradients():
    net = lively(PointNet2(7, **SMALL)).double()  # in float64, so that only real differences can show
    xyz, features = batch(2, 300, 7)
    features = features.double().requires_grad_()
    weight = torch.randn(2, 300, net.out_channels, dtype=torch.float64)
    results = []
    for forward in (net, lambda *inputs: plain_forward(net, *inputs)):
        out = forward(xyz, features)
        gradients = torch.autograd.grad((out * weight).sum(), [features, *net.parameters()])
        results.append([out, *gradients])
    for ours, twin in zip(*results, strict=True):
        assert twin.abs().max() > 0
        torch.testing.assert_close(ours, twin, atol=5e-5, rtol=5e-5)  # weights of interpolation are float32 in ours


@pytest.mark.slow
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_checkpointing_changes_nothing_but_memory(autocast):
    xyz, features = batch(2, 300, 3)
    results, kept = [], []
    weights = lively(PointNet2(3, **SMALL)).state_dict()
    for checkpointing in (False, True):
        net = PointNet2(3, **SMALL, checkpointing=checkpointing)
        net.load_state_dict(weights)
        seen = {}

        def keep(tensor: torch.Tensor, seen: dict = seen) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = net(xyz, features)
        kept.append(sum(tensor.untyped_storage().nbytes() for tensor in seen.values()))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = net(xyz, features)
        weight = torch.linspace(0, 1, out.numel()).view_as(out)
        gradients = torch.autograd.grad((out.float() * weight).sum(), list(net.parameters()))
        results.append([out, *gradients, *net.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(points=st.integers(2, 60), clouds=st.integers(1, 3), kind=st.sampled_from(["room", "equal", "far", "grid"]))
def test_any_cloud_equals_the_twin(points, clouds, kind):
    """Fewer points than centres, equal points, a far outlier, many ties."""
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = batch(clouds, points, 3, seed=points)
    if kind == "equal":
        xyz = xyz[:, :1].expand_as(xyz).contiguous()
        features = features[:, :1].expand_as(features).contiguous()
    if kind == "far":
        xyz[:, 0] = 100.0
    if kind == "grid":
        xyz = (xyz * 4).round() / 4
    with torch.no_grad():
        torch.testing.assert_close(net(xyz, features), plain_forward(net, xyz, features), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("gradients", [False, True], ids=["folded", "plain"])
def test_bfloat16_keeps_positions(gradients):
    """16 bits in the products, never in the positions: 40 m from the centroid a group still has its shape."""
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = batch(1, 400, 3)
    xyz = torch.cat([xyz - 40, xyz + 40], 1)
    features = features.repeat(1, 2, 1)
    with torch.set_grad_enabled(gradients):
        exact = net(xyz, features)
        with torch.autocast("cpu", torch.bfloat16):
            out = net(xyz, features)
    assert out.dtype == torch.bfloat16
    assert (out.float() - exact).abs().mean() < 0.02 * exact.abs().mean()


@pytest.mark.parametrize("gradients", [False, True], ids=["folded", "plain"])
def test_positions_alone(gradients):
    """No input features: a sensor without colours."""
    net = lively(PointNet2(0, **SMALL)).eval()
    xyz, features = batch(1, 300, 0)
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(net(xyz, features), plain_forward(net, xyz, features), atol=1e-4, rtol=1e-4)


def test_one_point():
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = torch.zeros(1, 1, 3), torch.ones(1, 1, 3)
    with torch.no_grad():
        out = net(xyz, features)
        torch.testing.assert_close(out, plain_forward(net, xyz, features), atol=1e-4, rtol=1e-4)
    assert out.shape == (1, 1, 64)


def test_a_cloud_far_from_the_origin_gives_the_same():
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = batch(1, 400, 3)
    xyz = (xyz * 64).round() / 64  # steps that float32 keeps at 4 km
    with torch.no_grad():
        torch.testing.assert_close(net(xyz + 4096.0, features), net(xyz, features), atol=1e-3, rtol=1e-3)


def test_structures_made_beforehand_change_nothing():
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = batch(3, 200, 3)
    beforehand = Structure.cat([net.structure(cloud[None]) for cloud in xyz]).to("cpu")
    with torch.no_grad():
        assert torch.equal(net(xyz, features, beforehand), net(xyz, features))


def test_clouds_of_a_batch_do_not_mix_in_evaluation():
    net = lively(PointNet2(3, **SMALL)).eval()
    xyz, features = batch(2, 200, 3)
    with torch.no_grad():
        alone = torch.cat([net(cloud[None], rows[None]) for cloud, rows in zip(xyz, features, strict=True)])
        torch.testing.assert_close(net(xyz, features), alone, atol=1e-5, rtol=1e-5)


def test_structure_is_the_same_on_other_devices(monkeypatch):
    """The plain torch path that CUDA takes, run here on CPU tensors."""
    net = PointNet2(3, **SMALL)
    xyz, _ = batch(2, 300, 3)
    expected = net.structure(xyz)
    monkeypatch.setattr(neighbors, "_on_cpu", lambda *tensors: False)
    for ours, other in zip(expected.levels, net.structure(xyz).levels, strict=True):
        assert torch.equal(ours.centres, other.centres)
        assert torch.equal(ours.group, other.group)
        assert torch.equal(ours.near, other.near)
        torch.testing.assert_close(ours.weight, other.weight)


def test_sampled_centres_are_nested():
    """One sampling serves all levels only because farthest points of farthest points are the first of them."""
    xyz, _ = batch(1, 500, 3)
    xyz = (xyz[0] * 8).round() / 8  # with ties and duplicates
    first = xyz[neighbors.farthest_point_sample(xyz, 200)]
    again = first[neighbors.farthest_point_sample(first, 90)]
    assert torch.equal(again, first[:90])


def test_momentum_can_be_set_from_outside():
    net = PointNet2(3, **SMALL)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    net(*batch(2, 200, 3))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    assert len(norms) == 20
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms)


@pytest.mark.slow
def test_a_few_steps_learn_height_from_positions_alone():
    """All input features equal: only the geometry can tell high from low."""
    torch.manual_seed(0)
    net = PointNet2(1, **SMALL)
    head = nn.Linear(net.out_channels, 1)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.01)
    xyz, features = batch(2, 200, 1)
    features, truth = torch.ones_like(features), (xyz[..., 2] > 1).float()
    losses = []
    for _ in range(30):
        loss = nn.functional.binary_cross_entropy_with_logits(head(net(xyz, features))[..., 0], truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(torch.rand(1, 9, 3), torch.rand(1, 9, 4)), "4 features"),
        (lambda net: net(torch.rand(1, 1, 3), torch.rand(1, 1, 3)), "one single point"),
        (lambda net: net(torch.rand(1, 0, 3), torch.rand(1, 0, 3)), "no points"),
        (lambda net: net(torch.full((1, 9, 3), torch.nan), torch.rand(1, 9, 3)), "NaN"),
        (lambda net: net(torch.rand(0, 9, 3), torch.rand(0, 9, 3)), "no clouds"),
        (lambda net: PointNet2(3, centres=(8, 4)), "4 of each"),
        (lambda net: PointNet2(3, centres=(8, 4, 6, 2)), "at most as many"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call(PointNet2(3, **SMALL))
