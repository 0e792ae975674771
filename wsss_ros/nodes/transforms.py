"""Camera poses for a node: from the topic ``pose`` or from TF, looked up at the stamp of the image."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from wsss_ros.geometry.transforms import WORLD_FRAMES, LookupFailed
from wsss_ros.nodes import tf_message
from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.view_sources import Need, Pose, PoseTopic, poses_published
from wsss_ros.types import BadInput

SETTLED_S = 2.0  # after the first transform; nodes that publish other transforms may start later
RETRY_S = 0.05
CHOICE_S = 1.0  # between two looks for publishers of the topic
MOST_WAITING = 60


FrameName = Annotated[str, AfterValidator(lambda name: name.removeprefix("/"))]  # names of tf2 have no leading slash


class PoseConfig(NodeConfig):
    """Parameters of the nodes that need the pose of the camera."""

    pose_source: Literal["auto", "topic", "tf"] = Field(
        "auto",
        description="Where poses come from; auto: the topic pose where it has a publisher of PoseStamped, else TF.",
    )
    fixed_frame: FrameName = Field(
        "map", min_length=1, description="World frame of poses from TF; map falls back to odom with a message."
    )
    tf_wait_s: float = Field(
        0.5, ge=0, le=10, description="Longest wait for the transform at an image's stamp; then the image has no pose."
    )


@dataclass
class _Request:
    """The pose of a camera at a time, which TF does not have yet."""

    stamp_ns: int
    camera_frame: str
    until: float


class Poses:
    """The poses of a node's camera, from the topic ``pose`` or from TF.

    A pose from TF is that at exactly the stamp of an expected image: the newest one is never used instead. Where its
    transform does not come within ``tf_wait_s``, the image is counted and the reason reported. ``frame_id`` is the
    frame that poses of the topic must be in; empty for any.
    """

    def __init__(self, node: Node, config: PoseConfig, tf: TfListener, frame_id: str = "") -> None:
        self._node, self._config, self._tf = node, config, tf
        self._topic = PoseTopic(node, frame_id)
        self._topic_name = node.resolve_topic_name("pose")
        self._waiting: deque[_Request] = deque()
        self._frame = ""  # the world frame in use
        self._listens = False
        self._chosen_at, self._chosen = -1e9, False

    def start(self, put: Callable[[int, Pose], None], need: Need) -> None:
        """Subscribe. ``put(stamp_ns, pose)`` is called with each pose, from the executor's thread.

        Raises BadInput where ``pose_source`` is tf and TF cannot be read on this machine.
        """
        self._put, self._need, self._listens = put, need, False
        self._waiting.clear()
        if self._config.pose_source != "tf":
            self._topic.start(self._put_of_topic, Need(need.purpose, lambda: need.now() and not self.uses_tf()))
        else:
            self._listen()

    def _put_of_topic(self, stamp_ns: int, pose: Pose) -> None:
        if self._chosen:  # the publisher is newer than the last look
            self._chosen_at, self._chosen = time.monotonic(), False
            self._waiting.clear()
        self._put(stamp_ns, pose)

    def _listen(self) -> None:
        """Listen to TF from now on."""
        if not self._listens:
            self._listens = True
            self._tf.start(self._retry, Need(self._need.purpose, lambda: self._need.now() and self.uses_tf()))
            self._node.every(RETRY_S, self._retry)

    def uses_tf(self) -> bool:
        """Whether poses come from TF now. With ``auto`` they do while the topic has no publisher."""
        if self._config.pose_source != "auto":
            return self._config.pose_source == "tf"
        if time.monotonic() - self._chosen_at > CHOICE_S:
            self._chosen_at, self._chosen = time.monotonic(), not poses_published(self._node, self._topic_name)
        return self._chosen and self._tf.readable

    def expect(self, stamp_ns: int, camera_frame: str) -> None:
        """Ask for the pose at an image's stamp; nothing happens where poses come from the topic.

        Raises BadInput for an image without a ``frame_id``.
        """
        if not self.uses_tf():
            return
        if not camera_frame:
            raise BadInput("frame_id of the image is empty: TF needs the frame of the camera; set it in the driver")
        self._listen()
        self._waiting.append(_Request(stamp_ns, camera_frame, time.monotonic() + self._config.tf_wait_s))
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._node.health.drop("pose from TF too late")
        self._retry()

    def report(self) -> Report:
        """Problems and values for the diagnostics."""
        if not self.uses_tf():
            unreadable = self._config.pose_source == "auto" and self._chosen and self._need.now()
            text = f"{self._topic_name} has no publisher, so no {self._need.purpose}. {tf_message.MISSING}"
            return [(WARN, text)] if unreadable else [], {"pose_source": f"topic {self._topic_name}"}
        fallen_back = self._frame not in ("", self._config.fixed_frame)
        values = {"pose_source": f"tf, {self._frame or 'no pose yet'}", "poses waiting for tf": str(len(self._waiting))}
        return self._tf.problems() + ([(WARN, self._fallen_back())] if fallen_back else []), values

    # --- poses of TF ---

    def _retry(self) -> None:
        """Put what TF has by now; give up what has waited long enough."""
        found, still = [], deque[_Request]()
        for wanted in self._waiting:
            try:
                found.append((wanted.stamp_ns, self._lookup(wanted)))
            except LookupFailed as error:
                if error.may_come and time.monotonic() < wanted.until:
                    still.append(wanted)
                else:
                    self._give_up(wanted, error)
        self._waiting = still
        for stamp_ns, pose in found:
            self._put(stamp_ns, pose)

    def _give_up(self, wanted: _Request, error: LookupFailed) -> None:
        self._node.health.drop("no pose from TF")
        text = f"no pose of '{wanted.camera_frame}' from TF, so no {self._need.purpose}: {error}"
        if error.why == "future":
            text += "; synchronise the clocks of the machines, or raise tf_wait_s"
        self._node.report_problem("no pose from TF", text)

    def _lookup(self, wanted: _Request) -> Pose:
        """Raises LookupFailed."""
        fixed = self._config.fixed_frame
        try:
            pose = self._tf.lookup(fixed, wanted.camera_frame, wanted.stamp_ns)
        except LookupFailed as error:
            if fixed != WORLD_FRAMES[0] or error.why not in ("frame", "connection") or not self._settled():
                raise
            fixed = WORLD_FRAMES[1]
            try:
                pose = self._tf.lookup(fixed, wanted.camera_frame, wanted.stamp_ns)
            except LookupFailed as second:
                raise (error if second.why in ("frame", "connection") else second) from second
        self._use_frame(fixed)
        return Pose(fixed, pose)

    def _settled(self) -> bool:
        return self._tf.since is not None and time.monotonic() - self._tf.since > SETTLED_S

    def _use_frame(self, frame: str) -> None:
        before, self._frame = self._frame, frame
        if frame == before:
            return
        if frame != self._config.fixed_frame:
            self._node.get_logger().warning(self._fallen_back())
        elif before:
            self._node.get_logger().info(
                f"TF has the frame '{frame}' now: poses are in it, and no longer in '{before}'"
            )

    def _fallen_back(self) -> str:
        return (
            f"TF has no path from '{self._config.fixed_frame}' to the camera; poses are in '{self._frame}', which "
            "drifts: start localisation or SLAM, or set fixed_frame"
        )
