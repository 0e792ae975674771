"""Images of 2D-3D-S: which room they belong to, cameras, depth, truth and broken files."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.s3dis_area import CAMERA_FROM_WORLD, ENTRIES, SIZE, SPACE, UUID, write_labels, write_room, write_view

from wsss_ros.geometry import link, project, unproject
from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes.s3dis import S3disRoom
from wsss_ros.types import BadInput, Cloud


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
    write_view(area, "office_11", frame=5)  # images next to the rooms, in one folder
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
        complete = path.read_bytes()
        path.write_bytes((other / "data" / kind / path.name).read_bytes())
        room = S3disRoom(office, SPACE)
        with pytest.raises(BadInput, match=words):
            room.frame_truth(0) if kind == "semantic" else room.frame(0)
        path.write_bytes(complete)


def test_a_warning_reports_the_aligned_version(tmp_path, caplog):
    root = tmp_path / "Stanford3dDataset_v1.2_Aligned_Version"
    room = write_room(root / "Area_1", chair_1=[(0, 0, 0, 1, 2, 3)])
    with caplog.at_level(logging.WARNING):
        S3disRoom(room, SPACE)
        assert not caplog.records
        write_view(root / "area_1")
        assert len(S3disRoom(room, SPACE)) == 1
    assert "does not fit the 2D-3D-S images" in caplog.text
