"""wsss segment and wsss evaluate with cloud weights that take fused labels: both fuse labels of the frames first."""

import json

import numpy as np
import pytest
import torch
from support.striped_scenes import StripedScene, written
from typer.testing import CliRunner

from wsss_ros.cli import main as cli
from wsss_ros.evaluation import fused_scenes
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.scenes import open_scenes, ply

NARROW = {"voxel_m": 0.2, "encoder": [[8, 8]], "bottleneck": [8, 8], "decoder": [[8, 8]], "head": [8, 8]}
FUSION = {"settings": {"visibility": "depth", "dilation": 0}}


@pytest.fixture
def files(tmp_path, labels) -> dict[str, str]:
    torch.manual_seed(0)
    image = NetworkConfig("image", "resnet", {"width": 0.125})
    cloud = NetworkConfig("cloud", "sparse_unet", NARROW, ("fused_label",), fusion=FUSION)
    saved = {}
    for settings in (image, cloud):
        saved[settings.kind] = str(tmp_path / f"{settings.kind}.safetensors")
        checkpoint.save(saved[settings.kind], settings.build(labels), settings, labels)
    return saved


def run(*words: str):
    return CliRunner().invoke(cli.app, [*map(str, words), "--device", "cpu"])


def test_both_commands_fuse_the_labels_of_the_frames(tmp_path, labels, files):
    written(tmp_path / "val", labels, [1])
    weights = ("--image-weights", files["image"], "--cloud-weights", files["cloud"])
    folder = tmp_path / "val" / "scene1"
    images, clouds = ImageSegmenter(files["image"], "cpu"), CloudSegmenter(files["cloud"], "cpu")
    (scene,) = fused_scenes.fused_scenes(open_scenes(tmp_path / "val", labels)[0], clouds, images)
    expected, _ = clouds(scene.cloud)
    answer = run("segment", folder, "--out", tmp_path / "out", "--min-confidence", "0", *weights)
    assert answer.exit_code == 0, answer.output
    (file,) = (tmp_path / "out").glob("*.labels.ply")
    np.testing.assert_array_equal(labels.from_ids(ply.read(file)["label"].astype(np.int64)), expected)
    answer = run("evaluate", folder, "--only", "3d", "--out", tmp_path / "scores", *weights)
    assert answer.exit_code == 0, answer.output
    report = json.loads(next((tmp_path / "scores").glob("*.json")).read_text())
    truth = StripedScene(1, labels).cloud_truth()
    assert report["3d"]["accuracy"] == pytest.approx(100 * (expected == truth).mean(), abs=0.01)


def test_the_labels_that_are_fused_are_those_of_turned_images(tmp_path, labels, files, monkeypatch):
    written(tmp_path / "val", labels, [1])
    label, turned = ImageSegmenter.__call__, []

    def noted(images, frame, present=None, turns=0):
        turned.append(turns)
        return label(images, frame, present, turns)

    monkeypatch.setattr(ImageSegmenter, "__call__", noted)
    weights = ("--image-weights", files["image"], "--cloud-weights", files["cloud"])
    answer = run("segment", tmp_path / "val" / "scene1", "--out", tmp_path / "out", "--rotate", "180", *weights)
    assert answer.exit_code == 0, answer.output
    assert turned == [2] * 8  # the four images as they are written, then for the cloud


def test_without_images_the_reason_is_told(tmp_path, labels, files):
    written(tmp_path / "val", labels, [1])
    answer = run("segment", tmp_path / "val" / "scene1", "--only", "3d", "--out", tmp_path / "out",
                 "--cloud-weights", files["cloud"])  # fmt: skip
    assert answer.exit_code != 0 and "take fused labels of images" in str(answer.output) + str(answer.exception)
