"""Bags that are read: complete, broken off, or not bags at all."""

import contextlib
import logging
import sqlite3
import struct
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.tiny_scene import TinyScene

from wsss_ros.bags.bag import Bag, read_bag
from wsss_ros.bags.cdr import typestore
from wsss_ros.bags.recording import SceneRecording
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> tuple[bytes, list]:
    path = write_bag(TinyScene(frames=3), tmp_path_factory.mktemp("complete") / "a.mcap")
    return path.read_bytes(), list(Bag(path).raw())


@given(share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_bag_cut_anywhere_gives_its_complete_messages(tmp_path_factory, complete, share):
    data, messages = complete
    path = tmp_path_factory.mktemp("cut") / "a.mcap"
    path.write_bytes(data[: int(share * (len(data) - 1))])
    try:
        opened = Bag(path)
    except BadInput:
        first = data.index(bytes(messages[0].data)) + len(messages[0].data)
        assert path.stat().st_size < first
        return
    got = list(opened.raw())
    assert "is cut off" in opened.broken and str(len(got)) in opened.broken
    assert len(got) == opened.message_count and [raw[:3] for raw in got] == [raw[:3] for raw in messages[: len(got)]]
    assert all(bytes(a.data) == bytes(b.data) for a, b in zip(got, messages, strict=False))
    if len(got) < len(messages):  # the next message was really cut
        assert bytes(messages[len(got)].data) not in path.read_bytes()


def test_a_broken_bag_is_reported_once_and_keeps_its_qos(tmp_path, complete, caplog):
    data, messages = complete
    (tmp_path / "a.mcap").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        read = list(read_bag(tmp_path / "a.mcap"))
    assert 0 < len(read) < len(messages)
    assert [record.getMessage() for record in caplog.records].count(Bag(tmp_path / "a.mcap").broken) == 1
    filled = {topic for topic, *_ in read}
    assert set(Bag(tmp_path / "a.mcap").topics) == {t for t in SceneRecording(TinyScene()).topics if t.name in filled}
    assert read[1][2].header.frame_id == "map"


def test_a_broken_folder_is_read_file_by_file(tmp_path, complete):
    path = write_bag(TinyScene(frames=3), tmp_path / "a")
    file = path / "a.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    opened = Bag(path)
    assert 0 < opened.message_count < len(complete[1]) and "is cut off" in opened.broken


def compressed(path: Path, raws: list) -> Path:
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        topics = {raw.topic: raw.msgtype for raw in raws}
        connections = {t: writer.add_connection(t, k, typestore=typestore()) for t, k in topics.items()}
        for raw in raws:
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
    return path / f"{path.name}.mcap"


def test_a_cut_zstd_bag(tmp_path):
    raws = list(SceneRecording(TinyScene(frames=20, scale=8)).raw())
    file = compressed(tmp_path / "z", raws)
    assert Bag(tmp_path / "z").message_count == len(raws)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    got = list(Bag(file).raw())
    assert len(raws) // 3 < len(got) < len(raws)
    assert all(bytes(a.data) == bytes(b.data) and a[:3] == b[:3] for a, b in zip(got, raws, strict=False))


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "cut.mcap"])
def test_some_topics_alone_are_the_same_messages(name, tmp_path):
    path = write_bag(TinyScene(frames=4), tmp_path / name.replace("cut", "a"))
    if name == "cut.mcap":
        path.write_bytes(path.read_bytes()[:-100])
    bag = Bag(path)
    for topics in ({"/pose", "/tf"}, {"/color/image_raw"}, {"/none"}, ()):
        got = [(raw.topic, raw.stamp_ns, bytes(raw.data)) for raw in bag.raw(topics)]
        assert got == [(raw.topic, raw.stamp_ns, bytes(raw.data)) for raw in bag.raw() if raw.topic in topics]
        assert bool(got) == (topics not in ({"/none"}, ()))


def test_damage_in_the_middle_is_reported_with_the_number_of_messages_before(tmp_path):
    path = write_bag(TinyScene(frames=20, scale=8), tmp_path / "a.mcap")
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place : place + 400_000] = b"\xff" * 400_000  # more than one view: a record's length is hit
    path.write_bytes(data)
    got = []
    with pytest.raises(BadInput, match=r"damaged after \d+ of 124 messages"):
        got.extend(Bag(path).raw())
    assert 40 < len(got) < 80


def test_types_of_others(tmp_path):
    with Writer(tmp_path / "a", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        store = get_typestore(Stores.ROS2_JAZZY)
        store.register(get_types_from_msg("uint32 count\nstring name", "other_msgs/msg/Thing"))
        thing = writer.add_connection("/thing", "other_msgs/msg/Thing", typestore=store)
        message = store.types["other_msgs/msg/Thing"](count=7, name="seven")
        writer.write(thing, 5, store.serialize_cdr(message, "other_msgs/msg/Thing"))
    ((topic, at, message),) = read_bag(tmp_path / "a")
    assert (topic, at, message.count, message.name) == ("/thing", 5, 7, "seven")
    assert "other_msgs/msg/Thing" not in typestore().types


# --- MCAP by hand ---------------------------------------------------------------------------------


def record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def handmade(profile: str = "ros2", compression: str = "lz4") -> bytes:
    """An MCAP after the specification, with one chunk, out-of-order messages and no end."""
    definition = text("std_msgs/msg/String") + text("ros2msg") + text("string data")
    inner = record(0x03, struct.pack("<H", 1) + definition)
    inner += record(0x04, struct.pack("<HH", 7, 1) + text("/said") + text("cdr") + struct.pack("<I", 0))
    for at, word in ((30, b"late\0"), (10, b"soon\0")):
        cdr = b"\0\1\0\0" + struct.pack("<I", len(word)) + word
        inner += record(0x05, struct.pack("<HIQQ", 7, 0, at, at) + cdr)
    packed = lz4.frame.compress(inner) if compression == "lz4" else inner
    chunk = struct.pack("<QQQI", 10, 30, len(inner), 0) + text(compression) + struct.pack("<Q", len(packed)) + packed
    return b"\x89MCAP0\r\n" + record(0x01, text(profile) + text("by hand")) + record(0x06, chunk)


@pytest.mark.parametrize("compression", ["lz4", ""])
def test_a_handmade_mcap_without_an_end(tmp_path, compression):
    (tmp_path / "a.mcap").write_bytes(handmade(compression=compression))
    got = [(topic, at, message.data) for topic, at, message in read_bag(tmp_path / "a.mcap")]
    assert got == [("/said", 10, "soon"), ("/said", 30, "late")]


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", "not a rosbag2"),
        (b"x, y, z\n1, 2, 3\n", "not a rosbag2 .it starts with b'x, y, z"),
        (b"#ROSBAG V2.0\nmore", "this ROS 1 bag cannot be read .*rosbag reindex"),
        (b"SQLite format 3\0" + b"\0" * 100, "broken and cannot be read"),
        (handmade(profile="protobuf"), "profile 'protobuf'; expected one of 'ros2'"),
        (handmade(compression="own"), "no complete message"),
        (b"\x89MCAP0\r\n", "no complete message"),
    ],
)
def test_foreign_files(tmp_path, content, text):
    (tmp_path / "a.mcap").write_bytes(content)
    with pytest.raises(BadInput, match=text):
        Bag(tmp_path / "a.mcap")


def test_foreign_places(tmp_path):
    with pytest.raises(BadInput, match="no such bag"):
        read_bag(tmp_path / "nothing.mcap")
    with pytest.raises(BadInput, match="not a bag; looked for metadata.yaml"):
        read_bag(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "o.db3")) as other:
        other.execute("create table t(a)")
    with pytest.raises(BadInput, match="cannot be read"):
        read_bag(tmp_path / "o.db3")
