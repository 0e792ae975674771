"""Rooms of S3DIS: the cloud, truth, tags, and files that are not annotations."""

import pytest
from support.s3dis_area import SPACE, UUID, write_room

from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes import open_scene, open_scenes
from wsss_ros.scenes.s3dis import S3disRoom
from wsss_ros.types import BadInput, Scene


def test_a_room(office):
    room = open_scene(office, SPACE)
    assert isinstance(room, S3disRoom) and isinstance(room, Scene) and room.name == "Area_5_office_1"
    assert room.cloud.xyz.tolist() == [[1, 2, 0.5], [1.5, 2, 0.5], [1, 2, 3], [0, 0, 0]]
    assert room.cloud.rgb.tolist() == [[10, 20, 30], [11, 21, 31], [255] * 3, [0] * 3]
    assert [SPACE.names[label] for label in room.cloud_truth()] == ["bookcase", "bookcase", "ceiling", "clutter"]
    assert room.tags == ("ceiling", "bookcase", "clutter") and room.world_up == (0, 0, 1)


def test_truth_in_another_label_space(office, labels):
    room = S3disRoom(office, labels)
    shelf = labels.index("bookshelf")
    assert room.cloud_truth().tolist() == [shelf, shelf, UNLABELLED, UNLABELLED]
    assert room.tags == ("bookshelf",) and room.image_tags(0) == ()


def test_truth_before_the_cloud_counts_the_same_points(tmp_path):
    room = write_room(tmp_path / "Area_1", chair_1=b"1 2 3 4 5 6\nbroken\n1 2 3 4 5 6", wall_1=b"0 0 0 1 1 1\n")
    assert [SPACE.names[label] for label in S3disRoom(room, SPACE).cloud_truth()] == ["chair", "chair", "wall"]
    assert len(S3disRoom(room, SPACE).cloud) == 3


def test_files_that_are_not_annotations_and_unknown_classes(tmp_path, caplog):
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
    scenes, left_out = open_scenes(office.parent, SPACE)
    assert [scene.name for scene in scenes] == ["Area_5_hallway_6", "Area_5_office_1"]
    assert [name for name, _ in left_out] == ["empty_1"] and "Annotations/chair_1.txt" in left_out[0][1]


def test_tags_from_a_file(office, labels):
    (office / "tags.csv").write_text(f'scene,"chair, wall"\ncamera_{UUID}_office_1_frame_3,chair\n')
    room = S3disRoom(office, labels)
    assert room.tags == ("wall", "chair") and room.image_tags(0) == ("chair",) and room.image_tags(1) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"1 2 3\n" * 1001, "over 1000 lines.*first is line 1, b'1 2 3'"), (b"1 2 3\n" * 9, "none of its 9 lines")],
)
def test_text_that_is_not_a_cloud_is_refused(tmp_path, content, words):
    room = write_room(tmp_path / "Area_1", chair_1=content)
    with pytest.raises(BadInput, match=f"chair_1.txt: {words}"):
        _ = S3disRoom(room, SPACE).cloud


def test_a_room_without_points_is_refused(tmp_path):
    room = write_room(tmp_path / "Area_1", chair_1=b"", wall_1=b"\n \n")
    with pytest.raises(BadInput, match="its 2 files hold no point"):
        S3disRoom(room, SPACE).cloud_truth()
