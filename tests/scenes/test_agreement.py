"""Depth warped from one frame to the next: real frames in TUM's layout, and poses in another convention."""

import logging

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.paths import SHARED
from support.ray_rooms import world
from support.simulated_room import frames, write, write_depth

from wsss_ros.scenes import open_scene
from wsss_ros.scenes.agreement import View, agreement, doubts
from wsss_ros.scenes.reading import Reading

_CABINET = Reading(intrinsics="535.4,539.2,320.1,247.6")


def _view(frame) -> View:
    return View(frame.depth_m, frame.camera, frame.world_from_camera)


def _neighbours() -> list[tuple[View, View]]:
    """Two frames of the simulated room, each with what the same camera sees after it has moved and turned."""
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = Rotation.from_euler("y", 14, degrees=True).as_matrix(), (0.25, 0.03, 0.1)
    pairs = []
    for frame in frames()[:2]:
        pose = frame.world_from_camera @ move
        depth_m = world("kitchen").cast(frame.camera, pose).depth_m.reshape(48, 64).astype(np.float32)
        pairs.append((_view(frame), View(depth_m, frame.camera, pose)))
    return pairs


def test_views_of_one_room_agree_and_other_poses_do_not():
    pairs = _neighbours()
    assert all(agreement(*pair, stride=2).good for pair in pairs) and not doubts(pairs)
    first, second = pairs[0]
    shifted = second._replace(depth_m=second.depth_m * np.float32(1.2))
    assert agreement(first, shifted, stride=2).median_m > 0.1
    assert agreement(first, first, stride=2).median_m < 1e-5 and agreement(first, first, stride=2).share == 1
    empty = first._replace(depth_m=np.zeros_like(first.depth_m))
    assert not agreement(empty, first).good and not agreement(first, empty).good and not doubts([])


@pytest.mark.parametrize("turn", ["poses: camera_from_world", "axes: opengl"])
def test_poses_of_another_convention_are_told_with_the_key_to_give(turn):
    change = np.linalg.inv if turn.startswith("poses") else lambda pose: pose @ np.diag([1.0, -1, -1, 1])
    turned = [
        (
            a._replace(world_from_camera=change(a.world_from_camera)),
            b._replace(world_from_camera=change(b.world_from_camera)),
        )
        for a, b in _neighbours()
    ]
    assert f"would with '{turn}'" in doubts(turned)


def test_a_wrong_scale_of_poses_is_told():
    pairs = [(a, b._replace(depth_m=b.depth_m * np.float32(1.5))) for a, b in _neighbours()]
    assert "warped from one frame to the next, depth differs by" in doubts(pairs)


def test_poses_in_millimetres_are_told():
    large = np.diag([1000.0, 1000, 1000, 1])
    pairs = [tuple(view._replace(world_from_camera=_moved(view, large)) for view in pair) for pair in _neighbours()]
    assert "would with 'pose_scale: 0.001'" in doubts(pairs)
    apart = [(a, b._replace(world_from_camera=b.world_from_camera[[1, 0, 2, 3]] * [1, -1, 1, 1])) for a, b in pairs]
    assert "the camera moves" in doubts(apart) and "give pose_scale" in doubts(apart)


def _moved(view: View, large: np.ndarray) -> np.ndarray:
    pose = view.world_from_camera.copy()
    pose[:, 3] = large @ pose[:, 3]
    return pose


def test_a_folder_with_turned_poses_is_reported_when_it_is_opened(tmp_path, labels, caplog):
    folder = write(tmp_path, "frames")
    for number, view in enumerate(view for pair in _neighbours() for view in pair):
        write_depth(folder / f"frame-{number:06d}.depth.png", view.depth_m)
        np.savetxt(folder / f"frame-{number:06d}.pose.txt", np.linalg.inv(view.world_from_camera))
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        open_scene(folder, labels)
    assert "would with 'poses: camera_from_world'" in caplog.text
    caplog.clear()
    open_scene(folder, labels, reading=Reading(poses="camera_from_world"))
    assert not caplog.records


@pytest.fixture
def cabinet(labels):
    if not (SHARED / "cabinet").is_dir():
        pytest.skip(f"{SHARED / 'cabinet'} is absent: real frames in the layout of the TUM RGB-D benchmark")
    return open_scene(SHARED / "cabinet", labels, reading=_CABINET)


def test_the_cabinet_warped_from_frame_to_frame(cabinet, caplog):
    assert len(cabinet) == 58 and not cabinet.skipped
    assert not [record for record in caplog.get_records("setup") if record.levelno >= logging.WARNING]
    first = cabinet.frame(0)
    assert first.stamp_ns == 1341841278842700000 and first.rgb.shape == (480, 640, 3)
    views = [_view(cabinet.frame(index)) for index in range(0, 58, 6)]
    after = [_view(cabinet.frame(index + 1)) for index in range(0, 57, 6)]
    found = [agreement(a, b) for a, b in zip(views, after, strict=True)]
    assert np.median([each.median_m for each in found]) < 0.02 and min(each.share for each in found) > 0.3
    assert max(each.median_m for each in found) < 0.06  # some were moved fast
