"""Disks that are full, read-only, of somebody else or gone: what is reported, what is kept, and what goes on."""

import ast
import errno
import logging
import os
import pwd
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.disks import fill, mounted
from support.paths import ROOT
from support.tiny_networks import save_network
from typer.testing import CliRunner

from wsss_ros import files
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import Topic
from wsss_ros.cli.main import app
from wsss_ros.evaluation import pictures
from wsss_ros.files import NotWritten, PartialFolder, expanded, plain_error, write_json, write_text
from wsss_ros.fusion.map_files import AboutMap, read_map, write_map
from wsss_ros.fusion.semantic_map import STATE
from wsss_ros.labels import scannet20
from wsss_ros.networks import checkpoint
from wsss_ros.scenes import images, ply
from wsss_ros.scenes.numpy_files import read_npy, write_npy
from wsss_ros.training.log import TrainingLog
from wsss_ros.types import BadInput

NOISE = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
VERTICES = ply.colored_vertices(NOISE[0].astype(np.float32), NOISE[0])
STATE_OF_MAP = {name: np.arange(9000) for name in STATE}


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "size=4m") as folder:
        yield folder


def network(path: Path) -> None:
    save_network(path, "cloud", scannet20(), seed=1)


WRITERS = {
    "a.txt": lambda path: write_text(path, "x" * 20_000),
    "a.json": lambda path: write_json(path, list(range(20_000))),
    "a.png": lambda path: pictures.save(NOISE, path),
    "b.jpg": lambda path: images.write_rgb(path, NOISE),
    "b.png": lambda path: images.write_uint16(path, NOISE[..., 0].astype(np.uint16) * 251),
    "a.ply": lambda path: ply.write(path, np.tile(VERTICES, 20)),
    "a.npy": lambda path: write_npy(path, NOISE),
    "a.npz": lambda path: write_map(path, AboutMap(("a",), "map", 0.1), STATE_OF_MAP),
    "a.safetensors": network,
}
READERS = {
    "a.json": lambda path: files.read_json(path),
    "a.png": lambda path: images.read_rgb(path),
    "b.jpg": lambda path: images.read_rgb(path),
    "b.png": lambda path: images.read_uint16(path),
    "a.ply": lambda path: ply.read(path),
    "a.npy": lambda path: read_npy(path),
    "a.npz": lambda path: read_map(path),
    "a.safetensors": lambda path: checkpoint.load(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_keeps_the_previous_file(name, small_disk, capfd):
    path = small_disk / name
    path.write_bytes(b"previous")
    fill(small_disk, spare=8192)
    with pytest.raises(NotWritten, match=f"{name}: cannot be written .No space left") as caught:
        WRITERS[name](path)
    text = str(caught.value)
    assert "bytes are needed, 8,192 bytes are free" in text and "the previous file is unchanged" in text
    assert path.read_bytes() == b"previous" and sorted(os.listdir(small_disk)) == [name, "ballast"]
    assert "ignored" not in capfd.readouterr().err  # a second error while the file is closed


@pytest.mark.parametrize("name", READERS)
def test_a_cut_file_is_never_read_as_whole(name, tmp_path):
    """Of an image the last bytes may be missing that say nothing about its pixels."""
    path = tmp_path / name
    WRITERS[name](path)
    whole, data = READERS[name](path) if path.suffix in (".png", ".jpg") else None, path.read_bytes()
    for length in (0, 1, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 8, len(data) - 1):
        path.write_bytes(data[:length])
        try:
            found = READERS[name](path)
        except ValueError:  # BadInput is one
            continue
        assert whole is not None and length >= len(data) - 8 and np.array_equal(found, whole)


def test_the_size_that_is_needed_is_in_the_error(small_disk):
    fill(small_disk, spare=4096)
    with pytest.raises(NotWritten, match="a.txt: cannot be written .*: 5,000 bytes are needed, 4,096 bytes are free"):
        write_text(small_disk / "a.txt", "x" * 5000)


def test_a_quota(tmp_path, monkeypatch):
    """The free bytes of the disk say nothing about a quota."""
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EDQUOT, "quota")))
    with pytest.raises(NotWritten, match="quota exceeded.*: 3 bytes are needed.; free space") as caught:
        write_text(tmp_path / "a.txt", "abc")
    assert "are free" not in str(caught.value) and caught.value.errno == errno.EDQUOT and not os.listdir(tmp_path)


def test_a_read_only_disk(tmp_path):
    with mounted(tmp_path / "disk", "ro") as disk:
        for write in (lambda: write_text(disk / "a" / "b.txt", ""), lambda: PartialFolder(disk / "c")):
            with pytest.raises(NotWritten, match=f"{disk}.*Read-only file system.*a path that this user may write to"):
                write()


def test_a_folder_of_somebody_else():
    if os.geteuid():
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    try:
        os.seteuid(65534)
        with pytest.raises(NotWritten, match=f"{folder}/a.txt: cannot be written .Permission denied"):
            write_text(folder / "a.txt", "")
        with pytest.raises(NotWritten, match="Permission denied"):
            files.writable_folder(folder)
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("kept")
    for write in (
        lambda: write_text(tmp_path / "file" / "a.txt", ""),
        lambda: PartialFolder(tmp_path / "file" / "folder"),
        lambda: files.writable_folder(tmp_path / "file"),
        lambda: files.check_writable(tmp_path / "file" / "folder"),
        lambda: Recorder(tmp_path / "file" / "bag", [Topic("a", "std_msgs/msg/String")]),
    ):
        with pytest.raises(NotWritten, match="file.*cannot be written.*a file is where a folder"):
            write()
    with pytest.raises(NotWritten, match="Is a directory"):
        write_text(tmp_path, "")
    files.check_writable(tmp_path / "new" / "folder")
    assert (tmp_path / "file").read_text() == "kept" and os.listdir(tmp_path) == ["file"]


def test_a_folder_that_disappears(tmp_path):
    partial = PartialFolder(tmp_path / "out")
    shutil.rmtree(partial.inner.parent)
    with pytest.raises(NotWritten, match="out: cannot be written.*missing or was removed.*nothing of it"), partial:
        partial.publish()


def test_an_error_of_an_input_is_not_one_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, PartialFolder(tmp_path / "out"):  # noqa: PT012
        (tmp_path / "input").read_text()
    assert plain_error(caught.value) == f"{tmp_path}/input: No such file or directory"


def test_links_and_devices(tmp_path):
    """A link is written through; a device is not replaced by a file."""
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other" / "file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "other" / "file").read_text() == "new"
    write_text(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()
    if Path("/dev/full").exists():
        with pytest.raises(NotWritten, match="/dev/full: cannot be written .No space left"):
            write_text(Path("/dev/full"), "x")


def test_a_user_without_a_home(monkeypatch):
    def unknown(_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(BadInput, match="~/a: this user has no home.*set HOME"):
        expanded("~/a")
    assert expanded("/a") == Path("/a")


def test_a_recording_on_a_full_disk(small_disk):
    """What was recorded before stays in the partial folder, which never gets the name of a complete bag."""
    bag = Recorder(small_disk / "bag", [Topic("a", "std_msgs/msg/String")])
    fill(small_disk, spare=200_000)
    with pytest.raises(NotWritten, match="bag: cannot be written .No space.*recorded before stay in .*bag.partial"):  # noqa: PT012
        for _ in range(40):
            bag.write("a", 1, os.urandom(100_000))
        bag.close()
    with pytest.raises(NotWritten):
        bag.close()
    assert not (small_disk / "bag").exists() and (small_disk / "bag.partial").is_dir()


def test_curves_end_where_the_disk_is_full_and_the_run_goes_on(small_disk, caplog, capfd):
    board = TrainingLog(small_disk / "log", scannet20(), 0)
    board.add_step("a", 1, {"loss": 1.0}, {})
    board.writer.flush()
    fill(small_disk)
    with caplog.at_level(logging.WARNING, logger="wsss_ros"):
        for step in range(30):
            board._add("picture", Image.fromarray(NOISE), step)
        board.writer.flush()
        board.close()
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the curves of TensorBoard end here, the run goes on"
    ]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["labels", "new", "{out}/a.yaml", "a", "b"], ["labels", "show", "scannet20", "--out", "{out}/a.png"]],
    ids=["labels new", "labels show"],
)
def test_a_command_ends_in_one_line_and_status_1(arguments, tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, [each.format(out=tmp_path / "file") for each in arguments])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert f"wsss: {tmp_path}/file/a." in result.stderr and "a file is where a folder" in result.stderr


# --- one place for writing -------------------------------------------------------------------------

WRITES_ITSELF = {
    "files.py": "the place",
    "bags/unpacking.py": "temporary files",
    "samples/photos.py": "inside a partial folder",
    "scenes/scannet_write.py": "inside a partial folder",
    "scenes/scannet_pseudo.py": "inside a partial folder",
    "online/versions.py": "inside a partial folder",
    "online/records.py": "a log, cut back after an error; a cut line is ignored",
    "online/discarded.py": "a log; a cut line is ignored",
    "ablation/schedule.py": "the log of a child, and its temporary configuration",
    "processes/priority.py": "a file of the kernel",
    "bench/memory.py": "a file of the kernel",
}


MAY_WRITE = re.compile(r"open\(|\.write_text\(|write_bytes|copyfile|copy2|to_csv|savefig|imwrite|tofile")


def writes(tree: ast.AST) -> bool:
    """Whether a module writes to a path by itself: open for writing, Path.write_text, NumPy and torch with a path."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if name == "write_text" and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            return True  # files.write_text has two arguments
        if name in ("write_bytes", "copyfile", "copy2", "to_csv") or (
            name in ("open", "fdopen") and any(set(word) & set("wax") and len(word) < 4 for word in words)
        ):
            return True
        if name in ("savefig", "imwrite", "tofile") and getattr(node.args[0], "id", "") != "file":
            return True
    return False


def test_only_a_few_modules_write_files_themselves():
    """All others use files.replace or a PartialFolder, so that nothing half-written has the name of a complete file."""
    package = ROOT / "wsss_ros"
    texts = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    found = {name for name, text in texts.items() if MAY_WRITE.search(text) and writes(ast.parse(text))}
    assert found == set(WRITES_ITSELF)
