"""The messages of an MCAP file without its index: of one that is cut off, or was written without an index.

The layout by the MCAP specification: 8 bytes of magic, then records of opcode (u8), length (u64) and content, all
little-endian; a string or map starts with its length in bytes (u32).
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import lz4.frame

from wsss_ros.bags.unpacking import MCAP_MAGIC, zstd
from wsss_ros.types import BadInput

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
FILE_LEVEL = -1  # the chunk number of messages outside any chunk


class Channel(NamedTuple):
    """A topic of the file, with the definition of its message type."""

    topic: str
    msgtype: str
    definition: str  # of the message type, in the language ``encoding`` ('ros2msg' or 'ros2idl')
    encoding: str
    qos_yaml: str


class Entry(NamedTuple):
    """The position of one message's bytes. Entries sort by time, then by position in the file."""

    stamp_ns: int
    chunk: int
    start: int
    stop: int
    channel: int


class Chunk(NamedTuple):
    """The position of a chunk's compressed records in the file."""

    compression: str
    start: int
    stop: int


@dataclass
class Salvage:
    """The complete messages of a file.

    ``broken_at`` is the position of the first byte that cannot be read as a record, or None.
    """

    path: Path
    channels: dict[int, Channel] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    broken_at: int | None = None

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, stamp_ns, serialised message) in time order, each read when it is needed."""
        with _mapped(self.path) as buffer:
            load = lru_cache(maxsize=4)(lambda number: self._chunk(buffer, number))
            for entry in self.entries:
                data = load(entry.chunk)[entry.start : entry.stop]
                yield self.channels[entry.channel], entry.stamp_ns, bytes(data)

    def _chunk(self, buffer: mmap.mmap, number: int) -> bytes | mmap.mmap:
        if number == FILE_LEVEL:
            return buffer
        compression, start, stop = self.chunks[number]
        return _decompress(compression, buffer[start:stop])


def salvage(path: Path) -> Salvage:
    """Find every complete message. Raises BadInput when the file is not an MCAP file of ROS 2."""
    found = Salvage(path)
    schemas: dict[int, tuple[str, str, str]] = {}
    with _mapped(path) as buffer:
        if buffer[: len(MCAP_MAGIC)] != MCAP_MAGIC:
            raise BadInput(f"{path}: not an MCAP file (it starts with {bytes(buffer[:8])!r}); give a rosbag2")
        end = _scan(buffer, len(MCAP_MAGIC), FILE_LEVEL, found, schemas)
        found.broken_at = end
    found.entries.sort()
    return found


def _scan(buffer: bytes | mmap.mmap, place: int, chunk: int, found: Salvage, schemas: dict) -> int | None:
    """Read records from byte ``place`` on. Returns None at a proper end, else the byte where the file is cut off."""
    while place < len(buffer):
        try:
            code, length = struct.unpack_from("<BQ", buffer, place)
            start, stop = place + 9, place + 9 + length
            if code == CHUNK:
                _scan_chunk(buffer, start, min(stop, len(buffer)), found, schemas)
            if stop > len(buffer):
                return place
            if code == FOOTER:
                return None if buffer[stop : stop + len(MCAP_MAGIC)] == MCAP_MAGIC else stop
            _read_record(code, buffer, start, stop, chunk, found, schemas)
        except (struct.error, UnicodeDecodeError, KeyError):
            return place
        place = stop
    return place if chunk == FILE_LEVEL else None


def _scan_chunk(buffer: bytes | mmap.mmap, start: int, stop: int, found: Salvage, schemas: dict) -> None:
    """Read the records of a chunk; a chunk that is cut off is decompressed as far as possible."""
    compression, place = _string(buffer, start + 28)
    found.chunks.append(Chunk(compression, place + 8, stop))
    _scan(_decompress(compression, buffer[place + 8 : stop]), 0, len(found.chunks) - 1, found, schemas)


def _read_record(
    code: int, buffer: bytes | mmap.mmap, start: int, stop: int, chunk: int, found: Salvage, schemas: dict
) -> None:
    if code == HEADER:
        profile, _ = _string(buffer, start)
        if profile not in ("ros2", ""):  # some writers name none
            raise BadInput(f"{found.path}: an MCAP file of profile '{profile}'; expected one of 'ros2', a rosbag2")
    elif code == SCHEMA:
        (number,) = struct.unpack_from("<H", buffer, start)
        name, place = _string(buffer, start + 2)
        encoding, place = _string(buffer, place)
        schemas[number] = (name, _string(buffer, place)[0], encoding)
    elif code == CHANNEL:
        number, schema = struct.unpack_from("<HH", buffer, start)
        topic, place = _string(buffer, start + 4)
        serialization, place = _string(buffer, place)
        if serialization == "cdr" and schema in schemas:
            msgtype, definition, encoding = schemas[schema]
            found.channels[number] = Channel(topic, msgtype, definition, encoding, _qos(buffer, place))
    elif code == MESSAGE:
        number, _, stamp_ns = struct.unpack_from("<HIQ", buffer, start)
        if number in found.channels:
            found.entries.append(Entry(stamp_ns, chunk, start + 22, stop, number))


def _qos(buffer: bytes | mmap.mmap, place: int) -> str:
    (length,) = struct.unpack_from("<I", buffer, place)
    stop, place = place + 4 + length, place + 4
    while place < stop:
        key, place = _string(buffer, place)
        value, place = _string(buffer, place)
        if key == "offered_qos_profiles":
            return value
    return ""


def _string(buffer: bytes | mmap.mmap, place: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", buffer, place)
    data = buffer[place + 4 : place + 4 + length]
    if len(data) < length:
        raise struct.error("string cut")
    return bytes(data).decode(), place + 4 + length


def _decompress(compression: str, data: bytes) -> bytes:
    """The data as far as it can be decompressed; empty for broken data or an unknown compression."""
    if compression == "":
        return data
    streams = {"zstd": zstd.ZstdDecompressor, "lz4": lz4.frame.LZ4FrameDecompressor}
    try:
        return streams[compression]().decompress(data)
    except (KeyError, zstd.ZstdError, RuntimeError, EOFError):
        return b""


def _mapped(path: Path) -> mmap.mmap:
    with open(path, "rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # mmap refuses an empty file
            raise BadInput(f"{path}: the file is empty; give a rosbag2") from error
