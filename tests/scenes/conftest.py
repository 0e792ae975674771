"""Scenes in the layouts of the data sets, for the tests of their readers."""

from pathlib import Path

import pytest
from support.s3dis_area import write_labels, write_room, write_view
from support.scannet_room import room_frames, room_points

from wsss_ros.scenes.scannet_write import write_scene


@pytest.fixture
def folder(tmp_path, labels) -> Path:
    write_scene(tmp_path / "room", labels=labels, **room_points(), frames=room_frames(), scene_type="kitchen")
    return tmp_path / "room"


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
