"""The command ``wsss evaluate``; the evaluation itself is tested in tests/evaluation."""

import json

import numpy as np
import pytest
from PIL import Image
from support.striped_scenes import written
from typer.testing import CliRunner

from wsss_ros.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    written(folder, labels, range(3))
    (folder / "scene2" / "scene2_vh_clean_2.labels.ply").unlink()
    for tags in folder.glob("*/tags.csv"):
        tags.unlink()
    return folder


@pytest.mark.slow
def test_the_command_writes_table_json_and_pictures(folder, tmp_path):
    result = run(folder, "--out", tmp_path / "out", "--frames", 2, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "mean" in result.output and "3D: 1 scene left out" in result.output
    assert "scene2: its points have no truth" in result.output
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report["2d"]["images"] == 6 and set(report["3d"]["scenes"]) == {"scene0", "scene1"}
    assert report["3d"]["count"] == 1200 == np.sum(report["3d"]["confusion"])
    assert report["truth"] == "scannet20" and report["2d"]["predictions"]["weights"] == "shipped"
    for domain in ("2d", "3d"):
        assert min(Image.open(tmp_path / "out" / f"confusion_{domain}.png").size) > 500


def test_a_list_chooses_scenes(folder, tmp_path):
    (tmp_path / "list.txt").write_text("scene1\n")
    result = run(folder, "--list", tmp_path / "list.txt", "--only", "3d", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert list(report["3d"]["scenes"]) == ["scene1"] and "2d" not in report


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{empty}"], "it is not a folder of scenes either"),
        (["{folder}/scene2", "--only", "3d"], "no clouds of 1 scenes can be scored"),
        (["{folder}", "--predictions", "{empty}/none"], "no such folder; expected predictions"),
        (["{folder}", "--predictions", "{empty}"], "label-filt/0.png: no such prediction"),
        (["{folder}", "--image", "{folder}/scene0/scene0.txt"], "scene0.txt"),
        (["{folder}", "--image-weights", "{folder}/scene0/scene0.txt"], "scene0.txt"),
        (["{folder}", "--labels", "{fruit}"], "share no class"),
    ],
)
def test_bad_input_ends_in_one_line(folder, tmp_path, arguments, words):
    fruit = tmp_path / "fruit.yaml"
    fruit.write_text("name: fruit\nclasses:\n  - {name: apple, id: 1, color: [1, 2, 3]}\n")
    (tmp_path / "empty").mkdir()
    filled = [part.format(folder=folder, empty=tmp_path / "empty", fruit=fruit) for part in arguments]
    result = run(*filled, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert words in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_s3dis_is_scored_on_what_it_shares_with_scannet(tmp_path):
    rng = np.random.default_rng(0)
    room = tmp_path / "Area_5" / "office_1" / "Annotations"
    room.mkdir(parents=True)
    for name, count in (("floor_1", 90), ("clutter_1", 30), ("bookcase_1", 60)):
        rows = np.c_[rng.random((count, 3)) * 2, rng.integers(0, 256, (count, 3))]
        np.savetxt(room / f"{name}.txt", rows, fmt="%.3f %.3f %.3f %d %d %d")
    result = run(tmp_path / "Area_5", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report["truth"] == "s3dis" and report["among"] == "all" and report["2d"] is None
    assert report["3d"]["classes"] == ["floor", "wall", "window", "door", "table", "chair", "sofa", "bookcase"]
    assert report["3d"]["count"] == 150
    assert "8 classes" in result.output
