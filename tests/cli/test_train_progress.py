"""What ``wsss train`` prints while it trains."""

from wsss_ros.cli.train import _Lines
from wsss_ros.training.progress import Progress


def test_progress_in_a_log_comes_now_and_then(capsys):
    from rich.console import Console

    lines = _Lines(Console(), seconds=3600)
    for step in range(1, 101):
        lines(Progress("3 joint", step, 100, {"classification_2d": 0.25}, 1 + step // 51, 2))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and told[0] == "3 joint: step 1 of 100, epoch 1 of 2 classification_2d 0.250"
    assert told[1].startswith("3 joint: step 100 of 100, epoch 2 of 2, 0:00:00 left")
