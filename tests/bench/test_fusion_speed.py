"""`wsss bench fusion`: the places, the table and the plot."""

import numpy as np
import pytest
from typer.testing import CliRunner

from wsss_ros.bench import fusion_speed
from wsss_ros.cli import main as cli


@pytest.mark.parametrize("place", sorted(fusion_speed.PLACES))
def test_the_camera_is_in_the_place(place):
    size = fusion_speed.PLACES[place][0]
    points = fusion_speed.surfaces(size, 5000)
    assert points.shape == (5000, 3)
    assert (points > -0.1).all() and (points < np.array(size) + 0.1 + np.array([size[1] / 4, 0, 0])).all()
    centres = np.array([frame.world_from_camera[:3, 3] for frame in fusion_speed.views(size, 9)])
    assert (centres >= 0).all() and (centres < size).all()
    assert len(np.unique(centres[:, 0])) == 9


def test_the_table_and_the_plot(tmp_path):
    words = ["bench", "fusion", "--points", "500", "--points", "1000", "--frames", "2", "--frames", "3"]
    words += ["--presets", "features", "--device", "cpu", "--plot", str(tmp_path / "speed.png")]
    answer = CliRunner().invoke(cli.app, words, env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    rows = [line for line in answer.stdout.splitlines() if "features" in line]
    assert len(rows) == 3 and all(word in answer.stdout for word in ("1,000", "seconds", "processor s", "MB"))
    assert (tmp_path / "speed.png").stat().st_size > 10_000
