"""Saved maps: read back, damaged, of another kind; a process that is killed while it saves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT
from support.waiting import until

from wsss_ros.fusion.map_files import AboutMap, read_map, write_map
from wsss_ros.fusion.map_views import LabelledView
from wsss_ros.fusion.semantic_map import STATE, SemanticMap, SemanticMapConfig
from wsss_ros.types import BadInput, Camera

ABOUT = AboutMap(("wall", "chair"), "map", 0.05)
# Each line on its input starts a process that saves maps of one value each, until it is killed; its id is the answer.
WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from wsss_ros.fusion.map_files import AboutMap, write_map
from wsss_ros.fusion.semantic_map import STATE
about, path = AboutMap(("wall", "chair"), "map", 0.05), Path(sys.argv[1])
for number, _ in enumerate(sys.stdin):
    child = os.fork()
    if not child:
        for value in range(10**6):
            written = {name: np.full(60_000, (value + number) % 100, kind) for name, kind in STATE.items()}
            write_map(path, about, written)
    print(child, flush=True)
"""


def small_map() -> SemanticMap:
    made = SemanticMap(SemanticMapConfig(pixel_stride=1), 2)
    camera = Camera(9.0, 9.0, 3.5, 2.5, 8, 6)
    made.add(LabelledView(np.ones((6, 8), np.uint8), np.ones((6, 8), np.float32), camera, np.eye(4), 5))
    return made


def test_a_map_is_read_as_it_was_written(tmp_path):
    made, path = small_map(), tmp_path / "new" / "room.npz"
    write_map(path, ABOUT, made.state())
    about, state = read_map(path)
    assert about == ABOUT
    assert state.keys() == made.state().keys() == STATE.keys()
    other = SemanticMap(SemanticMapConfig(pixel_stride=1), 2)
    other.restore(state)
    assert np.array_equal(other.cloud().xyz, made.cloud().xyz) and other.stamp_ns == 5


@pytest.mark.parametrize(
    "spoil, why",
    [
        (lambda data: None, "no such file"),
        (lambda data: b"", "not a semantic map"),
        (lambda data: b"a text", "not a semantic map"),
        (lambda data: data[: len(data) // 2], "not a semantic map, or a damaged one"),
        (lambda data: data[:600] + bytes(9) + data[609:], "not a semantic map, or a damaged one"),
    ],
    ids=["missing", "empty", "text", "cut off", "overwritten"],
)
def test_a_broken_file_is_refused(tmp_path, spoil, why):
    path = tmp_path / "map.npz"
    write_map(path, ABOUT, small_map().state())
    changed = spoil(path.read_bytes())
    path.unlink() if changed is None else path.write_bytes(changed)
    with pytest.raises(BadInput, match=why):
        read_map(path)


def test_a_file_of_another_format_says_so(tmp_path):
    about = np.frombuffer(b'{"format": 9}', np.uint8)
    np.savez(tmp_path / "map.npz", about=about, **small_map().state())
    with pytest.raises(BadInput, match="format 9; this version reads 1"):
        read_map(tmp_path / "map.npz")


def test_kill_9_during_a_save_leaves_a_whole_map(tmp_path):
    """Killed at many moments of writing: each time the file is the previous or the next map, never a mixture."""
    path, seen, interrupted = tmp_path / "map.npz", [], 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    for number in range(8):
        left, whole = set(partial(tmp_path)), version(path)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        writer = int(parent.stdout.readline())
        if number % 2 == 0:
            until(lambda whole=whole: version(path) != whole, "no save is complete")
        until(lambda left=left: set(partial(tmp_path)) - left, "nothing is written")
        time.sleep(0.004 * number)
        os.kill(writer, signal.SIGKILL)
        _, state = read_map(path)
        values = {int(value) for array in state.values() for value in (array.min(), array.max())}
        assert len(values) == 1, values
        seen += values
        interrupted += bool(partial(tmp_path))
    parent.kill()
    parent.communicate()
    assert interrupted > 2 and len(set(seen)) > 1
    write_map(path, ABOUT, small_map().state())
    assert not partial(tmp_path), "what killed processes left is removed by the next save"


def version(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def partial(folder: Path) -> list[Path]:
    return list(folder.glob(".map.npz.*.partial"))
