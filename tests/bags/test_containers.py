"""Bags in every container that recorders and people make of them: each gives the messages that were put in."""

import contextlib
import logging
import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from rosbags.convert.converter import migrate_message
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from support.tiny_scene import TinyScene

from wsss_ros.bags import unpacking
from wsss_ros.bags.bag import Bag, bag_name, is_bag, read_bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.bags.cdr import typestore
from wsss_ros.bags.recording import Raw, SceneRecording
from wsss_ros.bags.unpacking import zstd
from wsss_ros.types import BadInput

MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3


@pytest.fixture(scope="module")
def raws() -> list[Raw]:
    return [raw._replace(data=bytes(raw.data)) for raw in SceneRecording(TinyScene(frames=30, scale=2)).raw()]


@pytest.fixture(autouse=True)
def unpacked_in(tmp_path, monkeypatch):
    """Files are unpacked below the folder of the test, and the folder is removed."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield tmp_path / "tmp"
    unpacking.clear()
    assert not list((tmp_path / "tmp").iterdir())


def write(folder: Path, raws: list[Raw], plugin=MCAP, mode: CompressionMode | None = None) -> Path:
    writer = Writer(folder, version=9, storage_plugin=plugin)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topics = {raw.topic: raw.msgtype for raw in raws}
        connections = {name: writer.add_connection(name, kind, typestore=typestore()) for name, kind in topics.items()}
        for raw in raws:
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
    return folder


def the_file(folder: Path) -> Path:
    (file,) = (each for each in folder.iterdir() if each.name != "metadata.yaml")
    return file


def moved(file: Path, target: Path) -> Path:
    """The file alone, without the metadata.yaml next to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(file, target))


def content(raws) -> Counter:
    return Counter((raw.topic, raw.msgtype, raw.stamp_ns, bytes(raw.data)) for raw in raws)


def check(path: Path, raws: list[Raw]) -> Bag:
    bag = Bag(path)
    got = list(bag.raw())
    assert content(got) == content(raws) and bag.message_count == len(raws) and not bag.broken
    stamps = [raw.stamp_ns for raw in got]
    assert stamps == sorted(stamps) and (bag.start_ns, bag.end_ns) == (stamps[0], stamps[-1])
    some = {"/pose", "/cloud"}
    assert content(bag.raw(some)) == content(raw for raw in raws if raw.topic in some)
    assert {(topic.name, topic.msgtype) for topic in bag.topics} == {raw[:2] for raw in raws}
    assert all(kind in bag.types().types for _, kind in {raw[:2] for raw in raws})
    return bag


MODES = [
    (plugin, mode)
    for plugin in (MCAP, SQLITE)
    for mode in (None, CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE)
    if (plugin, mode) != (SQLITE, CompressionMode.STORAGE)
]


@pytest.mark.parametrize("plugin, mode", MODES)
@pytest.mark.parametrize("alone", ["folder", "without metadata.yaml", "file"])
def test_each_storage_and_compression(tmp_path, raws, plugin, mode, alone):
    path = write(tmp_path / "bag", raws, plugin, mode)
    if alone != "folder":
        (path / "metadata.yaml").unlink()
    assert is_bag(path)
    check(the_file(path) if alone == "file" else path, raws)


def test_a_compressed_file_is_unpacked_once(tmp_path, raws, unpacked_in):
    path = write(tmp_path / "bag", raws, SQLITE, CompressionMode.FILE)
    first, second = Bag(path), Bag(path)
    assert len(list(first.raw())) == len(list(second.raw())) == len(raws)
    assert len(list(unpacked_in.rglob("*.db3"))) == 1
    shutil.copy(next(unpacked_in.rglob("*.db3")), path / "bag.db3")  # as `ros2 bag play` of older versions left it
    check(path, raws)


@pytest.mark.parametrize("packed", ["zst", "lz4"])
def test_a_file_that_was_compressed_by_hand(tmp_path, raws, packed):
    data = the_file(write(tmp_path / "bag", raws)).read_bytes()
    file = tmp_path / f"walk.mcap.{packed}"
    file.write_bytes(zstd.compress(data) if packed == "zst" else lz4.frame.compress(data))
    check(file, raws)
    assert bag_name(file) == "walk" and bag_name(tmp_path / "bag") == "bag"
    short = tmp_path / f"short.mcap.{packed}"
    short.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    bag = Bag(short)
    assert "is cut off" in bag.broken and 0 < len(list(bag.raw())) < len(raws)


@pytest.mark.parametrize("plugin", [MCAP, SQLITE])
@pytest.mark.parametrize("metadata", [True, False])
def test_many_files(tmp_path, raws, plugin, metadata):
    """bag_10 comes after bag_9, also where only the names say so."""
    folder, each = tmp_path / "bag", -(-len(raws) // 12)
    parts = [raws[start : start + each] for start in range(0, len(raws), each)]
    assert len(parts) == 12
    files = []
    for number, part in enumerate(parts):
        file = the_file(write(tmp_path / f"part{number}", part, plugin))
        files.append(moved(file, folder / f"bag_{number}{file.suffix}").name)
    if metadata:
        whole = write(tmp_path / "whole", raws, plugin)
        text = (whole / "metadata.yaml").read_text()
        one = the_file(whole).name
        listed = "\n".join(f"  - {name}" for name in files)
        assert f"  relative_file_paths:\n  - {one}\n" in text
        text = text.replace(f"  relative_file_paths:\n  - {one}\n", f"  relative_file_paths:\n{listed}\n")
        (folder / "metadata.yaml").write_text(text)
    check(folder, raws)
    (folder / files[3]).unlink()
    got = list(Bag(folder).raw())
    assert content(got) == content(raw for number, part in enumerate(parts) for raw in part if number != 3)


def test_files_whose_times_overlap_are_mixed(tmp_path, raws):
    """Two recorders at the same time."""
    for name, chosen in (("a", "/pose"), ("b", "")):
        file = the_file(write(tmp_path / name, [raw for raw in raws if (raw.topic == "/pose") == bool(chosen)]))
        moved(file, tmp_path / "bag" / f"{name}.mcap")
    check(tmp_path / "bag", raws)


# --- MCAP of other writers ---


def records(data: bytes):
    place = 8
    while place < len(data) - 8:
        code, length = struct.unpack_from("<BQ", data, place)
        yield code, data[place + 9 : place + 9 + length]
        place += 9 + length


def in_chunk(content: bytes):
    """The records of a chunk that is not compressed."""
    return records(bytes(8) + content[40:] + bytes(8))


def record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def lz4_chunk(content: bytes) -> bytes:
    """The same chunk, compressed with lz4."""
    start, compression = content[:24], content[28:32]
    assert compression == bytes(4), "not compressed"
    inner = content[40:]
    packed = lz4.frame.compress(inner)
    return start + struct.pack("<I", 0) + text("lz4") + struct.pack("<Q", len(packed)) + packed


def rewritten(data: bytes, change: Callable[[int, bytes], bytes], summary: Callable[[int], bool] | None) -> bytes:
    """An MCAP whose records are changed one by one; of its summary, the records of some kinds, or none."""
    out, place = bytearray(data[:8]), 0
    in_data = True
    chunks: list[tuple[int, int]] = []
    kept = bytearray()
    for code, content in records(data):
        if in_data:
            if code == 0x06:
                content = change(code, content)
                chunks.append((len(out), len(content) + 9))
            if code in (0x01, 0x03, 0x04, 0x05, 0x06, 0x0F):
                out += record(code, content)
            in_data = code != 0x0F
        elif code == 0x08 and summary is not None and summary(code):
            start, length = chunks[place]
            place += 1
            stamps = content[:16]
            kept += record(code, stamps + struct.pack("<QQIQ", start, length, 0, 0) + text("lz4") + bytes(16))
        elif summary is not None and code != 0x02 and summary(code):
            kept += record(code, content)
    footer = struct.pack("<QQI", len(out) if kept else 0, 0, 0)
    return bytes(out + kept + record(0x02, footer) + data[:8])


SUMMARIES = {
    "no summary": None,
    "no index of messages": lambda code: code in (0x03, 0x04, 0x08, 0x0B),
    "no statistics": lambda code: code in (0x03, 0x04, 0x08),
    "topics alone": lambda code: code in (0x03, 0x04),
}


@pytest.mark.parametrize("summary", SUMMARIES.values(), ids=SUMMARIES)
def test_mcap_with_lz4_chunks_and_with_parts_of_the_summary(tmp_path, raws, summary):
    data = the_file(write(tmp_path / "bag", raws)).read_bytes()
    (tmp_path / "other.mcap").write_bytes(rewritten(data, lambda code, content: lz4_chunk(content), summary))
    assert len((tmp_path / "other.mcap").read_bytes()) < len(data)
    check(tmp_path / "other.mcap", raws)


def test_mcap_without_chunks_whose_messages_are_not_in_order(tmp_path, raws):
    data = the_file(write(tmp_path / "bag", raws)).read_bytes()
    inner = [one for code, content in records(data) if code == 0x06 for one in in_chunk(content)]
    messages = [record(*one) for one in inner if one[0] == 0x05]
    known = [record(*one) for one in inner if one[0] != 0x05]
    head = record(0x01, text("") + text("another writer"))
    end = record(0x0F, bytes(4)) + record(0x02, bytes(20)) + data[:8]
    (tmp_path / "flat.mcap").write_bytes(data[:8] + head + b"".join(known + messages[::-1]) + end)
    check(tmp_path / "flat.mcap", raws)


def test_other_serialisations_in_it_do_not_matter(tmp_path, raws):
    """A channel of JSON next to those of ROS, as Foxglove's writers make them."""
    data = the_file(write(tmp_path / "bag", raws)).read_bytes()
    inner = [one for code, content in records(data) if code == 0x06 for one in in_chunk(content)]
    schema = struct.pack("<H", 900) + text("Status") + text("jsonschema") + text("{}")
    channel = struct.pack("<HH", 900, 900) + text("/status") + text("json") + struct.pack("<I", 0)
    said = struct.pack("<HIQQ", 900, 0, 5, 5) + b'{"a": 1}'
    extra = record(0x03, schema) + record(0x04, channel) + record(0x05, said)
    body = b"".join(record(*one) for one in inner)
    end = record(0x0F, bytes(4)) + record(0x02, bytes(20)) + data[:8]
    (tmp_path / "mixed.mcap").write_bytes(data[:8] + record(0x01, text("ros2") + text("x")) + extra + body + end)
    check(tmp_path / "mixed.mcap", raws)


# --- SQLite ---


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_sqlite_that_is_cut_off(tmp_path, raws, share):
    file = moved(the_file(write(tmp_path / "bag", raws, SQLITE)), tmp_path / "cut.db3")
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    bag = Bag(file)
    got = list(bag.raw())
    assert "is cut off" in bag.broken and str(len(got)) in bag.broken
    assert (share - 0.25) * len(raws) < len(got) == bag.message_count < len(raws)
    assert content(got) == content(raws[: len(got)]), "the first messages, each complete"


@pytest.mark.parametrize("size", [16, 17, 18, 100])
def test_sqlite_that_ends_in_its_header(tmp_path, raws, size):
    file = moved(the_file(write(tmp_path / "bag", raws[:1], SQLITE)), tmp_path / "header.db3")
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BadInput, match="header.db3"):
        Bag(file)


def test_sqlite_whose_last_messages_are_in_its_journal(tmp_path, raws):
    """A recorder that was killed leaves them there."""
    file = moved(the_file(write(tmp_path / "bag", raws, SQLITE)), tmp_path / "live.db3")
    killed = tmp_path / "killed"
    killed.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        last = raws[-1].stamp_ns + 10**9
        live.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)", (last, raws[0].data))
        live.commit()
        for path in tmp_path.glob("live.db3*"):
            shutil.copy(path, killed / path.name)
    assert (killed / "live.db3-wal").stat().st_size
    before = {path.name: path.read_bytes() for path in killed.iterdir()}
    check(killed / "live.db3", [*raws, raws[0]._replace(stamp_ns=last)])
    assert before == {path.name: path.read_bytes() for path in killed.iterdir()}, "the recording itself stays"


@pytest.mark.parametrize("name", ["take #2 50%.db3", "is it?.db3", "Küche 1.db3", "bag", "walk.bag2"])
@pytest.mark.parametrize("plugin", [MCAP, SQLITE])
def test_any_name(tmp_path, raws, name, plugin):
    check(moved(the_file(write(tmp_path / "x", raws, plugin)), tmp_path / "my bags" / name), raws)


# --- types ---


def other_types(idl: bool = False):
    store = get_typestore(Stores.ROS2_JAZZY)
    if idl:
        store.register(get_types_from_idl("module o { module msg { struct Thing { uint32 count; }; }; };"))
    else:
        store.register(get_types_from_msg("uint32 count\nstd_msgs/Header header", "o/msg/Thing"))
    return store


@pytest.mark.parametrize("plugin", [MCAP, SQLITE])
@pytest.mark.parametrize("fault", [None, "no definition", "a definition that cannot be read"])
def test_types_of_others_do_not_matter(tmp_path, raws, plugin, fault, labels, caplog):
    store = other_types()
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        topics = {raw.topic: raw.msgtype for raw in raws}
        connections = {name: writer.add_connection(name, kind, typestore=typestore()) for name, kind in topics.items()}
        broken = {"no definition": "", "a definition that cannot be read": "uint32 {{ ???"}
        given = {} if fault is None else {"msgdef": broken[fault], "rihs01": "RIHS01_" + "0" * 64}
        thing = writer.add_connection("/thing", "o/msg/Thing", **(given or {"typestore": store}))
        message = store.types["o/msg/Thing"](3, store.types["std_msgs/msg/Header"](_time(store), "f"))
        for raw in raws:
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
        writer.write(thing, raws[-1].stamp_ns, store.serialize_cdr(message, "o/msg/Thing"))
    scene = BagScene(tmp_path / "bag", labels)
    assert len(scene) == 30
    with caplog.at_level(logging.WARNING):
        things = [message for topic, _, message in read_bag(tmp_path / "bag") if topic == "/thing"]
    if fault is None:
        assert [(message.count, message.header.frame_id) for message in things] == [(3, "f")]
    else:
        assert not things and "messages of unknown type are left out: o/msg/Thing" in caplog.text


def _time(store):
    return store.types["builtin_interfaces/msg/Time"](1, 2)


def test_definitions_in_idl(tmp_path):
    """As rosbag2 writes them: a line before each type."""
    store = other_types(idl=True)
    idl = "module o { module msg { struct Thing { uint32 count; }; }; };"
    line = "=" * 80 + "\nIDL: o/msg/Thing\n"
    with Writer(tmp_path / "bag", version=9, storage_plugin=MCAP) as writer:
        thing = writer.add_connection("/thing", "o/msg/Thing", typestore=store)
        writer.write(thing, 5, store.serialize_cdr(store.types["o/msg/Thing"](7), "o/msg/Thing"))
    data = the_file(tmp_path / "bag").read_bytes()

    def as_idl(code: int, content: bytes) -> bytes:
        inner = []
        for one, body in in_chunk(content):
            if one == 0x03:
                body = body[:2] + text("o/msg/Thing") + text("ros2idl") + text(line + idl)
            inner.append(record(one, body))
        packed = b"".join(inner)
        return content[:16] + struct.pack("<QI", len(packed), 0) + text("") + struct.pack("<Q", len(packed)) + packed

    (tmp_path / "idl.mcap").write_bytes(rewritten(data, as_idl, None))
    ((_, at, message),) = read_bag(tmp_path / "idl.mcap")
    assert (at, message.count) == (5, 7)


# --- ROS 1 ---


@pytest.mark.parametrize("compression", [None, *Ros1Writer.CompressionFormat])
def test_a_bag_of_ros_1_is_read_as_one_of_ros_2(tmp_path, raws, compression, labels, caplog):
    new, old = typestore(), get_typestore(Stores.ROS1_NOETIC)
    old.register(get_types_from_msg("uint32 count", "o/msg/Thing"))
    for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
        old.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))
    older = {"tf2_msgs/msg/TFMessage": "tf/msg/tfMessage"} if compression is None else {}
    writer, cache = Ros1Writer(tmp_path / "a.bag"), {}
    if compression is not None:
        writer.set_compression(compression)
    with writer:
        topics = {raw.topic: raw.msgtype for raw in raws}
        made = {
            name: writer.add_connection(name.lstrip("/"), older.get(kind, kind), typestore=old)
            for name, kind in topics.items()
        }
        thing = writer.add_connection("thing", "o/msg/Thing", typestore=old)
        for raw in raws:
            message = new.deserialize_cdr(raw.data, raw.msgtype)
            message = migrate_message(new, old, raw.msgtype, raw.msgtype, cache, message)
            writer.write(made[raw.topic], raw.stamp_ns, old.serialize_ros1(message, raw.msgtype))
        writer.write(thing, raws[0].stamp_ns, old.serialize_ros1(old.types["o/msg/Thing"](1), "o/msg/Thing"))
    with caplog.at_level(logging.WARNING):
        check(tmp_path / "a.bag", raws)
    assert "types that ROS 2 does not have are left out: o/msg/Thing" in caplog.text
    frame = BagScene(tmp_path / "a.bag", labels).frame(3)
    np.testing.assert_array_equal(frame.rgb, TinyScene(frames=30, scale=2).frame(3).rgb)
    (tmp_path / "cut.bag").write_bytes((tmp_path / "a.bag").read_bytes()[:-2000])
    with pytest.raises(BadInput, match="this ROS 1 bag cannot be read .*rosbag reindex"):
        Bag(tmp_path / "cut.bag")


def test_a_definition_of_ros_1_that_cannot_be_read_does_not_matter(tmp_path, raws):
    old = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(tmp_path / "a.bag") as writer:
        text = writer.add_connection("/text", "std_msgs/msg/String", typestore=old)
        thing = writer.add_connection("/thing", "o/msg/Thing", msgdef="uint32 {{ ???", md5sum="0" * 32)
        said = old.serialize_ros1(old.types["std_msgs/msg/String"]("hello"), "std_msgs/msg/String")
        writer.write(text, 5, said)
        writer.write(thing, 6, b"1234")
    assert [(topic, at, message.data) for topic, at, message in read_bag(tmp_path / "a.bag")] == [("/text", 5, "hello")]


def test_a_full_temporary_folder_is_named(tmp_path, raws, monkeypatch):
    path = write(tmp_path / "bag", raws, MCAP, CompressionMode.FILE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking, "_decompressed", full)
    with pytest.raises(BadInput, match="cannot be unpacked to .*No space left.*set TMPDIR"):
        Bag(path)


# --- what is wrong is named ---


def test_a_damaged_message_is_named(tmp_path, raws, labels):
    cut = next(raw for raw in raws if raw.topic == "/color/camera_info")
    changed = [raw._replace(data=raw.data[:-100]) if raw is cut else raw for raw in raws]
    seconds = f"{cut.stamp_ns / 1e9:.3f}"
    with pytest.raises(BadInput, match=f"/color/camera_info: the message of {seconds} s is damaged: .*CameraInfo"):
        BagScene(write(tmp_path / "bag", changed), labels).frame(0)
    packed = write(tmp_path / "packed", raws, SQLITE, CompressionMode.MESSAGE)
    (packed / "metadata.yaml").unlink()
    with contextlib.closing(sqlite3.connect(the_file(packed))) as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 20) WHERE rowid = 5")
        database.commit()
    with pytest.raises(BadInput, match="a compressed message is damaged"):
        list(Bag(packed).raw())


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("bag/metadata.yaml", b"a: [", "its metadata.yaml cannot be used, and it has no other file of a bag"),
        ("bag/bag.mcap", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS: run `git lfs pull`"),
        ("bag/bag.mcap", b"", "not a rosbag2"),
        ("bag/bag.db3.zstd", unpacking.ZSTD_MAGIC, "not a rosbag2"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path, name, content, text):
    (tmp_path / "bag").mkdir()
    (tmp_path / name).write_bytes(content)
    assert is_bag(tmp_path / "bag")
    with pytest.raises(BadInput, match=text):
        Bag(tmp_path / "bag")


def test_metadata_whose_files_are_missing_says_so(tmp_path, raws):
    path = write(tmp_path / "bag", raws)
    the_file(path).unlink()
    with pytest.raises(BadInput, match="its metadata.yaml cannot be used.*files are missing.*bag.mcap"):
        Bag(path)
