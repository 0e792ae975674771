"""The commands ``wsss fuse`` and ``wsss select``; what they write is tested in tests/label_files."""

import csv
import json

import numpy as np
import pytest
from support.label_infos import joined
from support.striped_scenes import StripedScene, written
from support.tiny_networks import save_network
from typer.testing import CliRunner

from wsss_ros.bags.cdr import read_tag
from wsss_ros.bags.recording import BagConfig
from wsss_ros.bags.writing import write_bag
from wsss_ros.cli.main import app
from wsss_ros.labels import scannet20
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.images import write_rgb, write_uint16


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def scene(labels, tmp_path):
    written(tmp_path / "scenes", labels, [0, 1])
    return tmp_path / "scenes" / "scene0"


@pytest.fixture
def weights(labels, tmp_path):
    save_network(tmp_path / "image.safetensors", "image", labels, 0)
    return tmp_path / "image.safetensors"


def test_labels_of_a_network(scene, weights, tmp_path):
    words = ("fuse", scene, "--out", tmp_path / "out", "--image-weights", weights, "--device", "cpu")
    result = run(*words, "--min-confidence", 0, "--visibility", "depth", "--hold-out", 4)
    assert result.exit_code == 0, result.output
    assert "3 frames voted for" in result.stdout and "1 frames held out" in result.stdout
    note = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert note["fusion"]["visibility"] == "depth" and note["labels_of_frames"].startswith("image network")
    again = run(*words)
    assert again.exit_code == 1 and "is complete" in again.stderr


def test_labels_of_a_topic(labels, tmp_path):
    bag = write_bag(StripedScene(0, labels), tmp_path / "scene.mcap")
    topic = "/ground_truth/semantic/image_raw"
    result = run("fuse", bag, "--out", tmp_path / "out", "--labels", topic, "--visibility", "depth")
    assert result.exit_code == 0, result.output
    assert "4 frames voted" in result.stdout
    result = run(
        *("fuse", bag, "--out", tmp_path / "held", "--labels", topic, "--visibility", "depth", "--hold-out", 2)
    )
    assert "2 frames voted" in result.stdout and "2 frames held out" in result.stdout
    missing = run("fuse", bag, "--out", tmp_path / "other", "--labels", "nothing")
    assert missing.exit_code == 1 and "no topic 'nothing'" in missing.stderr


def test_ids_on_a_topic_have_the_names_of_a_label_info(labels, tmp_path):
    scene, topic = StripedScene(0, labels), "/ground_truth/semantic/image_raw"
    ids = {labels.index(name): name for name in scene.pair}
    bag = joined(tmp_path / "scene.mcap", [write_bag(scene, tmp_path / "plain.mcap")], {"/label_info": ids})
    common = ("fuse", bag, "--labels", "semantic/image_raw", "--visibility", "depth")
    result = run(*common, "--out", tmp_path / "info")
    assert result.exit_code == 0 and f"ids of {topic}: names of /label_info: " in result.stdout, result.output
    note = json.loads((tmp_path / "info" / "segment.json").read_text())
    assert note["labels_of_frames"] == f"topic {topic}, names of /label_info"
    assert list(np.load(tmp_path / "info" / "votes.npz")["classes"]) == [ids[number] for number in sorted(ids)]
    given = run(*common, "--out", tmp_path / "given", "--label-names", ", ".join(f"{n}:thing {n}" for n in ids))
    assert given.exit_code == 0 and "given names: " in given.stdout and "4 frames voted" in given.stdout
    for option in ("--label-names", "--label-info-topic"):
        refused = run("fuse", bag, "--out", tmp_path / "other", option, "x")
        assert refused.exit_code == 1 and "are for label images on a topic" in refused.stderr


def test_of_several_cameras_and_topics_one_is_to_be_named(labels, tmp_path):
    parts = []
    for camera in ("front", "left"):
        config = BagConfig(namespace=camera, camera_frame=f"{camera}_optical")
        parts.append(write_bag(StripedScene(0, labels), tmp_path / f"{camera}.mcap", config))
    bag = joined(tmp_path / "both.mcap", parts, {})
    common = ("fuse", bag, "--visibility", "depth", "--out", tmp_path / "out", "--labels")
    told = {
        "semantic/image_raw": "several topics of label images: /front/ground_truth/semantic/image_raw, "
        "/left/ground_truth/semantic/image_raw; name one (--labels)",
        "nothing": "those that can be label images are /front/depth/image_rect (16UC1), ",
        "left/ground_truth/semantic/image_raw": "images of several cameras: /front/color/image_raw, "
        "/left/color/image_raw; name one (--color)",
    }
    for name, text in told.items():
        refused = run(*common, name)
        assert refused.exit_code == 1 and text in " ".join(refused.stderr.split()), refused.output
    named = (*common, "left/ground_truth/semantic/image_raw", "--color")
    refused = run(*named, "/front/color/image_raw")
    text = (
        "of the camera 'left_optical', the images of '/front/color/image_raw' of 'front_optical'; name the images of "
    )
    assert text + "the same camera (--color): /left/" in " ".join(refused.stderr.split()), refused.output
    assert "4 frames voted" in run(*named, "/left/color/image_raw").stdout


def test_what_is_no_source_of_labels(scene, tmp_path):
    result = run("fuse", scene, "--out", tmp_path / "out", "--labels", "nothing")
    assert result.exit_code == 1 and "is not a bag" in result.stderr
    result = run("fuse", scene, "--out", tmp_path / "out", "--settings", "nothing")
    assert result.exit_code == 1 and "room_features" in result.stderr


@pytest.mark.parametrize("command", ["fuse", "select"])
def test_how_a_folder_is_read_can_be_given(command, scene, weights, tmp_path):
    words = (command, scene, "--out", tmp_path / "out", "--image-weights", weights, "--device", "cpu")
    result = run(*words, "--layout", "nothing")
    assert result.exit_code == 1 and "layout 'nothing'; expected one of" in result.stderr


def test_frames_that_are_worth_tagging(scene, weights, labels, tmp_path):
    result = run(
        "select", scene.parent, "--image-weights", weights, "--count", 3, "--out", tmp_path / "out", "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    assert "3 of 8 frames" in result.stdout
    with open(tmp_path / "out" / "select.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["order"] for row in rows] == ["1", "2", "3"]
    frames = [open_scene(scene, labels).frame(index) for index in range(4)]
    assert {row["frame"] for row in rows} <= {frame.name for frame in frames} and (
        tmp_path / "out" / "select.png"
    ).stat().st_size > 1000
    assert "frames left out" not in result.stdout
    stamps = {frame.name: frame.stamp_ns for frame in frames}
    assert all(read_tag(f"@{row['stamp']} chair") == (("chair",), stamps[row["frame"]]) for row in rows)


def test_frames_are_chosen_by_label_images_of_another_model(tmp_path):
    random, ids = np.random.default_rng(0), [[3], [3, 5], [3], [4, 5, 6], [3]]
    (tmp_path / "photos").mkdir()
    (tmp_path / "labels").mkdir()
    for number, shown in enumerate(ids):
        rgb = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        write_rgb(tmp_path / "photos" / f"{number}.jpg", rgb)
        pixels = np.repeat(np.array(shown, np.uint16), 60 // len(shown))[None].repeat(40, 0)
        write_uint16(tmp_path / "labels" / f"{number}.png", pixels)
    (tmp_path / "photos" / "2.jpg").write_bytes(b"no picture")
    (tmp_path / "labels" / "4.png").unlink()
    words = ("select", tmp_path / "photos", "--labels", tmp_path / "labels", "--out", tmp_path / "out")
    result = run(*words, "--label-ids", "index", "--count", 50)
    assert result.exit_code == 1, result.output
    assert "3 of 3 frames" in result.stdout and "1 no label image in the folder" in result.stdout
    assert "2.jpg" in result.stdout, "the broken picture is named"
    with open(tmp_path / "out" / "select.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["3", "1", "0"]
    names = scannet20().names
    assert rows[0]["predicted"] == ", ".join(names[k] for k in (4, 5, 6))
    result = run("select", tmp_path / "photos", "--labels", tmp_path / "nothing", "--out", tmp_path / "other")
    assert result.exit_code == 1 and "no such folder of label images" in result.stderr
    result = run("select", tmp_path / "photos", "--label-ids", "index", "--out", tmp_path / "other")
    assert result.exit_code == 1 and "the network has its own" in result.stderr
