"""One file that cannot be read, in every command: it is named, the others are used, and the status is 1."""

import json
from itertools import count
from shutil import copytree

import pytest
import yaml
from PIL import Image
from support import simulated_room as room
from support.striped_scenes import written
from support.tiny_networks import save_network
from support.training_runs import GENTLE, values_for
from typer.testing import CliRunner

from wsss_ros.bags import frames
from wsss_ros.bags.writing import write_bag
from wsss_ros.cli.main import app
from wsss_ros.inference import ImageSegmenter
from wsss_ros.label_files.labeller import Labeller
from wsss_ros.label_files.sources import Source
from wsss_ros.label_files.writing import segment
from wsss_ros.labels import scannet20
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.derived import cloud_of
from wsss_ros.types import BadInput

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Two scenes, the second with a broken frame; photographs with a broken one; a network."""
    root = tmp_path_factory.mktemp("left_out")
    labels = scannet20()
    save_network(root / "image.safetensors", "image", labels, 0)
    written(root / "scenes", labels, [0, 1])
    (root / "scenes" / "scene1" / "color" / "2.jpg").write_bytes(b"no picture")
    (root / "photos").mkdir()
    for name in NAMES:
        Image.new("RGB", (64, 48), (90, 30 * NAMES.index(name), 160)).save(root / "photos" / f"{name}.jpg")
    copytree(root / "photos", root / "tagged")
    (root / "tagged" / "tags.csv").write_text("frame,tags\na,wall\nb,floor\nc,wall\nd,floor\n")
    for folder in ("photos", "tagged"):
        (root / folder / "c.jpg").write_bytes(b"no picture")
    return root


def run(*arguments, status: int = 1):
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "300"})
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize(
    "command, name, done, last",
    [
        ("segment photos --only 2d --out", "photos", "3 images and 0 points labelled", "1 frame left out"),
        ("segment scenes --only 2d --out", "scene1", "7 images and 0 points labelled", "1 frame left out"),
        ("select photos --out", "", "3 of 3 frames", "1 frame left out"),
        ("evaluate scenes --only 2d --out", "scene1, frame 2", "2 scenes, 7 images", "1 frame left out"),
        ("evaluate tagged --out", "c", "3 photographs, 0 with dense", "1 photograph left out"),
        ("fuse scenes/scene1 --visibility depth --out", "", "3 frames voted", "1 frame left out"),
        ("calibrate image.safetensors scenes --out", "scene1, frame 2", "negative log likelihood", "1 frame left out"),
    ],
)
def test_the_commands(given, tmp_path, command, name, done, last):
    words = [given / word if (given / word).exists() else word for word in command.split()]
    weights = [] if command.startswith("calibrate") else ["--image-weights", given / "image.safetensors"]
    result = run(*words, tmp_path / "out", *weights, "--device", "cpu")
    assert done in result.stdout and result.stderr.startswith(f"wsss: {last} because"), result.output
    assert result.stderr.count("\n") == 1 and (f"left out: {name}: " in result.stdout or not name), result.stdout
    assert ("2.jpg" if "scene" in command else "c.jpg") in result.stdout and any((tmp_path / "out").iterdir())


def test_what_is_written_is_that_of_the_others(given, tmp_path):
    run("segment", given / "photos", "--out", tmp_path / "out", "--image-weights", given / "image.safetensors")
    assert sorted(path.stem for path in (tmp_path / "out" / "label-filt").iterdir()) == ["a", "b", "d"]
    note = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert note["images"] == 3 and note["left_out"] == {"frames that cannot be read": 1}


def test_a_bag(given, tmp_path, monkeypatch):
    """A bag whose third image cannot be decoded."""
    path = write_bag(open_scene(given / "scenes" / "scene0", scannet20()), tmp_path / "scene")
    decode, images = frames._color, count()

    def spoilt(message):
        if next(images) == 2:
            raise BadInput("it is broken")
        return decode(message)

    monkeypatch.setattr(frames, "_color", spoilt)
    network = ImageSegmenter(str(given / "image.safetensors"), "cpu")
    result = segment([Source.of_bag(frames.BagFrames(path))], tmp_path / "out", Labeller(network))
    assert result.images == 3 and [name for name, _ in result.unread] == ["scene"]
    assert "it is broken" in result.unread[0][1]


@pytest.mark.parametrize("broken", ["frame-000000.color.png", "frame-000002.depth.png"])
def test_clouds_are_fused_of_the_frames_that_can_be_read(tmp_path, caplog, broken):
    """Also where the first frame is broken, whose images say the size of all."""
    room.write_frames(tmp_path / "room", room.frames())
    (tmp_path / "room" / broken).write_bytes(b"no picture")
    scene = open_scene(tmp_path / "room", scannet20())
    assert len(cloud_of(scene)) > 0 and "1 of 4 frames cannot be read; the first: " in caplog.text
    for path in (tmp_path / "room").glob("*.color.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInput, match="none of 4 frames can be read; the first:"):
        cloud_of(open_scene(tmp_path / "room", scannet20()))


@pytest.mark.slow
def test_training_on_photographs(given, tmp_path):
    phase = {"method": "classify", "epochs": 1, "batch": 2, "image": GENTLE}
    values = values_for(tmp_path, labels="scannet20", phases=[phase], cloud=None)
    values["data"] = {"sources": [{"path": str(given / "tagged")}], "cache": str(tmp_path / "cache")}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
    result = run("train", tmp_path / "train.yaml")
    assert "1 photograph left out because" in result.stderr and (tmp_path / "run" / "image.safetensors").is_file()
