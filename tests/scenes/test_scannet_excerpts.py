"""ScanNet's excerpts of frames (scannet_frames_25k, scannet_frames_test), with and without the scan."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.scannet_scan import (
    COLOR,
    DEPTH,
    NAME,
    add_sens,
    camera_pose,
    export_frames,
    recorded_views,
    write_intrinsics,
    write_scan,
)

from wsss_ros.scenes import images, open_scene, open_scenes
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_labels import LABEL_TABLE


@pytest.fixture
def excerpt(tmp_path, labels) -> Path:
    """Frames 0, 100, 200, of which 100 is lost, next to the scans; label images hold nyu40 ids in 8 bits."""
    write_scan(tmp_path, labels)
    folder = tmp_path / "scannet_frames_25k" / NAME
    export_frames(folder, recorded_views(3, lost=(1,)), name="000{}00")
    write_intrinsics(folder, "intrinsics_{}.txt")
    for kind in ("label", "instance"):
        (folder / kind).mkdir()
    for number in range(3):
        ids = np.where(np.arange(COLOR.width) < 32, 1, 39)[None].repeat(COLOR.height, 0)
        Image.fromarray(ids.astype(np.uint8)).save(folder / "label" / f"000{number}00.png")
        images.write_uint16(folder / "instance" / f"000{number}00.png", ids.astype(np.uint16) * 1000 + 1)
    return folder


def test_frames_25k_with_the_points_of_the_scan(excerpt, tmp_path, labels):
    (tmp_path / LABEL_TABLE).unlink()  # its labels are nyu40 ids already
    scans = tmp_path / "scans" / NAME
    for folder in (excerpt, scans):
        scene = open_scene(folder, labels)
        assert isinstance(scene, ScanNetScene) and scene.name == NAME and scene.folder == folder
        assert len(scene) == 2 and scene.skipped == {"lost pose": 1} and len(scene.cloud) == 200
        frame = scene.frame(1)
        assert frame.name == "000200" and frame.camera == DEPTH and frame.rgb.shape == (24, 32, 3)
        np.testing.assert_allclose(frame.world_from_camera, camera_pose(2))
        seen = np.rint((np.arange(32) - DEPTH.cx) * COLOR.fx / DEPTH.fx + COLOR.cx) < 32
        inside = slice(2, -2)
        expected = np.where(seen, 0, labels.index("otherfurniture"))[inside]
        np.testing.assert_array_equal(scene.frame_truth(1)[12, inside], expected)
        assert scene.image_tags(0) == ("wall", "otherfurniture") and scene.tags == ("wall", "chair")
        np.testing.assert_array_equal(scene.cloud_truth(), np.repeat([0, 4], 100))
        assert set(scene.sources) == {excerpt, scans}


def test_frames_25k_alone(excerpt, tmp_path, labels):
    (tmp_path / "scans").rename(tmp_path / "elsewhere")
    scene = open_scene(excerpt, labels)
    assert isinstance(scene, ScanNetScene) and scene.cloud is None and scene.cloud_truth() is None and len(scene) == 2
    assert scene.tags == ("wall", "otherfurniture") and scene.world_up == (0, 0, 1)


def test_frames_25k_with_given_tags(excerpt, tmp_path, labels):
    (tmp_path / "scans" / NAME / "tags.json").write_text('{"000200": ["bed"], "scene": ["bed", "desk"]}')
    scene = open_scene(excerpt, labels)
    assert [scene.image_tags(i) for i in range(2)] == [None, ("bed",)] and scene.tags == ("bed", "desk")
    (excerpt / "tags.csv").write_text("scene,sink\n")  # of the folder that was asked for
    assert open_scene(excerpt, labels).tags == ("sink",)


def test_sens_comes_before_frames_of_other_folders(excerpt, tmp_path, labels):
    add_sens(tmp_path / "scans" / NAME, recorded_views(4))
    assert len(open_scene(tmp_path / "scans" / NAME, labels)) == 4 and len(open_scene(excerpt, labels)) == 2


def test_test_scans_without_labels(tmp_path, labels):
    """scans_test and scannet_frames_test: no labels of any kind, no alignment; opened as a set."""
    scan = write_scan(tmp_path, labels, "scans_test")
    for path in (*scan.glob("*labels.ply"), *scan.glob("*.json"), tmp_path / LABEL_TABLE, scan / f"{NAME}.txt"):
        path.unlink()
    frames = tmp_path / "scannet_frames_test" / NAME
    export_frames(frames, recorded_views(2))
    write_intrinsics(frames, "intrinsics_{}.txt")
    (tmp_path / "scannetv2_test.txt").write_text(f"{NAME}\nscene0707_00\n")
    for folder in (scan.parent, frames.parent):
        (scene,), left_out = open_scenes(folder, labels, tmp_path / "scannetv2_test.txt")
        assert len(scene) == 2 and len(scene.cloud) == 200 and [name for name, _ in left_out] == ["scene0707_00"]
        truths = [scene.tags, scene.image_tags(0), scene.frame_truth(0), scene.cloud_truth()]
        assert truths == [None] * 4
        np.testing.assert_array_equal(scene.axis_alignment, np.eye(4))
