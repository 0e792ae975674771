"""Checkpoints: round trip, versions, files of earlier releases, and files that are refused."""

import dataclasses
import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.types import BadInput

CONFIG = NetworkConfig("image", "resnet", {"width": 0.125}, (), 320, 0.25, (0.5,) * 20)


@pytest.fixture
def saved(tmp_path, labels):
    torch.manual_seed(0)
    network = CONFIG.build(labels)
    path = tmp_path / "image.safetensors"
    version = checkpoint.save(path, network, CONFIG, labels, {"command": "wsss train x.yaml", "val": {"miou": 12.5}})
    return path, network, version


def test_round_trip(saved, labels):
    path, network, version = saved
    loaded = checkpoint.load(path, "image", labels)
    assert (loaded.config, loaded.labels, loaded.version) == (CONFIG, labels, version)
    assert loaded.training["val"]["miou"] == 12.5
    assert not loaded.network.training
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value), name


def test_the_version_names_the_weights(saved, labels, tmp_path):
    path, network, version = saved
    assert checkpoint.save(tmp_path / "again", network, CONFIG, labels) == version
    network.head.bias.data[0] += 1
    assert checkpoint.save(tmp_path / "other", network, CONFIG, labels) != version


def test_a_calibration_changes_the_version_and_nothing_else(saved, labels, tmp_path):
    path, network, version = saved
    half = tmp_path / "half.safetensors"
    checkpoint.save(half, network, CONFIG, labels, {"seed": 3}, torch.float16)
    before, weights = checkpoint.load(half), load_file(half)
    calibrated = checkpoint.set_calibration(half, 2.5, 0.375)
    loaded = checkpoint.load(half, "image", labels)
    assert loaded.version == calibrated != before.version
    assert loaded.config == dataclasses.replace(CONFIG, temperature=2.5, min_confidence=0.375)
    assert loaded.training == {"seed": 3}
    after = load_file(half)
    assert after.keys() == weights.keys() and all(torch.equal(after[name], weights[name]) for name in weights)
    assert checkpoint.save(path, before.network, loaded.config, labels) not in (version, before.version)
    assert checkpoint.set_calibration(half, 1.0, 0.0) == before.version


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"temperature": float("nan")}, {"min_confidence": 1.5}])
def test_a_calibration_that_cannot_be_is_refused(saved, changes):
    path, *_ = saved
    rewritten(path, **changes)
    with pytest.raises(BadInput, match="wsss calibrate"):
        checkpoint.load(path)


def test_half_precision_halves_the_file(saved, labels, tmp_path):
    path, network, _ = saved
    checkpoint.save(tmp_path / "half", network, CONFIG, labels, dtype=torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.6 * path.stat().st_size
    loaded = checkpoint.load(tmp_path / "half").network
    assert loaded.head.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.head.weight, network.head.weight.detach(), rtol=1e-3, atol=1e-4)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(saved, labels, monkeypatch):
    path, network, version = saved

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    network.head.bias.data += 1
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, network, CONFIG, labels)
    assert checkpoint.load(path).version == version
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def rewritten(path, **changes) -> None:
    """Replace fields of the file's description of the network; None removes a field."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["wsss_ros"])
    fields = description["network"] | changes
    description["network"] = {name: value for name, value in fields.items() if value is not None}
    save_file(load_file(path), path, {"wsss_ros": json.dumps(description)})


def test_the_previous_name_of_a_kind_is_read(tmp_path, labels):
    config = NetworkConfig("cloud", "pointnet2", {"width": 0.0625}, ("color",))
    path, network = tmp_path / "cloud.safetensors", config.build(labels)
    version = checkpoint.save(path, network, config, labels)
    rewritten(path, kind="point")
    loaded = checkpoint.load(path, "cloud", labels)
    assert (loaded.config, loaded.version) == (config, version)
    assert torch.equal(loaded.network.head.weight, network.head.weight)
    with pytest.raises(BadInput, match="a network for 'cloud', expected one for 'image'"):
        checkpoint.load(path, "image")


def test_a_file_under_the_previous_name_of_its_kind_is_found(tmp_path):
    assert checkpoint.file_of(tmp_path, "cloud").name == "cloud.safetensors"
    (tmp_path / "point.safetensors").touch()
    assert checkpoint.file_of(tmp_path, "cloud").name == "point.safetensors"
    assert checkpoint.file_of(tmp_path, "image").name == "image.safetensors"
    (tmp_path / "cloud.safetensors").touch()
    assert checkpoint.file_of(tmp_path, "cloud").name == "cloud.safetensors"


def test_files_without_the_later_fields_are_read(saved):
    path, *_ = saved
    rewritten(path, presence_floor=None, tag_log_odds=None, temperature=None, min_confidence=None)
    config = checkpoint.load(path).config
    assert config == dataclasses.replace(CONFIG, presence_floor=0.0, tag_log_odds=())


def test_an_unknown_or_missing_field_is_refused(saved):
    path, *_ = saved
    for changes in ({"depth": 3}, {"name": None}):
        rewritten(path, **changes)
        with pytest.raises(BadInput, match="description of the network is incomplete"):
            checkpoint.load(path)


def test_truncated(saved):
    path, *_ = saved
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04pickle" * 100])
def test_foreign_bytes(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "x")


def test_missing_file(tmp_path):
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "nowhere.safetensors")


def test_safetensors_of_somebody_else(tmp_path):
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="not of wsss_ros"):
        checkpoint.load(tmp_path / "x.safetensors")


def test_swapped_networks(saved):
    with pytest.raises(BadInput, match="are the two files swapped"):
        checkpoint.load(saved[0], "cloud")


def test_another_label_space_names_the_difference(saved, labels):
    other = LabelSpace("other", (*labels.names[:-1], "lamp"), labels.colors, labels.ids)
    with pytest.raises(BadInput, match="'lamp'.*'otherfurniture'|'otherfurniture'.*'lamp'"):
        checkpoint.load(saved[0], labels=other)


def test_weights_that_do_not_fit_are_named(saved, labels, tmp_path):
    path, network, _ = saved
    wide = dataclasses.replace(CONFIG, options={"width": 0.25})
    checkpoint.save(tmp_path / "wrong", network, wide, labels)
    with pytest.raises(BadInput, match="of another shape.*head.weight|of another shape.*backbone"):
        checkpoint.load(tmp_path / "wrong")


def test_diverged_weights_are_refused(saved, labels, tmp_path):
    path, network, _ = saved
    network.head.bias.data[3] = float("nan")
    checkpoint.save(tmp_path / "nan", network, CONFIG, labels)
    with pytest.raises(BadInput, match="not finite.*head.bias"):
        checkpoint.load(tmp_path / "nan")


def test_a_description_of_a_huge_network_takes_no_memory(saved):
    path, *_ = saved
    rewritten(path, options={"width": 4096.0})
    with pytest.raises(BadInput, match="do not fit its network"):
        checkpoint.load(path)


def test_a_description_that_is_not_one_is_refused(saved):
    path, *_ = saved
    for text in ("[1]", "[" * 100_000):
        save_file(load_file(path), path, {"wsss_ros": text})
        with pytest.raises(BadInput, match="image.safetensors"):
            checkpoint.load(path)
