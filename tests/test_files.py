"""Files and folders that appear complete or not at all, JSON, and locks."""

import math
import os
import subprocess
import sys

import pytest

from wsss_ros import files
from wsss_ros.files import PartialFolder, finite, lock, read_json, remove_partial_folders, replace, write_json


def _full(*_):
    raise OSError(28, "No space left on device")


def test_json(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": [1, None]})
    assert path.read_text() == '{\n "x": [\n  1,\n  null\n ]\n}' and read_json(path) == {"x": [1, None]}
    write_json(path, {"x": 1}, indent=None)
    assert path.read_text() == '{"x": 1}' and path.stat().st_mode & 0o777 == 0o644
    path.write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        read_json(path)


def test_json_without_nan():
    assert finite({"a": math.nan, "b": [math.inf, 1.5, ("x", -math.inf)]}) == {"a": None, "b": [None, 1.5, ["x", None]]}


def test_a_file_is_replaced_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace(path, lambda file: file.write(b"old"))
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="No space"):
        replace(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_folder_appears_complete(tmp_path):
    path = tmp_path / "made" / "folder"
    with PartialFolder(path) as partial:
        (partial.inner / "a").write_text("1")
        (hidden,) = os.listdir(path.parent)
        assert hidden.startswith(".folder.partial-")
        partial.publish()
    assert (path / "a").read_text() == "1" and os.listdir(path.parent) == ["folder"]


def test_a_folder_that_is_not_published_leaves_nothing(tmp_path):
    def fail_half_way() -> None:
        with PartialFolder(tmp_path / "folder") as partial:
            (partial.inner / "a").write_text("1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert not os.listdir(tmp_path)


def test_everything_is_on_the_disk_before_the_folder_takes_its_name(tmp_path, monkeypatch):
    synced, sync = [], files.sync
    monkeypatch.setattr(files, "sync", lambda path: (synced.append((path, (tmp_path / "x").exists())), sync(path)))
    with PartialFolder(tmp_path / "x") as partial:
        (partial.inner / "sub").mkdir()
        (partial.inner / "sub" / "a").write_text("1")
        before = {partial.inner, partial.inner / "sub", partial.inner / "sub" / "a"}
        partial.publish()
    assert {path for path, named in synced if not named} == before
    assert [path for path, named in synced if named] == [tmp_path]


def test_partial_folders_of_killed_processes_are_removed(tmp_path):
    left = PartialFolder(tmp_path / "room")
    (tmp_path / "other").mkdir()
    assert remove_partial_folders(tmp_path) == ["room"]
    assert os.listdir(tmp_path) == ["other"] and not left.inner.exists()


@pytest.mark.parametrize("shared", [True, False])
def test_a_lock_holds_between_processes_and_ends_with_them(tmp_path, shared):
    code = (
        "import sys, pathlib; from wsss_ros.files import lock; "
        f"held = lock(pathlib.Path(sys.argv[1]), shared_by_forks={shared}); print('held', flush=True); input()"
    )
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OSError, match="temporarily unavailable"):
            lock(path, shared_by_forks=shared)
        other.kill()
    lock(path, wait=True, shared_by_forks=shared).close()


def test_a_lock_of_the_file_excludes_its_own_process(tmp_path):
    with lock(tmp_path / ".lock"), pytest.raises(BlockingIOError):
        lock(tmp_path / ".lock")
    lock(tmp_path / ".lock").close()


@pytest.mark.parametrize("shared", [True, False])
def test_a_fork_that_outlives_its_parent(tmp_path, shared):
    """A worker of a killed process holds its lock only where the lock is shared."""
    path = tmp_path / ".lock"
    code = (
        "import os, sys, pathlib, time; from wsss_ros.files import lock; "
        f"held = lock(pathlib.Path(sys.argv[1]), shared_by_forks={shared})\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True); os._exit(0)\n"
        "os.close(1)\n"
        "time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    child = int(done.stdout)
    try:
        if shared:
            with pytest.raises(BlockingIOError):
                lock(path, shared_by_forks=shared)
        else:
            lock(path, shared_by_forks=shared).close()
    finally:
        os.kill(child, 9)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_text_of_any_encoding_and_line_end(encoding):
    text = "bild,t\u00fcr\nbild 2,stuhl\n"
    assert files.decode(text.replace("\n", "\r\n").encode(encoding)) == text
    assert files.decode(b"") == ""


def test_yaml_that_cannot_be_used_is_one_kind_of_error():
    copies = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    copies += "".join(f"{b}: &{b} [{','.join(9 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    for text, reason in (("[" * 5000, "deep"), (copies, "too many"), ("a: &a [*a]", "too many"), ("1: [", "expected")):
        with pytest.raises(ValueError, match=reason):
            files.parse_yaml(text)
    with pytest.raises(ValueError, match="digits"):
        files.parse_yaml("a: " + "9" * 5000)
    assert files.parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}
    assert files.parse_yaml("") is None


def test_json_of_any_encoding_and_depth(tmp_path):
    (tmp_path / "a.json").write_bytes('{"a": "é"}'.encode("utf-8-sig"))
    assert read_json(tmp_path / "a.json") == {"a": "é"}
    with pytest.raises(ValueError, match="deep"):
        files.parse_json("[" * 100_000)
