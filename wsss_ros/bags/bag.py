"""Reading rosbag2 files without ROS, complete bags and bags that are cut off."""

import logging
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any, cast

from rosbags.interfaces import Connection, ConnectionExtRosbag2, Qos, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import parse_qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros.bags.recording import Raw, Topic
from wsss_ros.bags.ros1 import ROS1_MAGIC, Ros1File
from wsss_ros.bags.salvage import Salvage, salvage
from wsss_ros.bags.sqlite_salvage import SqliteSalvage, salvage_sqlite
from wsss_ros.bags.unpacking import MCAP_MAGIC, PACKED, SQLITE_MAGIC, magic, message, readable
from wsss_ros.files import visible
from wsss_ros.scenes.cloud_files import is_cloud_file
from wsss_ros.scenes.reading import SCENE_FILES
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

SUFFIXES = {".mcap": "mcap", ".db3": "sqlite3"}
PARTIAL = ".partial"  # suffix of a folder with an incomplete bag
# What a bag without metadata.yaml consists of.
_PATTERNS = [f"*{end}{packed}" for end in SUFFIXES for packed in ("", *PACKED)]


def read_bag(path: str | Path) -> Iterator[tuple[str, int, Any]]:
    """The messages of the bag ``path`` in time order, as (topic, stamp_ns, message), each decoded when it is needed.

    Messages of a type that is neither part of ROS 2 Jazzy nor defined in the bag are left out with a warning. Raises
    BadInput as ``Bag`` does.
    """
    return _decoded(Bag(Path(path)))


def _decoded(bag: "Bag") -> Iterator[tuple[str, int, Any]]:
    types = bag.types()
    unknown = {topic.msgtype for topic in bag.topics} - set(types.types)
    if unknown:
        log.warning("%s: messages of unknown type are left out: %s", bag.path, ", ".join(sorted(unknown)))
    for raw in bag.raw():
        if raw.msgtype not in unknown:
            yield raw.topic, raw.stamp_ns, raw.decoded(types)


def is_bag(path: Path) -> bool:
    """Whether the path is read as a bag: a folder with metadata.yaml, storage files or a part, or any other file.

    Files of clouds and the YAML files that name a scene folder (``scenes.reading``) are not.
    """
    if not path.is_dir():
        return path.is_file() and not is_cloud_file(path) and path.suffix.lower() not in SCENE_FILES
    files = any(any(path.glob(pattern)) for pattern in _PATTERNS)
    return files or (path / "metadata.yaml").exists() or path.name.endswith(PARTIAL)


def bag_name(path: Path) -> str:
    """The name of a bag: that of its folder, or of its file without the suffixes of compression and storage."""
    whole = path.resolve()
    if not path.is_file():
        return whole.name
    return whole.with_suffix("").stem if whole.suffix in PACKED else whole.stem


@dataclass
class Bag:
    """A bag to read: a .mcap or .db3 file, a rosbag2 folder, or a .bag file of ROS 1.

    ``topics`` are those with messages: a recorder notes also those on which nothing came. Files and messages that are
    compressed are unpacked. Topics that are not serialised as CDR are left out.
    A bag that is cut off is read up to its last complete message. The message ``broken`` then reports how much is
    complete; it is logged after the last message. Raises BadInput for a file or folder that is not a bag, and for a
    bag without complete messages.
    """

    path: Path
    topics: tuple[Topic, ...] = field(init=False)
    message_count: int = field(init=False)
    start_ns: int = field(init=False)
    end_ns: int = field(init=False)
    broken: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Open every file and collect topics and times, without decoding messages."""
        self.path = Path(self.path)
        self._parts = sorted((_open(file) for file in _files(self.path)), key=lambda part: part.start_ns)
        counts = [part.message_count for part in self._parts]
        self.message_count = sum(counts)
        if not self.message_count:
            raise BadInput(f"{self.path}: the bag holds no complete message; record it again")
        filled = [part for part in self._parts if part.message_count]
        self.start_ns = min(part.start_ns for part in filled)
        self.end_ns = max(part.end_ns for part in filled)
        self.topics = tuple({topic.name: topic for part in self._parts for topic in part.topics}.values())
        if any(part.broken for part in self._parts):
            self.broken = (
                f"{self.path}: the bag is cut off; {self.message_count} messages, {self.seconds:.1f} s, are complete "
                f"and are used, the rest is lost; record or write it again to get all messages"
            )

    @property
    def seconds(self) -> float:
        """Time between the first and the last message."""
        return (self.end_ns - self.start_ns) / 1e9

    def raw(self, topics: Container[str] | None = None) -> Iterator[Raw]:
        """Serialised messages in time order, of all topics or of ``topics``.

        Raises BadInput when it reaches a damaged part of the bag.
        """
        yield from self._in_order([part for part in self._parts if part.message_count], topics)
        if self.broken:
            log.warning(self.broken)

    def _in_order(self, parts: "list[_Complete | _Scanned | Ros1File]", topics: Container[str] | None) -> Iterator[Raw]:
        """The messages of the parts one after the other, or mixed where their times overlap."""
        ends = [part.end_ns for part in parts]
        if all(end <= part.start_ns for end, part in zip(ends, parts[1:], strict=False)):
            return chain.from_iterable(part.raw(topics) for part in parts)
        return merge(*(part.raw(topics) for part in parts), key=lambda raw: raw.stamp_ns)

    def types(self) -> Typestore:
        """The message types of ROS 2 Jazzy and those that the bag defines. A definition with a fault is left out."""
        store = get_typestore(Stores.ROS2_JAZZY)
        for part in self._parts:
            for msgtype, (definition, encoding) in part.definitions.items():
                if msgtype in store.types or not definition:
                    continue
                try:
                    parsed = _parsed(msgtype, definition, encoding)
                    store.register({name: fields for name, fields in parsed.items() if name not in store.types})
                except Exception as error:  # rosbags raises of many kinds; the other topics do not need this one
                    log.debug("%s: the definition of %s cannot be read (%s)", self.path, msgtype, error)
        return store


def _parsed(msgtype: str, definition: str, encoding: str) -> dict[str, Any]:
    """The types of a definition. In IDL, rosbag2 puts a line before each type: IDL: and its name."""
    if encoding != "idl":
        return get_types_from_msg(definition, msgtype)
    texts = re.split(r"^=+\nIDL: .*\n", definition, flags=re.MULTILINE)
    return {name: fields for text in texts if text.strip() for name, fields in get_types_from_idl(text).items()}


class _Complete:
    """A bag, or one file of it, that rosbags reads."""

    broken = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with Reader(path) as reader:
            connections = [c for c in reader.connections if _extension(c).serialization_format == "cdr"]
            filled = [c for c in connections if c.msgcount]
            self.indexed = _is_indexed(reader)
            self.message_count = sum(c.msgcount for c in filled)
            self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1
            self.topics = [_topic(c.topic, c.msgtype, _extension(c).offered_qos_profiles) for c in filled]
            self.definitions = {c.msgtype: (c.msgdef.data, c.msgdef.format.name.lower()) for c in connections}

    def raw(self, topics: Container[str] | None) -> Iterator[Raw]:
        count, total = 0, self.message_count
        try:
            with Reader(self.path) as reader:
                cdr = (c for c in reader.connections if _extension(c).serialization_format == "cdr" and c.msgcount)
                chosen = [c for c in cdr if topics is None or c.topic in topics]
                total = sum(c.msgcount for c in chosen)
                for connection, stamp_ns, data in reader.messages(chosen) if chosen else ():
                    yield Raw(connection.topic, connection.msgtype, stamp_ns, message(data))
                    count += 1
        except Exception as error:  # rosbags does not catch errors of sqlite, struct and the codecs
            raise BadInput(
                f"{self.path}: damaged after {count} of {total} messages ({error}); record it again"
            ) from error


class _Scanned:
    """A file that is cut off, or has no index: its messages were found one by one."""

    def __init__(self, found: Salvage | SqliteSalvage, broken: bool) -> None:
        self.found, self.broken = found, broken
        self.message_count = len(found.entries)
        self.start_ns, self.end_ns = (found.entries[i].stamp_ns if found.entries else 0 for i in (0, -1))
        filled = {entry.channel for entry in found.entries}
        channels = [channel for number, channel in found.channels.items() if number in filled]
        self.topics = [_topic(c.topic, c.msgtype, parse_qos(c.qos_yaml)) for c in channels]
        self.definitions = {c.msgtype: (c.definition, c.encoding.removeprefix("ros2")) for c in channels}

    def raw(self, topics: Container[str] | None) -> Iterator[Raw]:
        for channel, stamp_ns, data in self.found.messages():
            if topics is None or channel.topic in topics:
                yield Raw(channel.topic, channel.msgtype, stamp_ns, message(data))


def _is_indexed(reader: Reader) -> bool:
    """Whether rosbags finds all messages: of MCAP, those that the index of a chunk lists."""
    files: list[Any] = getattr(reader.storage, "storages", [reader.storage])
    chunks = [chunk for file in files for chunk in getattr(file, "chunks", ())]
    if not any(hasattr(file, "chunks") for file in files):
        return True
    return sum(sum(chunk.channel_count.values()) for chunk in chunks) == reader.message_count > 0


def _extension(connection: Connection) -> ConnectionExtRosbag2:
    return cast(ConnectionExtRosbag2, connection.ext)


def _topic(name: str, msgtype: str, offered: list[Qos]) -> Topic:
    """A topic with the weakest quality of service of its publishers, so that every subscriber of it still matches."""
    if not offered:
        return Topic(name, msgtype)
    reliable = all(qos.reliability != QosReliability.BEST_EFFORT for qos in offered)
    latched = all(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in offered)
    return Topic(name, msgtype, reliable, latched, max(1, min(1000, max(qos.depth for qos in offered))))


def _files(path: Path) -> list[Path]:
    """The paths to open: the folder itself if its metadata.yaml names complete files, else each of its files."""
    if not path.exists():
        raise BadInput(f"{path}: there is no such bag; give a .mcap or .db3 file or a rosbag2 folder")
    if not path.is_dir():
        return [path]
    why = "looked for metadata.yaml, *.mcap and *.db3 in it"
    if (path / "metadata.yaml").exists() and not _has_packed_files(path):
        try:
            with Reader(path) as reader:
                if reader.message_count and _is_indexed(reader):
                    return [path]
        except Exception as error:  # a missing or broken file: read the files that exist
            log.debug("%s: not complete (%s)", path, error)
            why = f"its metadata.yaml cannot be used, and it has no other file of a bag ({error})"
    files = sorted(file for pattern in _PATTERNS for file in path.rglob(pattern) if visible(file) and file.is_file())
    unpacked = [file for file in files if not (file.suffix in PACKED and file.with_suffix("") in files)]
    if not unpacked:
        raise BadInput(f"{path}: not a bag; {why}")
    return unpacked


def _has_packed_files(folder: Path) -> bool:
    """Whether whole files are compressed: rosbags would unpack them again at each opening."""
    return any(any(folder.glob(f"*{known}{suffix}")) for known in SUFFIXES for suffix in PACKED)


def _open(path: Path) -> _Complete | _Scanned | Ros1File:
    if path.is_dir():
        return _Complete(path)
    if magic(path).startswith(ROS1_MAGIC):
        return Ros1File(path)
    file = readable(path)
    start = magic(file)
    if not start.startswith(MCAP_MAGIC) and start != SQLITE_MAGIC:
        hint = "; it is a pointer of Git LFS: run `git lfs pull`" if start.startswith(b"version https://") else ""
        content = f"it starts with {start[:8]!r}" if start else "it is empty"
        raise BadInput(f"{path}: not a rosbag2 ({content}); expected MCAP or SQLite{hint}")
    try:
        found = _Complete(file)
        if start == SQLITE_MAGIC or found.indexed:
            return found
    except Exception as error:  # rosbags does not catch errors of sqlite, struct and the codecs
        log.debug("%s: not complete (%s)", path, error)
    if start == SQLITE_MAGIC:
        return _Scanned(salvage_sqlite(file), broken=True)
    salvaged = salvage(file)
    return _Scanned(salvaged, salvaged.broken_at is not None)
