"""Files of ScanNet's layout that are missing, cut or wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_ros.scenes import ply
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.types import BadInput


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("color/1.jpg", lambda scene: scene.frame(1)),
        ("depth/1.png", lambda scene: scene.frame(1)),
        ("label-filt/1.png", lambda scene: scene.frame_truth(1)),
        ("room_vh_clean_2.ply", lambda scene: scene.cloud),
        ("room_vh_clean_2.labels.ply", lambda scene: scene.cloud_truth()),
    ],
)
def test_cut_files_are_named(folder, labels, name, ask):
    """The file is cut in half, emptied, replaced by nonsense; the others stay readable."""
    complete = (folder / name).read_bytes()
    for data in (complete[: len(complete) // 2], b"", b"nonsense" * 9):
        (folder / name).write_bytes(data)
        scene = ScanNetScene(folder, labels)
        with pytest.raises(BadInput, match=Path(name).name):
            ask(scene)
        assert scene.frame(0).name == "0"


@pytest.mark.parametrize(
    "text", ["1 0 0\n", "", "1 0 0 0 hello", "2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "1 0 0 0 1 0 0 0 1"]
)
def test_broken_poses_are_named(folder, labels, text):
    (folder / "pose" / "2.txt").write_text(text)
    with pytest.raises(BadInput, match="pose/2.txt"):
        len(ScanNetScene(folder, labels))


def test_wrong_kinds_of_image_are_named(folder, labels):
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(folder / "depth" / "0.png")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "depth" / "1.png")
    scene = ScanNetScene(folder, labels)
    with pytest.raises(BadInput, match="depth/0.png: 8-bit"):
        scene.frame(0)
    with pytest.raises(BadInput, match="depth/1.png: RGB"):
        scene.frame(1)


def test_other_broken_files_are_named(folder, labels):
    (folder / "timestamps.txt").write_text("0 later\n")
    with pytest.raises(BadInput, match="timestamps.txt"):
        len(ScanNetScene(folder, labels))
    (folder / "timestamps.txt").unlink()
    (folder / "room.txt").write_text("axisAlignment = 1 0 0\n")
    with pytest.raises(BadInput, match="room.txt: 'axisAlignment"):
        _ = ScanNetScene(folder, labels).axis_alignment
    ply.write(folder / "room_vh_clean_2.ply", np.zeros(3, [("x", "f4"), ("y", "f4"), ("red", "u1")]))
    with pytest.raises(BadInput, match=r"no vertex property \['z'\]"):
        _ = ScanNetScene(folder, labels).cloud
    ply.write(folder / "room_vh_clean_2.ply", np.zeros(3, [(name, "f4") for name in ("x", "y", "z", "red")]))
    with pytest.raises(BadInput, match=r"no vertex property \['green', 'blue'\]"):
        _ = ScanNetScene(folder, labels).cloud


def test_a_mesh_without_colours_is_a_cloud_without_colours(folder, labels):
    vertices = np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    vertices["y"] = [1, 2, 3]
    ply.write(folder / "room_vh_clean_2.ply", vertices)
    cloud = ScanNetScene(folder, labels).cloud
    assert cloud.rgb is None and cloud.xyz[:, 1].tolist() == [1, 2, 3]


def test_folders_that_are_not_a_scan(tmp_path, labels):
    with pytest.raises(BadInput, match="no such folder"):
        ScanNetScene(tmp_path / "nowhere", labels)
    with pytest.raises(BadInput, match="_vh_clean_2.ply', found none"):
        ScanNetScene(tmp_path, labels)
