"""Camera poses of a bag from a topic: PoseStamped, PoseWithCovarianceStamped, or the odometry of a body."""

import logging
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from rosbags.typesys.store import Typestore

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import ODOMETRY, POSE
from wsss_ros.bags.codec import pose_to_matrix, stamp_ns
from wsss_ros.geometry.transforms import LookupFailed, between
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

TOLERANCE_NS = 20_000_000  # before the first pose, after the last one, and where poses are missing in between
GAP_NS = 500_000_000  # poses that are farther apart are not interpolated: tracking was lost

Matrix = Float64[np.ndarray, "4 4"]


class TopicPoses:
    """The poses of a bag's camera from the messages of a topic, at the stamps of its images.

    At the stamp of a message it is that of the message; between two messages, at most GAP_NS apart, translation is
    interpolated linearly and rotation by slerp; else the nearest within TOLERANCE_NS. A topic of odometry has the poses
    of the frame ``child_frame_id``: ``camera_in(body frame, camera frame, stamp)`` is the place of the camera on it.
    Other topics have the poses of the optical frame of the camera. Messages that cannot be used are left out with a
    warning. Raises BadInput where none can be used.
    """

    def __init__(
        self, bag: Bag, types: Typestore, topic: str, msgtype: str, camera_in: Callable[[str, str, int], Matrix]
    ) -> None:
        self.where = f"on {topic}"
        self.of_camera = msgtype == POSE
        self._topic, self._camera_in = topic, camera_in
        self._body = ""  # the frame whose poses these are; empty for that of the camera
        found: dict[int, Matrix] = {}
        refused: list[str] = []
        for raw in bag.raw({topic}):
            message, _ = raw.stamped(types)
            try:
                found[stamp_ns(message.header)] = pose_to_matrix(message.pose if self.of_camera else message.pose.pose)
            except BadInput as error:
                refused.append(str(error))
                continue
            self._body = message.child_frame_id.removeprefix("/") if msgtype == ODOMETRY else ""
        if not found:
            raise BadInput(f"{bag.path}, {topic}: {refused[0]}")
        if refused:
            log.warning("%s, %s: %d poses are left out: %s", bag.path, topic, len(refused), refused[0])
        self._stamps = sorted(found)
        self.matrices = [found[stamp] for stamp in self._stamps]

    def pose(self, header: Any) -> Matrix:
        """``world_from_camera`` of an image, by its header.

        Raises LookupFailed where no pose is near its stamp, and BadInput where the place of the camera is unknown.
        """
        stamp = stamp_ns(header)
        world_from_body, camera = self._at(stamp), header.frame_id.removeprefix("/")
        if not self._body or self._body == camera:
            return world_from_body
        return world_from_body @ self._extrinsic(camera, stamp)

    def _extrinsic(self, camera: str, stamp: int) -> Matrix:
        try:
            return self._camera_in(self._body, camera, stamp)
        except BadInput as error:
            raise BadInput(
                f"these are poses of '{self._body}', and the place of the camera '{camera}' on it is unknown: {error}; "
                "record /tf_static, or name a topic with poses of the camera (--pose-topic)"
            ) from error

    def _at(self, stamp: int) -> Matrix:
        after = bisect_left(self._stamps, stamp)
        if after < len(self._stamps) and self._stamps[after] == stamp:
            return self.matrices[after]
        near = [at for at in (after - 1, after) if 0 <= at < len(self._stamps)]
        if len(near) == 2 and self._stamps[after] - self._stamps[after - 1] <= GAP_NS:
            start, end = self._stamps[after - 1 : after + 1]
            return between(self.matrices[after - 1], self.matrices[after], (stamp - start) / (end - start))
        nearest = min(near, key=lambda at: abs(self._stamps[at] - stamp))
        distance_ns = abs(self._stamps[nearest] - stamp)
        if distance_ns <= TOLERANCE_NS:
            return self.matrices[nearest]
        raise LookupFailed(
            "past" if after == 0 else "future",
            f"the nearest pose is {distance_ns / 1e9:.3f} s from an image; expected poses on both sides, at most "
            f"{GAP_NS / 1e9} s apart, or one within {TOLERANCE_NS / 1e9} s",
        )
