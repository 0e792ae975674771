"""The image segmenter without a ROS graph, in simulated time: messages arrive while its slow network runs."""

import heapq
import logging
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
from support.view_messages import HEIGHT, WIDTH, camera_info, depth_image, image, pose

from wsss_ros.bags import codec
from wsss_ros.labels import scannet20
from wsss_ros.nodes.health import Health
from wsss_ros.nodes.image_segmenter import ImageSegmenterConfig, ImageSegmenterNode
from wsss_ros.nodes.worker import Worker

MAKE = {"color": image, "depth": depth_image, "camera": camera_info, "pose": pose}
TOPICS = {
    "color": "color/image_raw",
    "depth": "depth/image_rect",
    "camera": "color/camera_info",
    "pose": "pose",
}
START_NS = 1_000 * 10**9
Arrival = tuple[float, int, str, int]  # seconds, order at the same time, stream, stamp


class StepWorker(Worker):
    """The worker without its thread: ``step`` runs the next job here."""

    def start(self) -> None:
        self._thread = self  # not None: jobs are taken

    def step(self) -> bool:
        if not (self._queued or self._waiting):
            return False
        kind, (function, arguments, put_at) = self._next()
        self._run(kind, function, arguments, put_at)
        return True


class Topic:
    """A publisher that keeps the stamps of what it is given."""

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def publish(self, message: Any) -> None:
        self.stamps.append(codec.stamp_ns(message.header))


class SimulatedSegmenter(ImageSegmenterNode):
    """The real inputs, jobs and publications of the node. Its network takes ``network_s`` of simulated time."""

    def __init__(self, network_s: float, **parameters: Any) -> None:
        self.config = ImageSegmenterConfig(transport="raw", depth_transport="raw", pose_source="topic", **parameters)
        self.health, self.space = Health(), scannet20()
        self.labels, self.points = Topic(), Topic()
        self.confidence = self.colors = self.overlay = None
        self.networks = SimpleNamespace(start=lambda: None)
        self._worker = StepWorker(self._run_job, lambda kind: self.health.drop(f"{kind} replaced by a newer one"))
        self._worker.start()
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self._network_s, self._now, self._arrivals = network_s, 0.0, []
        self.activate()

    def play(self, arrivals: Iterable[Arrival]) -> None:
        """Deliver all messages, and do the work between them."""
        self._arrivals = sorted(arrivals)
        heapq.heapify(self._arrivals)
        while self._worker.step() or self._arrivals:
            if not (self._worker._queued or self._worker._waiting) and self._arrivals:
                self._deliver_until(self._arrivals[0][0])

    def _deliver_until(self, time_s: float) -> None:
        self._now = max(self._now, time_s)
        while self._arrivals and self._arrivals[0][0] <= self._now:
            _, _, stream, stamp = heapq.heappop(self._arrivals)
            self.guarded(self.callbacks[TOPICS[stream]], MAKE[stream](stamp))

    # --- what the ROS graph and the network would do ---

    def labelled(self, *_: Any) -> tuple[np.ndarray, np.ndarray]:
        self._deliver_until(self._now + self._network_s)
        return np.zeros((HEIGHT, WIDTH), np.uint8), np.ones((HEIGHT, WIDTH), np.float32)

    def get_logger(self) -> logging.Logger:
        return logging.getLogger("simulated")

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], *_: Any) -> None:
        self.callbacks[topic] = callback

    def resolve_topic_name(self, topic: str, **_: Any) -> str:
        return topic

    def get_publishers_info_by_topic(self, topic: str) -> list:
        return []

    def get_topic_names_and_types(self) -> list:
        return []

    def count_publishers(self, topic: str) -> int:
        return 1

    def every(self, period_s: float, function: Callable[[], None]) -> None:
        pass

    def has_subscribers(self, *publishers: Any) -> bool:
        return self.labels in publishers or self.points in publishers

    def report_problem(self, cause: str, text: str, level: int = 0) -> None:
        raise AssertionError(f"{cause}: {text}")
