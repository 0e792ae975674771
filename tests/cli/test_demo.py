"""`wsss demo`: a scene, a bag, five processes on real DDS, a recording, scores and pictures."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from support.striped_scenes import SIZE, StripedScene, written

from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.scenes import ply

# On a busy machine the nodes take their time; the demo ends when nothing is published any more.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
TINY = {
    "image": NetworkConfig("image", "resnet", {"width": 0.125}),
    "cloud": NetworkConfig(
        "cloud", "pointnet2", {"width": 0.125, "centres": (64, 32, 16, 8), "neighbours": (8, 8, 8, 8)}, ("color",)
    ),
}


def test_demo(tmp_path, labels, ros_environment):
    written(tmp_path, labels, [0])
    torch.manual_seed(0)
    for kind, network in TINY.items():
        training = {"command": "wsss train x", "val": {"miou": 41.5}, "val_by_phase": {"1 classify": {"miou": 12.25}}}
        checkpoint.save(tmp_path / f"{kind}.safetensors", network.build(labels), network, labels, training)
    command = [sys.executable, "-m", "wsss_ros.cli.main", "demo", "--scene", tmp_path / "scene0"]
    command += ["--out", tmp_path / "out", "--hz", "1", "--image-weights", tmp_path / "image.safetensors"]
    command += ["--cloud-weights", tmp_path / "cloud.safetensors", "--min-confidence", "0.01"]
    done = subprocess.run(list(map(str, command)), env=ros_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    assert (report["images_played"], report["images_answered"]) == (4, 4)
    assert report["score_2d"]["frames"] == 4 and report["score_2d"]["count"] == 4 * SIZE * SIZE
    assert report["score_3d"] is not None and report["cloud_points"] > 100
    for node in ("image_segmenter", "cloud_segmenter"):
        figures = report["latency_ms"][node]
        assert 0 < figures["median"] <= figures["p95"]
        file = tmp_path / f"{'image' if node == 'image_segmenter' else 'cloud'}.safetensors"
        assert report["diagnostics"][node]["weights"] == checkpoint.load(file).version
        assert report["diagnostics"][node]["min_confidence"] == "0.01", "less than 1 of 20: every label is kept"
    assert report["score_2d"]["coverage"] == 100
    assert report["weights"]["cloud"]["val_miou"] == 41.5
    assert report["weights"]["image"]["val_miou_before"] == {"1 classify": 12.25}
    assert "1 classify: 12.2" in done.stdout and "41.5" in done.stdout
    vertices = ply.read(out / "cloud.ply")
    assert len(vertices) == report["cloud_points"] and vertices["label"].max() < 20
    for name in ("frames.png", "cloud.png"):
        assert np.asarray(Image.open(out / name)).std() > 5
    named = {name for name in StripedScene(0, labels).pair if name in done.stdout}
    assert len(named) == 2
    text = " ".join(done.stdout.split())
    assert "docs/weights.md" in text
    assert "report.json" in text


def test_a_scene_without_truth_is_told_so(capsys):
    from rich.console import Console

    from wsss_ros.cli import demo

    report = {"score_2d": None, "score_3d": None, "images_played": 4, "images_answered": 3, "image_rate_hz": 2.0}
    report |= {"latency_ms": {"image_segmenter": None}, "cloud_points": 7, "seconds": 1.0, "drops": {}, "weights": {}}
    demo._print(Console(width=200), report, [], demo.Path("out"))
    text = capsys.readouterr().out
    assert "no ground truth: nothing to score" in text and "3 of 4 images answered" in text and "IoU" not in text
