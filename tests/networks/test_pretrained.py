"""Pretrained weights: state dicts of torch, and files of the wrong kind."""

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pretrained_files import WIDTH, empty, mxnet_file, refused, small_arrays
from support.torchvision_files import torchvision_weights

from wsss_ros.networks import pretrained
from wsss_ros.networks.classifier import normalise_images
from wsss_ros.networks.resnet import ResNet
from wsss_ros.networks.resnet38 import ResNet38


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file"


def write_zip(weights, path: Path) -> None:
    torch.save(weights, path)


def write_pickle(weights, path: Path) -> None:
    torch.save(weights, path, _use_new_zipfile_serialization=False)


WRITERS = {"zip": write_zip, "pickle": write_pickle, "safetensors": safetensors.torch.save_file}


@pytest.mark.parametrize("writer", WRITERS)
def test_torchvision_s_resnet18(tmp_path, writer):
    weights, path, net = torchvision_weights(18), tmp_path / "weights.bin", empty(ResNet, 18, 1.0)
    assert len(weights) == 122
    WRITERS[writer](weights, path)
    pretrained.load(net, path)
    own = net.state_dict()
    assert own.keys() == weights.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, weights[name]) for name, value in own.items())
    assert net.bn1.weight.requires_grad and net.train().bn1.training


def test_torchvision_s_resnet34_without_counts_of_batches(tmp_path):
    weights = {n: v.half() for n, v in torchvision_weights(34).items() if "num_batches" not in n}
    net = empty(ResNet, 34, 1.0, 16)
    torch.save(weights, tmp_path / "a")
    pretrained.load(net, tmp_path / "a")
    assert net.conv1.weight.dtype == torch.float32
    assert torch.equal(net.layer4[2].conv2.weight, weights["layer4.2.conv2.weight"].float())


def narrow(width: float = 0.0625) -> tuple[ResNet, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return ResNet(18, width), ResNet(18, width).state_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("bn1.running_var"), "1 missing: bn1.running_var"),
        (lambda w: w.update({"layer1.0.conv3.weight": torch.ones(4)}), "1 unknown: layer1.0.conv3.weight"),
        (lambda w: w.update({"bn1.bias": torch.ones(5)}), r"another shape: bn1.bias \[5\] for \[4\]"),
        (lambda w: w.update({"bn1.bias": torch.ones(4, dtype=torch.int8)}), "another type: bn1.bias torch.int8"),
        (lambda w: w.update({"bn1.bias": torch.ones(4).to_sparse()}), "another type: bn1.bias"),
        (lambda w: w.update({"bn1.bias": torch.tensor([0, 0, 0, torch.inf])}), "not finite: bn1.bias"),
        (lambda w: w.update({"epoch": 3}), "epoch are not tensors"),
    ],
)
def test_differing_state_dicts_are_refused_by_name(tmp_path, change, words):
    net, weights = narrow()
    change(weights)
    torch.save(weights, tmp_path / "a")
    assert re.search(words, refused(net, tmp_path / "a"))


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=20)
@given(data=st.data())
def test_truncated_state_dicts(scratch, writer, data):
    net, weights = narrow()
    WRITERS[writer](weights, scratch)
    complete = scratch.read_bytes()
    near_an_end = st.integers(0, 400) | st.integers(len(complete) - 9000, len(complete) - 1)
    scratch.write_bytes(complete[: data.draw(near_an_end | st.integers(0, len(complete) - 1))])
    refused(net, scratch)


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def test_code_in_a_pickle_never_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for writer in (write_zip, write_pickle):
        writer({"conv1.weight": Harmful()}, tmp_path / "a")
        assert "UnpicklingError" in refused(narrow()[0], tmp_path / "a")
    assert not (tmp_path / "harm").exists()


# --- files of the wrong kind


def test_each_network_wants_its_own_file(tmp_path):
    path, (light, weights) = tmp_path / "a", narrow()
    path.write_bytes(mxnet_file(small_arrays()))
    assert "fills a ResNet38, not a ResNet" in refused(light, path)
    torch.save(weights, path)
    message = refused(ResNet38(WIDTH), path)
    assert "missing: conv1a.weight" in message and "unknown: conv1.weight" in message
    assert "of another shape" in refused(ResNet(18, 0.125), path)
    assert "missing: layer1.2.conv1.weight" in refused(ResNet(34, 0.0625), path)
    torch.save([1, 2], path)
    assert "contains a list" in refused(light, path)


@pytest.mark.parametrize("content", [b"", b"\x12\x01", b"<html>404</html>", b"\0" * 4096, b"PK\x03\x04", b"\x80\x02"])
def test_files_of_no_such_kind(tmp_path, content):
    (tmp_path / "a.params").write_bytes(content)
    assert "download it again" in refused(narrow()[0], tmp_path / "a.params")


def test_no_file(tmp_path):
    assert "No such file" in refused(narrow()[0], tmp_path / "absent.pth")
    assert "directory" in refused(narrow()[0], tmp_path)


def test_images_are_prepared_as_these_weights_expect():
    """RGB / 255, minus the mean, by the deviation: stated with the published file and by torchvision alike."""
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = (rgb / 255.0 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    prepared = normalise_images(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
    np.testing.assert_allclose(prepared[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
