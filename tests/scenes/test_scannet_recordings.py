"""ScanNet's recordings, exported frames, and links between their poses and the points."""

import numpy as np
import pytest
from support import sens_files
from support.scannet_scan import (
    COLOR,
    DEPTH,
    NAME,
    add_sens,
    add_zip,
    camera_pose,
    export_frames,
    png_bytes,
    raw_ids,
    recorded_views,
    write_intrinsics,
    write_scan,
)

from wsss_ros import geometry
from wsss_ros.scenes import open_scene, open_scenes, ply
from wsss_ros.scenes.posed_frames import PosedFrames
from wsss_ros.scenes.rgbd_folder import RgbdFolder
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.sens import SensReader
from wsss_ros.types import BadInput, Cloud, Scene


def test_sens_and_exports_are_the_same_frames(tmp_path, labels):
    views = recorded_views(4, lost=(1,))
    direct, exported = write_scan(tmp_path / "a", labels), write_scan(tmp_path / "b", labels)
    add_sens(direct, views)
    export_frames(exported, views)
    write_intrinsics(exported, "intrinsic/intrinsic_{}.txt")
    for folder in (direct, exported):
        add_zip(folder, {f"label-filt/{i}.png": png_bytes(raw_ids(i)) for i in range(4)})
    one, other = open_scene(direct, labels), open_scene(exported, labels)
    assert isinstance(one._frames, SensReader) and isinstance(other._frames, PosedFrames) and isinstance(one, Scene)
    assert len(one) == len(other) == 3 and one.skipped == other.skipped == {"lost pose": 1}
    for i in range(3):
        a, b = one.frame(i), other.frame(i)
        assert a.name == b.name and a.camera == b.camera == DEPTH
        for part in ("rgb", "depth_m", "world_from_camera"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
        np.testing.assert_array_equal(one.frame_truth(i), other.frame_truth(i))
        assert one.image_tags(i) == other.image_tags(i)
    assert [one.frame(i).stamp_ns for i in range(3)] == [1_000_000_000, 1_066_000_000, 1_099_000_000]
    assert one.image_tags(1) == ("wall", "sofa")  # of frame 2: labels go by number, not by place


def test_exports_come_before_sens(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(4))
    export_frames(folder, recorded_views(2))
    write_intrinsics(folder, "intrinsic/intrinsic_{}.txt")
    assert len(ScanNetScene(folder, labels)) == 2


def test_a_recording_cut_off_in_the_middle(tmp_path, labels, caplog):
    folder = write_scan(tmp_path, labels)
    path = add_sens(folder, recorded_views(4), cut=1500)
    scene = ScanNetScene(folder, labels)
    lost = scene.skipped["cut off"]
    assert 1 <= lost <= 3 and len(scene) == 4 - lost and scene.frame(0).camera == DEPTH
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"{path}: cut off in the middle, {lost} of 4 frames are lost; get the file again"]


def test_a_file_that_is_not_a_recording_is_named_and_other_scenes_go_on(tmp_path, labels):
    """The cloud is there all the same; sets of scenes go on."""
    folder = write_scan(tmp_path, labels)
    (folder / f"{NAME}.sens").write_text("<html>404</html>")
    scenes, _ = open_scenes(folder.parent, labels)
    assert len(scenes[0].cloud) == 200 and scenes[0].tags == ("wall", "chair")
    for _ in range(2):
        with pytest.raises(BadInput, match=f"{NAME}.sens: starts with"):
            len(scenes[0])


def test_a_recording_alone_is_a_scene_without_a_cloud(tmp_path, labels):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "walk.sens").write_bytes(sens_files.recording(COLOR, DEPTH, recorded_views(3, lost=(0,))))
    (tmp_path / "walk" / "tags.json").write_text('{"scene": ["wall", "sofa"], "frames": {"000002": ["sofa"]}}')
    scene = open_scene(tmp_path / "walk", labels)
    assert isinstance(scene, RgbdFolder) and isinstance(scene, Scene) and scene.cloud is None and scene.world_up is None
    assert len(scene) == 2 and scene.skipped == {"lost pose": 1} and scene.frame(1).name == "2"
    assert [scene.image_tags(i) for i in range(2)] == [None, ("sofa",)] and scene.tags == ("wall", "sofa")
    (tmp_path / "walk" / "other.sens").write_bytes(b"")
    with pytest.raises(BadInput, match="walk: 2 recordings"):
        open_scene(tmp_path / "walk", labels)


@pytest.mark.parametrize("recorded", ["sens", "exports"])
def test_links_hold_between_unaligned_poses_and_points(tmp_path, labels, recorded):
    """Points made from a depth image are all seen in it; turned by the alignment alone they no longer are."""
    turn = np.array([[0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 0.5], [0, 0, 0, 1]], float)
    folder = write_scan(tmp_path, labels, axis_alignment=turn)
    if recorded == "sens":
        add_sens(folder, recorded_views(1))
    else:
        export_frames(folder, recorded_views(1))
        write_intrinsics(folder, "intrinsic/intrinsic_{}.txt")
    frame = ScanNetScene(folder, labels).frame(0)
    xyz, pixel = geometry.unproject(frame.depth_m, frame.camera, frame.world_from_camera)
    vertices = np.zeros(len(xyz), ply.read(folder / f"{NAME}_vh_clean_2.ply").dtype)
    for axis, name in enumerate("xyz"):
        vertices[name] = xyz[:, axis]
    ply.write(folder / f"{NAME}_vh_clean_2.ply", vertices)
    scene = ScanNetScene(folder, labels)
    links = geometry.link(scene.cloud, scene.frame(0))
    np.testing.assert_array_equal(links.point, np.arange(len(xyz)))
    np.testing.assert_allclose(links.uv, np.stack([pixel % 32, pixel // 32], axis=1), atol=1e-3)
    np.testing.assert_array_equal(scene.axis_alignment, turn)
    np.testing.assert_allclose(scene.frame(0).world_from_camera, camera_pose(0))
    turned = Cloud(geometry.transform(turn, scene.cloud.xyz.astype(np.float64)).astype(np.float32), scene.cloud.rgb)
    assert len(geometry.link(turned, scene.frame(0))) == 0
