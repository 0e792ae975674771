"""`recorder`: writes what the nodes take and give into a bag, for machines without `ros2 bag record`.

Messages are stamped with the time of their arrival, as `ros2 bag record` does, so that the bag tells
latencies; their own headers tell what they belong to.
"""

import importlib
import time
from typing import Any

from pydantic import Field
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message

from wsss_ros.bags.recorder import Recorder as Bag
from wsss_ros.bags.recording import Topic
from wsss_ros.nodes.node import Node, NodeConfig, run

_IMAGE, _CLOUD = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2"
# A reliable subscriber would not match best-effort publishers: only what our nodes publish reliably is asked for so.
TOPICS = (
    Topic("color/image_raw", _IMAGE, reliable=False, depth=50),
    Topic("cloud", _CLOUD, latched=True),
    Topic("semantic/image_raw", _IMAGE, depth=50),
    Topic("semantic/confidence", _IMAGE, depth=50),
    Topic("semantic_overlay/image_raw", _IMAGE, depth=50),
    Topic("semantic/points", _CLOUD),
    Topic("semantic_cloud", _CLOUD, latched=True),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
)


class RecorderConfig(NodeConfig):
    output: str = Field("recording", description="Folder of the bag; it must not exist yet.")


class RecorderNode(Node):
    name = "recorder"
    model = RecorderConfig
    main_job = "record"

    _bag: Bag | None = None

    def activate(self) -> None:
        self._bag = Bag(self.config.output, [self._resolved(topic) for topic in TOPICS])
        for topic in TOPICS:
            self._record(topic)
        self.get_logger().info(f"records into {self.config.output}")

    def deactivate(self) -> None:
        if self._bag is not None:
            self._bag.close()
            self._bag = None

    def _resolved(self, topic: Topic) -> Topic:
        return topic._replace(name=self.resolve_topic_name(topic.name))

    def _record(self, topic: Topic) -> None:
        package, _, kind = topic.msgtype.split("/")
        qos = QoSProfile(
            depth=topic.depth,
            reliability=ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
        )

        name = self.resolve_topic_name(topic.name)

        def write(message: Any) -> None:
            self._bag.write(name, time.time_ns(), serialize_message(message))

        self.listen(getattr(importlib.import_module(f"{package}.msg"), kind), topic.name, write, qos, "the recording")


def main(args: list[str] | None = None) -> int:
    return run(RecorderNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
