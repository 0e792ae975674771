"""Scene folders and clouds as people have them: copied by macOS and Windows, written by other programs."""

import json
import logging
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from support import simulated_room as room
from support.ray_rooms import world
from support.robot_bags import write_robot_bag

from wsss_ros.bags.bag import Bag
from wsss_ros.evaluation.pictures import render_cloud
from wsss_ros.labels import read_label_file, scannet20
from wsss_ros.scenes import open_scene, ply
from wsss_ros.scenes.agreement import View, distant_doubts
from wsss_ros.scenes.cloud_files import open_cloud
from wsss_ros.scenes.depth_files import read_depth_m
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput

SPACE = scannet20()


@pytest.fixture(scope="module")
def given():
    return room.frames()


def check(folder: Path, given, **reading) -> None:
    scene = open_scene(folder, SPACE, reading=Reading(**reading))
    assert len(scene) == len(given) and not scene.skipped
    for index, frame in enumerate(given):
        found = scene.frame(index)
        np.testing.assert_allclose(found.world_from_camera, frame.world_from_camera, atol=1e-4)
        np.testing.assert_allclose(found.depth_m, frame.depth_m, atol=1e-3)
        assert np.abs(found.rgb.astype(int) - frame.rgb).mean() < 1.0


def write_plain(folder: Path, given, names=("rgb", "depth", "pose")) -> Path:
    for at, frame in enumerate(given):
        room.write_image(folder / names[0] / f"{at:04d}.png", frame.rgb)
        room.write_depth(folder / names[1] / f"{at:04d}.png", frame.depth_m)
        (folder / names[2]).mkdir(exist_ok=True)
        np.savetxt(folder / names[2] / f"{at:04d}.txt", frame.world_from_camera)
    np.savetxt(folder / "camera-intrinsics.txt", room.CAMERA.matrix())
    return folder


@pytest.mark.parametrize("flat", [True, False])
def test_files_of_macos_next_to_frames(tmp_path, given, flat):
    room.write_frames(tmp_path, given) if flat else write_plain(tmp_path, given)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        path.with_name(".DS_Store").write_bytes(b"\0")
    check(tmp_path, given)


def test_folders_in_capitals(tmp_path, given):
    check(write_plain(tmp_path, given, ("RGB", "Depth", "Poses")), given)


@pytest.mark.parametrize(
    "ending, text", [(".json", lambda pose: json.dumps(pose.tolist())), (".txt", lambda pose: str(pose.tolist()))]
)
def test_poses_with_brackets(tmp_path, given, ending, text):
    for path in list((write_plain(tmp_path, given) / "pose").iterdir()):
        pose = np.loadtxt(path)
        path.unlink()
        path.with_suffix(ending).write_text(text(pose))
    check(tmp_path, given)


def test_depth_of_a_phone_is_smaller_than_its_colour(tmp_path, given):
    """The intrinsics file says that it is for the colour images."""
    for path in (write_plain(tmp_path, given) / "rgb").iterdir():
        Image.fromarray(np.kron(np.array(Image.open(path)), np.ones((10, 10, 1), np.uint8))).save(path)
    camera = room.CAMERA.resized(640, 480)
    (tmp_path / "camera-intrinsics.txt").unlink()
    values = dict(fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy, width=640, height=480)
    (tmp_path / "intrinsics.json").write_text(json.dumps(values))
    check(tmp_path, given)
    assert open_scene(tmp_path, SPACE).frame(0).camera.fx == pytest.approx(room.CAMERA.fx)


def test_depth_as_jpeg_is_named(tmp_path, given):
    for path in list((write_plain(tmp_path, given) / "depth").iterdir()):
        path.rename(path.with_suffix(".jpg"))
    with pytest.raises(BadInput, match=r"4 colour, 0 depth and 4 pose files; depth has .jpg, and .png"):
        open_scene(tmp_path, SPACE)


def test_lists_in_utf_16(tmp_path, given):
    room.write_tum(tmp_path, given)
    for name in ("rgb", "depth", "groundtruth"):
        path = tmp_path / f"{name}.txt"
        path.write_bytes(path.read_text().encode("utf-16"))
    check(tmp_path, given, max_dt_s=0.02)


def test_paths_of_windows_in_lists(tmp_path, given):
    room.write_nerfstudio(tmp_path / "n", given)
    path = tmp_path / "n" / "transforms.json"
    path.write_text(path.read_text().replace("images/", "images\\\\").replace("depth/", "depth\\\\"))
    check(tmp_path / "n", given)
    room.write_colmap(tmp_path / "c", given)
    for kind in ("images", "depth"):
        (tmp_path / "c" / kind).rename(tmp_path / "c" / "cam0")
        (tmp_path / "c" / kind).mkdir()
        (tmp_path / "c" / "cam0").rename(tmp_path / "c" / kind / "cam0")
    path = tmp_path / "c" / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace("IMG_", "cam0\\IMG_"))
    check(tmp_path / "c", given)


@pytest.mark.parametrize("key", ["depth_unit_scale_factor", "integer_depth_scale"])
def test_unit_of_depth_in_transforms_json(tmp_path, given, key):
    room.write_nerfstudio(tmp_path, given)
    for at, frame in enumerate(given):
        room.write_depth(tmp_path / "depth" / f"frame_{at + 1:05d}.png", frame.depth_m, 5000)
    content = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps(content | {key: 0.0002}))
    check(tmp_path, given)
    (tmp_path / "transforms.json").write_text(json.dumps(content | {key: 5000}))
    with pytest.raises(BadInput, match=f"{key} 5000; expected the metres of one value of depth"):
        open_scene(tmp_path, SPACE)


@pytest.mark.parametrize("largest", [255, 4095, 5000, 65535])
@pytest.mark.parametrize("style", ["P2", "P5"])
def test_numbers_of_a_pgm_are_those_of_the_file(tmp_path, largest, style):
    numbers = np.linspace(1, 254 if largest == 255 else largest - 1, 12).astype(np.uint16)
    data = " ".join(map(str, numbers)).encode()
    if style == "P5":
        data = numbers.astype("u1" if largest == 255 else ">u2").tobytes()
    (tmp_path / "d.pgm").write_bytes(f"{style}\n# depth\n4 3\n{largest}\n".encode() + data)
    np.testing.assert_allclose(read_depth_m(tmp_path / "d.pgm", 1000).ravel(), numbers / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    "files, reason",
    [
        (("rgb.mp4", "odometry.csv", "depth/0.png"), "Stray Scanner, whose colour is a video"),
        (("metadata", "rgbd/0.jpg"), "Record3D"),
        (("keyframes/cameras/1.json", "mesh_info.json"), "ns-process-data polycam --use-depth"),
        (("coord.npy", "color.npy"), "put them into one .npz"),
        (("train/a.jpg", "valid/a.jpg", "data.yaml"), "in parts: give one of them, such as .*train"),
        (("IMG_1.HEIC",), "IMG_1.HEIC is a format of cameras"),
        (("a.mov",), "a.mov is a video: write its frames"),
        ((".DS_Store",), "is empty"),
    ],
)
def test_folders_of_other_programs_are_known(tmp_path, files, reason):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(BadInput, match=reason):
        open_scene(tmp_path, SPACE)


@pytest.mark.parametrize(
    "name, reason", [("a.obj", "a mesh: write points"), ("a.zip", "an archive: unpack it"), ("a.mp4", "a video")]
)
def test_files_of_other_programs_are_known(tmp_path, name, reason):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match=reason):
        open_scene(tmp_path / name, SPACE)


# --- clouds ----------------------------------------------------------------------------------------


XYZ = np.random.default_rng(0).uniform(0, (4, 3, 2.5), (40, 3))
RGB = np.random.default_rng(1).integers(0, 256, (40, 3)).astype(np.uint8)
LABELS = np.arange(40) % 5


def columns(**more) -> np.ndarray:
    parts = dict(zip("xyz", XYZ.T, strict=True)) | more
    vertices = np.empty(len(XYZ), [(name, np.float32) for name in parts])
    for name, column in parts.items():
        vertices[name] = column
    return vertices


def test_splats_have_colours(tmp_path):
    harmonics = {f"f_dc_{i}": (RGB[:, i] / 255 - 0.5) / 0.28209479 for i in range(3)}
    ply.write(tmp_path / "point_cloud.ply", columns(**harmonics, opacity=1))
    np.testing.assert_array_equal(open_cloud(tmp_path / "point_cloud.ply").cloud.rgb, RGB)


@pytest.mark.parametrize("name", ["sem_class", "NYU40", "semantic_gt20", "segment", "sem_label", "scalar_Label"])
def test_names_of_labels_of_other_programs(tmp_path, name):
    ply.write(tmp_path / "a.ply", columns(**{name: LABELS}))
    np.savez(tmp_path / "a.npz", Coord=XYZ, COLOR=RGB, **{name: LABELS})
    for file in ("a.ply", "a.npz"):
        np.testing.assert_array_equal(open_cloud(tmp_path / file).ids, LABELS)
    np.testing.assert_array_equal(open_cloud(tmp_path / "a.npz").cloud.rgb, RGB)


def test_what_is_not_read_of_a_cloud_is_told(tmp_path, caplog):
    lost = columns(intensity=1, my_label=2)
    lost["x"][::4] = np.nan
    lost["x"][4], lost["y"][4] = 1, 1e30
    ply.write(tmp_path / "a.ply", lost)
    with caplog.at_level(logging.INFO, "wsss_ros"):
        cloud = open_cloud(tmp_path / "a.ply").cloud
    assert np.isnan(cloud.xyz[::4]).all() and np.isfinite(cloud.xyz[1::4]).all()
    assert "not read: intensity, my_label" in caplog.text and "10 of 40 points have no position" in caplog.text


@pytest.mark.parametrize("gap", [" ", "\t", "   "])
def test_decimal_commas_between_spaces(tmp_path, gap):
    rows = (gap.join([*(f"{v:.6f}".replace(".", ",") for v in p), *map(str, c)]) for p, c in zip(XYZ, RGB, strict=True))
    (tmp_path / "a.txt").write_text("\n".join(rows) + "\n")
    found = open_cloud(tmp_path / "a.txt").cloud
    np.testing.assert_allclose(found.xyz, XYZ, atol=1e-5)
    np.testing.assert_array_equal(found.rgb, RGB)


def test_a_table_of_paraview(tmp_path):
    head = ",".join(f"{name}:{i}" for name in ("Points", "RGB") for i in range(3))
    rows = (",".join(map(str, (*p, *c))) for p, c in zip(XYZ, RGB, strict=True))
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]))
    np.testing.assert_array_equal(open_cloud(tmp_path / "a.csv").cloud.rgb, RGB)


def test_one_point_is_drawn_at_once():
    picture = render_cloud(np.ones((1, 3)), np.array([[200, 0, 0]], np.uint8))
    drawn = (picture == (200, 0, 0)).all(axis=2).sum()
    assert 0 < drawn <= 64 * 64


# --- label files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, names, ids",
    [
        ("classes: {1: chair, 7: table}", ("chair", "table"), (1, 7)),
        ("classes: {chair: 5, table: 7}", ("chair", "table"), (5, 7)),
        ("classes: [1, 2]", ("1", "2"), (1, 2)),
    ],
)
def test_other_forms_of_classes(tmp_path, text, names, ids):
    (tmp_path / "a.yaml").write_text(text)
    space = read_label_file(tmp_path / "a.yaml")
    assert space.names == names and space.ids == ids


@pytest.mark.parametrize(
    "text, reason",
    [
        ("classes: bed", "classes are 'bed'"),
        ("names: [chair, table]", "holds keys names"),
        ("- chair", "holds list"),
        ("", "holds NoneType"),
        ("classes:\n\t- chair\n", "line 2 begins with a tab: YAML takes spaces there"),
        ("classes:\n - name: a\n   color: #ff0000\n", "the color of 'a' is empty: put '#ff0000' between quotes"),
        ("classes: {chair: {id: 3}}", "classes are a mapping of chair"),
    ],
)
def test_label_files_that_say_something_else(tmp_path, text, reason):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput, match=reason):
        read_label_file(tmp_path / "a.yaml")


def test_label_files_that_may_be_misread(tmp_path, caplog):
    (tmp_path / "a.yaml").write_text("classes:\n - {name: -chair, di: 3}\n")
    (tmp_path / "b.yaml").write_bytes("classes: [\u6905\u5b50]\n".encode("gbk"))
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        read_label_file(tmp_path / "a.yaml")
        read_label_file(tmp_path / "b.yaml")
    assert "in front, cannot be tags: -chair" in caplog.text
    assert "di of classes are not read" in caplog.text and "b.yaml: not UTF-8" in caplog.text


def test_names_of_files_that_are_not_utf_8(tmp_path, given):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff"))
    room.write_frames(folder, given)
    check(folder, given)


# --- poses that do not fit -------------------------------------------------------------------------


def _w_first(pose: np.ndarray) -> np.ndarray:
    """The pose that a reader makes of a quaternion w x y z where it expects x y z w."""
    wrong = pose.copy()
    wrong[:3, :3] = Rotation.from_quat(np.roll(Rotation.from_matrix(pose[:3, :3]).as_quat(), 1)).as_matrix()
    return wrong


def _scaled(pose: np.ndarray) -> np.ndarray:
    wrong = pose.copy()
    wrong[:3, 3] *= 0.33
    return wrong


def walked(count: int, step_m: float, turn_deg: float) -> list[View]:
    """Views of a camera that walks back and turns between two of them."""
    cast, first = world("kitchen"), room.frames()[0].world_from_camera
    found = []
    for at in range(count):
        pose = first.copy()
        pose[:3, :3] = Rotation.from_euler("z", turn_deg * at, degrees=True).as_matrix() @ first[:3, :3]
        pose[:3, 3] -= first[:3, 2] * step_m * at
        view = cast.cast(room.CAMERA, pose)
        depth_m = np.where(view.part >= 0, view.depth_m, 0).reshape(48, 64).astype(np.float32)
        found.append(View(depth_m, room.CAMERA, pose))
    return found


@pytest.fixture(scope="module")
def walk():
    return walked(4, 0.24, 12)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda pose: pose, None),
        (_w_first, "would with '# time tx ty tz qw qx qy qz': say so as the first line of the poses"),
        (np.linalg.inv, "would with 'poses: camera_from_world'"),
        (lambda pose: pose @ room.FLIP, "would with 'axes: opengl'"),
        (_scaled, "depth differs by"),
    ],
)
def test_poses_that_small_steps_hide_are_doubted(walk, wrong, said):
    views = [view._replace(world_from_camera=wrong(view.world_from_camera)) for view in walk]
    found = distant_doubts(list(pairwise(views)))
    assert found == "" if said is None else said in (found or "")


def test_a_folder_reports_poses_that_small_steps_hide(tmp_path, given, caplog):
    """Of 20 frames, the first is compared with the third one, and so on."""
    frames = [
        replace(given[0], depth_m=view.depth_m, world_from_camera=_w_first(view.world_from_camera), name=str(at))
        for at, view in enumerate(walked(20, 0.1, 6))
    ]
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        open_scene(write_plain(tmp_path, frames), SPACE)
    assert "would with '# time tx ty tz qw qx qy qz'" in caplog.text


def test_files_of_macos_next_to_a_bag(tmp_path):
    bag = write_robot_bag(tmp_path / "bag", count=2)
    for path in list(bag.iterdir()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (bag / "metadata.yaml").unlink(missing_ok=True)
    assert Bag(bag).message_count > 0 and not Bag(bag).broken
