"""Salvage of a SQLite bag that is cut off or damaged: its messages in the order they were written, up to the damage."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from wsss_ros.bags.salvage import Channel
from wsss_ros.bags.unpacking import uri, whole_pages
from wsss_ros.types import BadInput


class Row(NamedTuple):
    """The place of one message."""

    stamp_ns: int
    row: int
    channel: int


@dataclass
class SqliteSalvage:
    """The complete messages of a file."""

    path: Path
    channels: dict[int, Channel] = field(default_factory=dict)
    entries: list[Row] = field(default_factory=list)

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, stamp_ns, serialised message) in time order, each read when it is needed."""
        with _opened(self.path) as database:
            for stamp_ns, row, number in self.entries:
                (data,) = database.execute("SELECT data FROM messages WHERE rowid = ?", (row,)).fetchone()
                yield self.channels[number], stamp_ns, data


def salvage_sqlite(path: Path) -> SqliteSalvage:
    """Find every complete message. Raises BadInput where the list of the topics cannot be read."""
    found = SqliteSalvage(whole_pages(path))
    try:
        with _opened(found.path) as database:
            found.channels = _channels(database)
            with contextlib.suppress(sqlite3.Error):  # here is the damage
                # The row as it lies in the file, with its data: no index, which may be damaged elsewhere.
                rows = database.execute("SELECT rowid, topic_id, timestamp, data FROM messages")
                for row, number, stamp_ns, _ in rows:
                    if number in found.channels:
                        found.entries.append(Row(stamp_ns, row, number))
    except sqlite3.Error as error:
        raise BadInput(f"{path}: the bag is broken and cannot be read ({error}); record it again") from error
    found.entries.sort()
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(uri(path), uri=True)) as database:
        # SQLite refuses a file with fewer pages than its header has, unless the schema may be repaired.
        database.execute("PRAGMA writable_schema=ON")
        yield database


def _channels(database: sqlite3.Connection) -> dict[int, Channel]:
    columns = {row[1] for row in database.execute("PRAGMA table_info(topics)")}
    qos = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
    definitions: dict[str, tuple[str, str]] = {}
    with contextlib.suppress(sqlite3.Error):  # older files have no definitions
        rows = database.execute("SELECT topic_type, encoded_message_definition, encoding FROM message_definitions")
        definitions = {name: (text, encoding) for name, text, encoding in rows}
    topics = database.execute(f"SELECT id, name, type, {qos} FROM topics WHERE serialization_format = 'cdr'")
    return {n: Channel(name, kind, *definitions.get(kind, ("", "")), text) for n, name, kind, text in topics}
