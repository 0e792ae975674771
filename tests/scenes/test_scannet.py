"""ScanNet's layout: write and read, ScanNet's own traps, files that are missing, cut or wrong."""

import dataclasses
import errno
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference.scannet import labels_on_depth as labels_on_depth_twin

from wsss_ros.scenes import images, open_scene, ply, scannet, scannet_write
from wsss_ros.scenes.rig import color_on_depth, labels_on_depth
from wsss_ros.scenes.scannet import EXCERPT_CAMERA, ScanNetScene
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import BadInput, Camera, Frame, Scene

CAMERA = Camera(30.0, 31.0, 15.5, 11.5, 32, 24)
NATIVE_COLOR = Camera(1170.187988, 1170.187988, 647.75, 483.75, 1296, 968)
NATIVE_DEPTH = Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480)
TSV = "id\traw_category\tcategory\tnyu40id\n" + "".join(
    f"{row}\n"
    for row in (
        "1\twall\twall\t1",
        '2\t"chair\tchair\t5',  # a stray quote must not swallow the rows behind it
        "6\tcouch\tcouch\t6",
        "8\tshelf\tshelf\t15",
        "28\tdoorframe\tdoorframe\t8",
        "80\tblinds\tblinds\t13",
        "1163\ttrash can\ttrash can\t39",
        "1164\tobject\tobject\t",
    )
)


def _frames(count: int = 3, lost: tuple[int, ...] = ()) -> Iterator[tuple[Frame, np.ndarray]]:
    """Smooth colours (JPEG keeps them), whole millimetres, a pose and labels that tell the frames apart."""
    v, u = np.mgrid[:24, :32]
    for i in range(count):
        rgb = np.stack([u * 6, v * 8, np.full_like(u, 40 * i)], axis=2).astype(np.uint8)
        depth_m = ((1000 + 10 * i + u + v) / 1000).astype(np.float32)
        depth_m[0, 0], truth = 0, np.full((24, 32), i, np.uint8)
        truth[0, :5] = 255
        pose = np.eye(4)
        pose[:3, 3] = i + 1 / 3, 0.1, -2
        stamp_ns = 1_700_000_000_000_000_001 + i * 50_000_000
        yield Frame(rgb, CAMERA, depth_m, None if i in lost else pose, stamp_ns), truth


def _points(count: int = 200) -> dict:
    rng = np.random.default_rng(0)
    point_labels = np.repeat(np.array([0, 1, 4, 255], np.uint8), count // 4)
    return {
        "xyz": rng.normal(size=(count, 3)).astype(np.float32),
        "rgb": rng.integers(0, 256, (count, 3), dtype=np.uint8),
        "point_labels": point_labels,
        "instances": np.where(point_labels == 4, np.arange(count) % 2, -1).astype(np.int32),
    }


@pytest.fixture
def folder(tmp_path, labels) -> Path:
    write_scene(tmp_path / "room", labels=labels, **_points(), frames=_frames(), scene_type="kitchen")
    return tmp_path / "room"


def _matrix(path: Path, camera: Camera) -> None:
    path.parent.mkdir(exist_ok=True)
    k = np.eye(4)
    k[:3, :3] = camera.matrix()
    np.savetxt(path, k)


def _forget(folder: Path, *keys: str) -> None:
    """Take lines out of the scene's .txt."""
    path = folder / f"{folder.name}.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(keys)))


# --- round trips -----------------------------------------------------------------------------------


def test_what_is_written_is_read(folder, labels):
    scene, points = ScanNetScene(folder, labels), _points()
    assert isinstance(scene, Scene) and len(scene) == 3 and scene.name == "room" and scene.world_up == (0, 0, 1)
    np.testing.assert_array_equal(scene.cloud.xyz, points["xyz"])
    np.testing.assert_array_equal(scene.cloud.rgb, points["rgb"])
    np.testing.assert_array_equal(scene.cloud_truth(), points["point_labels"])
    for i, (frame, truth) in enumerate(_frames()):
        back = scene.frame(i)
        np.testing.assert_array_equal(back.depth_m, frame.depth_m)
        np.testing.assert_array_equal(back.world_from_camera, frame.world_from_camera)
        np.testing.assert_array_equal(scene.frame_truth(i), truth)
        assert np.abs(back.rgb.astype(int) - frame.rgb).max() <= 4
        assert (back.camera, back.stamp_ns, back.name) == (CAMERA, frame.stamp_ns, str(i))


def test_equal_input_gives_equal_bytes(tmp_path, labels):
    for parent in ("a", "b"):
        write_scene(tmp_path / parent / "room", labels=labels, **_points(), frames=_frames())
    names = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(names) == 3 * 4 + 4 + 6
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_files_are_scannets(folder, labels):
    """nyu40 ids in the labels, objects in the two JSON files, every vertex in a segment."""
    points = _points()
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


def test_frame_stays_unaligned(tmp_path, labels):
    """The alignment is noted and applied to neither points nor poses."""
    turn = np.array([[0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 0.5], [0, 0, 0, 1]], float)
    write_scene(tmp_path / "room", labels=labels, **_points(), frames=_frames(1), axis_alignment=turn)
    scene = ScanNetScene(tmp_path / "room", labels)
    np.testing.assert_array_equal(scene.axis_alignment, turn)
    np.testing.assert_array_equal(scene.cloud.xyz, _points()["xyz"])
    np.testing.assert_array_equal(scene.frame(0).world_from_camera[:3, 3], [1 / 3, 0.1, -2])
    _forget(tmp_path / "room", "axisAlignment")
    np.testing.assert_array_equal(ScanNetScene(tmp_path / "room", labels).axis_alignment, np.eye(4))


# --- frames ----------------------------------------------------------------------------------------


def test_lost_poses_are_left_out_and_counted(tmp_path, labels):
    write_scene(tmp_path / "room", labels=labels, **_points(), frames=_frames(4, lost=(0, 2)))
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


def test_depth_that_millimetres_cannot_hold_is_written_as_missing(tmp_path):
    depth_m = np.array([[np.nan, np.inf, -1, 0, 0.0004, 65.5346, 65.534, 0.0006]], np.float32)
    images.write_depth(tmp_path / "d.png", depth_m)
    expected = np.array([[0, 0, 0, 0, 0, 0, 65.534, 0.001]], np.float32)
    np.testing.assert_array_equal(images.read_depth(tmp_path / "d.png"), expected)


# --- cameras ---------------------------------------------------------------------------------------


def _replace_images(folder: Path, color: tuple[int, int], depth: tuple[int, int]) -> None:
    """Give all frames images of these (width, height): a colour ramp, depth 2 m, labels left 0, right 1 (raw ids)."""
    ramp = np.round(np.linspace(0, 250, color[0]))[None, :, None].repeat(color[1], 0).repeat(3, 2).astype(np.uint8)
    ids = np.where(np.arange(color[0]) < color[0] / 2, 1, 2)[None].repeat(color[1], 0).astype(np.uint16)
    for i in range(3):
        images.write_rgb(folder / "color" / f"{i}.jpg", ramp)
        images.write_uint16(folder / "depth" / f"{i}.png", np.full(depth[::-1], 2000, np.uint16))
        images.write_uint16(folder / "label-filt" / f"{i}.png", ids)


def test_native_colour_comes_on_the_depth_pixels(folder, labels):
    """1296x968 colour, 640x480 depth: each depth pixel gets the colour and label seen along its ray."""
    _replace_images(folder, (1296, 968), (640, 480))
    _matrix(folder / "intrinsic" / "intrinsic_color.txt", NATIVE_COLOR)
    _matrix(folder / "intrinsic" / "intrinsic_depth.txt", NATIVE_DEPTH)
    scene = ScanNetScene(folder, labels)
    frame = scene.frame(0)
    u = (np.arange(640) - NATIVE_DEPTH.cx) * NATIVE_COLOR.fx / NATIVE_DEPTH.fx + NATIVE_COLOR.cx
    assert frame.camera == NATIVE_DEPTH and frame.rgb.shape == (480, 640, 3)
    np.testing.assert_allclose(frame.rgb[240, 2:-2, 1], u[2:-2] * 250 / 1295, atol=1.5)
    unseen = frame.depth_m == 0  # the depth camera sees two rows more than the colour camera
    assert unseen[[0, -1]].all() and not unseen[1:-1].any()
    np.testing.assert_array_equal(scene.frame_truth(0)[240], np.where(np.rint(u) < 648, 0, 1))


def test_excerpt_without_intrinsics(folder, labels):
    """The 320x240 excerpt: f W'/W and c (W'-1)/(W-1) of the 640x480 numbers."""
    _replace_images(folder, (320, 240), (320, 240))
    for path in (folder / "intrinsic").iterdir():
        path.unlink()
    _forget(folder, "fx", "fy", "mx", "my", "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    camera = ScanNetScene(folder, labels).frame(0).camera
    expected = [577.870605 / 2, 577.870605 / 2, 319.5 * 319 / 639, 239.5 * 239 / 479]
    np.testing.assert_allclose([camera.fx, camera.fy, camera.cx, camera.cy], expected, rtol=1e-12)


@pytest.mark.parametrize("noted", [True, False])
def test_shrunk_images_with_full_size_intrinsics(folder, labels, noted):
    _replace_images(folder, (320, 240), (320, 240))
    _matrix(folder / "intrinsic" / "intrinsic_color.txt", NATIVE_COLOR)
    _matrix(folder / "intrinsic" / "intrinsic_depth.txt", NATIVE_DEPTH)
    _forget(folder, "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    if noted:
        with open(folder / "room.txt", "a") as file:
            file.write("colorWidth = 1296\ncolorHeight = 968\ndepthWidth = 640\ndepthHeight = 480\n")
    assert ScanNetScene(folder, labels).frame(0).camera == NATIVE_DEPTH.resized(320, 240)


def test_shrunk_images_of_a_camera_that_is_not_scannets(folder, labels):
    """The size in the .txt says what the numbers are for."""
    _replace_images(folder, (320, 240), (320, 240))
    own = Camera(1000.0, 1010.0, 999.5, 749.5, 2000, 1500)
    for kind in ("color", "depth"):
        _matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", own)
    _forget(folder, "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    with open(folder / "room.txt", "a") as file:
        file.write("colorWidth = 2000\ncolorHeight = 1500\ndepthWidth = 2000\ndepthHeight = 1500\n")
    assert ScanNetScene(folder, labels).frame(0).camera == own.resized(320, 240)


def test_intrinsics_of_the_txt(folder, labels):
    for path in (folder / "intrinsic").iterdir():
        path.unlink()
    assert ScanNetScene(folder, labels).frame(0).camera == CAMERA


def test_intrinsics_of_another_camera_are_refused(folder, labels):
    _matrix(folder / "intrinsic" / "intrinsic_depth.txt", Camera(500.0, 500.0, 2000.0, 2000.0, 32, 24))
    with pytest.raises(BadInput, match="intrinsic_depth.txt: centre"):
        len(ScanNetScene(folder, labels))


@pytest.mark.parametrize("size", [(20, 15), (40, 33), (81, 60)])
def test_labels_follow_the_rays_of_the_slow_twin(size):
    color, depth = Camera(42.0, 40.0, 20.3, 14.1, 40, 30), Camera(19.0, 21.0, 9.9, 8.2, 20, 16)
    seen = np.random.default_rng(1).integers(0, 20, size[::-1], dtype=np.uint8)
    result = labels_on_depth(seen, color, depth)
    np.testing.assert_array_equal(result, labels_on_depth_twin(seen, color, depth))
    assert (result == 255).any() and (result != 255).any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.1])
def test_colour_is_averaged_not_shifted(scale):
    """A ramp stays the same ramp along the rays whatever the sizes; fine stripes become their mean."""
    depth = Camera(50.0, 50.0, 31.5, 23.5, 64, 48)
    color = Camera(80.0, 80.0, 49.5, 39.5, 100, 80).resized(round(100 * scale), round(80 * scale))
    ramp = np.broadcast_to(np.linspace(0, 255, color.width)[None, :, None], (color.height, color.width, 3))
    rgb, seen = color_on_depth(ramp.astype(np.uint8), color, depth)
    u = (np.arange(64) - depth.cx) * color.fx / depth.fx + color.cx
    inside = seen.all(0) & (u > 4) & (u < color.width - 5)
    assert inside.sum() > 40
    np.testing.assert_allclose(rgb[20, inside, 0], u[inside] * 255 / (color.width - 1) - 0.5, atol=2)
    if scale > 3:
        stripes = np.broadcast_to((np.arange(color.width) % 2 * 200)[None, :, None], ramp.shape).astype(np.uint8)
        assert np.abs(color_on_depth(stripes, color, depth)[0][:, 5:-5].astype(int) - 100).max() < 25


def test_registered_images_are_left_alone():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    result, seen = color_on_depth(rgb, dataclasses.replace(CAMERA, cx=15.8), CAMERA)
    assert result is rgb and seen.all()


def test_jpegs_shrink_only_where_pixels_stay_aligned(tmp_path):
    images.write_rgb(tmp_path / "a.jpg", np.zeros((96, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(32, 20)).shape == (24, 32, 3)
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(65, 20)).shape == (96, 128, 3)
    images.write_rgb(tmp_path / "odd.jpg", np.zeros((97, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "odd.jpg", at_least=(32, 20)).shape == (97, 128, 3)


def test_pillow_stands_in_for_simplejpeg(tmp_path, monkeypatch):
    rgb = next(_frames(1))[0].rgb
    images.write_rgb(tmp_path / "a.jpg", rgb)
    fast = images.read_rgb(tmp_path / "a.jpg")
    monkeypatch.setattr(images, "simplejpeg", None)
    assert np.abs(images.read_rgb(tmp_path / "a.jpg").astype(int) - fast).max() <= 2
    images.write_rgb(tmp_path / "b.jpg", rgb)
    assert np.abs(images.read_rgb(tmp_path / "b.jpg").astype(int) - rgb).max() <= 4


# --- ids, truth and tags ---------------------------------------------------------------------------


def _as_raw(folder: Path, ids: list[int]) -> None:
    """The folder as if it came from ScanNet: raw ids in label-filt."""
    _forget(folder, "labelIds")
    row = np.array(ids + [0] * (32 - len(ids)), np.uint16)
    for i in range(3):
        images.write_uint16(folder / "label-filt" / f"{i}.png", np.tile(row, (24, 1)))


def test_raw_ids_go_through_the_table(folder, labels):
    """Shelf is no bookshelf (15), blinds (13) are ignored, couch is sofa, trash can is otherfurniture."""
    _as_raw(folder, [1, 2, 6, 8, 28, 80, 1163, 1164, 9999])
    (folder.parent / scannet.LABEL_TABLE).write_text(TSV)
    (folder.parent / "scans").mkdir()
    truth = ScanNetScene(folder.rename(folder.parent / "scans" / "room"), labels).frame_truth(0)[3, :9]
    names = [labels.names[label] if label < 255 else "" for label in truth]
    assert names == ["wall", "chair", "sofa", "", "door", "", "otherfurniture", "", ""]


def test_raw_ids_without_the_table_are_refused(folder, labels):
    _as_raw(folder, [1, 2])
    scene = ScanNetScene(folder, labels)
    assert scene.tags == ("wall", "floor", "chair")  # the points' labels need no table
    for ask in (scene.frame_truth, scene.image_tags):
        with pytest.raises(BadInput, match="scannetv2-labels.combined.tsv"):
            ask(0)


def test_broken_table_is_named(folder, labels):
    (folder / scannet.LABEL_TABLE).write_text("id,nyu40id\n1,1\n")
    _as_raw(folder, [1])
    with pytest.raises(BadInput, match="combined.tsv.*nyu40id"):
        ScanNetScene(folder, labels).frame_truth(0)


def test_a_few_stray_pixels_are_no_tag(folder, labels):
    """768 pixels: 0.5 % is 3.84, so four make a tag and three do not."""
    ids = np.zeros((24, 32), np.uint16)
    ids[10:20], ids[0, :4], ids[1, :3] = 1, 5, 7
    images.write_uint16(folder / "label-filt" / "0.png", ids)
    assert ScanNetScene(folder, labels).image_tags(0) == ("wall", "chair")


def test_a_few_stray_points_are_no_tag(tmp_path, labels):
    """10,000 points: 0.05 % is five."""
    points = _points(10_000) | {"point_labels": np.zeros(10_000, np.uint8)}
    points["point_labels"][:5], points["point_labels"][5:9] = 3, 4
    write_scene(tmp_path / "room", labels=labels, **points, frames=[])
    scene = ScanNetScene(tmp_path / "room", labels)
    assert scene.tags == ("wall", "bed") and len(scene) == 0


def test_given_tags_go_before_truth(folder, labels):
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


# --- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, ask",
    [
        ("color/1.jpg", lambda scene: scene.frame(1)),
        ("depth/1.png", lambda scene: scene.frame(1)),
        ("label-filt/1.png", lambda scene: scene.frame_truth(1)),
        ("room_vh_clean_2.ply", lambda scene: scene.cloud),
        ("room_vh_clean_2.labels.ply", lambda scene: scene.cloud_truth()),
    ],
)
def test_cut_files_are_named(folder, labels, name, ask):
    """The file is cut in half, emptied, replaced by nonsense; the others stay readable."""
    whole = (folder / name).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"nonsense" * 9):
        (folder / name).write_bytes(data)
        scene = ScanNetScene(folder, labels)
        with pytest.raises(BadInput, match=Path(name).name):
            ask(scene)
        assert scene.frame(0).name == "0"


@pytest.mark.parametrize(
    "text", ["1 0 0\n", "", "1 0 0 0 hello", "2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "1 0 0 0 1 0 0 0 1"]
)
def test_broken_poses_are_named(folder, labels, text):
    (folder / "pose" / "2.txt").write_text(text)
    with pytest.raises(BadInput, match="pose/2.txt"):
        len(ScanNetScene(folder, labels))


def test_wrong_kinds_of_image_are_named(folder, labels):
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(folder / "depth" / "0.png")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "depth" / "1.png")
    scene = ScanNetScene(folder, labels)
    with pytest.raises(BadInput, match="depth/0.png: 8-bit"):
        scene.frame(0)
    with pytest.raises(BadInput, match="depth/1.png: RGB"):
        scene.frame(1)


def test_other_broken_files_are_named(folder, labels):
    (folder / "timestamps.txt").write_text("0 later\n")
    with pytest.raises(BadInput, match="timestamps.txt"):
        len(ScanNetScene(folder, labels))
    (folder / "timestamps.txt").unlink()
    (folder / "room.txt").write_text("axisAlignment = 1 0 0\n")
    with pytest.raises(BadInput, match="room.txt: 'axisAlignment"):
        _ = ScanNetScene(folder, labels).axis_alignment
    ply.write(folder / "room_vh_clean_2.ply", np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4")]))
    with pytest.raises(BadInput, match=r"no vertex property \['red', 'green', 'blue'\]"):
        _ = ScanNetScene(folder, labels).cloud


def test_folders_that_are_no_scan(tmp_path, labels):
    with pytest.raises(BadInput, match="no such folder"):
        ScanNetScene(tmp_path / "nowhere", labels)
    with pytest.raises(BadInput, match="_vh_clean_2.ply', found none"):
        ScanNetScene(tmp_path, labels)


def test_a_broken_off_scene_leaves_nothing(tmp_path, labels):
    def breaks_off() -> Iterator[tuple[Frame, np.ndarray]]:
        yield from _frames(2)
        raise RuntimeError("the generator stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        write_scene(tmp_path / "room", labels=labels, **_points(), frames=breaks_off())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, labels, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scannet_write, "write_depth", full)
    with pytest.raises(BadInput, match="room: could not be written.*No space left"):
        write_scene(tmp_path / "room", labels=labels, **_points(), frames=_frames())
    assert list(tmp_path.iterdir()) == []


def test_scenes_are_not_overwritten(folder, labels):
    before = (folder / "room.txt").read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        write_scene(folder, labels=labels, **_points(), frames=[])
    assert (folder / "room.txt").read_bytes() == before and [path.name for path in folder.parent.iterdir()] == ["room"]


@pytest.mark.parametrize(
    "changes, rows, reason",
    [
        ({"depth_m": None}, 24, "frame 1 lacks depth"),
        ({"camera": dataclasses.replace(CAMERA, fx=29.0)}, 24, "expected one camera"),
        ({}, 12, "frame 1: colour, depth, labels are"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path, labels, changes, rows, reason):
    first, (frame, truth) = _frames(2)
    frames = [first, (dataclasses.replace(frame, **changes), truth[:rows])]
    with pytest.raises(BadInput, match=reason):
        write_scene(tmp_path / "room", labels=labels, **_points(), frames=frames)
    assert list(tmp_path.iterdir()) == []


def test_open_scene_finds_scannet(folder, labels):
    assert isinstance(open_scene(folder, labels), ScanNetScene)


def test_excerpt_camera_is_the_native_depth_camera():
    assert EXCERPT_CAMERA == NATIVE_DEPTH
