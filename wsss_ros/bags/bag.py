"""rosbag2 files without ROS: write a scene as a bag that `ros2 bag play` plays, and read any bag.

A name that ends in .mcap or .db3 is one file; any other is rosbag2's folder with metadata.yaml. A bag
is written beside its name, in `NAME.partial`, and takes its name only when it is whole.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.rosbag2.metadata import parse_qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros.bags.messages import BagConfig, Raw, SceneRecording, Topic, typestore
from wsss_ros.bags.salvage import MAGIC, Salvage, salvage
from wsss_ros.bags.scene_sequence import SceneSequence
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")

SUFFIXES = {".mcap": "mcap", ".db3": "sqlite3"}
SQLITE_MAGIC = b"SQLite format 3\0"
FOREVER = QosTime(9223372036, 854775807)


def write(
    scene: Scene | list[Scene],
    path: str | Path,
    config: BagConfig | None = None,
    storage: Literal["mcap", "sqlite3"] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``scene`` as the bag ``path`` and return its path; several are played one after the other.

    ``progress(views written, views)`` is called after each view. Raises BadInput when the target
    exists (without ``overwrite``), the scene cannot be recorded or the disk is full; what was
    written until then stays under `NAME.partial`, which is never mistaken for a whole bag.
    """
    path = Path(path)
    storage = _storage(path, storage)
    _check_target(path, overwrite)
    make = SceneSequence if isinstance(scene, list) else SceneRecording
    recording = make(scene, config or BagConfig())
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder = partial / (path.stem if path.suffix in SUFFIXES else path.name)
    try:
        _write_messages(recording, folder, storage, progress)
        _take_name(folder, path)
    except (OSError, sqlite3.Error) as error:
        raise BadInput(
            f"{path}: the bag could not be written whole ({error}); what there is stays in {partial}, marked as "
            f"partial; make room or give another place, then write it again"
        ) from error
    except BaseException:
        log.warning("%s is not whole; what was written until now stays in %s", path, partial)
        raise
    shutil.rmtree(partial)
    return path


def _write_messages(
    recording: SceneRecording | SceneSequence, folder: Path, storage: str, progress: Callable[[int, int], None] | None
) -> None:
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections = {topic.name: connect(writer, topic) for topic in recording.topics}
        views, before = 0, None
        for raw in recording.raw():
            if progress and raw.stamp_ns != before:
                progress(views, len(recording))
                views, before = views + 1, raw.stamp_ns
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
        if progress:
            progress(views, len(recording))


def connect(writer: Writer, topic: Topic) -> Connection:
    return writer.add_connection(
        topic.name, topic.msgtype, typestore=typestore(), offered_qos_profiles=[_offered_qos(topic)]
    )


def _offered_qos(topic: Topic) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        topic.depth,
        QosReliability.RELIABLE if topic.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if topic.latched else QosDurability.VOLATILE,
        FOREVER,
        FOREVER,
        QosLiveliness.AUTOMATIC,
        FOREVER,
        False,
    )


def _storage(path: Path, storage: str | None) -> str:
    by_name = SUFFIXES.get(path.suffix)
    if storage and by_name and storage != by_name:
        suffix = next(suffix for suffix, kind in SUFFIXES.items() if kind == storage)
        raise BadInput(f"{path} is named as {by_name}, but {storage} was asked for; name it *{suffix} or give a folder")
    return storage or by_name or "mcap"


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise BadInput(f"{path} exists already; give another name or ask to overwrite it (wsss bag --overwrite)")
    if path.is_dir() and not (path / "metadata.yaml").exists():
        raise BadInput(f"{path} is a folder but no bag; it is not overwritten, give another name")


def _take_name(folder: Path, path: Path) -> None:
    """The last step: the whole bag, safely on the disk, gets its name."""
    single = path.suffix in SUFFIXES
    whole = folder / f"{folder.name}{path.suffix}" if single else folder
    for file in folder.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(whole, path)


def read(path: str | Path) -> Iterator[tuple[str, int, object]]:
    """(topic, stamp_ns, message) of the bag ``path`` in time order, decoded as they are asked for.

    Messages of a type that is neither of ROS 2 Jazzy nor defined in the bag are left out with a
    warning. Raises BadInput as `Bag` does.
    """
    return _decoded(Bag(path))


def _decoded(bag: "Bag") -> Iterator[tuple[str, int, object]]:
    types = bag.types()
    unknown = {topic.msgtype for topic in bag.topics} - set(types.types)
    if unknown:
        log.warning("%s: messages of unknown type are left out: %s", bag.path, ", ".join(sorted(unknown)))
    for raw in bag.raw():
        if raw.msgtype not in unknown:
            yield raw.topic, raw.stamp_ns, types.deserialize_cdr(raw.data, raw.msgtype)


@dataclass
class Bag:
    """A bag to read: a .mcap or .db3 file, or a rosbag2 folder.

    A bag that breaks off is read as far as it is whole; `broken` then says how far that is, and is
    logged once after the last message. Raises BadInput for a file or folder that is no bag, or holds
    no message.
    """

    path: Path
    topics: tuple[Topic, ...] = field(init=False)
    message_count: int = field(init=False)
    start_ns: int = field(init=False)
    end_ns: int = field(init=False)
    broken: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        self._parts = [_open(file) for file in _files(self.path)]
        counts = [part.message_count for part in self._parts]
        self.message_count = sum(counts)
        if not self.message_count:
            raise BadInput(f"{self.path}: the bag holds no whole message; record it again")
        filled = [part for part in self._parts if part.message_count]
        self.start_ns = min(part.start_ns for part in filled)
        self.end_ns = max(part.end_ns for part in filled)
        self.topics = tuple({topic.name: topic for part in self._parts for topic in part.topics}.values())
        if any(part.broken for part in self._parts):
            self.broken = (
                f"{self.path}: the bag breaks off; {self.message_count} messages, {self.seconds:.1f} s, are whole and "
                f"are used, the rest is lost; record or write it again to have all"
            )

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def raw(self) -> Iterator[Raw]:
        """Serialised messages in time order. Raises BadInput where the bag turns out to be damaged."""
        for part in self._parts:
            yield from part.raw()
        if self.broken:
            log.warning(self.broken)

    def types(self) -> Typestore:
        """Jazzy's message types and those that the bag brings along."""
        store = get_typestore(Stores.ROS2_JAZZY)
        for part in self._parts:
            for msgtype, (definition, encoding) in part.definitions.items():
                if msgtype in store.types or not definition:
                    continue
                idl = encoding == "idl"
                parsed = get_types_from_idl(definition) if idl else get_types_from_msg(definition, msgtype)
                store.register({name: fields for name, fields in parsed.items() if name not in store.types})
        return store


class _Whole:
    """A bag, or one file of it, that rosbags reads."""

    broken = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with Reader(path) as reader:
            self.message_count = reader.message_count
            self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1
            self.topics = [_topic(c.topic, c.msgtype, c.ext.offered_qos_profiles) for c in reader.connections]
            self.definitions = {c.msgtype: (c.msgdef.data, c.msgdef.format.name.lower()) for c in reader.connections}

    def raw(self) -> Iterator[Raw]:
        count = 0
        try:
            with Reader(self.path) as reader:
                for connection, stamp_ns, data in reader.messages():
                    yield Raw(connection.topic, connection.msgtype, stamp_ns, data)
                    count += 1
        except Exception as error:  # rosbags lets errors of sqlite, struct and the codecs through
            raise BadInput(
                f"{self.path}: damaged after {count} of {self.message_count} messages ({error}); record it again"
            ) from error


class _Broken:
    """An MCAP file without its end."""

    broken = True

    def __init__(self, found: Salvage) -> None:
        self.found = found
        self.message_count = len(found.entries)
        self.start_ns, self.end_ns = (found.entries[i].stamp_ns if found.entries else 0 for i in (0, -1))
        channels = found.channels.values()
        self.topics = [_topic(c.topic, c.msgtype, parse_qos(c.qos_yaml)) for c in channels]
        self.definitions = {c.msgtype: (c.definition, c.encoding.removeprefix("ros2")) for c in channels}

    def raw(self) -> Iterator[Raw]:
        for channel, stamp_ns, data in self.found.messages():
            yield Raw(channel.topic, channel.msgtype, stamp_ns, data)


def _topic(name: str, msgtype: str, offered: list[Qos]) -> Topic:
    """Several offers under one name: the weakest, so that each of its subscribers is served."""
    if not offered:
        return Topic(name, msgtype)
    reliable = all(qos.reliability != QosReliability.BEST_EFFORT for qos in offered)
    latched = all(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in offered)
    return Topic(name, msgtype, reliable, latched, max(1, min(1000, max(qos.depth for qos in offered))))


def _files(path: Path) -> list[Path]:
    """What to open: the folder where its metadata.yaml leads to whole files, else the files one by one."""
    if not path.exists():
        raise BadInput(f"{path}: there is no such bag; give a .mcap or .db3 file or a rosbag2 folder")
    if not path.is_dir():
        return [path]
    if (path / "metadata.yaml").exists():
        try:
            with Reader(path):
                return [path]
        except Exception as error:  # a missing or broken file: take what there is
            log.debug("%s: not whole (%s)", path, error)
    files = sorted(file for suffix in SUFFIXES for file in path.rglob(f"*{suffix}") if file.is_file())
    if not files:
        raise BadInput(f"{path}: no bag; looked for metadata.yaml, *.mcap and *.db3 in it")
    return files


def _open(path: Path) -> _Whole | _Broken:
    if path.is_dir():
        return _Whole(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(16)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error})") from error
    if not magic.startswith(MAGIC) and magic != SQLITE_MAGIC:
        raise BadInput(f"{path}: no rosbag2 (it begins with {magic[:8]!r}); wanted MCAP or SQLite{_hint(magic)}")
    try:
        return _Whole(path)
    except Exception as error:
        if magic == SQLITE_MAGIC:
            raise BadInput(f"{path}: the bag is broken and cannot be read ({error}); record it again") from error
    return _Broken(salvage(path))


def _hint(magic: bytes) -> str:
    return "; this is a ROS 1 bag, convert it with rosbags-convert" if magic.startswith(b"#ROSBAG V2") else ""


__all__ = ["Bag", "BagConfig", "Raw", "SceneRecording", "Topic", "read", "write"]
