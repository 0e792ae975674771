"""Reading rosbag2 files without ROS, complete bags and bags that are cut off."""

import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rosbags.interfaces import ConnectionExtRosbag2, Qos, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import parse_qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros.bags.recording import Raw, Topic
from wsss_ros.bags.salvage import MAGIC, Salvage, salvage
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

SUFFIXES = {".mcap": "mcap", ".db3": "sqlite3"}
PARTIAL = ".partial"  # suffix of a folder with an incomplete bag
SQLITE_MAGIC = b"SQLite format 3\0"


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
            yield raw.topic, raw.stamp_ns, types.deserialize_cdr(raw.data, raw.msgtype)


def is_bag(path: Path) -> bool:
    """Whether the path is read as a bag: any file, a folder with metadata.yaml or storage files, a partial folder."""
    if not path.is_dir():
        return path.is_file()
    files = any(any(path.glob(f"*{suffix}")) for suffix in SUFFIXES)
    return files or (path / "metadata.yaml").exists() or path.name.endswith(PARTIAL)


@dataclass
class Bag:
    """A bag to read: a .mcap or .db3 file, or a rosbag2 folder.

    ``topics`` are those with messages: a recorder notes also those on which nothing came.
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
        self._parts = [_open(file) for file in _files(self.path)]
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
        for part in self._parts:
            yield from part.raw(topics)
        if self.broken:
            log.warning(self.broken)

    def types(self) -> Typestore:
        """The message types of ROS 2 Jazzy and those that the bag defines."""
        store = get_typestore(Stores.ROS2_JAZZY)
        for part in self._parts:
            for msgtype, (definition, encoding) in part.definitions.items():
                if msgtype in store.types or not definition:
                    continue
                idl = encoding == "idl"
                parsed = get_types_from_idl(definition) if idl else get_types_from_msg(definition, msgtype)
                store.register({name: fields for name, fields in parsed.items() if name not in store.types})
        return store


class _Complete:
    """A bag, or one file of it, that rosbags reads."""

    broken = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with Reader(path) as reader:
            self.message_count = reader.message_count
            self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1
            # A file without statistics counts nothing.
            filled = [c for c in reader.connections if c.msgcount] or reader.connections
            qos = [cast(ConnectionExtRosbag2, c.ext).offered_qos_profiles for c in filled]
            self.topics = [_topic(c.topic, c.msgtype, q) for c, q in zip(filled, qos, strict=True)]
            self.definitions = {c.msgtype: (c.msgdef.data, c.msgdef.format.name.lower()) for c in reader.connections}

    def raw(self, topics: Container[str] | None) -> Iterator[Raw]:
        count, total = 0, self.message_count
        try:
            with Reader(self.path) as reader:
                chosen = [c for c in reader.connections if topics is None or c.topic in topics]
                total = sum(c.msgcount for c in chosen)
                for connection, stamp_ns, data in reader.messages(chosen) if chosen else ():
                    yield Raw(connection.topic, connection.msgtype, stamp_ns, data)
                    count += 1
        except Exception as error:  # rosbags does not catch errors of sqlite, struct and the codecs
            raise BadInput(
                f"{self.path}: damaged after {count} of {total} messages ({error}); record it again"
            ) from error


class _Broken:
    """An MCAP file without its end."""

    broken = True

    def __init__(self, found: Salvage) -> None:
        self.found = found
        self.message_count = len(found.entries)
        self.start_ns, self.end_ns = (found.entries[i].stamp_ns if found.entries else 0 for i in (0, -1))
        filled = {entry.channel for entry in found.entries}
        channels = [channel for number, channel in found.channels.items() if number in filled]
        self.topics = [_topic(c.topic, c.msgtype, parse_qos(c.qos_yaml)) for c in channels]
        self.definitions = {c.msgtype: (c.definition, c.encoding.removeprefix("ros2")) for c in channels}

    def raw(self, topics: Container[str] | None) -> Iterator[Raw]:
        for channel, stamp_ns, data in self.found.messages():
            if topics is None or channel.topic in topics:
                yield Raw(channel.topic, channel.msgtype, stamp_ns, data)


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
    if (path / "metadata.yaml").exists():
        try:
            with Reader(path):
                return [path]
        except Exception as error:  # a missing or broken file: read the files that exist
            log.debug("%s: not complete (%s)", path, error)
    files = sorted(file for suffix in SUFFIXES for file in path.rglob(f"*{suffix}") if file.is_file())
    if not files:
        raise BadInput(f"{path}: not a bag; looked for metadata.yaml, *.mcap and *.db3 in it")
    return files


def _open(path: Path) -> _Complete | _Broken:
    if path.is_dir():
        return _Complete(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(16)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error})") from error
    if not magic.startswith(MAGIC) and magic != SQLITE_MAGIC:
        raise BadInput(f"{path}: not a rosbag2 (it starts with {magic[:8]!r}); expected MCAP or SQLite{_hint(magic)}")
    try:
        return _Complete(path)
    except Exception as error:
        if magic == SQLITE_MAGIC:
            raise BadInput(f"{path}: the bag is broken and cannot be read ({error}); record it again") from error
    return _Broken(salvage(path))


def _hint(magic: bytes) -> str:
    return "; this is a ROS 1 bag, convert it with rosbags-convert" if magic.startswith(b"#ROSBAG V2") else ""
