"""Label images next to posed frames are the truth of the frames, whatever the layout."""

import json
import logging

import numpy as np
import pytest
from PIL import Image
from support.simulated_room import write
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput

OWN = LabelSpace("own", ("pallet", "floor", "fork lift"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), (1, 2, 3))
SIZE = (48, 64)


def truth_of(index: int) -> np.ndarray:
    """Labels of a frame: another picture for each, with unlabelled pixels."""
    found = (np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) // 8 + index) % 4
    return np.where(found == 3, 255, found).astype(np.uint8)


def numbers_of(labels: np.ndarray, first: int = 1) -> np.ndarray:
    """Ids from ``first`` on, as a label image has them; unlabelled is 0, or 255 where 0 is a class."""
    return np.where(labels == 255, 0 if first else 255, labels + first).astype(np.uint8)


def save(path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def labelled(folder, layout: str, name: str = "label/{}.png", first: int = 1):
    """A folder in a layout with the label images of its frames, which are named after their colour images."""
    made = write(folder, layout)
    for index, frame in enumerate(open_scene(made, OWN).frame_names):
        save(made / name.format(frame), numbers_of(truth_of(index), first))
    return made


def check(scene) -> None:
    assert len(scene) == 4 and scene.cloud_truth() is None
    for index in range(4):
        assert np.array_equal(scene.frame_truth(index), truth_of(index)), index


@pytest.mark.parametrize(
    "layout, name",
    [
        ("frames", "label/{}.png"),
        ("frames", "labels/{}.label.png"),
        ("tum", "semantic/{}.npy"),
        ("redwood", "label/{}.tif"),
        ("replica", "semantic_class/{}_semantic.png"),
        ("nerfstudio", "semantics/{}.png"),
        ("bundlefusion", "label/{}_label.png"),
    ],
)
def test_labels_with_the_names_of_the_colour_images(tmp_path, layout, name):
    check(open_scene(labelled(tmp_path, layout, name), OWN))


@pytest.mark.parametrize("name", ["label/{}.png", "semantic_class/semantic_class_{}.png", "label/{:06d}.png"])
def test_labels_with_the_numbers_of_the_colour_images(tmp_path, name):
    folder = write(tmp_path, "frames")  # frame-000000.color.png
    for index in range(4):
        save(folder / name.format(index), numbers_of(truth_of(index)))
    check(open_scene(folder, OWN))


def test_what_the_numbers_mean(tmp_path):
    folder = labelled(tmp_path, "tum", first=0)
    with pytest.raises(BadInput, match="label numbers 0, 1, 2, 255 fit several readings: 'dataset'.*'index'"):
        open_scene(folder, OWN, reading=Reading(label_ids="auto")).frame_truth(0)
    check(open_scene(folder, OWN, reading=Reading(label_ids="index")))
    (folder / "meta.yaml").write_text("label_ids: index\n")
    check(open_scene(folder, OWN))


def test_colours_of_the_classes(tmp_path):
    folder = write(tmp_path, "frames")
    for index, name in enumerate(open_scene(folder, OWN).frame_names):
        save(folder / "label" / f"{name}.png", OWN.colorize(truth_of(index)))
    check(open_scene(folder, OWN))


def test_some_frames_have_labels(tmp_path, caplog):
    folder = labelled(tmp_path, "frames")
    names = sorted((folder / "label").iterdir())
    names[0].unlink()
    names[1].rename(folder / "label" / "frame-000777.png")
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        scene = open_scene(folder, OWN)
        assert [scene.frame_truth(index) is None for index in range(4)] == [True, True, False, False]
    assert "1 of 3 label images belong to no frame that can be used, such as frame-000777.png" in caplog.text
    for name in (folder / "label").iterdir():
        name.rename(name.with_name(f"shelf {chr(97 + int(name.stem[-1]))}.png"))
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        assert open_scene(folder, OWN).frame_truth(3) is None
    assert "3 of 3 label images belong to no frame" in caplog.text
    assert "expected the names of the colour images, such as frame-000000.png" in caplog.text


def test_labels_that_are_refused(tmp_path):
    folder = labelled(tmp_path, "frames")
    path = folder / "label" / "frame-000001.png"
    save(path, np.zeros((48, 48), np.uint8))
    with pytest.raises(BadInput, match=r"frame-000001.png: 48x48; expected the size of the colour image, 64x48"):
        open_scene(folder, OWN).frame_truth(1)
    save(path, np.repeat(np.repeat(numbers_of(truth_of(1)), 2, 0), 2, 1))
    half = open_scene(folder, OWN).frame_truth(1)
    assert half.shape == SIZE and np.mean(half == truth_of(1)) > 0.9
    save(folder / "labels" / "frame-000002.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(BadInput, match="label images in label/ and labels/; expected those of the frames in one"):
        open_scene(folder, OWN).frame_truth(1)


def test_shifted_numbers_are_refused(tmp_path):
    folder = write(tmp_path, "frames")
    for index in range(4):
        save(folder / "label" / f"{index + 1}.png", numbers_of(truth_of(index)))
    with pytest.raises(BadInput, match="as many, but shifted by 1"):
        open_scene(folder, OWN).frame_truth(0)


def test_evaluate_scores_them(tmp_path):
    """The predictions are the truth with its last rows as another class."""
    folder = labelled(tmp_path / "scenes", "redwood")
    space = tmp_path / "own.yaml"
    space.write_text("name: own\nclasses: [{name: pallet, id: 1}, {name: floor, id: 2}, {name: fork lift, id: 3}]\n")
    scene = open_scene(folder, OWN)
    for index, name in enumerate(scene.frame_names):
        found = truth_of(index)
        found[-12:] = np.where(found[-12:] == 255, 255, 0)
        save(tmp_path / "found" / "label-filt" / f"{name}.png", OWN.to_ids(found))
    words = ["evaluate", folder, "--labels", space, "--predictions", tmp_path / "found", "--only", "2d"]
    result = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "out")], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output + result.stderr
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())["2d"]
    truth = np.concatenate([truth_of(index) for index in range(4)])
    below = np.concatenate([truth_of(index)[-12:] for index in range(4)])
    known = (truth != 255).sum()
    assert report["count"] == known
    assert report["accuracy"] == pytest.approx(100 * (1 - np.isin(below, (1, 2)).sum() / known))
