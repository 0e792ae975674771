"""The command ``wsss segment``; what it writes is tested in tests/label_files."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from support.paths import ROOT
from support.striped_scenes import written
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.scenes import open_scene


@pytest.fixture
def scene(labels, tmp_path):
    written(tmp_path / "scenes", labels, [0])
    return open_scene(tmp_path / "scenes" / "scene0", labels)


def run(*arguments):
    return CliRunner().invoke(app, ["segment", *map(str, arguments), "--device", "cpu"])


@pytest.mark.slow
def test_the_command(scene, tmp_path):
    result = run(scene.folder, "--out", tmp_path / "out", "--frames", 2, "--pseudo-labels", "--threshold", 0.0)
    assert result.exit_code == 0, result.output
    note = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert note["pseudo_labels"] and note["images"] == 2 and note["points"] == 600
    assert "scenes: 1; 2 images and 600 points labelled" in result.output
    again = run(scene.folder, "--out", tmp_path / "out")
    assert again.exit_code == 1 and "exists already" in again.stderr and again.stderr.count("\n") == 1


@pytest.mark.slow
def test_tags_are_read_for_pseudo_labels_alone(scene, tmp_path):
    """In a process of its own: the type checks of the tests ask a scene for all its members, and so for its tags."""
    (scene.folder / "tags.csv").write_text('scene,"foosball_table, bed"\n')
    command = [sys.executable, "-m", "wsss_ros.cli.main", "segment", str(scene.folder), "--only", "2d", "--frames", "1"]
    subprocess.run([*command, "--out", str(tmp_path / "out"), "--device", "cpu"], check=True, cwd=ROOT)
    assert (tmp_path / "out" / "frames.png").is_file()


def test_the_command_writes_for_the_benchmark(scene, tmp_path):
    result = run(scene.folder.parent, "--out", tmp_path / "out", "--benchmark", "--only", "3d")
    assert result.exit_code == 0, result.output
    files = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")]
    assert files == ["3d/scene0.txt"]


def test_pictures_without_poses_are_labelled(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, size in enumerate([(64, 48), (48, 64)]):
        Image.new("RGB", size, (40 * number, 90, 160)).save(folder / f"shot{number}.jpg")
    (folder / "notes.txt").write_text("no picture")
    result = run(folder, "--out", tmp_path / "out", "--min-confidence", 0)
    assert result.exit_code == 0, result.output
    assert "2 images and 0 points labelled" in result.output
    for number, size in enumerate([(64, 48), (48, 64)]):
        assert Image.open(tmp_path / "out" / "label-filt" / f"shot{number}.png").size == size
    assert json.loads((tmp_path / "out" / "segment.json").read_text())["name"] == "photos"
    one = run(folder / "shot1.jpg", "--out", tmp_path / "one")
    assert one.exit_code == 0 and (tmp_path / "one" / "overlay" / "shot1.jpg").is_file()


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    result = run(tmp_path / "broken.jpg", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "broken.jpg" in result.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{tmp}/none"], "none"),
        (["{tmp}/empty"], "it is not a folder of scenes either"),
        (["{scene}", "--color", "/a"], "is not a bag; --color, --cloud"),
        (["{scene}", "--benchmark", "--frames", "2"], "--benchmark takes neither"),
        (["{scene}/scene0.txt"], "scene0.txt: the heading is"),
        (["{scene}/scene0.aggregation.json"], "not a rosbag2"),
        (["{tmp}/empty", "--benchmark"], "names no scan"),
    ],
)
def test_bad_input_ends_in_one_line(scene, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    filled = [part.format(tmp=tmp_path, scene=scene.folder) for part in arguments]
    result = run(*filled, "--only", "3d", "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert words in result.stderr and result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
