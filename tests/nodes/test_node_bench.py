"""The bench of the ROS side, in small."""

import json

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.nodes import bench  # noqa: E402


def test_bench_prints_what_was_asked_for_as_json(capsys, monkeypatch):
    monkeypatch.setattr(bench, "POINTS", 100_000)  # a thousand are copied in less than a microsecond
    monkeypatch.setattr(bench.os, "environ", dict(bench.os.environ))
    assert bench.main(["--parts", "conversions_ms"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"conversions_ms"}
    assert all(value > 0 for value in report["conversions_ms"].values()) and len(report["conversions_ms"]) == 4


def test_images_are_counted_between_two_processes(ros_environment, monkeypatch):
    monkeypatch.setattr(bench.os, "environ", ros_environment)
    counts = bench.transport("image", bench.share("config/fastdds.xml"), 1.0)
    assert counts["sent"] == 30 and counts["lost"] == counts["sent"] - counts["received"] and counts["received"] > 0
