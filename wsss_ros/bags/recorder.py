"""Record a running system into a bag, message by message as they arrive. No ROS."""

from collections.abc import Iterable
from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer

from wsss_ros.bags.recording import Topic
from wsss_ros.bags.writing import clear_partial, connect
from wsss_ros.types import BadInput


class Recorder:
    """A bag folder under construction in ``NAME.partial``; ``close`` gives it its name.

    Raises BadInput when ``path`` exists. Errors of the disk (OSError) pass through; what was recorded
    before stays under the partial name.
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
        """One serialised message (CDR) and the time it was received at."""
        self._writer.write(self._connections[topic], received_ns, data)

    def close(self) -> None:
        """Finish the bag and give it its name."""
        self._writer.close()
        self.partial.rename(self.path)
