"""The command ``wsss calibrate``; the calibration itself is tested in tests/evaluation/test_calibration.py."""

import json

import pytest
from PIL import Image
from support.striped_scenes import written
from support.tiny_networks import save_network
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.networks import checkpoint


@pytest.fixture(scope="module")
def scenes(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    written(folder, labels, range(2))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments), "--device", "cpu"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "cloud"])
def test_the_command_writes_the_calibration_only_when_asked(labels, scenes, tmp_path, kind):
    weights, out = tmp_path / f"{kind}.safetensors", tmp_path / "out"
    version = save_network(weights, kind, labels, seed=1)
    content = weights.read_bytes()
    result = run(weights, scenes, "--out", out)
    assert result.exit_code == 0, result.output
    assert "the checkpoint is unchanged" in result.output and weights.read_bytes() == content
    report = json.loads((out / f"calibration_{kind}.json").read_text())
    assert report["scenes"] == 2 and report["after"]["nll"] < report["before"]["nll"] and "new_version" not in report
    assert min(Image.open(out / f"calibration_{kind}.png").size) > 400

    result = run(weights, scenes, "--out", out, "--write", "--min-confidence", 0.25)
    written = checkpoint.load(weights)
    assert written.config.temperature == report["temperature"] and written.config.min_confidence == 0.25
    assert f"version {version} is now {written.version}" in result.output
    again = json.loads((out / f"calibration_{kind}.json").read_text())
    assert again["new_version"] == written.version and again["min_confidence"] == 0.25


def test_a_class_that_does_not_exist_is_named(labels, scenes, tmp_path):
    save_network(tmp_path / "image.safetensors", "image", labels, seed=1)
    result = run(tmp_path / "image.safetensors", scenes, "--ignore", "wall", "--ignore", "dresser")
    assert result.exit_code == 1 and "'dresser' is not a class of 'scannet20'" in result.stderr
