"""Plain posed RGB-D folders in both layouts, open_scene, and the real frames of the kitchen."""

from pathlib import Path

import numpy as np
import pytest

from wsss_ros.scenes import images, open_scene
from wsss_ros.scenes.rgbd_folder import RgbdFolder
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput, Camera, Scene

CAMERA = Camera(20.0, 21.0, 9.5, 7.5, 20, 16)


def _pose(number: int) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = number
    return pose


def _write(folder: Path, number: int, name: str, pose: np.ndarray, color=(20, 16), depth=(20, 16)) -> None:
    """``name`` holds {} where color, depth and pose differ; the suffix is added here."""
    for kind in ("color", "depth", "pose"):
        (folder / name.format(kind)).parent.mkdir(parents=True, exist_ok=True)
    rgb = np.full((color[1], color[0], 3), 10 + number, np.uint8)
    images.write_rgb(folder / f"{name.format('color')}.jpg", rgb)
    images.write_uint16(folder / f"{name.format('depth')}.png", np.full(depth[::-1], 1000 + number, np.uint16))
    np.savetxt(folder / f"{name.format('pose')}.txt", pose)


@pytest.fixture(params=["frame-{:06d}.{{}}", "{{}}/{}"])
def folder(tmp_path, request) -> Path:
    """Frames 0, 3 and 12 in either layout; 12 comes before 3 by name in one of them."""
    for number in (0, 3, 12):
        _write(tmp_path / "walk", number, request.param.format(number), _pose(number))
    np.savetxt(tmp_path / "walk" / "camera-intrinsics.txt", CAMERA.matrix())
    return tmp_path / "walk"


def _file(folder: Path, kind: str) -> Path:
    """The file of frame 3."""
    return next(path for path in folder.rglob("*3.*") if kind in (path.parent.name, *path.name.split(".")))


def test_frames_in_order(folder, labels):
    scene = open_scene(folder, labels)
    assert isinstance(scene, RgbdFolder) and isinstance(scene, Scene) and len(scene) == 3 and scene.name == "walk"
    frames = [scene.frame(i) for i in range(3)]
    assert [frame.world_from_camera[0, 3] for frame in frames] == [0, 3, 12]
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000, 1_100_000_000, 1_400_000_000]  # 30 Hz
    for frame, number in zip(frames, (0, 3, 12), strict=True):
        assert frame.camera == CAMERA and frame.rgb.shape == (16, 20, 3)
        assert (frame.depth_m == np.float32((1000 + number) / 1000)).all()
        assert np.abs(frame.rgb.astype(int) - 10 - number).max() <= 2


def test_nothing_else_is_given(folder, labels):
    scene = RgbdFolder(folder, labels)
    nothing = [scene.world_up, scene.cloud, scene.tags, scene.image_tags(0), scene.frame_truth(0), scene.cloud_truth()]
    assert nothing == [None] * 6


def test_tags_where_given(folder, labels):
    name = RgbdFolder(folder, labels).frame(1).name
    (folder / "tags.csv").write_text(f'frame,tags\n{name},"table, wall"\n0,"wall,sofa"\n')
    scene = RgbdFolder(folder, labels)
    assert [scene.image_tags(i) for i in range(3)] == [("wall", "sofa"), ("wall", "table"), None]
    assert scene.tags == ("wall", "sofa", "table")


def test_files_that_are_left_out_are_reported_once(tmp_path, labels, caplog):
    for number in range(5):
        _write(tmp_path, number, f"{{}}/{number}", _pose(number))
    np.savetxt(tmp_path / "camera-intrinsics.txt", CAMERA.matrix())
    (tmp_path / "color" / "thumb_1.jpg").touch()
    assert len(open_scene(tmp_path, labels)) == 5
    assert caplog.text.count("1 colour files with other names are left out") == 1


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_lost_poses_are_left_out_and_counted(folder, labels, value):
    np.savetxt(_file(folder, "pose"), np.full((4, 4), value))
    scene = RgbdFolder(folder, labels)
    assert len(scene) == 2 and scene.skipped == {"lost pose": 1} and scene.frame(1).stamp_ns == 1_400_000_000


@pytest.mark.parametrize("kind", ["color", "depth", "pose"])
def test_incomplete_frames_are_left_out_and_counted(folder, labels, kind):
    _file(folder, kind).unlink()
    scene = RgbdFolder(folder, labels)
    assert len(scene) == 2 and scene.skipped == {"file missing": 1}


@pytest.mark.parametrize("kind", ["color", "depth"])
def test_unreadable_images_are_named(folder, labels, kind):
    path = _file(folder, kind)
    path.write_bytes(path.read_bytes()[:-30])
    scene = RgbdFolder(folder, labels)
    scene.frame(0)
    with pytest.raises(BadInput, match=path.name):
        scene.frame(1)


def test_broken_poses_are_named(folder, labels):
    _file(folder, "pose").write_text("1 2 3")
    with pytest.raises(BadInput, match=_file(folder, "pose").name):
        RgbdFolder(folder, labels)


def test_missing_intrinsics(folder, labels):
    (folder / "camera-intrinsics.txt").unlink()
    with pytest.raises(BadInput, match="no intrinsics; expected one of camera-intrinsics.txt"):
        open_scene(folder, labels)


@pytest.mark.parametrize(
    ("text", "reason"), [("0 0 0 0 0 0 0 0 0", "not a camera"), ("5 0 90 0 5 3 0 0 1", "outside"), ("5 5", "9 or 16")]
)
def test_broken_intrinsics_are_named(folder, labels, text, reason):
    (folder / "camera-intrinsics.txt").write_text(text)
    with pytest.raises(BadInput, match=f"camera-intrinsics.txt.*{reason}"):
        open_scene(folder, labels)


@pytest.mark.parametrize("size", [(60, 48), (40, 32), (10, 8)])
def test_sizes_that_differ(tmp_path, labels, size):
    """Refused with one camera, since nothing says how the images lie; resampled with both."""
    _write(tmp_path, 0, "{}/0", _pose(0), color=size)
    (tmp_path / "intrinsic").mkdir()
    np.savetxt(tmp_path / "intrinsic" / "intrinsic_depth.txt", CAMERA.matrix())
    with pytest.raises(BadInput, match=f"0.jpg is {size[0]}x{size[1]} and 0.png is 20x16"):
        open_scene(tmp_path, labels).frame(0)
    np.savetxt(tmp_path / "intrinsic" / "intrinsic_color.txt", CAMERA.resized(*size).matrix())
    frame = open_scene(tmp_path, labels).frame(0)
    assert frame.rgb.shape == (16, 20, 3) and (frame.rgb == 10).all() and (frame.depth_m == 1).all()


def test_cameras_with_different_views(tmp_path, labels):
    _write(tmp_path, 0, "{}/0", _pose(0), color=(60, 48))
    np.savetxt(tmp_path / "camera-intrinsics.txt", CAMERA.matrix())
    np.savetxt(tmp_path / "intrinsics_color.txt", [[4000, 0, 30], [0, 4000, 24], [0, 0, 1]])
    with pytest.raises(BadInput, match="color/0.jpg: .*do not see the same"):
        open_scene(tmp_path, labels).frame(0)


def test_open_scene_lists_the_layouts(tmp_path, labels):
    (tmp_path / "a.dat").touch()
    (tmp_path / "empty").mkdir()
    cases = {"": "holds a.dat, empty", "empty": "is empty", "a.dat": "the file is empty", "no": "no such folder"}
    for path, reason in ((tmp_path / name, reason) for name, reason in cases.items()):
        with pytest.raises(BadInput, match=rf"{reason}.*_vh_clean_2.ply' .*'frame-\*.color.\*'.*color, depth and pose"):
            open_scene(path, labels)


def test_no_frames(tmp_path, labels):
    for kind in ("color", "depth", "pose"):
        (tmp_path / kind).mkdir()
    with pytest.raises(BadInput, match="no frame with colour, depth and pose .0 colour, 0 depth and 0 pose files."):
        open_scene(tmp_path, labels)
    with pytest.raises(BadInput, match="no such folder"):
        RgbdFolder(tmp_path / "nowhere", labels)


def test_kitchen(kitchen, labels):
    """100 real frames: sizes, the second pose as written, depth of a room, tags as a person gave them."""
    scene = open_scene(kitchen, labels)
    assert len(scene) == 100 and not scene.skipped and scene.world_up is None
    frame = scene.frame(1)
    assert frame.camera == Camera(585.0, 585.0, 320.0, 240.0, 640, 480) and frame.rgb.shape == (480, 640, 3)
    assert frame.name == "frame-000006" and frame.stamp_ns == 1_200_000_000
    np.testing.assert_allclose(frame.world_from_camera[:3, 3], [-0.34265313, 0.01468156, 0.29878929], atol=1e-7)
    measured = frame.depth_m[frame.depth_m > 0]
    assert 0.5 < measured.size / frame.depth_m.size < 1 and measured.min() > 0.3 and measured.max() < 8
    assert scene.image_tags(1) == ("wall", "floor", "cabinet", "chair", "table", "counter")
    assert set(scene.tags) == {"wall", "floor", "cabinet", "chair", "table", "counter", "sink"}


def test_kitchen_survives_scannets_layout(kitchen, labels, tmp_path):
    """Real frames written in ScanNet's layout come back with the same depth, pose, stamp, nearly the same colour."""
    scene = open_scene(kitchen, labels)
    frames = [scene.frame(i) for i in (0, 50)]
    points = {"xyz": np.zeros((1, 3), np.float32), "rgb": np.zeros((1, 3), np.uint8)}
    points |= {"point_labels": np.zeros(1, np.uint8), "instances": np.zeros(1, np.int32)}
    truth = np.full((480, 640), 255, np.uint8)
    write_scene(tmp_path / "k", labels=labels, **points, frames=[(frame, truth) for frame in frames])
    back = open_scene(tmp_path / "k", labels)
    for i, frame in enumerate(frames):
        again = back.frame(i)
        np.testing.assert_array_equal(again.depth_m, frame.depth_m)
        np.testing.assert_array_equal(again.world_from_camera, frame.world_from_camera)
        assert again.stamp_ns == frame.stamp_ns and again.camera == frame.camera
        assert np.abs(again.rgb.astype(int) - frame.rgb).mean() < 2.5
