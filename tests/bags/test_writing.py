"""Written bags: complete under their name, or marked as partial."""

import os
import subprocess
import sys

import pytest
import yaml
from support.paths import ROOT
from support.tiny_scene import SECOND, TinyScene

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.recording import SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput


@pytest.mark.parametrize(
    "name, storage", [("a.mcap", None), ("a.db3", None), ("a", None), ("a", "sqlite3"), ("a.b", "mcap")]
)
def test_every_message_comes_back(tmp_path, name, storage):
    scene = TinyScene()
    path = write_bag(scene, tmp_path / name, storage=storage)
    assert os.listdir(tmp_path) == [name]
    assert path.is_file() == (path.suffix in (".mcap", ".db3"))
    expected, got = list(SceneRecording(scene).raw()), list(Bag(path).raw())
    assert len(expected) == 5 * 6 + 2
    assert [raw[:3] for raw in got] == [raw[:3] for raw in expected]
    assert all(bytes(a.data) == bytes(b.data) for a, b in zip(got, expected, strict=True))
    opened = Bag(path)
    assert opened.message_count == len(expected) and not opened.broken
    assert opened.topics == SceneRecording(scene).topics
    assert (opened.start_ns, opened.end_ns) == (scene.frame(0).stamp_ns, scene.frame(4).stamp_ns)


def test_metadata_is_that_of_rosbag2(tmp_path):
    path = write_bag(TinyScene(), tmp_path / "out")
    assert sorted(os.listdir(path)) == ["metadata.yaml", "out.mcap"]
    metadata = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    storage = metadata["version"], metadata["storage_identifier"], metadata["relative_file_paths"]
    assert storage == (9, "mcap", ["out.mcap"])
    assert metadata["message_count"] == 32
    assert metadata["starting_time"]["nanoseconds_since_epoch"] == 1_700_000_000 * SECOND
    topics = {t["topic_metadata"]["name"]: t for t in metadata["topics_with_message_count"]}
    assert topics["/pose"]["message_count"] == 5
    offered = {name: t["topic_metadata"]["offered_qos_profiles"][0] for name, t in topics.items()}
    for name in ("/cloud", "/ground_truth/cloud"):
        assert (offered[name]["durability"], offered[name]["reliability"]) == ("transient_local", "reliable")
    color = offered["/color/image_raw"]
    assert (color["durability"], color["reliability"]) == ("volatile", "best_effort")
    assert offered["/pose"]["reliability"] == "reliable"
    # one file alone is played too: it carries the same description
    alone = write_bag(TinyScene(), tmp_path / "alone.mcap").read_bytes()
    assert b"topics_with_message_count" in alone
    assert alone[:8] == alone[-8:] == b"\x89MCAP0\r\n"


def test_an_existing_file_is_kept_unless_it_is_to_be_overwritten(tmp_path):
    path = write_bag(TinyScene(), tmp_path / "a.mcap")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        write_bag(TinyScene(frames=2), path)
    assert path.read_bytes() == before
    assert Bag(write_bag(TinyScene(frames=2), path, overwrite=True)).message_count == 14
    folder = tmp_path / "precious"
    folder.mkdir()
    with pytest.raises(BadInput, match="not a bag; it is not overwritten"):
        write_bag(TinyScene(), folder, overwrite=True)
    with pytest.raises(BadInput, match="suffix is that of mcap, not of sqlite3"):
        write_bag(TinyScene(), tmp_path / "b.mcap", storage="sqlite3")


def test_progress_counts_views(tmp_path):
    calls = []
    write_bag(TinyScene(), tmp_path / "a.mcap", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 5) for i in range(6)]


FULL_DISK = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from support.tiny_scene import TinyScene
from wsss_ros.bags.recording import SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput
scene = TinyScene(frames=20, scale=8)
list(SceneRecording(scene).raw())  # caches are written before the disk fills up
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))
for name in ("a.mcap", "b.db3", "c"):
    try:
        write_bag(scene, f"{sys.argv[1]}/{name}")
    except BadInput as error:
        print(error)
"""


def test_a_full_disk_leaves_a_marked_partial(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(ROOT), str(ROOT / "tests")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = process.stdout.splitlines()
    assert len(lines) == 3, process.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.mcap.partial", "b.db3.partial", "c.partial"]
    for name, line in zip(("a.mcap", "b.db3", "c"), lines, strict=True):
        assert f"{name}: cannot be written" in line and f"{name}.partial" in line
        with pytest.raises(BadInput, match="no such bag"):
            Bag(tmp_path / name)
    for name in ("a.mcap.partial", "c.partial"):
        salvaged = Bag(tmp_path / name)
        assert "is cut off" in salvaged.broken and 20 < salvaged.message_count < 124
        assert len(list(salvaged.raw())) == salvaged.message_count
    with pytest.raises(BadInput):  # SQLite keeps nothing of what was not committed
        Bag(tmp_path / "b.db3.partial")
