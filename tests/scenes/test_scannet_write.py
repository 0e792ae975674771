"""Writing scenes in ScanNet's layout: the files, and what is left after a fault."""

import dataclasses
import errno
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from support.scannet_room import (
    CAMERA,
    room_frames,
    room_points,
)

from wsss_ros.scenes import ply, scannet_write
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput, Frame


def test_equal_input_gives_equal_bytes(tmp_path, labels):
    for parent in ("a", "b"):
        write_scene(tmp_path / parent / "room", labels=labels, **room_points(), frames=room_frames())
    names = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(names) == 3 * 4 + 4 + 6
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_files_have_scannets_form(folder, labels):
    """nyu40 ids in the labels, objects in the two JSON files, every vertex in a segment."""
    points = room_points()
    vertices = ply.read(folder / "room_vh_clean_2.labels.ply")
    assert vertices.dtype["label"] == np.uint16 and set(vertices["label"]) == {1, 2, 5, 0}
    groups = json.loads((folder / "room.aggregation.json").read_text())["segGroups"]
    segments = np.array(json.loads((folder / "room_vh_clean_2.0.010000.segs.json").read_text())["segIndices"])
    assert len(segments) == 200 and [group["label"] for group in groups] == ["chair", "chair"]
    for group in groups:
        of_group = np.isin(segments, group["segments"])
        np.testing.assert_array_equal(of_group, points["instances"] == group["objectId"])
    ids = np.asarray(Image.open(folder / "label-filt" / "2.png"))
    assert ids.dtype == np.uint16 and set(np.unique(ids)) == {0, 3}
    info = (folder / "room.txt").read_text()
    assert "colorWidth = 32\n" in info and "fx_depth = 30.0\n" in info and "sceneType = kitchen\n" in info


def test_a_scene_that_is_not_finished_leaves_nothing(tmp_path, labels):
    def breaks_off() -> Iterator[tuple[Frame, np.ndarray]]:
        yield from room_frames(2)
        raise RuntimeError("the generator stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        write_scene(tmp_path / "room", labels=labels, **room_points(), frames=breaks_off())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, labels, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scannet_write, "write_depth", full)
    with pytest.raises(BadInput, match="room: cannot be written.*No space left"):
        write_scene(tmp_path / "room", labels=labels, **room_points(), frames=room_frames())
    assert list(tmp_path.iterdir()) == []


def test_scenes_are_not_overwritten(folder, labels):
    before = (folder / "room.txt").read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        write_scene(folder, labels=labels, **room_points(), frames=[])
    assert (folder / "room.txt").read_bytes() == before and [path.name for path in folder.parent.iterdir()] == ["room"]


@pytest.mark.parametrize(
    ("changes", "rows", "reason"),
    [
        ({"depth_m": None}, 24, "frame 1 lacks depth"),
        ({"camera": dataclasses.replace(CAMERA, fx=29.0)}, 24, "expected one camera"),
        ({}, 12, "frame 1: colour, depth, labels are"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path, labels, changes, rows, reason):
    first, (frame, truth) = room_frames(2)
    frames = [first, (dataclasses.replace(frame, **changes), truth[:rows])]
    with pytest.raises(BadInput, match=reason):
        write_scene(tmp_path / "room", labels=labels, **room_points(), frames=frames)
    assert list(tmp_path.iterdir()) == []
