"""`wsss bench sparse`: the voxels, what is measured, the table and the plot."""

import pytest
import torch
from typer.testing import CliRunner

from wsss_ros.bench import sparse_speed
from wsss_ros.bench.sparse_speed import PARTS
from wsss_ros.cli import main as cli

CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [500, 100_000])
def test_rooms_have_as_many_voxels_as_asked(count):
    x = sparse_speed.room_voxels(count, CPU)
    assert x.coordinates.shape == (count, 4) and x.features.shape == (count, 7)
    assert len(torch.unique(x.coordinates[:, 0])) == -(-count // sparse_speed.ROOM_VOXELS)
    assert len(x.levels.sites(1).keys) == count  # each voxel once
    assert sum(p.numel() for p in sparse_speed.network().parameters()) == pytest.approx(8.0e6, rel=0.01)


def test_the_table_and_the_plot(tmp_path, monkeypatch):
    small = sparse_speed.MinkUNet(3, blocks=(1,) * 8, planes=(8,) * 8, stem=8)
    monkeypatch.setattr(sparse_speed, "network", lambda: small)
    words = ["bench", "sparse", "--voxels", "300", "--voxels", "700", "--runs", "1", "--device", "cpu"]
    answer = CliRunner().invoke(cli.app, [*words, "--plot", str(tmp_path / "speed.png")], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    assert all(word in answer.stdout for word in ("300", "700", "float32", "bfloat16", *PARTS, "MB training"))
    assert (tmp_path / "speed.png").stat().st_size > 10_000
