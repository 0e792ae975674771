"""Areas of S3DIS and 2D-3D-S written small, in the exact formats of the data sets."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wsss_ros.config import SceneSetConfig
from wsss_ros.geometry import link, project, unproject
from wsss_ros.labels import UNLABELLED, s3dis
from wsss_ros.scenes import open_scene, open_scenes
from wsss_ros.scenes.point_text import read_points
from wsss_ros.scenes.s3dis import S3disRoom
from wsss_ros.types import BadInput, Cloud, Scene

UUID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SPACE = s3dis()
ENTRIES = ["<UNK>_0_<UNK>_0_0", "ceiling_1_office_1_5", "bookcase_7_office_1_5", "chair_3_office_1_5", "wall_1_WC_2_5"]
SIZE = 40
# Looks along the world's +y from (1, -2, 1.5): camera x is world x, camera y is world -z.
CAMERA_FROM_WORLD = np.array([[1.0, 0, 0, -1], [0, 0, -1, 1.5], [0, 1, 0, 2]])


def write_room(area, room="office_1", **objects):
    """``objects`` are class_number=rows, text or numbers."""
    folder = area / room / "Annotations"
    folder.mkdir(parents=True)
    for name, rows in objects.items():
        text = rows if isinstance(rows, bytes) else "".join(_row(row) for row in rows).encode()
        (folder / f"{name}.txt").write_bytes(text)
    return area / room


def _row(row):
    x, y, z, *rgb = row
    return f"{x:.3f} {y:.3f} {z:.3f} {' '.join(map(str, rgb))}\n"


def write_view(
    area, room="office_1", frame=3, *, motion=CAMERA_FROM_WORLD, depth=1024, semantic=1, size=SIZE, uuid=UUID
):
    """The four files of one image; ``depth`` and ``semantic`` are images, or one value for all pixels."""
    stem = f"camera_{uuid}_{room}_frame_{frame}_domain"
    for kind in ("rgb", "depth", "pose", "semantic"):
        (area / "data" / kind).mkdir(parents=True, exist_ok=True)
    rgb = np.full((size, size, 3), 90, np.uint8)
    Image.fromarray(rgb).save(area / "data" / "rgb" / f"{stem}_rgb.png")
    depth = np.broadcast_to(depth, (size, size)).astype(np.uint16)
    Image.fromarray(depth).save(area / "data" / "depth" / f"{stem}_depth.png")
    indices = np.broadcast_to(semantic, (size, size)).astype(np.int64)
    digits = np.stack([indices >> 16, (indices >> 8) & 255, indices & 255], axis=-1).astype(np.uint8)
    Image.fromarray(digits).save(area / "data" / "semantic" / f"{stem}_semantic.png")
    pose = {
        "camera_k_matrix": [[30.0, 0, size / 2], [0, 30.0, size / 2], [0, 0, 1]],
        "camera_rt_matrix": np.asarray(motion).tolist(),
        "camera_uuid": uuid,
        "frame_num": frame,
        "room": f"{room}_5",
    }
    (area / "data" / "pose" / f"{stem}_pose.json").write_text(json.dumps(pose))
    return stem


def write_labels(root, entries=ENTRIES):
    (root / "assets").mkdir(exist_ok=True)
    (root / "assets" / "semantic_labels.json").write_text(json.dumps(entries))


@pytest.fixture
def office(tmp_path):
    """Area_5/office_1 with one image from each part of the area."""
    room = write_room(
        tmp_path / "Area_5",
        bookcase_1=[(1, 2, 0.5, 10, 20, 30), (1.5, 2, 0.5, 11, 21, 31)],
        ceiling_1=[(1, 2, 3, 255, 255, 255)],
        stairs_1=[(0, 0, 0, 0, 0, 0)],
    )
    (tmp_path / "Area_5" / "Area_5_alignmentAngle.txt").write_text("## Global alignment angle ##\noffice_1 90\n")
    (room / "office_1.txt").write_text("1 2 3 255 255 255\n")
    write_view(tmp_path / "area_5a")
    write_view(tmp_path / "area_5b", frame=12)
    write_labels(tmp_path)
    return room


# --- the cloud ---


def test_a_room(office):
    room = open_scene(office, SPACE)
    assert isinstance(room, S3disRoom) and isinstance(room, Scene) and room.name == "Area_5_office_1"
    assert room.cloud.xyz.tolist() == [[1, 2, 0.5], [1.5, 2, 0.5], [1, 2, 3], [0, 0, 0]]
    assert room.cloud.rgb.tolist() == [[10, 20, 30], [11, 21, 31], [255] * 3, [0] * 3]
    assert [SPACE.names[label] for label in room.cloud_truth()] == ["bookcase", "bookcase", "ceiling", "clutter"]
    assert room.tags == ("ceiling", "bookcase", "clutter") and room.world_up == (0, 0, 1)


def test_truth_in_the_classes_of_another_space(office, labels):
    room = S3disRoom(office, labels)
    shelf = labels.index("bookshelf")
    assert room.cloud_truth().tolist() == [shelf, shelf, UNLABELLED, UNLABELLED]
    assert room.tags == ("bookshelf",) and room.image_tags(0) == ()


def test_truth_before_the_cloud_counts_the_same_points(tmp_path):
    room = write_room(tmp_path / "Area_1", chair_1=b"1 2 3 4 5 6\nbroken\n1 2 3 4 5 6", wall_1=b"0 0 0 1 1 1\n")
    assert [SPACE.names[label] for label in S3disRoom(room, SPACE).cloud_truth()] == ["chair", "chair", "wall"]
    assert len(S3disRoom(room, SPACE).cloud) == 3


def test_files_that_are_no_annotation_and_unknown_classes(tmp_path, caplog):
    room = write_room(tmp_path / "Area_5", chair_1=[(0, 0, 0, 1, 2, 3)], spaceship_1=[(9, 9, 9, 1, 2, 3)])
    (room / "Annotations" / "chair_1 (1).txt").write_text("7 7 7 1 2 3\n")
    (room / "Annotations" / "._chair_1.txt").write_bytes(b"\x00\x05\x16")
    (room / "Annotations" / "Icon").write_bytes(b"")
    scene = S3disRoom(room, SPACE)
    assert scene.cloud.xyz[:, 0].tolist() == [0, 9] and scene.cloud_truth().tolist() == [8, UNLABELLED]
    assert "chair_1 (1).txt left out" in caplog.text and "'spaceship' is not a class of S3DIS" in caplog.text


def test_an_area_lists_its_rooms(office):
    write_room(office.parent, "hallway_6", ceiling_1=[(0, 0, 3, 1, 2, 3)])
    (office.parent / "empty_1" / "Annotations").mkdir(parents=True)
    scenes, left_out = open_scenes(SceneSetConfig(folder=str(office.parent)), SPACE)
    assert [scene.name for scene in scenes] == ["Area_5_hallway_6", "Area_5_office_1"]
    assert [name for name, _ in left_out] == ["empty_1"] and "Annotations/chair_1.txt" in left_out[0][1]


def test_tags_from_a_file(office, labels):
    (office / "tags.csv").write_text(f'scene,"chair, wall"\ncamera_{UUID}_office_1_frame_3,chair\n')
    room = S3disRoom(office, labels)
    assert room.tags == ("wall", "chair") and room.image_tags(0) == ("chair",) and room.image_tags(1) is None


# --- broken text ---


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"22.350 6.692 3.048 185\x00187 182", [22.350, 6.692, 3.048, 185, 187, 182]),  # Area_5/hallway_6, as it is
        (b"0.5 -12.4 2.604 167.\x1000000 175.000000 177.0", [0.5, -12.4, 2.604, 167, 175, 177]),  # Area_2/auditorium_1
        (b"19.302 -9.1\x160 1.785 146 137 106", [19.302, -9.10, 1.785, 146, 137, 106]),  # Area_3/hallway_2
        (b"1e1 2.5E-1 +3 4 5 6", [10, 0.25, 3, 4, 5, 6]),
        (b"1.00000000000000000000001 2 3 4 5 6", [1, 2, 3, 4, 5, 6]),
        (b"22.350 6.692 3.048 185187 182", None),
        (b"1 2 3 4 5", None),
        (b"1 2 3 4 5 6 7", None),
        (b"1 2 3 4 5 256", None),
        (b"1 2 3 -1 5 6", None),
        (b"nan 2 3 4 5 6", None),
        (b"1 2 - 4 5 6", None),
        (b"1 2 3 4 5 6.7.8", None),
        (b"x y z r g b", None),
    ],
)
def test_a_broken_line_is_repaired_or_dropped(tmp_path, caplog, line, row):
    path = tmp_path / "ceiling_1.txt"
    path.write_bytes(b"1 2 3 4 5 6\r\n\n" + line + b"\n-7.5 8 9 10 11 12")
    xyz, rgb = read_points(path)
    expected = np.array([[1, 2, 3, 4, 5, 6], *([row] if row else []), [-7.5, 8, 9, 10, 11, 12]])
    assert np.array_equal(xyz, expected[:, :3].astype(np.float32)) and np.array_equal(rgb, expected[:, 3:])
    assert f"{path}: line 3 {'repaired' if row else 'dropped'}" in caplog.text


def test_text_cut_off_in_a_line(tmp_path, caplog):
    (tmp_path / "wall_1.txt").write_bytes(b"1 2 3 4 5 6\n4 5 6 7")
    assert len(read_points(tmp_path / "wall_1.txt")[0]) == 1 and "line 2 dropped" in caplog.text


def test_many_broken_lines_are_one_warning(tmp_path, caplog):
    (tmp_path / "wall_1.txt").write_bytes(b"1 2 3 4 5 6\n" + b"oh\n" * 1000)
    assert len(read_points(tmp_path / "wall_1.txt")[0]) == 1
    assert "line 2, 3, 4, 5, 6 and 995 more dropped" in caplog.text and len(caplog.records) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"1 2 3\n" * 1001, "over 1000 lines.*first is line 1, b'1 2 3'"), (b"1 2 3\n" * 9, "none of its 9 lines")],
)
def test_what_is_no_cloud_is_refused(tmp_path, content, words):
    room = write_room(tmp_path / "Area_1", chair_1=content)
    with pytest.raises(BadInput, match=f"chair_1.txt: {words}"):
        _ = S3disRoom(room, SPACE).cloud


def test_a_room_without_points_is_refused(tmp_path):
    room = write_room(tmp_path / "Area_1", chair_1=b"", wall_1=b"\n \n")
    with pytest.raises(BadInput, match="its 2 files hold no point"):
        S3disRoom(room, SPACE).cloud_truth()


@settings(max_examples=40)
@given(arrays(np.float64, (5, 3), elements=st.floats(-1e4, 1e4)), arrays(np.uint8, (5, 3)), st.sampled_from("fgr"))
def test_text_reads_as_numpy_reads_it(tmp_path_factory, xyz, rgb, style):
    path = tmp_path_factory.mktemp("text") / "wall_1.txt"
    write = {"f": "{:.6f}".format, "g": "{:g}".format, "r": repr}[style]
    rows = [[write(float(value)) for value in (*point, *color)] for point, color in zip(xyz, rgb, strict=True)]
    path.write_text("".join(f"{' '.join(row)}\n" for row in rows))
    got_xyz, got_rgb = read_points(path)
    expected = np.loadtxt(path)
    assert np.array_equal(got_xyz, expected[:, :3].astype(np.float32)) and np.array_equal(got_rgb, expected[:, 3:])


# --- images ---


def test_frames_of_both_parts_of_area_5(office):
    room = S3disRoom(office, SPACE)
    assert len(room) == 2 and not room.skipped
    first, second = room.frame(0), room.frame(1)
    assert first.name == f"camera_{UUID}_office_1_frame_3" and second.name.endswith("frame_12")
    assert first.rgb.shape == (SIZE, SIZE, 3) and first.stamp_ns == 10**9 < second.stamp_ns
    assert np.allclose(first.world_from_camera[:3, 3], (1, -2, 1.5))
    # 5b: a quarter turn and a shift.
    assert np.allclose(second.world_from_camera[:3, 3], (-2 - 4.09703582, -1 + 6.22617759, 1.5))
    assert np.allclose(second.world_from_camera[:3, 2], (1, 0, 0))


def test_rooms_are_not_mixed_up(tmp_path):
    area = tmp_path / "Area_1"
    for room in ("office_1", "office_11", "copyRoom_1"):
        write_room(area, room, chair_1=[(0, 0, 0, 1, 2, 3)])
        write_view(tmp_path / "area_1", room)
    write_view(tmp_path / "area_11", "office_1")
    write_view(tmp_path / "area_1", "office_1", frame=20)
    write_view(tmp_path / "area_1", "office_1", frame=4, uuid="00ff")
    write_view(area, "office_11", frame=5)  # images beside the rooms, in one folder
    assert [len(S3disRoom(area / room, SPACE)) for room in ("office_1", "office_11", "copyRoom_1")] == [3, 2, 1]
    names = [S3disRoom(area / "office_1", SPACE).frame(index).name for index in range(3)]
    assert names == [
        "camera_00ff_office_1_frame_4",
        f"camera_{UUID}_office_1_frame_3",
        f"camera_{UUID}_office_1_frame_20",
    ]


def test_areas_that_are_links(office, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    (links / "Area_5").symlink_to(office.parent)
    assert len(S3disRoom(links / "Area_5" / "office_1", SPACE)) == 0
    (links / "area_5b").symlink_to(office.parents[1] / "area_5b")
    room = S3disRoom(links / "Area_5" / "office_1", SPACE)
    assert len(room) == 1 and room.name == "Area_5_office_1" and room.image_tags(0) == ("ceiling",)


def test_a_room_without_images(tmp_path):
    room = write_room(tmp_path / "Area_2", chair_1=[(0, 0, 0, 1, 2, 3)])
    assert len(S3disRoom(room, SPACE)) == 0
    assert len(S3disRoom(write_room(tmp_path / "plain", chair_1=[(0, 0, 0, 1, 2, 3)]), SPACE)) == 0


def test_a_point_is_seen_at_the_pixel_it_is_known_to_lie_at(office):
    """Two metres ahead; half a metre right and up of the axis, which passes through the middle of the image."""
    frame = S3disRoom(office, SPACE).frame(0)
    uv, depth = project(np.array([[1.0, 0, 1.5], [1.5, 0, 2.0]]), frame.camera, frame.world_from_camera)
    middle = SIZE / 2 - 0.5
    assert np.allclose(depth, 2) and np.allclose(uv, [[middle, middle], [middle + 7.5, middle - 7.5]])
    cloud = Cloud(np.array([[1.5, 0, 2.0], [1.5, 1, 2.0], [1.5, -3, 2.0]], np.float32))
    # The second is hidden behind the first, the third lies behind the camera.
    assert link(cloud, frame).point.tolist() == [0]


POSITIONS = arrays(np.float64, 3, elements=st.floats(-50, 50))


@settings(max_examples=25)
@given(st.floats(-np.pi, np.pi), POSITIONS, st.integers(256, 20_000), st.booleans())
def test_world_and_camera(tmp_path_factory, yaw, position, steps, part_b):
    """Unprojected pixels are, back in the file's own world, where its matrix takes them to."""
    root = tmp_path_factory.mktemp("area")
    level = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    motion = np.column_stack([level @ turn, -level @ turn @ position])
    write_view(root / ("area_5b" if part_b else "area_5a"), motion=motion, depth=steps, size=8)
    room = S3disRoom(write_room(root / "Area_5", chair_1=[(0, 0, 0, 1, 2, 3)]), SPACE)
    frame = room.frame(0)
    points, pixels = unproject(frame.depth_m, frame.camera, frame.world_from_camera)
    if part_b:  # undo the quarter turn by hand
        points = np.column_stack([6.22617759 - points[:, 1], points[:, 0] + 4.09703582, points[:, 2]])
    x, y, z = motion @ np.column_stack([points, np.ones(len(points))]).T
    assert np.allclose(z, steps / 512, atol=1e-5)
    v, u = np.divmod(pixels, 8)
    assert np.allclose(30 * x / z + 4, u + 0.5, atol=1e-3) and np.allclose(30 * y / z + 4, v + 0.5, atol=1e-3)


def test_depth(tmp_path):
    depth = np.full((SIZE, SIZE), 65535)
    depth[0, :3] = 512, 0, 65534
    write_view(tmp_path / "area_1", depth=depth)
    frame = S3disRoom(write_room(tmp_path / "Area_1", chair_1=[(0, 0, 0, 1, 2, 3)]), SPACE).frame(0)
    assert frame.depth_m[0, :4].tolist() == [1, 0, np.float32(65534 / 512), 0] and (frame.depth_m[1:] == 0).all()


def test_truth_of_an_image(tmp_path, labels):
    semantic = np.full((SIZE, SIZE), 0x0D0D0D)
    semantic[0, :5] = 0, 1, 2, 3, 300
    entries = ENTRIES + ["clutter_1_office_1_5"] * 300
    write_view(tmp_path / "area_5a", semantic=semantic)
    write_labels(tmp_path, [*entries[:300], "table_1_office_1_5"])
    room = write_room(tmp_path / "Area_5", chair_1=[(0, 0, 0, 1, 2, 3)])
    names = [*SPACE.names, *[None] * 243]
    found = [names[label] for label in S3disRoom(room, SPACE).frame_truth(0)[0, :7]]
    assert found == [None, "ceiling", "bookcase", "chair", "table", None, None]
    truth = S3disRoom(room, labels).frame_truth(0)
    assert truth[0, 2] == labels.index("bookshelf") and truth[0, 1] == UNLABELLED
    assert S3disRoom(room, SPACE).image_tags(0) == ()  # each on fewer than 0.5 % of the pixels


def test_tags_of_an_image(office):
    assert S3disRoom(office, SPACE).image_tags(0) == ("ceiling",)


def test_an_image_without_semantics_has_no_truth(office):
    for path in office.parents[1].glob("area_5a/data/semantic/*"):
        path.unlink()
    room = S3disRoom(office, SPACE)
    assert room.frame_truth(0) is None and room.image_tags(0) is None and room.image_tags(1) == ("ceiling",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "need 'semantic_labels.json'.*comes with 2D-3D-S"),
        (json.dumps(ENTRIES)[:50], "semantic_labels.json: .*expected a JSON list"),
        ('{"a": 1}', "semantic_labels.json: not a JSON list"),
        ("[]", "semantic_labels.json: not a JSON list"),
    ],
)
def test_broken_label_lists(office, content, words):
    path = office.parents[1] / "assets" / "semantic_labels.json"
    path.unlink() if content is None else path.write_text(content)
    room = S3disRoom(office, SPACE)
    assert len(room.cloud) == 4 and room.frame(0).rgb.size
    with pytest.raises(BadInput, match=words):
        room.frame_truth(0)


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"camera_k_matrix": [[30, 0,',
        '{"camera_k_matrix": [[1,0,0],[0,1,0],[0,0,1]]}',
        "[]",
        json.dumps({"camera_k_matrix": np.eye(3).tolist(), "camera_rt_matrix": CAMERA_FROM_WORLD.T.tolist()}),
        json.dumps({"camera_k_matrix": np.eye(3).tolist(), "camera_rt_matrix": (CAMERA_FROM_WORLD * 2).tolist()}),
        json.dumps({"camera_k_matrix": np.eye(3).tolist(), "camera_rt_matrix": (CAMERA_FROM_WORLD * np.nan).tolist()}),
    ],
)
def test_a_frame_with_a_broken_pose_is_left_out_and_named(office, caplog, content):
    (path,) = office.parents[1].glob("area_5a/data/pose/*")
    path.write_text(content)
    room = S3disRoom(office, SPACE)
    assert len(room) == 1 and room.skipped == {"unusable pose": 1} and room.frame(0).name.endswith("frame_12")
    assert path.name in caplog.text


def test_a_frame_with_a_missing_file_is_left_out_and_named(office, caplog):
    (path,) = office.parents[1].glob("area_5a/data/rgb/*")
    path.unlink()
    assert S3disRoom(office, SPACE).skipped == {"file missing": 1} and path.name in caplog.text


@pytest.mark.parametrize("kind", ["rgb", "depth", "semantic"])
def test_an_image_cut_short_is_named(office, kind):
    (path,) = office.parents[1].glob(f"area_5a/data/{kind}/*")
    path.write_bytes(path.read_bytes()[:60])
    room = S3disRoom(office, SPACE)
    with pytest.raises(BadInput, match=f"{kind}.png: cannot be decoded"):
        room.frame_truth(0) if kind == "semantic" else room.frame(0)


def test_images_of_different_size_are_refused(office):
    other = office.parents[2] / "other"
    write_view(other, size=SIZE // 2)
    sizes = {"depth": "is 20x20 and .* is 40x40", "semantic": "another size", "pose": "intrinsics of an image"}
    for kind, words in sizes.items():
        (path,) = office.parents[1].glob(f"area_5a/data/{kind}/*")
        whole = path.read_bytes()
        path.write_bytes((other / "data" / kind / path.name).read_bytes())
        room = S3disRoom(office, SPACE)
        with pytest.raises(BadInput, match=words):
            room.frame_truth(0) if kind == "semantic" else room.frame(0)
        path.write_bytes(whole)


def test_the_aligned_version_is_warned_of(tmp_path, caplog):
    root = tmp_path / "Stanford3dDataset_v1.2_Aligned_Version"
    room = write_room(root / "Area_1", chair_1=[(0, 0, 0, 1, 2, 3)])
    with caplog.at_level(logging.WARNING):
        S3disRoom(room, SPACE)
        assert not caplog.records
        write_view(root / "area_1")
        assert len(S3disRoom(room, SPACE)) == 1
    assert "does not fit the 2D-3D-S images" in caplog.text
