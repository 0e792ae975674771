"""The scene store after crashes, power cuts and full disks: every scene is complete or not there."""

import errno
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.disks import fill, mounted
from support.scene_stream import LABELS, collect, discarded, is_complete, names_below, store_in, view, walk
from support.waiting import until

from wsss_ros import files
from wsss_ros.online.open_scene import OpenScene
from wsss_ros.online.store import SceneStore
from wsss_ros.online.stored_scene import StoredScene
from wsss_ros.types import BadInput


def test_everything_is_on_the_disk_before_the_scene_takes_its_name(tmp_path, monkeypatch):
    synced, renamed, sync, rename = set(), [], files.sync, os.replace

    def replaced(source, target):
        if Path(target).parent.name == "scenes":
            missing = [path for path in [source, *Path(source).rglob("*")] if path not in synced]
            renamed.append((target, missing))
            synced.clear()
        rename(source, target)

    monkeypatch.setattr(files, "sync", lambda path: (synced.add(path), sync(path)))
    monkeypatch.setattr(os, "replace", replaced)
    stored = collect(store_in(tmp_path))
    assert renamed == [(stored.folder, [])] and synced == {tmp_path / "scenes"}


def test_what_a_power_cut_leaves_is_swept_away(tmp_path):
    """A scene that was written but not renamed; one that was renamed away but not noted; half a line."""
    store = store_in(tmp_path)
    kept, gone = collect(store), collect(store, ("bed",))
    unfinished = store.create()
    unfinished.add(view())
    shutil.copytree(kept.folder, tmp_path / "scenes" / ".other.partial-abc" / "other")
    os.replace(gone.folder, gone.folder.with_name(f".{gone.name}.let-go"))
    (tmp_path / "let_go.jsonl").write_text('{"scene": "cut sh')
    again = store_in(tmp_path)
    assert again.scenes() == [kept] and names_below(tmp_path / "scenes") == [kept.name]
    line = json.loads((tmp_path / "let_go.jsonl").read_text().splitlines()[1])
    assert (line["scene"], line["tags"], line["number"]) == (gone.name, ["bed"], 2) and "interrupted" in line["reason"]
    assert collect(again).number == 3


def test_a_scene_half_deleted_at_the_crash_does_not_stop_the_next_start(tmp_path):
    gone = tmp_path / "scenes" / ".x.let-go"
    gone.mkdir(parents=True)
    (gone / "scene.json").write_text("{")
    assert store_in(tmp_path).scenes() == [] and not gone.exists()
    assert [line["scene"] for line in discarded(tmp_path)] == ["x"]


def stored_names(folder: Path) -> set[str]:
    """Return the names of the scenes that are stored now."""
    return {path.name for path in folder.glob("scenes/[!.]*")}


def _collect_for_ever(folder: Path) -> None:
    store = store_in(folder, max_scenes=3)
    for k in itertools.count():
        collect(store, (LABELS.names[k % 5],), views=4)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_at_any_moment_leaves_whole_scenes_or_none(tmp_path):
    collect(store_in(tmp_path / "warm"))  # compiled before the fork
    rng, stored = np.random.default_rng(0), []
    for kill in range(10):
        process = multiprocessing.get_context("fork").Process(target=_collect_for_ever, args=(tmp_path,))
        before = stored_names(tmp_path)
        process.start()
        if kill % 2:
            until(lambda before=before: stored_names(tmp_path) - before, "no scene was stored")
        time.sleep(rng.uniform(0.05, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        scenes = store_in(tmp_path).scenes()
        stored.append([scene.number for scene in scenes])
        assert all(map(is_complete, scenes)) and len(scenes) <= 4  # one more where the kill came before room was made
        assert names_below(tmp_path / "scenes") == sorted(scene.name for scene in scenes)
    assert max(map(max, filter(None, stored))) > 3  # some were stored, some were discarded
    lines = discarded(tmp_path)
    assert len({line["scene"] for line in lines}) == len(lines)
    assert not {line["scene"] for line in lines} & {scene.name for scene in scenes}


@pytest.fixture
def small_disk(tmp_path):
    """2 MB of memory as a disk; only root may mount one."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield folder


def fill_and_finish(store: SceneStore, scene: OpenScene) -> StoredScene | None:
    """Add four views and a tag, and store the scene."""
    for frame in walk(4):
        scene.add(frame)
    scene.tag_scene(["chair"])
    return store.finish(scene, "asked for")


def test_a_disk_full_at_any_moment(small_disk):
    """With any room left, down to none: a scene is stored complete or not at all, and the others stay."""
    store, kept, outcomes, faults = store_in(small_disk), [], Counter(), []
    kept.append(collect(store, ("bed",), views=4))
    for spare in range(0, 600_000, 25_000):
        ballast = fill(small_disk, spare)
        scene = store.create()  # folders take no room there
        try:
            kept.append(fill_and_finish(store, scene))
            outcomes["stored"] += 1
        except BadInput as error:
            outcomes["in a frame" if scene.lost else "at the end"] += 1
            faults.append(str(error))
            if scene.lost:
                with pytest.raises(BadInput, match="No space left"):
                    scene.add(view())
                assert store.finish(scene, "the disk is full") is None
        ballast.unlink()
        assert store.scenes() == kept and all(map(is_complete, kept))
        assert names_below(small_disk / "scenes") == sorted(each.name for each in kept)
        if len(kept) == 2:
            kept.remove(removed := kept[1])
            shutil.rmtree(removed.folder)
    assert set(outcomes) == {"stored", "in a frame", "at the end"}
    assert all("No space left" in fault for fault in faults)


@pytest.mark.parametrize("limit", [3_000, 60_000])
def test_a_file_that_does_not_fit(tmp_path, limit):
    """On any machine: the system refuses a file in the middle, a picture or, at the end, the cloud."""
    store = store_in(tmp_path)
    kept, before = collect(store, views=4), resource.getrlimit(resource.RLIMIT_FSIZE)
    scene = store.create()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(BadInput, match=f"{os.strerror(errno.EFBIG)}.*nothing of it is left"):
            fill_and_finish(store, scene)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert bool(scene.lost) == (limit == 3_000)
    assert store.scenes() == [kept] and is_complete(kept) and names_below(tmp_path / "scenes") == [kept.name]
    assert collect(store) is not None
