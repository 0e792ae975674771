"""Bags of ROS 1 as those of ROS 2: each message is rewritten in the form that its type has in ROS 2."""

import contextlib
import logging
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, cast

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, migrate_message
from rosbags.interfaces import Connection, ConnectionExtRosbag1
from rosbags.rosbag1 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros.bags.cdr import typestore
from wsss_ros.bags.recording import Raw, Topic
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

ROS1_MAGIC = b"#ROSBAG V"


class Ros1File:
    """A .bag file. Topics whose type ROS 2 does not have are left out. Raises BadInput where it cannot be read."""

    broken = False
    definitions: dict[str, tuple[str, str]] = {}  # all of its types are those of ROS 2

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with Reader(path) as reader:
                counts: dict[int, int] = {}
                for chunk in reader.chunk_infos:
                    for number, count in chunk.connection_counts.items():
                        counts[number] = counts.get(number, 0) + count
                filled = [each for each in reader.connections if counts.get(each.id)]
                self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1
        except Exception as error:  # rosbags does not catch errors of struct and the codecs
            text = "run `rosbag reindex` on it, where ROS 1 is installed, or record it again"
            raise BadInput(f"{path}: this ROS 1 bag cannot be read ({error}); {text}") from error
        self._types, new = _types(filled), typestore()
        known = [each for each in filled if each.msgtype in self._types.types and _name(each.msgtype) in new.types]
        if left_out := sorted({each.msgtype for each in filled} - {each.msgtype for each in known}):
            log.warning("%s: messages of types that ROS 2 does not have are left out: %s", path, ", ".join(left_out))
        self.message_count = sum(counts[each.id] for each in known)
        self.topics = [Topic(_topic(each), _name(each.msgtype), latched=_latched(each)) for each in known]
        self._numbers = {each.id for each in known}

    def raw(self, topics: Container[str] | None) -> Iterator[Raw]:
        """Serialised messages in time order. Raises BadInput at a damaged part."""
        count, cache = 0, cast("dict[str, object]", {})
        try:
            with Reader(self.path) as reader:
                known = (each for each in reader.connections if each.id in self._numbers)
                chosen = [each for each in known if topics is None or _topic(each) in topics]
                for connection, stamp_ns, data in reader.messages(chosen) if chosen else ():
                    cdr = self._cdr(connection, data, cache)
                    yield Raw(_topic(connection), _name(connection.msgtype), stamp_ns, cdr)
                    count += 1
        except Exception as error:
            raise BadInput(f"{self.path}: damaged after {count} messages ({error}); record it again") from error

    def _cdr(self, connection: Connection, data: bytes, cache: dict[str, object]) -> memoryview:
        old, new = connection.msgtype, _name(connection.msgtype)
        message: Any = self._types.deserialize_ros1(data, old)
        return typestore().serialize_cdr(migrate_message(self._types, typestore(), old, new, cache, message), new)


def _types(connections: list[Connection]) -> Typestore:
    """The types that the bag defines. A definition with a fault is left out."""
    store = get_typestore(Stores.EMPTY)
    for each in connections:
        with contextlib.suppress(Exception):  # rosbags raises of many kinds; the other topics do not need this one
            parsed = get_types_from_msg(each.msgdef.data, each.msgtype)
            store.register({name: fields for name, fields in parsed.items() if name not in store.types})
    return store


def _name(msgtype: str) -> str:
    return STATIC_MSGTYPE_RENAMES.get(msgtype, msgtype)


def _topic(connection: Connection) -> str:
    return f"/{connection.topic.lstrip('/')}"


def _latched(connection: Connection) -> bool:
    return bool(cast(ConnectionExtRosbag1, connection.ext).latching)
