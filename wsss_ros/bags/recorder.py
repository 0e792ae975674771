"""Recording messages of a running system into a bag as they arrive. It needs no ROS."""

from collections.abc import Iterable
from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer

from wsss_ros.bags.recording import Topic
from wsss_ros.bags.writing import clear_partial, connect
from wsss_ros.types import BadInput


class Recorder:
    """Writes a bag folder under the name ``NAME.partial``; ``close`` renames it to ``path``.

    Raises BadInput when ``path`` exists. Methods raise OSError when the disk fails; the messages recorded before stay
    in the partial folder.
    """

    def __init__(self, path: str | Path, topics: Iterable[Topic]) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BadInput(f"{self.path} exists; remove it or record under another name")
        self.partial = clear_partial(self.path)
        self._writer = Writer(self.partial, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = {topic.name: connect(self._writer, topic) for topic in topics}

    def write(self, topic: str, received_ns: int, data: bytes) -> None:
        """Write one serialised message (CDR) with the time at which it was received."""
        self._writer.write(self._connections[topic], received_ns, data)

    def close(self) -> None:
        """Finish the bag and rename it to ``path``."""
        self._writer.close()
        self.partial.rename(self.path)
