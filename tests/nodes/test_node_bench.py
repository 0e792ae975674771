"""The bench of the ROS side, in small."""

import json
import subprocess
import sys

import pytest
from support.paths import ROOT

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.config import share  # noqa: E402
from wsss_ros.inference import shipped_weights  # noqa: E402
from wsss_ros.nodes import bench, latency_bench  # noqa: E402

pytestmark = pytest.mark.slow


def test_bench_prints_the_chosen_parts_as_json(capsys, monkeypatch):
    monkeypatch.setattr(bench.os, "environ", dict(bench.os.environ))
    assert bench.main(["--parts", "conversions_ms"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"conversions_ms"}
    assert all(value > 0 for value in report["conversions_ms"].values()) and len(report["conversions_ms"]) == 4


def test_images_are_counted_between_two_processes(ros_environment, monkeypatch):
    monkeypatch.setattr(bench.os, "environ", ros_environment)
    counts = bench.transport("image", share("config/fastdds.xml"), 1.0)
    assert counts["sent"] == 30
    assert counts["lost"] == counts["sent"] - counts["received"]
    assert counts["received"] > 0


def test_what_a_node_adds_to_its_network_is_measured():
    """In a process of its own: Fast DDS reads its profile once, and without it loses most images of this size."""
    command = [sys.executable, "-m", "wsss_ros.nodes.bench", "--parts", "image_segmenter_ms", "--rounds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["image_segmenter_ms"]
    assert set(report) == {"message_to_message", "network", "added", "least_added"}
    assert report["message_to_message"] > 0


def test_parts_and_the_age_of_labels_by_image_size():
    command = [sys.executable, "-m", "wsss_ros.nodes.latency_bench", "--sizes", "96x64", "--runs", "1"]
    command += ["--seconds", "1", "--rate", "10", "--all-outputs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    parts = report["parts_ms"]["96x64"]
    names = ["input", "resize", "labels and confidence", "colours", "overlay", "messages"]
    assert list(parts) == [*names, "around the network", "network"]
    assert parts["around the network"] == pytest.approx(sum(parts[name] for name in names), abs=0.01)
    latency = report["latency_ms"]["96x64"]["this"]
    assert 0 < latency["least"] <= latency["p50"] <= latency["p95"] <= latency["p99"]
    assert 0 < latency["labelled"] <= latency["sent"]


def test_the_age_of_labels_with_and_without_a_viewer():
    pytest.importorskip("viser", reason="the extra [view] is not installed")
    command = [sys.executable, "-m", "wsss_ros.nodes.latency_bench", "--sizes", "96x64", "--runs", "1"]
    done = subprocess.run(
        [*command, "--seconds", "2", "--rate", "10", "--viewer"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["latency_ms"]["96x64"]
    assert set(figures) == {"alone", "viewer"} and all(each["labelled"] > 0 for each in figures.values())
    assert figures["alone"]["shown"] == 0 < figures["alone"]["clouds"]
    assert 0 < figures["viewer"]["shown"] <= figures["viewer"]["clouds"]


def test_another_checkout_is_measured_with_the_same_weights():
    options = latency_bench._options(["--other", "elsewhere"])
    assert options.weights == str(shipped_weights("image"))
    assert latency_bench._options([]).weights == ""
