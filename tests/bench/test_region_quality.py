"""`wsss bench regions`: purity, boundaries and mIoU of regions, by hand and on a scene; the table and the picture."""

import numpy as np
import pytest
from PIL import Image
from support.scannet_room import corner_points, room_frames
from typer.testing import CliRunner

from wsss_ros.bench import region_quality
from wsss_ros.bench.region_quality import Quality, Truths
from wsss_ros.cli import main as cli
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import Cloud


def row(labels, values, region, spacing=0.02):
    """Scores of points in a row, in which each point has its neighbours and those two points away in its ring."""
    count = len(values)
    xyz = np.zeros((count, 3), np.float32)
    xyz[:, 0] = np.arange(count) * spacing
    ring = (np.arange(count)[:, None] + [0, -1, 1]).clip(0, count - 1)
    quality = Quality(labels)
    known = Truths(Cloud(xyz), {"classes": np.array(values)}, ring)
    region_quality.add(quality, known, np.array(region), 0.5)
    return quality.row()


def test_scores_by_hand(labels):
    """Class 2 is unknown at one point; the second region mixes two classes; one point has no region."""
    found = row(labels, [0, 0, 0, 1, 1, -1, 1, 1], [0, 0, 1, 1, 1, 1, 1, -1])
    assert found["regions"] == 2 and found["seconds"] == 0.5 and found["points"] == 8
    assert found["free"] == pytest.approx(100 / 8)
    assert found["purity_classes"] == pytest.approx(100 * 5 / 6)
    assert found["recall_classes"] == 100  # the boundary of regions is one point (2 cm) away
    assert found["miou"] == pytest.approx(100 * (2 / 3 + 3 / 5) / 2)
    assert found["purity_objects"] is None and found["recall_objects"] is None


def test_boundaries_far_away_are_not_found(labels):
    assert row(labels, [0] * 4 + [1] * 4, [0] * 8)["recall_classes"] == 0
    assert row(labels, [0] * 4 + [1] * 4, [0] * 6 + [1] * 2, spacing=0.04)["recall_classes"] == 50


def test_majority_takes_the_lowest_of_equal_values():
    region, values = np.array([0, 0, 1, 1, 2, -1]), np.array([3, 2, -1, 4, -1, 1])
    assert region_quality.majority(region, values).tolist() == [2, 2, 4, 4, -1, -1]
    assert region_quality.majority(region, np.full(6, -1)).tolist() == [-1] * 6


def test_the_command_prints_a_table_and_draws(tmp_path, labels):
    write_scene(tmp_path / "room", labels=labels, **corner_points(3000), frames=room_frames())
    words = ["bench", "regions", str(tmp_path / "room"), "--way", "wypr", "--way", "vccs"]
    answer = CliRunner().invoke(cli.app, [*words, "--picture", str(tmp_path / "a" / "regions.png")])
    assert answer.exit_code == 0, answer.output
    cells = next(line for line in answer.output.splitlines() if "wypr" in line).replace("│", " ").split()
    assert cells[:3] == ["wypr", "3.0", "0.0"]
    assert all(float(cell) > 85 for cell in cells[3:8]), cells
    drawn = np.asarray(Image.open(tmp_path / "a" / "regions.png").convert("RGB"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10


def test_an_unknown_way_is_named(tmp_path):
    answer = CliRunner().invoke(cli.app, ["bench", "regions", str(tmp_path), "--way", "slic"])
    assert answer.exit_code != 0
    assert "slic" in str(answer.exception) + answer.output
