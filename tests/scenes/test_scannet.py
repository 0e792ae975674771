"""Scenes in ScanNet's layout: what is written is read, which frames there are, truth and tags."""

import numpy as np
import pytest
from support.scannet_room import CAMERA, remove_lines, room_frames, room_points

from wsss_ros.scenes import images, open_scene
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput, Scene


def test_what_is_written_is_read(folder, labels):
    scene, points = ScanNetScene(folder, labels), room_points()
    assert isinstance(scene, Scene) and len(scene) == 3 and scene.name == "room" and scene.world_up == (0, 0, 1)
    np.testing.assert_array_equal(scene.cloud.xyz, points["xyz"])
    np.testing.assert_array_equal(scene.cloud.rgb, points["rgb"])
    np.testing.assert_array_equal(scene.cloud_truth(), points["point_labels"])
    for i, (frame, truth) in enumerate(room_frames()):
        back = scene.frame(i)
        np.testing.assert_array_equal(back.depth_m, frame.depth_m)
        np.testing.assert_array_equal(back.world_from_camera, frame.world_from_camera)
        np.testing.assert_array_equal(scene.frame_truth(i), truth)
        assert np.abs(back.rgb.astype(int) - frame.rgb).max() <= 4
        assert (back.camera, back.stamp_ns, back.name) == (CAMERA, frame.stamp_ns, str(i))


def test_a_cloud_far_from_the_origin_keeps_its_digits(tmp_path, labels):
    """Points of float64 in UTM coordinates, written and read; those near the origin stay float32."""
    near = room_points()
    for name, shift, kind in (("near", 0, np.float32), ("far", 4_649_776, np.float64)):
        points = near | {"xyz": near["xyz"].astype(np.float64) + [shift, 0, 0]}
        write_scene(tmp_path / name, labels=labels, **points, frames=room_frames())
        cloud = ScanNetScene(tmp_path / name, labels).cloud
        assert cloud.xyz.dtype == kind
        np.testing.assert_array_equal(cloud.xyz, points["xyz"])


def test_frame_stays_unaligned(tmp_path, labels):
    """The alignment is noted and applied to neither points nor poses."""
    turn = np.array([[0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 0.5], [0, 0, 0, 1]], float)
    write_scene(tmp_path / "room", labels=labels, **room_points(), frames=room_frames(1), axis_alignment=turn)
    scene = ScanNetScene(tmp_path / "room", labels)
    np.testing.assert_array_equal(scene.axis_alignment, turn)
    np.testing.assert_array_equal(scene.cloud.xyz, room_points()["xyz"])
    np.testing.assert_array_equal(scene.frame(0).world_from_camera[:3, 3], [1 / 3, 0.1, -2])
    remove_lines(tmp_path / "room", "axisAlignment")
    np.testing.assert_array_equal(ScanNetScene(tmp_path / "room", labels).axis_alignment, np.eye(4))


def test_lost_poses_are_left_out_and_counted(tmp_path, labels):
    write_scene(tmp_path / "room", labels=labels, **room_points(), frames=room_frames(4, lost=(0, 2)))
    assert "-inf" in (tmp_path / "room" / "pose" / "0.txt").read_text()
    scene = ScanNetScene(tmp_path / "room", labels)
    assert len(scene) == 2 and scene.skipped == {"lost pose": 2}
    assert [scene.frame(i).name for i in range(2)] == ["1", "3"]
    assert (scene.frame_truth(1)[5] == 3).all() and scene.image_tags(1) == ("bed",)


def test_frames_sort_by_number_and_may_have_gaps(folder, labels):
    for kind, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt"), ("label-filt", "png")):
        (folder / kind / f"0.{suffix}").rename(folder / kind / f"000100.{suffix}")
    (folder / "color" / "7.jpg").write_bytes((folder / "color" / "1.jpg").read_bytes())
    (folder / "timestamps.txt").unlink()
    scene = ScanNetScene(folder, labels)
    frames = [scene.frame(i) for i in range(3)]
    assert [frame.name for frame in frames] == ["1", "2", "000100"] and scene.skipped == {"file missing": 1}
    assert [frame.stamp_ns for frame in frames] == [1_033_333_333, 1_066_666_666, 4_333_333_333]  # 30 Hz
    assert (scene.frame_truth(2)[5] == 0).all()


def test_missing_depth_is_zero(folder, labels):
    millimetres = np.full((24, 32), 1234, np.uint16)
    millimetres[0], millimetres[1] = 0, 65535
    images.write_uint16(folder / "depth" / "1.png", millimetres)
    depth_m = ScanNetScene(folder, labels).frame(1).depth_m
    assert (depth_m[:2] == 0).all() and (depth_m[2:] == np.float32(1.234)).all()


def test_a_few_stray_pixels_are_not_a_tag(folder, labels):
    """768 pixels: 0.5 % is 3.84, so four make a tag and three do not."""
    ids = np.zeros((24, 32), np.uint16)
    ids[10:20], ids[0, :4], ids[1, :3] = 1, 5, 7
    images.write_uint16(folder / "label-filt" / "0.png", ids)
    assert ScanNetScene(folder, labels).image_tags(0) == ("wall", "chair")


def test_a_few_stray_points_are_not_a_tag(tmp_path, labels):
    """10,000 points: 0.05 % is five."""
    points = room_points(10_000) | {"point_labels": np.zeros(10_000, np.uint8)}
    points["point_labels"][:5], points["point_labels"][5:9] = 3, 4
    write_scene(tmp_path / "room", labels=labels, **points, frames=[])
    scene = ScanNetScene(tmp_path / "room", labels)
    assert scene.tags == ("wall", "bed") and len(scene) == 0


def test_given_tags_come_before_truth(folder, labels):
    (folder / "tags.csv").write_text('frame,tags\n0,"Sink, wall"\n000002,"toilet"\n')
    scene = ScanNetScene(folder, labels)
    assert [scene.image_tags(i) for i in range(3)] == [("wall", "sink"), None, ("toilet",)]
    assert scene.tags == ("wall", "toilet", "sink")
    (folder / "tags.csv").write_text('frame,tags\n0,"sink"\nscene,"sink, bed"\n')
    assert ScanNetScene(folder, labels).tags == ("bed", "sink")
    (folder / "tags.csv").write_text('frame,tags\n0,"sink, tabel"\n')
    with pytest.raises(BadInput, match="tags.csv, line 2: 'tabel'.*'table'"):
        ScanNetScene(folder, labels).image_tags(0)


def test_test_scans_have_no_truth(folder, labels):
    (folder / "room_vh_clean_2.labels.ply").unlink()
    scene = ScanNetScene(folder, labels)
    assert scene.cloud_truth() is None and scene.tags == ("wall", "floor", "cabinet")  # the images' union
    for path in (folder / "label-filt").iterdir():
        path.unlink()
    scene = ScanNetScene(folder, labels)
    assert scene.frame_truth(0) is None and scene.image_tags(0) is None and scene.tags is None


def test_open_scene_finds_scannet(folder, labels):
    assert isinstance(open_scene(folder, labels), ScanNetScene)
