"""The cameras of views: calibrations of colour and depth, and where the depth camera is seen from the colour camera."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.geometry import depth_on_color
from wsss_ros.geometry.camera_models import Calibration, CalibrationHistory, camera_of, findings, is_rectified_topic
from wsss_ros.geometry.registration import prepare_registration
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import SMALL_SENSOR
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import BadInput, Camera

COLOR, DEPTH = "color/image_raw", "depth/image_rect"
GRACE_S = 2.0  # for /tf_static to come, after the first image that needs it


@dataclass(frozen=True)
class Optics:
    """The cameras of one view. ``frames`` are the frame_id of depth and that of colour.

    ``fault`` is why TF has no ``color_from_depth``, where that is needed.
    """

    color: Calibration
    depth: Calibration | None
    rectified: tuple[bool, bool]  # colour, depth
    frames: tuple[str, str]
    color_from_depth: Float64[np.ndarray, "4 4"] | None = None
    fault: str = ""

    def camera(self, size: tuple[int, int]) -> Camera:
        """The camera of a colour image of ``size`` (width, height). Raises BadInput for another size."""
        return camera_of(self.color, self.rectified[0], size)

    def on_color(self, depth_m: Float32[np.ndarray, "H W"], camera: Camera) -> Float32[np.ndarray, "h w"]:
        """The depth on the pixels of the colour image. Raises BadInput where it cannot be registered."""
        size = (depth_m.shape[1], depth_m.shape[0])
        depth = None if self.depth is None else camera_of(self.depth, self.rectified[1], size)
        try:
            return depth_on_color(depth_m, depth, camera, self.frames, self.color_from_depth)
        except BadInput as error:
            raise BadInput(f"{error}; TF: {self.fault}" if self.fault else str(error)) from error


class Cameras:
    """Follows the camera_info of colour and of depth, and TF where depth is in another frame than colour.

    The camera_info of depth is the topic ``depth/camera_info``, by default next to the topic of the depth images.
    """

    def __init__(self, node: Node, tf: TfListener, tf_wait_s: float, prefix: str = "") -> None:
        """``tf_wait_s`` is the longest wait for the place of the depth camera at the stamp of a view.

        ``prefix`` comes before the topics of colour, such as ``front/`` of one of several cameras.
        """
        self._node, self._tf, self._tf_wait_s = node, tf, tf_wait_s
        prepare_registration()
        self._color, self._depth = CalibrationHistory(), CalibrationHistory()
        color, depth = node.resolve_topic_name(prefix + COLOR), node.resolve_topic_name(DEPTH)
        self._info = prefix + "color/camera_info"
        self._rectified = is_rectified_topic(color), is_rectified_topic(depth)
        self._listens_since: float | None = None

    def start(self, came: Callable[[], None], need: Need) -> None:
        """Subscribe until the node is deactivated. ``came()`` is called when ``of`` may give more than before."""
        self._came, self._need, self._listens_since = came, need, None
        silent = Need(need.purpose, lambda: not self.known and need.now())
        self._subscribe(self._info, self.on_color_info, silent)
        self._subscribe(self._depth_topic(), self.on_depth_info, Need(need.purpose, lambda: False))

    @property
    def known(self) -> bool:
        """Whether the colour camera is known."""
        return self._color.at(0) is not None

    def of(self, color: Header, depth: Header, since: float) -> Optics | None:
        """The cameras of a view, by the headers of its images; None while a part may still come.

        That is the first calibration of colour, or, since ``since`` (``time.monotonic()``), where depth is seen from.
        """
        stamp_ns, frames = codec.stamp_ns(color), (depth.frame_id, color.frame_id)
        calibration = self._color.at(stamp_ns)
        if calibration is None:
            return None
        seen = calibration, self._depth.at(stamp_ns), self._rectified, frames
        if depth.frame_id == color.frame_id or not all(frames):
            return Optics(*seen)
        try:
            return Optics(*seen, self._look_up(*frames, stamp_ns))
        except LookupFailed as error:
            return None if self._may_come(error, since) else Optics(*seen, fault=str(error))

    # --- messages ---

    def on_color_info(self, message: CameraInfo) -> None:
        """Take a calibration. Raises BadInput where it is none; then none is known until the next one."""
        self._take(message, self._color, self._rectified[0])
        self._came()

    def on_depth_info(self, message: CameraInfo) -> None:
        """Take a calibration. Raises BadInput where it is none; then none is known until the next one."""
        self._take(message, self._depth, self._rectified[1])

    def _take(self, message: CameraInfo, history: CalibrationHistory, rectified: bool) -> None:
        try:
            calibration = codec.calibration_from_info(message)
            if history.add(codec.stamp_ns(message.header), calibration):
                for text in findings(calibration, rectified):
                    self._node.report_problem(text[:40], text)
        except BadInput:
            history.clear()
            raise

    def _subscribe(self, topic: str, callback: Callable[[CameraInfo], None], need: Need) -> None:
        self._node.subscribe(CameraInfo, topic, callback, SMALL_SENSOR, need.purpose, need.now)

    def _depth_topic(self) -> str:
        own = "depth/camera_info"
        name, expanded = (self._node.resolve_topic_name(own, only_expand=only) for only in (False, True))
        if name != expanded:  # remapped
            return own
        return self._node.resolve_topic_name(DEPTH).rpartition("/")[0] + "/camera_info"

    # --- TF ---

    def _look_up(self, depth_frame: str, color_frame: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """Raises LookupFailed."""
        if self._listens_since is None and self._tf.readable:
            self._listens_since = time.monotonic()
            self._tf.start(self._came, Need(self._need.purpose, lambda: False))
        return self._tf.lookup(color_frame, depth_frame, stamp_ns)

    def _may_come(self, error: LookupFailed, since: float) -> bool:
        """Static transforms come soon after the first look; those of a driver that repeats them, after the view."""
        now = time.monotonic()
        if error.why == "future":
            return now - since < self._tf_wait_s
        return error.may_come and self._listens_since is not None and now - self._listens_since < GRACE_S
