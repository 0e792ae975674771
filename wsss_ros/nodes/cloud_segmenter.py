"""A cloud in, the same points with class, confidence and class colour out.

Weights announced on ``weights/cloud`` take the place of those at work between two clouds (hand_over.py).
"""

import sys
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2

from wsss_ros.config import CloudSegmenterConfig
from wsss_ros.geometry import find_up, parse_up
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.nodes import conversions
from wsss_ros.nodes.hand_over import HandOver
from wsss_ros.nodes.label_info import publish_label_info
from wsss_ros.nodes.node import MAP, Node, run
from wsss_ros.types import BadInput, Cloud


class CloudSegmenterNode(Node):
    """``semantic_cloud`` has the points of ``cloud`` in their order and organisation, with the same header.

    Points that are not finite stay, with label 255 and confidence 0. An empty cloud is warned of and answered
    with nothing: the last semantic cloud stays latched.
    """

    name = "cloud_segmenter"
    model = CloudSegmenterConfig
    main_job = "cloud"
    networks: HandOver | None = None

    def configure(self) -> None:
        config = self.config
        self.up = None if config.up == "auto" else parse_up(config.up)
        first = self._load(config.weights, labels_named(config.label_space) if config.label_space else None)
        self.space = first.labels
        conversions.warm_up(self.space)
        # Compiles what is compiled at first use; more points than the network sees, for the interpolation.
        self._dry_run(first, config.points + 100)
        self.output = self.publisher(PointCloud2, "semantic_cloud", MAP)
        self.label_info = publish_label_info(self, self.space)
        self.networks = HandOver(self, "weights/cloud", first, config.weights, self._load, self._dry_run)
        self.left_out = 0

    def activate(self) -> None:
        self.listen(PointCloud2, "cloud", lambda message: self.submit("cloud", self.segment, message), MAP, "result")
        self.networks.start()

    def deactivate(self) -> None:
        if self.networks is not None:
            self.networks.stop()

    def release(self) -> None:
        if self.networks is not None:
            self.networks.release()
        self.networks = self.label_info = None

    def summary(self) -> str:
        made = self.networks.current.segmenter
        return f"weights {made.version} of {made.labels.name} on {made.device}"

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        if not self.active:
            return [], {}
        problems, values = self.networks.report()
        return problems, values | {"points_not_finite": str(self.left_out)}

    def segment(self, message: PointCloud2) -> None:
        read = conversions.read_cloud(message)
        self.left_out += read.dropped
        if not len(read.cloud):
            raise BadInput(
                f"empty cloud: {read.dropped} points, none of them finite, in frame '{message.header.frame_id}'; "
                "check what fills the cloud topic"
            )
        up = find_up(read.cloud.xyz) if self.up is None else self.up
        labels, confidence = self.networks.current.segmenter(read.cloud, tuple(map(float, up)))
        self.output.publish(conversions.semantic_cloud_message(message.header, read, labels, confidence, self.space))

    # --- weights ---

    def _load(self, weights: str, labels: LabelSpace | None) -> Any:
        from wsss_ros.inference import CloudSegmenter

        config = self.config
        return CloudSegmenter(weights, config.device, config.precision, config.points, config.threads, labels)

    def _dry_run(self, segmenter: Any, count: int = 2048) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        return segmenter(Cloud(random.random((count, 3), np.float32) * 4, np.zeros((count, 3), np.uint8)))


def main(args: list[str] | None = None) -> int:
    return run(CloudSegmenterNode, args)


if __name__ == "__main__":
    sys.exit(main())
