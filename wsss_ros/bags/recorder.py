"""Recording messages of a running system into a bag as they arrive. It needs no ROS."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer

from wsss_ros.bags.recording import Topic
from wsss_ros.bags.writing import clear_partial, connect
from wsss_ros.files import NotWritten, expanded, not_written, size_of, sync_all, writable_folder
from wsss_ros.types import BadInput


class Recorder:
    """Writes a bag folder under the name ``NAME.partial``; ``close`` renames it to ``path``.

    Raises BadInput when ``path`` exists. Methods raise NotWritten, an OSError, when the disk fails: the messages that
    were recorded before stay in the partial folder, which is not renamed.
    """

    def __init__(self, path: str | Path, topics: Iterable[Topic]) -> None:
        self.path = expanded(path)
        if self.path.exists():
            raise BadInput(f"{self.path} exists; remove it or record under another name")
        self.partial = clear_partial(self.path)
        self._failure: NotWritten | None = None
        writable_folder(self.path.parent)
        self._writer = Writer(self.partial, version=9, storage_plugin=StoragePlugin.MCAP)
        with self._named():
            self._writer.open()
            self._connections = {topic.name: connect(self._writer, topic) for topic in topics}

    def write(self, topic: str, received_ns: int, data: bytes) -> None:
        """Write one serialised message (CDR) with the time at which it was received."""
        with self._named():
            self._writer.write(self._connections[topic], received_ns, data)

    def close(self) -> None:
        """Finish the bag and rename it to ``path``."""
        with self._named():
            self._writer.close()
            sync_all(self.partial)
            self.partial.rename(self.path)

    @contextmanager
    def _named(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            kept = f"the messages recorded before stay in {self.partial}"
            self._failure = not_written(self.path, error, kept, size_of(self.partial))
            raise self._failure from error
