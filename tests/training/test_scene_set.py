"""A set of scenes: its names, and the rooms that are generated where they are missing."""

import pytest

from wsss_ros.config import build
from wsss_ros.rooms.generator import scene_name
from wsss_ros.training import scene_set
from wsss_ros.training.scene_set import SceneSetConfig, generate_missing_rooms, names_in_set
from wsss_ros.types import BadInput


@pytest.fixture
def rooms(tmp_path, monkeypatch) -> SceneSetConfig:
    """Three rooms; ``generate_room`` only makes their folders."""

    def make_folder(out_folder: str, seed: int, frames: int | None, kinds: tuple, size: tuple, **named):
        folder = tmp_path / scene_name(seed, **named)
        folder.mkdir()
        (folder / "options").write_text(f"{out_folder} {frames} {kinds} {size}")
        return folder

    monkeypatch.setattr(scene_set, "generate_room", make_folder)
    settings = {"scenes": 3, "seed": 7, "frames": 5, "kinds": ["office"], "size": [64, 48]}
    return build(SceneSetConfig, {"folder": str(tmp_path), "rooms": settings})


def test_only_missing_rooms_are_generated(rooms, tmp_path):
    assert names_in_set(rooms) == ["room0007_00", "room0008_00", "room0009_00"]
    (tmp_path / "room0008_00").mkdir()
    calls = []
    generate_missing_rooms(rooms, progress=lambda *call: calls.append(call))
    assert calls == [(2, 3), (3, 3)]
    assert sorted(path.parent.name for path in tmp_path.glob("*/options")) == ["room0007_00", "room0009_00"]
    assert (tmp_path / "room0007_00" / "options").read_text() == f"{tmp_path} 5 ('office',) (64, 48)"


def test_some_rooms_are_generated_by_name(rooms, tmp_path):
    generate_missing_rooms(rooms, ["room0009_00"])
    assert [path.name for path in tmp_path.iterdir()] == ["room0009_00"]


def test_a_set_without_rooms_has_the_scenes_of_its_folder(tmp_path):
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "list.txt").write_text("b\n# c\nb\n")
    generate_missing_rooms(SceneSetConfig(folder=str(tmp_path)))
    assert names_in_set(SceneSetConfig(folder=str(tmp_path))) == ["a", "b"]
    assert names_in_set(SceneSetConfig(folder=str(tmp_path), scenes=str(tmp_path / "list.txt"))) == ["b"]
    with pytest.raises(BadInput, match="no such folder"):
        names_in_set(SceneSetConfig(folder=str(tmp_path / "nowhere")))
