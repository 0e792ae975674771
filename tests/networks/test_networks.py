"""The image backbones, activation checkpointing, the classifier's head and its inputs."""

import pytest
import torch
import torch.nn.functional as F

from wsss_ros import networks
from wsss_ros.networks.classifier import image_mean, input_features, normalise_images, point_mean
from wsss_ros.networks.resnet import ResNet
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.types import BadInput


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def resnet38() -> ResNet38:
    torch.manual_seed(0)
    return ResNet38()


def test_resnet38_is_the_published_network(resnet38):
    assert parameters(resnet38) == 105_070_912
    assert parameters(networks.ImageClassifier(resnet38, 1000)) == 109_167_912
    with torch.inference_mode():
        assert resnet38.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 4096, 8, 12)


def test_resnet38_frozen_keeps_its_statistics_while_training(resnet38):
    resnet38.freeze()
    resnet38.train()
    norms = [m for m in resnet38.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 15 * 2 + 2 * 3 + 1
    assert not any(m.training or m.weight.requires_grad for m in norms)
    frozen = [resnet38.conv1a, resnet38.blocks.b2, resnet38.blocks.b2_1, resnet38.blocks.b2_2]
    assert not any(p.requires_grad for part in frozen for p in part.parameters())
    assert resnet38.blocks.b3.conv_2a.weight.requires_grad
    resnet38.freeze(False)
    assert all(m.training and m.weight.requires_grad for m in norms)
    assert all(p.requires_grad for p in resnet38.parameters())


def test_resnet38_from_scratch_learns_all_of_itself():
    torch.manual_seed(0)
    net = ResNet38(1 / 32).train()
    net(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())
    assert all(m.running_mean.abs().sum() > 0 for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_resnet38_frozen_or_not_goes_with_the_weights():
    frozen, other = ResNet38(1 / 64), ResNet38(1 / 64)
    frozen.freeze()
    other.load_state_dict(frozen.state_dict())
    assert not other.bn7.training and not other.conv1a.weight.requires_grad
    frozen.load_state_dict(ResNet38(1 / 64).state_dict())
    assert frozen.bn7.training and frozen.conv1a.weight.requires_grad


def test_resnet38_frozen_trains_only_what_is_free():
    torch.manual_seed(0)
    net = ResNet38(1 / 32).train()
    net.freeze()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1.0)
    net(torch.rand(2, 3, 32, 32)).sum().backward()
    optimiser.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    fixed = ("conv1a", "blocks.b2.", "blocks.b2_")
    assert changed == {n for n, p in net.named_parameters() if "conv" in n and not n.startswith(fixed)}


def saved_bytes(call) -> int:
    """Bytes that ``call`` keeps for the backward pass, each storage once."""
    seen = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = call()
    assert out.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def lively_norms(net: torch.nn.Module) -> torch.nn.Module:
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.uniform_(-0.1, 0.1)
    return net


BACKBONES = {
    "light": lambda **options: ResNet(18, 0.25, **options),
    "resnet50": lambda **options: ResNet(50, 1 / 16, **options),
    "resnet38": lambda **options: ResNet38(1 / 32, **options),
    "resnet38 frozen": lambda **options: ResNet38(1 / 32, **options),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_checkpointing_changes_nothing_but_memory(name):
    """Values, gradients (twice, through one graph), dropout and running statistics are those of the plain network."""
    torch.manual_seed(0)
    plain, thrifty = lively_norms(BACKBONES[name]()), BACKBONES[name](checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    images, results, kept = torch.rand(2, 3, 48, 64), [], []
    for net in (plain, thrifty):
        if "frozen" in name:
            net.freeze()
        net.train()
        torch.manual_seed(1)
        learnt = [p for p in net.parameters() if p.requires_grad]
        kept.append(saved_bytes(lambda net=net: net(images)))
        torch.manual_seed(1)
        out = net(images)
        weight = torch.linspace(0, 1, out.numel()).view_as(out)
        gradients = [torch.autograd.grad((out * weight).sum(), learnt, retain_graph=True) for _ in range(2)]
        results.append([out, *gradients[0], *gradients[1], *net.state_dict().values()])
        if "resnet38" in name:
            torch.manual_seed(2)
            assert not torch.equal(net(images), out)  # dropout is at work
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert kept[1] < 0.5 * kept[0]


def test_checkpointing_is_an_option_of_each_network():
    for kind, name, inputs in (("image", "resnet", ()), ("image", "resnet38", ()), ("cloud", "pointnet2", ("color",))):
        options = {"width": 0.0625, "checkpointing": True}
        assert networks.build(kind, name, 20, options, inputs).backbone.checkpointing


def test_light_resnet_sizes():
    assert parameters(ResNet(18, 1.0)) == 11_176_512  # torchvision's resnet18 without its last layer
    assert parameters(ResNet(34, 1.0)) == 21_284_672
    assert 2_000_000 < parameters(ResNet(18, 0.5)) < 4_000_000


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_light_resnet_stride(stride):
    net = ResNet(18, 0.125, stride).eval()
    assert net(torch.zeros(2, 3, 64, 96)).shape == (2, net.out_channels, 64 // stride, 96 // stride)


def test_the_same_weights_at_stride_8_and_16_agree_on_every_second_pixel():
    """Dilation in place of striding computes the strided network's outputs, and those between them."""
    torch.manual_seed(0)
    coarse, fine = ResNet(18, 0.125, 16).eval(), ResNet(18, 0.125, 8).eval()
    fine.load_state_dict(coarse.state_dict())
    x = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(fine(x)[:, :, ::2, ::2], coarse(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "width"), [(18, 0.25), (50, 0.125)])
def test_folded_batch_norm_changes_nothing(depth, width):
    torch.manual_seed(0)
    net = ResNet(depth, width)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(1, 3, 64, 64)
    fused = net.fused()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(fused(x), net(x), rtol=1e-3, atol=1e-3)


def test_cam_is_the_head_at_every_pixel_and_its_mean_the_score():
    torch.manual_seed(0)
    net = networks.build("image", "resnet", 20, {"width": 0.125}).eval()
    features, cams = net(torch.randn(2, 3, 64, 64))
    rows = F.linear(features.permute(0, 2, 3, 1), net.head.weight, net.head.bias)
    torch.testing.assert_close(cams, rows.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
    # Averaging the map is the same as classifying the averaged features: the map explains the score.
    torch.testing.assert_close(image_mean(cams), net.head(features.mean((2, 3))), rtol=1e-4, atol=1e-5)


def test_point_cam():
    torch.manual_seed(0)
    net = networks.build("cloud", "pointnet2", 20, {"width": 0.25}, ("color",)).eval()
    xyz, rgb = torch.rand(2, 300, 3), torch.rand(2, 300, 3)
    features, cams = net(xyz, input_features(xyz, rgb, ("color",)))
    assert features.shape == (2, 300, 64) and cams.shape == (2, 300, 20)
    torch.testing.assert_close(point_mean(cams), net.head(features.mean(1)), rtol=1e-4, atol=1e-5)


def test_input_features_are_centred_colour_and_height_above_the_floor():
    xyz = torch.stack([torch.zeros(101), torch.zeros(101), torch.linspace(2, 3, 101)], -1)[None]
    features = input_features(xyz, torch.ones(1, 101, 3), ("color", "height"))
    assert features.shape == (1, 101, 4)
    torch.testing.assert_close(features[0, :, 0], torch.full((101,), 0.5))
    torch.testing.assert_close(features[0, :, 3], torch.linspace(-0.01, 0.99, 101))
    assert input_features(xyz, None, ()).shape == (1, 101, 0)


def test_points_without_a_colour_are_mid_grey_and_flagged():
    xyz, rgb = torch.zeros(2, 3, 3), torch.rand(2, 3, 3)
    rgb[1] = torch.nan
    features = input_features(xyz, rgb, ("color", "has_color"))
    torch.testing.assert_close(features[0, :, :3], rgb[0] - 0.5)
    assert features[0, :, 3].tolist() == [1, 1, 1] and not features[1].any()
    assert torch.equal(features[1:], input_features(xyz[1:], None, ("color", "has_color")))


def test_images_are_normalised_by_imagenet_statistics():
    grey = normalise_images(torch.full((1, 3, 1, 1), 0.456))[0, :, 0, 0]
    torch.testing.assert_close(grey, torch.tensor([(0.456 - 0.485) / 0.229, 0.0, (0.456 - 0.406) / 0.225]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("image", "vgg", 20), "resnet38"),
        (("depth", "resnet", 20), "no depth network"),
        (("image", "resnet", 20, {"stride": 5}), "8, 16 or 32"),
        (("image", "resnet", 20, {"depth": 52}), "depth is 18, 34, 50 or 101"),
        (("image", "resnet38", 20, {"width": 0}), "width is above 0"),
        (("image", "resnet", 20, {"widht": 1}), "widht"),
        (("cloud", "pointnet2", 20, {}, ("normals",)), "choose from"),
    ],
)
def test_unknown_networks_are_named(arguments, words):
    with pytest.raises(BadInput, match=words):
        networks.build(*arguments)
