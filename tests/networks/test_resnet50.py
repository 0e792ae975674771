"""ResNet50: next to its slow twin, from torchvision's files, in a training run."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from reference import resnet50
from support.pretrained_files import empty, refused
from support.striped_scenes import written
from support.torchvision_files import torchvision_shapes, torchvision_weights
from support.training_runs import ADAM, one_thread, settings_for

from wsss_ros import networks
from wsss_ros.inference import ImageSegmenter
from wsss_ros.networks import checkpoint, pretrained
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.networks.resnet import ResNet
from wsss_ros.scenes import open_scene
from wsss_ros.training import run as training

STRIDES = (8, 16, 32)


def lively(net: torch.nn.Module) -> torch.nn.Module:
    """Batch normalisation with values of its own: at the start the last one of each block is zero."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net


def narrow(stride: int) -> ResNet:
    torch.manual_seed(0)
    return lively(ResNet(50, 1 / 16, stride)).double().eval()


@pytest.mark.parametrize("stride", STRIDES)
def test_features_and_gradients_are_those_of_the_table(stride):
    net, images = narrow(stride), torch.rand(2, 3, 65, 96, dtype=torch.float64)
    own = {name: value for name, value in net.state_dict().items() if not name.endswith("batches_tracked")}
    leaves = {name: value.clone().requires_grad_("running" not in name) for name, value in own.items()}
    found, expected = net(images), resnet50.features(leaves, stride, images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    share = torch.rand_like(found)
    (found * share).sum().backward()
    (expected * share).sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, leaves[name].grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_size_of_the_features(stride):
    found = narrow(stride)(torch.zeros(1, 3, 70, 96, dtype=torch.float64))
    assert found.shape == (1, 128, -(-70 // stride), 96 // stride)


def test_channels_last_changes_nothing():
    net, images = narrow(8), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    expected = net(images)
    last = torch.channels_last
    found = net.to(memory_format=last)(images.to(memory_format=last))
    assert found.is_contiguous(memory_format=last)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("depth", "parameters", "tensors"), [(50, 23_508_032, 320), (101, 42_500_160, 626)])
def test_names_and_shapes_are_those_of_torchvision(depth, parameters, tensors):
    """The numbers are those that torchvision states, the parameters without the 2,049,000 of its last layer."""
    with torch.device("meta"):
        net = ResNet(depth, 1.0)
    own, theirs = {name: tuple(value.shape) for name, value in net.state_dict().items()}, torchvision_shapes(depth)
    assert sum(p.numel() for p in net.parameters()) == parameters and len(theirs) == tensors
    assert own == {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}
    assert net.out_channels == theirs["fc.weight"][1] == 2048


def test_a_file_of_torchvision_fills_the_network(tmp_path):
    net, weights = empty(ResNet, 50, 1.0, 8), torchvision_weights(50)
    safetensors.torch.save_file(weights, tmp_path / "weights")
    pretrained.load(net, tmp_path / "weights")
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_what_is_missing_unknown_or_of_another_shape_is_named(tmp_path):
    net = ResNet(50, 1 / 16)
    weights = net.state_dict()
    weights["layer4.1.conv3.bias"] = weights.pop("layer4.1.conv3.weight")
    weights["layer3.5.bn3.weight"] = torch.ones(7)
    torch.save(weights, tmp_path / "a.pth")
    message = refused(net, tmp_path / "a.pth")
    assert "1 missing: layer4.1.conv3.weight" in message and "1 unknown: layer4.1.conv3.bias" in message
    assert "1 of another shape: layer3.5.bn3.weight [7] for [64]" in message
    torch.save(ResNet(34, 1 / 16).state_dict(), tmp_path / "34.pth")
    assert "missing: layer1.0.conv3.weight" in refused(net, tmp_path / "34.pth")


def test_a_checkpoint_keeps_the_network(tmp_path, labels):
    config = NetworkConfig("image", "resnet", {"depth": 50, "width": 1 / 16, "stride": 8}, (), 64)
    net = lively(networks.build("image", "resnet", len(labels), config.options)).eval()
    checkpoint.save(tmp_path / "image.safetensors", net, config, labels)
    again, images = checkpoint.load(tmp_path / "image.safetensors", "image", labels).network, torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again.eval()(images)[1], net(images)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_run_starts_from_a_file_and_its_network_segments(tmp_path, labels):
    torch.manual_seed(0)
    file = tmp_path / "resnet50.pth"
    torch.save(lively(ResNet(50, 1 / 16)).state_dict(), file)
    written(tmp_path / "train", labels, range(3))
    image = {
        "network": "resnet",
        "options": {"depth": 50, "width": 1 / 16, "stride": 16},
        "inference_options": {"stride": 8},
        "long_side": 0,
        "pretrained": str(file),
        "augment": {"long_side": [32, 40], "crop": 32},
    }
    phases = [{"method": "classify", "epochs": 1, "batch": 4, "image": {**ADAM, "lr": 1e-9, "weight_decay": 0}}]
    data = {"train": {"folder": str(tmp_path / "train")}, "cache": str(tmp_path / "cache"), "frames_per_scene": 0}
    settings = settings_for(tmp_path, image=image, cloud=None, phases=phases, data=data)
    with one_thread():
        training.train(settings, "wsss train test")
    done = Path(settings.output) / "image.safetensors"
    found, start = checkpoint.load(done).network.backbone, torch.load(file)
    assert found.stride == 8
    # Steps this small leave the weights where the file has them.
    torch.testing.assert_close(found.layer4[2].conv3.weight, start["layer4.2.conv3.weight"], rtol=0, atol=1e-6)
    frame = open_scene(tmp_path / "train" / "scene0", labels).frame(0)
    assert ImageSegmenter(done, "cpu")(frame)[0].shape == frame.rgb.shape[:2]
