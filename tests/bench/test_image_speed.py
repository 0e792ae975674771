"""`wsss bench image`: what is measured, with which weights, and the table."""

import pytest
import torch
from support.tiny_scene import write_scene_folder
from typer.testing import CliRunner

from wsss_ros.bench import image_speed
from wsss_ros.bench.image_speed import Grid, Network
from wsss_ros.cli import main as cli
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.types import BadInput

SMALL = Grid(strides=(16, 32), rows=(24, 48), precisions=("float32", "bfloat16"))


def tiny(labels, name: str, options: dict) -> Checkpoint:
    torch.manual_seed(0)
    config = NetworkConfig("image", name, options)
    return Checkpoint(config.build(labels).eval(), config, labels, {}, "tiny")


def test_each_point_of_the_grid_once(labels):
    network = Network("light", tiny(labels, "resnet", {"width": 0.0625}))
    found = list(image_speed.measure([network], SMALL, 2, "cpu", 0))
    where = [(speed.stride, speed.rows, speed.precision) for speed in found]
    assert where == [(s, r, p) for s in SMALL.strides for r in SMALL.rows for p in SMALL.precisions]
    assert all(0 < speed.least_ms <= speed.image_ms and speed.network_ms > 0 for speed in found)
    assert {(speed.network, speed.miou) for speed in found} == {("light", None)}


def test_the_weights_are_the_same_at_every_stride(labels):
    given = tiny(labels, "efficientnet_lite", {})
    (strided,) = image_speed._at_strides(given, [32])
    assert strided.network.backbone.stride == 32 and strided.config.options == {"stride": 32}
    own, others = given.network.state_dict(), strided.network.state_dict()
    assert all(torch.equal(own[name], others[name]) for name in own)


def test_a_network_with_one_stride_is_measured_once(labels):
    given = tiny(labels, "resnet38", {"width": 1 / 64})
    assert list(image_speed._at_strides(given, [8, 16])) == [given]
    with pytest.raises(BadInput, match="stride 8, 16 or 32"):
        list(image_speed._at_strides(tiny(labels, "resnet", {"width": 0.0625}), [5]))


def test_random_networks_are_the_three_versions():
    assert [network.name for network in image_speed.random_networks()] == ["Lite0", "Lite1", "Lite2"]


def test_the_table_has_the_score_of_each_file(labels, tmp_path):
    made = tiny(labels, "resnet", {"width": 0.0625})
    checkpoint.save(tmp_path / "own.safetensors", made.network, made.config, labels)
    scenes = ["--scenes", str(write_scene_folder(tmp_path / "room", labels))]
    words = ["bench", "image", str(tmp_path / "own.safetensors"), "--stride", "32", "--rows", "24", "--runs", "1"]
    words += ["--precision", "float32", "--device", "cpu"]
    plain, scored = (CliRunner().invoke(cli.app, [*words, *more]) for more in ([], scenes))
    assert plain.exit_code == scored.exit_code == 0, plain.output + scored.output
    assert "mIoU" in scored.stdout and "mIoU" not in plain.stdout and " 32 " in plain.stdout
