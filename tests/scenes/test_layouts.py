"""One simulated room in every layout gives the same scene back; folders that fit several layouts or none."""

import json
import logging
import shutil

import numpy as np
import pytest
from support.simulated_room import CAMERA, WRITERS, frames, write, write_colmap, write_colmap_binary

from wsss_ros.scenes import LAYOUTS, layout_of, open_scene
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput, Camera, Scene


@pytest.mark.parametrize("layout", WRITERS)
def test_a_room_comes_back_from_every_layout(tmp_path, labels, layout):
    folder = write(tmp_path, layout)
    assert layout_of(folder) == layout
    scene, expected = open_scene(folder, labels), frames()
    assert isinstance(scene, Scene) and len(scene) == len(expected)
    stamps = [scene.frame(i).stamp_ns for i in range(len(scene))]
    assert stamps == sorted(set(stamps)) and min(stamps) > 0
    for i, frame in enumerate(expected):
        found = scene.frame(i)
        np.testing.assert_allclose(found.world_from_camera, frame.world_from_camera, atol=1e-4)
        step = 10 if layout == "7scenes" else 1
        depth_m, rgb = found.depth_m[::step, ::step], found.rgb[::step, ::step]
        np.testing.assert_allclose(depth_m, frame.depth_m, atol=1e-3)
        assert ((depth_m > 0) == (frame.depth_m > 0)).all()
        assert np.abs(rgb.astype(int) - frame.rgb).mean() < 1
        camera = Camera(585.0, 585.0, 320.0, 240.0, 640, 480) if layout == "7scenes" else CAMERA
        values = [getattr(found.camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")]
        np.testing.assert_allclose(
            values, [getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")]
        )


@pytest.mark.parametrize("layout", ["tum", "arkitscenes"])
def test_stamps_are_the_times_of_the_images(tmp_path, labels, layout):
    scene = open_scene(write(tmp_path, layout), labels)
    start, step = (frames()[0].stamp_ns, 33_368_000) if layout == "tum" else (98_764_000_000, 100_000_000)
    assert [scene.frame(i).stamp_ns for i in range(4)] == [start + i * step for i in range(4)]


def test_the_up_direction_that_a_layout_knows(tmp_path, labels):
    ups = {
        layout: open_scene(write(tmp_path, layout), labels).world_up for layout in ("icl_nuim", "arkitscenes", "tum")
    }
    assert ups == {"icl_nuim": (0.0, -1.0, 0.0), "arkitscenes": (0.0, 0.0, 1.0), "tum": None}


def test_a_folder_of_no_layout_names_all_and_what_it_has(tmp_path, labels):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadInput, match="holds notes.txt") as raised:
        open_scene(tmp_path, labels)
    assert all(layout.expects in str(raised.value) for layout in LAYOUTS.values())


def test_a_folder_of_two_layouts_asks_for_one(tmp_path, labels):
    folder = write(tmp_path, "redwood")
    shutil.copytree(write(tmp_path / "other", "nerfstudio"), folder, dirs_exist_ok=True)
    with pytest.raises(
        BadInput, match="fits 2 layouts: 'redwood', because of trajectory.log .*; 'nerfstudio'.*--layout"
    ):
        open_scene(folder, labels)
    assert len(open_scene(folder, labels, reading=Reading(layout="nerfstudio"))) == 4
    (folder / "meta.yaml").write_text("layout: nerfstudio\n")
    assert open_scene(folder, labels).frame(0).camera.cx == pytest.approx(CAMERA.cx)
    with pytest.raises(BadInput, match="holds .*; layout 'arkitscenes' expects lowres_wide"):
        open_scene(folder, labels, reading=Reading(layout="arkitscenes"))
    with pytest.raises(BadInput, match="layout 'tums'; expected one of scannet"):
        open_scene(folder, labels, reading=Reading(layout="tums"))


def test_a_yaml_file_stands_for_a_folder(tmp_path, labels):
    """For folders that cannot be written to; paths in it are relative to it."""
    folder = write(tmp_path / "data", "tum")
    (folder / "intrinsics.txt").unlink()
    path = tmp_path / "room.yaml"
    path.write_text("folder: data/tum\nintrinsics: [57, 58, 33.2, 23.1]\n")
    scene = open_scene(path, labels)
    assert len(scene) == 4 and scene.name == "tum" and scene.frame(0).camera == CAMERA
    assert open_scene(path, labels, reading=Reading(intrinsics="57,58,30,23.1")).frame(0).camera.cx == 30
    for text, reason in (
        ("a: 1", "no key 'folder'"),
        ("folder: data\ndepthscale: 1", "depth_scale"),
        ("[", "not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=reason):
            open_scene(path, labels)


def test_poses_of_another_direction_axes_and_unit(tmp_path, labels):
    """meta.yaml says how they are; the room comes back as it is."""
    folder = write(tmp_path, "frames")
    for i, frame in enumerate(frames()):
        pose = np.linalg.inv(frame.world_from_camera @ np.diag([1.0, -1, -1, 1]))
        pose[:3, 3] *= 1000
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", pose)
    (folder / "meta.yaml").write_text("poses: camera_from_world\naxes: opengl\npose_scale: 0.001\n")
    scene = open_scene(folder, labels)
    for i, frame in enumerate(frames()):
        np.testing.assert_allclose(scene.frame(i).world_from_camera, frame.world_from_camera, atol=1e-6)


def test_a_colmap_model_of_another_scale_is_refused_with_the_factor(tmp_path, labels):
    write_colmap(tmp_path / "c", frames(), scale=0.25)
    with pytest.raises(BadInput, match=r"1/4 of the depth.*give pose_scale: 4"):
        open_scene(tmp_path / "c", labels)
    scene = open_scene(tmp_path / "c", labels, reading=Reading(pose_scale=4.0))
    np.testing.assert_allclose(scene.frame(1).world_from_camera, frames()[1].world_from_camera, atol=1e-4)


def test_a_binary_colmap_model_is_that_of_the_text(tmp_path, labels):
    write_colmap(tmp_path / "text", frames())
    write_colmap_binary(tmp_path / "binary", frames())
    assert layout_of(tmp_path / "binary") == "colmap"
    text, binary = (open_scene(tmp_path / name, labels) for name in ("text", "binary"))
    for i in range(4):
        one, other = text.frame(i), binary.frame(i)
        assert np.array_equal(one.world_from_camera, other.world_from_camera) and one.camera == other.camera
        assert np.array_equal(one.rgb, other.rgb) and np.array_equal(one.depth_m, other.depth_m)
    with pytest.raises(BadInput, match=r"points3D.bin: its \d+ points .* give pose_scale: 1"):
        open_scene(tmp_path / "binary", labels, reading=Reading(pose_scale=0.5))


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_a_binary_colmap_model_that_is_cut_or_too_long(tmp_path, labels, name):
    write_colmap_binary(tmp_path, frames())
    path = tmp_path / "sparse" / "0" / f"{name}.bin"
    whole = path.read_bytes()
    for size in (0, 7, 8, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(BadInput, match=rf"{name}.bin: ends .*; expected a complete binary model"):
            open_scene(tmp_path, labels)
    path.write_bytes(whole + b"more")
    with pytest.raises(BadInput, match=rf"{name}.bin: 4 bytes after the last of \d+ entries"):
        open_scene(tmp_path, labels)
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(BadInput, match=rf"{name}.bin"):
        open_scene(tmp_path, labels)


def test_lists_that_have_no_depth_or_no_images(tmp_path, labels):
    folder = write(tmp_path, "nerfstudio")
    shutil.rmtree(folder / "depth")
    with pytest.raises(BadInput, match="4 frames, 4 with their image and none with depth.*wsss segment"):
        open_scene(folder, labels)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][0]["transform_matrix"] = [[1, 0], [0, 1]]
    (folder / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="frame 0: transform_matrix: pose of shape"):
        open_scene(folder, labels)


@pytest.mark.parametrize("key, value", [("w", {}), ("cx", []), ("h", float("inf")), ("fl_x", "wide"), ("k1", [0.1])])
def test_intrinsics_of_nerfstudio_that_are_no_numbers(tmp_path, labels, key, value):
    folder = write(tmp_path, "nerfstudio")
    content = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(content | {key: value}))
    with pytest.raises(BadInput, match=f"transforms.json, frame 0, {key}: .*expected a (finite )?number"):
        open_scene(folder, labels)


@pytest.mark.parametrize(
    "layout, file, old, new, reason",
    [
        ("colmap", "sparse/0/points3D.txt", " ", " x", "points3D.txt, points of .*expected numbers"),
        ("colmap", "sparse/0/cameras.txt", "PINHOLE 64", "PINHOLE 0", "cameras.txt, line .*: size 0x48"),
        ("bundlefusion", "info.txt", "m_calibrationDepthExtrinsic = 1", "m_calibrationDepthExtrinsic = x", "extrinsic"),
        ("bundlefusion", "info.txt", "m_depthWidth = 64", "m_depthWidth = nan", "info.txt, m_.*: size nanx48"),
    ],
)
def test_words_in_the_place_of_numbers(tmp_path, labels, layout, file, old, new, reason):
    folder = write(tmp_path, layout)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises(BadInput, match=reason):
        open_scene(folder, labels)


def test_a_recording_in_a_folder_of_another_layout_is_left_alone(tmp_path, labels):
    folder = write(tmp_path, "tum")
    (folder / "room.sens").touch()
    with pytest.raises(BadInput, match="fits 2 layouts: 'frames', because of room.sens; 'tum'"):
        open_scene(folder, labels)
    assert len(open_scene(folder, labels, reading=Reading(layout="tum"))) == 4


def test_given_intrinsics_come_before_those_of_each_frame(tmp_path, labels):
    scene = open_scene(write(tmp_path, "arkitscenes"), labels, reading=Reading(intrinsics="57,58,30,23.1"))
    assert [scene.frame(i).camera.cx for i in range(4)] == [30] * 4


def test_a_pose_for_each_image_or_an_error(tmp_path, labels):
    folder = write(tmp_path, "redwood")
    lines = (folder / "trajectory.log").read_text().splitlines()
    (folder / "trajectory.log").write_text("\n".join(lines[:15]))
    with pytest.raises(BadInput, match="3 poses without times, and 4 colour files named by numbers"):
        open_scene(folder, labels)
    (folder / "trajectory.log").write_text("\n".join(lines[:14]))
    with pytest.raises(BadInput, match="14 rows are not blocks of four rows"):
        open_scene(folder, labels)


def test_the_published_intrinsics_are_for_folders_of_the_benchmark(tmp_path, labels):
    folder = write(tmp_path, "tum")
    (folder / "intrinsics.txt").unlink()
    with pytest.raises(BadInput, match="no intrinsics; .*--intrinsics fx,fy,cx,cy"):
        open_scene(folder, labels)
    named = folder.rename(tmp_path / "rgbd_dataset_freiburg3_room")
    assert open_scene(named, labels).frame(0).camera.fx == pytest.approx(53.54)


def test_a_wrong_depth_scale_is_reported(tmp_path, labels, caplog):
    folder = write(tmp_path, "tum")
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        open_scene(folder, labels)
        assert not caplog.records
        open_scene(folder, labels, reading=Reading(depth_scale=100_000))
    assert "the median depth is 0." in caplog.text and "give depth_scale" in caplog.text
