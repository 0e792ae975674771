"""Sets of scenes: a folder, a list file, and scenes that do not open."""

from pathlib import Path

import numpy as np
import pytest

from wsss_ros.scenes import images, open_scenes
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput


@pytest.fixture
def scans(tmp_path, labels) -> Path:
    """Two scans, a plain folder of posed frames, one folder of nothing and two that no person made."""
    folder = tmp_path / "scans"
    points = {"xyz": np.zeros((4, 3), np.float32), "rgb": np.zeros((4, 3), np.uint8)}
    points |= {"point_labels": np.zeros(4, np.uint8), "instances": np.zeros(4, np.int32)}
    for name in ("scene0001_00", "scene0000_00"):
        write_scene(folder / name, labels=labels, **points, frames=[])
    kitchen = folder / "kitchen"
    kitchen.mkdir()
    images.write_rgb(kitchen / "frame-0.color.jpg", np.zeros((16, 20, 3), np.uint8))
    images.write_uint16(kitchen / "frame-0.depth.png", np.ones((16, 20), np.uint16))
    np.savetxt(kitchen / "frame-0.pose.txt", np.eye(4))
    np.savetxt(kitchen / "camera-intrinsics.txt", [[20, 0, 10], [0, 20, 8], [0, 0, 1]])
    for name in ("nothing", ".hidden", "__MACOSX"):
        (folder / name).mkdir()
    (folder / "notes.txt").write_text("no scene")
    return folder


def _list(folder: Path, names: str) -> Path:
    path = folder.parent / "list.txt"
    path.write_text(names)
    return path


def test_all_of_a_folder_in_order(scans, labels):
    scenes, left_out = open_scenes(scans, labels)
    assert [scene.name for scene in scenes] == ["kitchen", "scene0000_00", "scene0001_00"]
    assert [name for name, _ in left_out] == ["nothing"] and "is empty; expected" in left_out[0][1]


def test_a_list_file_chooses_scenes_and_their_order(scans, labels):
    """As scannetv2_train.txt: one name a line; what is not on disk is left out with the reason."""
    names = "scene0001_00\r\nscene0707_00\n\n# mine\n kitchen \nscene0001_00"
    path = _list(scans, names)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # the mark that Windows puts in front of UTF-8
    scenes, left_out = open_scenes(scans, labels, path)
    assert [scene.name for scene in scenes] == ["scene0001_00", "kitchen"]
    assert [name for name, _ in left_out] == ["scene0707_00"] and "scene0707_00: no such folder" in left_out[0][1]


def test_a_broken_scene_does_not_stop_the_others(scans, labels):
    (scans / "kitchen" / "camera-intrinsics.txt").write_text("far away")
    (scans / "kitchen" / "frame-0.pose.txt").write_text("1 2 3")
    scenes, left_out = open_scenes(scans, labels)
    assert [scene.name for scene in scenes] == ["scene0000_00", "scene0001_00"]
    assert [name for name, _ in left_out] == ["kitchen", "nothing"] and "kitchen/camera-intr" in left_out[0][1]
    assert all("\n" not in reason for _, reason in left_out)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("", "list.txt: names no scene"),
        ("a\nb\nc\nd\nnothing", r"none of its 5 scenes can be used: a: .*a: no such folder.*; c: .* and 2 more"),
    ],
)
def test_a_list_without_a_usable_scene(scans, labels, names, reason):
    with pytest.raises(BadInput, match=reason):
        open_scenes(scans, labels, _list(scans, names))


def test_folders_and_lists_that_do_not_exist(scans, labels, tmp_path):
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        open_scenes(tmp_path / "nowhere", labels)
    with pytest.raises(BadInput, match=r"hidden: has no scene folder; generate some with 'wsss rooms"):
        open_scenes(scans / ".hidden", labels)
    with pytest.raises(BadInput, match="train.txt: cannot be read"):
        open_scenes(scans, labels, tmp_path / "train.txt")
