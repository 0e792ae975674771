"""Running scores as JSON, a table and a plot."""

import json

import numpy as np
from PIL import Image

from wsss_ros.evaluation import running_report
from wsss_ros.evaluation.running_scores import RunningScores, ScoreKey
from wsss_ros.labels import LabelSpace

SECOND = 10**9


def filled(labels: LabelSpace, versions: int = 3) -> RunningScores:
    scores, random = RunningScores(labels), np.random.default_rng(0)
    for number in range(versions * 20):
        truth = random.choice(np.array([0, 1, 4, 255], np.uint8), (20, 30))
        right = random.random(truth.shape) < 0.3 + 0.1 * (number // 20)
        pred = np.where(right, truth, random.integers(0, 6, truth.shape)).astype(np.uint8)
        key = ScoreKey("old" if number % 20 < 8 else "new", f"version{number // 20}", "3d" if number % 5 == 4 else "2d")
        scores.add(key, pred, truth, (100 + number) * SECOND)
    return scores


def test_the_three_files_agree(tmp_path, labels):
    scores = filled(labels)
    running_report.write(scores, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.json", "evaluation.md", "evaluation.png"]  # fmt: skip
    written = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert written == scores.entries() and len(written) == 12
    text = (tmp_path / "out/evaluation.md").read_text()
    assert text.count("\n## ") == 4 and "## Clouds of 'old': IoU, percent" in text
    (mean,) = [line for line in text.split("## Images of 'new'")[1].split("##")[0].splitlines() if "mean" in line]
    wanted = [entry["miou"] for entry in written if (entry["set"], entry["domain"]) == ("new", "2d")]
    assert mean == f"| **mean** | {' | '.join(f'**{value:.1f}**' for value in wanted)} |"
    picture = Image.open(tmp_path / "out/evaluation.png")
    assert picture.width > 800 and len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50


def test_of_many_versions_the_table_has_the_newest(labels):
    entries = filled(labels, versions=11).entries()
    text = running_report.table(entries, labels)
    assert "3 older versions are in evaluation.json" in text and "version10" in text and "version2 " not in text


def test_the_table_says_that_nothing_was_scored(tmp_path, labels):
    running_report.write(RunningScores(labels), tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == []
    assert "Nothing was scored" in (tmp_path / "evaluation.md").read_text()
    assert not (tmp_path / "evaluation.png").exists()


def test_a_frame_without_truth_is_drawn_too(tmp_path, labels):
    scores = RunningScores(labels)
    scores.add(ScoreKey("", "v", "2d"), np.uint8([[1, 2]]), np.uint8([[255, 255]]), SECOND)
    running_report.write(scores, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())[0]["miou"] is None
