"""Camera poses for a node: from the topic ``pose`` or from TF, looked up at the stamp of the image."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float64
from pydantic import Field
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.nodes.health import WARN, Problem, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.qos import SMALL_SENSOR
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.types import BadInput

FALLBACK = ("map", "odom")  # the second one is used where TF does not have the first one
SETTLED_S = 2.0  # after the first transform; nodes that publish other transforms may start later
MOST_WAITING = 60
Deliver = Callable[[int, str, Float64[np.ndarray, "4 4"]], None]  # stamp_ns, fixed frame, fixed_from_camera


class PoseConfig(NodeConfig):
    """Parameters of the nodes that need the pose of the camera."""

    pose_source: Literal["auto", "topic", "tf"] = Field(
        "auto", description="Where poses come from; auto: the topic pose where it has a publisher, else TF."
    )
    fixed_frame: str = Field("map", description="World frame of poses from TF; map falls back to odom with a message.")
    tf_wait_s: float = Field(
        0.5, ge=0, le=10, description="Longest wait for the transform at an image's stamp; then the image has no pose."
    )


@dataclass
class _Request:
    """The pose of a camera at a time, which TF does not have yet."""

    stamp_ns: int
    camera_frame: str
    until: float
    why: str


class Poses:
    """The poses of a node's camera.

    ``subscribe`` while the node activates, ``request(header)`` for every image. ``deliver(stamp_ns, frame, pose)`` is
    called with each pose ``fixed_from_camera`` and the name of its world frame: for a message of the topic ``pose``,
    or when TF has the transform at the stamp of a requested image; at once, or later on the executor thread. An image
    whose transform does not come within ``tf_wait_s`` is counted and the reason reported; the newest transform is
    never used instead.
    """

    def __init__(
        self,
        node: Node,
        config: PoseConfig,
        purpose: str,
        deliver: Deliver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._config, self._purpose, self._deliver, self._clock = node, config, purpose, deliver, clock
        self.tf = TfListener(node, purpose)
        self._topic = node.resolve_topic_name("pose")
        self._waiting: deque[_Request] = deque()
        self._lock = threading.RLock()
        self._frame = ""  # the world frame in use
        self._chosen: tuple[float, bool] = (-1e9, False)  # when it was found out, whether TF is used

    def subscribe(self, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active. Silence is reported while ``needed()``.

        Raises BadInput where ``pose_source`` is tf and TF cannot be read on this machine.
        """
        source, self._needed = self._config.pose_source, needed
        if source != "tf":
            self._node.subscribe(
                PoseStamped, "pose", self._on_pose, SMALL_SENSOR, self._purpose, lambda: needed() and not self.uses_tf()
            )
        if source == "tf" or (source == "auto" and self.tf.readable):
            self.tf.subscribe(self._retry, lambda: needed() and self.uses_tf())
            self._node.every(0.05, self._retry)

    def uses_tf(self) -> bool:
        """Whether poses come from TF now. With ``auto`` they do while the topic has no publisher."""
        if self._config.pose_source != "auto":
            return self._config.pose_source == "tf"
        at, chosen = self._chosen
        if self._clock() - at > 1.0:
            chosen = not self._node.count_publishers(self._topic)
            self._chosen = (self._clock(), chosen)
        return chosen

    def request(self, header: Header) -> None:
        """Ask for the pose at an image's stamp; nothing happens where poses come from the topic.

        Raises BadInput for an image without a ``frame_id``.
        """
        if not self.uses_tf():
            return
        if not header.frame_id:
            raise BadInput("frame_id of the image is empty: TF needs the frame of the camera; set it in the driver")
        wanted = _Request(
            codec.stamp_ns(header), header.frame_id, self._clock() + self._config.tf_wait_s, "no transform has come"
        )
        with self._lock:
            self._waiting.append(wanted)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._node.health.drop("pose from TF late, newer images came")
        self._retry()

    def transform(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """``target_from_source`` at this time, such as ``color_from_depth``. Raises LookupFailed with the reason."""
        return self.tf.lookup(target, source, stamp_ns)

    def report(self) -> Report:
        """Problems and values for the diagnostics."""
        if not self.uses_tf():
            return [], {"pose_source": f"topic {self._topic}"}
        problems: list[Problem] = []
        if self._config.pose_source == "auto" and not self.tf.readable and self._needed():
            problems.append((WARN, f"{self._topic} has no publisher, so no {self._purpose}, and {self.tf.missing}"))
        if self._frame and self._frame != self._config.fixed_frame:
            problems.append((WARN, self._fallen_back()))
        return problems, {"pose_source": f"tf, {self._frame or 'no pose yet'}", "tf_waiting": str(len(self._waiting))}

    # --- poses come ---

    def _on_pose(self, message: PoseStamped) -> None:
        self._deliver(codec.stamp_ns(message.header), message.header.frame_id, codec.stamped_pose_to_matrix(message))

    def _retry(self) -> None:
        """Deliver what TF has by now; give up what has waited long enough."""
        found: list[tuple[int, str, np.ndarray]] = []
        with self._lock:
            for wanted in list(self._waiting):
                try:
                    found.append((wanted.stamp_ns, *self._lookup(wanted)))
                except LookupFailed as error:
                    wanted.why = str(error)
                    if error.may_come and self._clock() < wanted.until:
                        continue
                    self._give_up(wanted)
                self._waiting.remove(wanted)
        for pose in found:
            self._deliver(*pose)

    def _give_up(self, wanted: _Request) -> None:
        self._node.health.drop("no pose from TF")
        self._node.report_problem(
            "tf", f"no pose of '{wanted.camera_frame}' from TF, so no {self._purpose}: {wanted.why}"
        )

    def _lookup(self, wanted: _Request) -> tuple[str, np.ndarray]:
        """The world frame and the pose. Raises LookupFailed."""
        fixed = self._config.fixed_frame
        try:
            pose = self.tf.lookup(fixed, wanted.camera_frame, wanted.stamp_ns)
        except LookupFailed as error:
            if fixed != FALLBACK[0] or error.why not in ("frame", "connection") or not self._settled():
                raise
            fixed = FALLBACK[1]
            try:
                pose = self.tf.lookup(fixed, wanted.camera_frame, wanted.stamp_ns)
            except LookupFailed as second:
                raise (error if second.why in ("frame", "connection") else second) from second
        self._use_frame(fixed)
        return fixed, pose

    def _settled(self) -> bool:
        return self.tf.since is not None and self._clock() - self.tf.since > SETTLED_S

    def _use_frame(self, frame: str) -> None:
        if frame == self._frame:
            return
        before, self._frame = self._frame, frame
        if frame != self._config.fixed_frame:
            self._node.get_logger().warning(self._fallen_back())
        elif before:
            self._node.get_logger().info(
                f"TF has the frame '{frame}' now; poses are in it, and no longer in '{before}'"
            )

    def _fallen_back(self) -> str:
        return (
            f"TF has no path from '{self._config.fixed_frame}' to the camera; poses are in '{self._frame}', which "
            "drifts: start localisation or SLAM, or set fixed_frame"
        )
