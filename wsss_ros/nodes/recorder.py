"""`recorder`: writes inputs and results of the nodes into a bag, for machines without `ros2 bag record`.

Messages are stamped with the time of their arrival, as `ros2 bag record` does, so that latencies can be read from the
bag; their own headers show what they belong to.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from pydantic import Field
from rclpy.serialization import serialize_message

from wsss_ros.bags.recorder import Recorder as Bag
from wsss_ros.bags.recording import Topic
from wsss_ros.files import NotWritten
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.process import run
from wsss_ros.nodes.recorded_topics import message_class, quality
from wsss_ros.nodes.transport import ImageTransport
from wsss_ros.nodes.view_sources import Need

_COLOR = "color/image_raw"
_IMAGE, _JPEG, _CLOUD = (f"sensor_msgs/msg/{kind}" for kind in ("Image", "CompressedImage", "PointCloud2"))
# A reliable subscriber does not match best-effort publishers: only topics that our nodes publish reliably are reliable.
TOPICS = (
    Topic(_COLOR, _IMAGE, reliable=False, depth=50),
    Topic(f"{_COLOR}/compressed", _JPEG, reliable=False, depth=50),
    Topic("cloud", _CLOUD, latched=True),
    Topic("semantic/image_raw", _IMAGE, depth=50),
    Topic("semantic/confidence", _IMAGE, depth=50),
    Topic("semantic_overlay/image_raw", _IMAGE, depth=50),
    Topic("semantic/points", _CLOUD),
    Topic("semantic_cloud", _CLOUD, latched=True),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
)
_ANSWERED = ("cloud", "semantic_cloud")  # each cloud is answered with a result of the same stamp
UNANSWERED_S = 300.0  # without any message, after which a result of the last cloud is no longer expected


class RecorderConfig(NodeConfig):
    """Parameters of the recorder."""

    output: str = Field("recording", description="Folder of the bag; it must not exist yet.")
    end_when_quiet_s: float = Field(
        0.0,
        ge=0,
        le=600,
        description="End by itself when the images have no publisher any more and this long after the last message; "
        "0: never.",
    )


class RecorderNode(Node):
    """Writes TOPICS into a bag while it is active. With ``end_when_quiet_s`` it ends when a replay is over.

    The result of the last cloud may take longer on a busy machine: it is awaited, for minutes.
    """

    name = "recorder"
    model = RecorderConfig
    config: RecorderConfig
    main_job = "record"
    alone = False  # two bags may play, or be recorded, at once

    _bag: Bag | None = None

    def activate(self) -> None:
        """Open the bag and subscribe."""
        self._names = {topic.name: self.resolve_topic_name(topic.name) for topic in TOPICS}
        self._bag = Bag(self.config.output, [topic._replace(name=self._names[topic.name]) for topic in TOPICS])
        self._has_images, self._last_message = False, time.monotonic()
        self._clouds: dict[str, Any] = {}  # stamp of the newest message of both cloud topics
        self._record_images(*TOPICS[:2])
        for topic in TOPICS[2:]:
            self._record(topic)
        if self.config.end_when_quiet_s:
            self.every(0.2, self._end_when_quiet)
        self.get_logger().info(f"records into {self.config.output}")

    def deactivate(self) -> None:
        """Close the bag."""
        if self._bag is not None:
            bag, self._bag = self._bag, None
            self._or_end(bag.close)

    def _record_images(self, raw: Topic, compressed: Topic) -> None:
        """Record the colour images in the transport that has a publisher, under the name of this transport."""

        def write(message: Any) -> None:
            self._write(raw if hasattr(message, "encoding") else compressed, message)

        ImageTransport(self, raw.name, "auto", quality(raw)).start(write, Need("recording"))

    def _record(self, topic: Topic) -> None:
        write = partial(self._write, topic)
        self.subscribe(message_class(topic.msgtype), topic.name, write, quality(topic), "recording")

    def _write(self, topic: Topic, message: Any) -> None:
        if self._bag is not None:
            self._or_end(self._bag.write, self._names[topic.name], time.time_ns(), serialize_message(message))
            self._note(topic, message)

    def _or_end(self, step: Callable[..., None], *arguments: Any) -> None:
        """Write to the bag. When the disk does not take it, the recording ends with status 1: the rest is missing."""
        try:
            step(*arguments)
        except NotWritten as error:
            if not self.exit_status:
                self.fail(str(error))

    def _note(self, topic: Topic, message: Any) -> None:
        if topic.msgtype in (_IMAGE, _JPEG, _CLOUD):
            self._last_message = time.monotonic()
        if topic.name in _ANSWERED:
            self._clouds[topic.name] = message.header.stamp
        self._has_images |= topic.name.startswith(_COLOR)

    def _end_when_quiet(self) -> None:
        if not self._has_images or any(self.count_publishers(self._names[topic.name]) for topic in TOPICS[:2]):
            return
        cloud, result = (self._clouds.get(name) for name in _ANSWERED)
        patience_s = self.config.end_when_quiet_s if cloud == result else UNANSWERED_S
        if time.monotonic() - self._last_message > patience_s:
            self.get_logger().info("the images have ended and nothing follows: the recording ends")
            self.context.try_shutdown()


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(RecorderNode, args)


if __name__ == "__main__":
    main()
