"""How a folder is read: meta.yaml, arguments before it, and the same in the files that commands and runs use."""

import numpy as np
import pytest
from support.scannet_room import room_frames, room_points
from support.sens_files import PNG, RAW, recording
from support.simulated_room import CAMERA, frames, write, write_tum

from wsss_ros.bags.bag_scene import open_scene_or_bag
from wsss_ros.bags.playback import open_recording
from wsss_ros.evaluation.offline import NOTE
from wsss_ros.scenes import is_photo_folder, open_all
from wsss_ros.scenes.reading import Reading, given_reading, reading_of
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.training.sources import SourceConfig, open_source
from wsss_ros.types import BadInput, Camera
from wsss_ros.viewer.networks import Networks
from wsss_ros.viewer.recorded import open_record


@pytest.fixture
def folder(tmp_path):
    """TUM's layout without intrinsics, and with depth of 2000 values per metre."""
    (tmp_path / "t").mkdir()
    write_tum(tmp_path / "t", frames(), per_metre=2000)
    (tmp_path / "t" / "intrinsics.txt").unlink()
    return tmp_path / "t"


GIVEN = Reading(depth_scale=2000, intrinsics="57,58,33.2,23.1")


def _check(scene):
    found = scene.frame(0)
    np.testing.assert_allclose(found.depth_m, frames()[0].depth_m, atol=1e-3)
    assert found.camera == CAMERA


def test_every_way_to_open_takes_it(folder, labels):
    _check(open_all([folder], labels, reading=GIVEN)[0][0])
    _check(open_scene_or_bag(folder, labels, True, GIVEN))
    _check(open_recording(folder, labels, reading=GIVEN).scene)
    _check(open_source(SourceConfig(path=str(folder), reading=GIVEN), labels).scenes[0])


def test_a_yaml_file_stands_for_the_folder_everywhere(folder, labels):
    path = folder.parent / "room.yaml"
    path.write_text("folder: t\ndepth_scale: 2000\nintrinsics: 57,58,33.2,23.1\n")
    _check(open_all([path], labels)[0][0])
    _check(open_scene_or_bag(path, labels))
    _check(open_recording(path, labels).scene)
    _check(open_source(SourceConfig(path=str(path)), labels).scenes[0])


def test_paths_that_do_not_exist_are_named(tmp_path, labels):
    for path in (tmp_path / "none", tmp_path / "none.yaml"):
        assert not is_photo_folder(path)
        with pytest.raises(BadInput, match=f"{path.name}: no such folder"):
            open_source(SourceConfig(path=str(path)), labels)


def test_meta_yaml_in_the_folder(folder, labels):
    (folder / "k.txt").write_text("57 58 33.2 23.1")
    (folder / "meta.yaml").write_bytes(b"\xef\xbb\xbfdepth_scale: 2000\r\nintrinsics: k.txt\r\n")
    _check(open_all([folder], labels)[0][0])
    other = reading_of(folder, Reading(depth_scale=500))
    assert other.depth_scale == 500 and other.intrinsics == str(folder / "k.txt")
    (folder / "meta.yaml").write_text("depth_scale: 2000\nintrinsics: [[57, 0, 33.2], [0, 58, 23.1], [0, 0, 1]]\n")
    _check(open_all([folder], labels)[0][0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("depth_scal: 5000", "unknown key 'depth_scal'; the nearest is 'depth_scale'"),
        ("depth_scale: 0", "depth_scale: input should be greater than 0"),
        ("depth_scale: [", "not YAML"),
        ("- 5000", "holds a list; expected 'key: value' lines"),
        ("intrinsics: k.yaml", "intrinsics 'k.yaml': no such file; expected fx,fy,cx,cy"),
        ("poses: world", "poses: input should be"),
    ],
)
def test_a_broken_meta_yaml_is_named(folder, labels, text, reason):
    (folder / "meta.yaml").write_text(text)
    with pytest.raises(BadInput, match=reason):
        open_all([folder], labels)


def test_arguments_that_are_empty_are_not_given():
    assert given_reading("", 0.0, "") is None
    assert given_reading("tum", 0.0, "") == Reading(layout="tum")
    with pytest.raises(BadInput, match="options of scene folders: depth_scale"):
        given_reading("", -1.0, "")


def test_names_that_are_times_in_plain_folders(tmp_path, labels):
    """Depth 12 ms later than colour is matched; the pose is that of the time of colour."""
    place = write(tmp_path, "frames")
    for number, frame in enumerate(frames()):
        for kind, ending, shift in (("color", "png", 0), ("depth", "png", 12), ("pose", "txt", 0)):
            stamp = frame.stamp_ns // 10**6 + shift
            (place / kind).mkdir(exist_ok=True)
            (place / f"frame-{number:06d}.{kind}.{ending}").rename(place / kind / f"{stamp}.{ending}")
    scene = open_all([place], labels)[0][0]
    assert [scene.frame(i).stamp_ns for i in range(4)] == [f.stamp_ns // 10**6 * 10**6 for f in frames()]
    for i, frame in enumerate(frames()):
        np.testing.assert_allclose(scene.frame(i).world_from_camera, frame.world_from_camera, atol=1e-6)
        np.testing.assert_allclose(scene.frame(i).depth_m, frame.depth_m, atol=1e-3)


def test_frames_without_depth_or_pose_are_counted(folder, labels, caplog):
    lines = (folder / "depth.txt").read_text().splitlines()
    (folder / "depth.txt").write_text("\n".join(lines[:-1]))
    poses = (folder / "groundtruth.txt").read_text().splitlines()  # the first one after the heading is the latest
    (folder / "groundtruth.txt").write_text("\n".join([poses[0], *poses[2:3], *poses[4:]]))
    scene = open_all([folder], labels, reading=GIVEN)[0][0]
    assert scene.skipped == {"no depth within 20 ms": 1, "no pose within 20 ms": 1}
    assert [scene.frame(i).stamp_ns for i in range(len(scene))] == [frames()[i].stamp_ns for i in (1, 2)]
    between = (frames()[0].world_from_camera[:3, 3] + frames()[2].world_from_camera[:3, 3]) / 2  # poses 67 ms apart
    np.testing.assert_allclose(scene.frame(0).world_from_camera[:3, 3], between, atol=1e-6)
    assert "1 of 4 frames left out: no depth within 20 ms" in caplog.text
    (folder / "groundtruth.txt").write_text("\n".join(f"9{line}" for line in poses[1:]))
    with pytest.raises(BadInput, match="none of the 3 frames has a pose within 20 ms: .*4 poses from 9130"):
        open_all([folder], labels, reading=GIVEN)


@pytest.mark.parametrize("ending", ["npy", "csv", "txt"])
def test_pose_files_of_other_kinds(tmp_path, labels, ending):
    """npy; numbers with commas; three rows of a matrix."""
    place = write(tmp_path, "frames")
    for number, frame in enumerate(frames()):
        path, pose = place / f"frame-{number:06d}.pose.{ending}", frame.world_from_camera
        (place / f"frame-{number:06d}.pose.txt").unlink()
        np.save(path, pose) if ending == "npy" else np.savetxt(path, pose[:3], delimiter={"csv": ","}.get(ending, " "))
    scene = open_all([place], labels)[0][0]
    assert len(scene) == 4
    for i, frame in enumerate(frames()):
        np.testing.assert_allclose(scene.frame(i).world_from_camera, frame.world_from_camera, atol=1e-9)


def test_names_with_spaces_and_windows_line_ends_in_lists(folder, labels):
    for path in sorted((folder / "rgb").iterdir()):
        path.rename(path.with_name(f"my {path.name}"))
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        text = (folder / name).read_text().replace(" rgb/", "\trgb\\my ")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    scene = open_all([folder], labels, reading=GIVEN)[0][0]
    assert len(scene) == 4 and not scene.skipped
    _check(scene)
    (folder / "rgb.txt").write_text("1305031102.175304 " + "9" * 5000 + "\n")
    with pytest.raises(BadInput, match="no such file, nor any other that the lists name"):
        open_all([folder], labels, reading=GIVEN)
    (folder / "rgb.txt").write_text("1305031102.175304\n")
    with pytest.raises(BadInput, match="rgb.txt, line 1: 1 words; expected lines 'time file'"):
        open_all([folder], labels, reading=GIVEN)


def test_of_several_intrinsics_files_one_is_named(tmp_path, labels, caplog):
    place = write(tmp_path, "frames")
    (place / "intrinsics.txt").write_text("1 2 3 4")
    assert open_all([place], labels)[0][0].frame(0).camera == CAMERA
    assert "camera-intrinsics.txt, intrinsics.txt the first one is used" in caplog.text


@pytest.fixture
def scan(tmp_path, labels):
    """A scan in ScanNet's layout with exported frames."""
    write_scene(tmp_path / "scan", labels=labels, **room_points(), frames=room_frames())
    return tmp_path / "scan"


@pytest.mark.parametrize(
    "key, value",
    [("depth_scale", 5000), ("intrinsics", "57,58,33,23"), ("label_ids", "index"), ("poses", "camera_from_world")],
)
def test_a_scan_refuses_what_its_files_say(scan, labels, key, value):
    with pytest.raises(BadInput, match=f"scan: {key} {value}.* cannot be given: a scan has its own.*--layout frames"):
        open_all([scan], labels, reading=Reading(**{key: value}))
    (scan / "meta.yaml").write_text(f"{key}: {value}\n")
    with pytest.raises(BadInput, match=f"{key} {value}.* cannot be given"):
        open_source(SourceConfig(path=str(scan)), labels)


def test_a_scan_takes_what_its_files_have_anyway(scan, labels):
    ((scene,), _) = open_all([scan], labels, reading=Reading(depth_scale=1000, label_ids="auto"))
    (other,) = open_all([scan], labels, reading=Reading(layout="frames", depth_scale=500))[0]
    np.testing.assert_allclose(other.frame(0).depth_m, 2 * scene.frame(0).depth_m)


def test_a_recording_refuses_what_is_in_it(tmp_path, labels):
    camera = Camera(50.0, 50.0, 7.5, 5.5, 16, 12)
    moments = [(np.eye(4), np.zeros((12, 16, 3), np.uint8), np.full((12, 16), 900, np.uint16))]
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "r.sens").write_bytes(recording(camera, camera, moments, PNG, RAW))
    for given in (Reading(depth_scale=5000), Reading(intrinsics="57,58,33,23")):
        with pytest.raises(
            BadInput, match="r.sens: .* cannot be given: the recording has its own cameras.* 1000 depth"
        ):
            open_all([tmp_path / "r"], labels, reading=given)
    ((scene,), _) = open_all([tmp_path / "r"], labels, reading=Reading(depth_scale=1000))
    assert scene.frame(0).depth_m[0, 0] == np.float32(0.9)


def test_clouds_rooms_and_folders_refuse_what_is_of_the_others(folder, office, tmp_path, labels):
    cases = [(folder, Reading(unit="mm", **GIVEN.model_dump(exclude_unset=True)), "unit mm cannot be given: they are")]
    cases += [(office, Reading(depth_scale=512), "depth_scale 512.0 cannot be given: a room of S3DIS has its own")]
    (tmp_path / "cloud.txt").write_text("0 0 0\n1 1 1\n2 0 1\n")
    cases += [(tmp_path / "cloud.txt", Reading(intrinsics="1,2,3,4"), "intrinsics 1,2,3,4 cannot be given")]
    for path, reading, reason in cases:
        with pytest.raises(BadInput, match=reason):
            open_all([path], labels, reading=reading)


def test_the_viewer_refuses_it_for_other_files(tmp_path, labels):
    (tmp_path / "a.mcap").touch()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / NOTE).write_text("{}")
    reasons = {
        "a.mcap": "intrinsics 57,58,33.2,23.1 cannot be given: a bag has its own",
        "labels": "is not a scene folder; --layout, --depth",
    }
    for name, reason in reasons.items():
        with pytest.raises(BadInput, match=f"{name}:? {reason}"):
            open_record(tmp_path / name, Networks(), labels, reading=GIVEN)
