"""Versions of weights: read-only, complete or not there, swapped atomically, not deleted while they may be needed."""

import json
import os
import stat
from pathlib import Path

import pytest

from wsss_ros.online import versions
from wsss_ros.online.versions import Versions
from wsss_ros.types import BadInput


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """Two files in place of checkpoints: versions never read the weights."""
    for name in ("image", "cloud"):
        (tmp_path / name).write_text(f"{name} weights")
    return tmp_path / "image", tmp_path / "cloud"


def opened(files, keep: int = 10) -> Versions:
    return Versions(files[0].parent / "weights", keep, *files)


def promote(store: Versions, files, number: int) -> None:
    versions.make(store.folder, f"{number:04d}", *files, {"round": number})
    store.use(f"{number:04d}", number)


def names(store: Versions) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.is_dir())


def state(store: Versions) -> dict:
    return json.loads((store.folder / "current.json").read_text())


def test_the_first_version_is_a_copy_that_nobody_can_write_to(files):
    store = opened(files)
    first = store.current()
    assert (first.name, first.about["version"]) == ("0000", "0000")
    assert first.image.read_text() == "image weights" and first.cloud.read_text() == "cloud weights"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (first.image.parent, first.image, first.cloud)]
    assert modes == [0o555, 0o444, 0o444]
    files[0].write_text("trained further")
    assert opened(files).current().image.read_text() == "image weights"


def test_promoted_and_rolled_back_also_after_a_restart(files):
    store = opened(files)
    promote(store, files, 2)
    promote(store, files, 5)
    assert state(store) == {"version": "0005", "history": ["0000", "0002", "0005"], "settled": 5}
    again = opened(files)
    assert again.rollback() == "0002" and again.current().name == "0002"
    again = opened(files)
    assert again.current().name == "0002" and again.rollback() == "0000"
    with pytest.raises(BadInput, match="no version before 0000; nothing was changed"):
        again.rollback()
    assert state(again)["version"] == "0000"


def test_settling_a_round_twice_does_not_undo_a_rollback(files):
    store = opened(files)
    promote(store, files, 1)
    store.rollback()
    store.use("0001", 1)
    assert store.current().name == "0000"


def test_old_versions_go_but_never_the_last_two_in_use(files):
    store = opened(files, keep=2)
    for number in range(1, 5):
        promote(store, files, number)
    assert names(store) == state(store)["history"] == ["0003", "0004"]
    assert store.rollback() == "0003"
    promote(store, files, 5)
    assert state(store)["history"] == ["0003", "0005"] and names(store) == ["0003", "0005"]
    assert store.rollback() == "0003"
    assert not list(store.folder.glob(".*"))


def test_a_damaged_newest_version_is_passed_over_with_a_warning(files, caplog):
    store = opened(files)
    promote(store, files, 1)
    broken = store.current().cloud
    broken.chmod(0o644)
    broken.write_text("cloud weight5")
    again = opened(files)
    assert again.current().name == "0000" and state(again)["history"] == ["0000"]
    assert "cloud.safetensors changed since it was written" in caplog.text
    with pytest.raises(BadInput, match="0001: cloud.safetensors changed"):
        versions.at(store.folder, "0001")


def test_without_any_whole_version_it_says_so(files):
    first = opened(files).current()
    first.image.parent.chmod(0o755)
    first.image.unlink()
    with pytest.raises(BadInput, match="no version can be used: .*move the folder away to start over"):
        opened(files)


@pytest.mark.parametrize("content", [None, "{", '{"version": "0001"}', "[]", '{"history": [], "settled": "x"}'])
def test_a_lost_current_file_takes_the_newest_whole_version(files, content):
    store = opened(files)
    promote(store, files, 1)
    (store.folder / "current.json").unlink()
    if content is not None:
        (store.folder / "current.json").write_text(content)
    assert opened(files).current().name == "0001"


def test_leftovers_of_a_crash_are_swept(files):
    store = opened(files)
    for name in (".0007.abc.partial", ".0000.deleted"):
        (store.folder / name).mkdir()
        (store.folder / name / "image.safetensors").write_text("half")
        (store.folder / name).chmod(0o555)
    (store.folder / ".current.json.x.partial").write_text("{")
    assert names(opened(files)) == ["0000"] and not list(store.folder.glob(".*"))


def test_a_version_is_synced_before_it_gets_its_name(files, monkeypatch):
    """Power loss: whatever has the name must be on disk already, the name itself before it is pointed to."""
    store, told = opened(files), []
    fsync, rename = os.fsync, os.rename

    def noted(handle):
        told.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", lambda a, b: (told.append("rename"), rename(a, b)))
    promote(store, files, 1)
    at = told.index("rename")
    assert {Path(path).name for path in told[: at - 1]} == {"image.safetensors", "cloud.safetensors", "about.json"}
    assert told[at - 1].endswith(".partial")
    assert told[at + 1] == str(store.folder) and ".current.json" in told[at + 2]


def test_a_full_disk_leaves_no_half_version(files, monkeypatch):
    store = opened(files)

    def full(source, target):
        Path(target).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        versions.make(store.folder, "0001", *files, {})
    assert sorted(os.listdir(store.folder)) == ["0000", "current.json"]
