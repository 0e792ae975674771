"""Depth warped from one frame to the next: real frames in TUM's layout, and poses in another convention."""

import logging

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.paths import SHARED
from support.ray_rooms import world
from support.simulated_room import frames, write, write_depth

from wsss_ros.scenes import open_scene
from wsss_ros.scenes.agreement import View, agreement, distant_doubts, doubts, scale_doubt
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


def _scaled(pairs, depth: float = 1.0, poses: float = 1.0):
    larger = np.diag([poses, poses, poses, 1])
    change = lambda view: View(view.depth_m * np.float32(depth), view.camera, _moved(view, larger))  # noqa: E731
    return [(change(first), change(second)) for first, second in pairs]


@pytest.mark.parametrize(
    "unit, name, factor",
    [("0.001", "millimetres", 1000), ("0.01", "centimetres", 100), ("0.0254", "inches", 1 / 0.0254)],
)
def test_poses_in_other_units_are_told(unit, name, factor):
    for told in (doubts, distant_doubts):
        assert f"would with 'pose_scale: {unit}', poses in {name}" in told(_scaled(_neighbours(), poses=factor))


@pytest.mark.parametrize(
    "per_metre, depth, right", [(2000, 0.5, 1000), (500, 2, 1000), (2500, 2, 5000), (700, 2, 1400)]
)
def test_a_scale_of_depth_that_is_wrong_by_two_is_told_with_the_right_one(per_metre, depth, right):
    text = doubts(_scaled(_neighbours(), depth=depth), per_metre)
    assert f"they agree if depth is {1 / depth:g} times as large ('depth_scale: " in text
    found = float(text.split("'depth_scale: ")[1].split("'")[0])
    assert found == right if right != 1400 else abs(found / right - 1) < 0.1
    assert f"it is {per_metre}) or the poses {depth:g} times" in text


def test_a_scale_is_not_told_where_it_cannot_be_known():
    """A camera that only turns, one pair alone, and views that agree."""
    pairs = _neighbours()
    still = [(a, a._replace(depth_m=a.depth_m * np.float32(1.5))) for a, _ in pairs]
    assert scale_doubt(still) == scale_doubt(_scaled(pairs, depth=0.5)[:1]) == scale_doubt(pairs) == ""


def test_the_unit_of_poses_that_never_overlap_is_offered_by_their_span():
    pairs = _scaled(_neighbours(), poses=1000)
    apart = [(a, b._replace(world_from_camera=b.world_from_camera[[1, 0, 2, 3]] * [1, -1, 1, 1])) for a, b in pairs]
    text = doubts(apart)
    assert "the camera moves" in text and "m in millimetres (pose_scale: 0.001)" in text
    assert "centimetres" not in text  # 50 m from one frame to the next


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


@pytest.mark.parametrize(
    "depth, poses, said",
    [
        (0.5, 1, "depth is 2 times as large ('depth_scale: 5000', and it is 10000)"),
        (2, 1, "depth is 0.5 times as large ('depth_scale: 5000', and it is 2500)"),
        (1, 100, "'pose_scale: 0.01', poses in centimetres"),
        (1, 1000, "'pose_scale: 0.001', poses in millimetres"),
    ],
)
def test_the_cabinet_read_with_a_wrong_scale(cabinet, caplog, tmp_path, depth, poses, said):
    reading = Reading(depth_scale=5000 / depth, pose_scale=poses, **_CABINET.model_dump(exclude_unset=True))
    open_scene(SHARED / "cabinet", cabinet.labels, reading=reading)
    assert said in caplog.text


def test_the_cabinet_with_cx_and_cy_exchanged(cabinet, caplog):
    open_scene(SHARED / "cabinet", cabinet.labels, reading=Reading(intrinsics="535.4,539.2,247.6,320.1"))
    assert "and near it as cx 320.1, cy 247.6: exchange the two" in caplog.text
