"""The cameras of views: calibrations of colour and depth, and where the depth camera is seen from the colour camera."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.geometry import depth_on_color
from wsss_ros.geometry.camera_models import (
    Calibration,
    CalibrationHistory,
    camera_of,
    findings,
    frame_finding,
    is_rectified_topic,
)
from wsss_ros.geometry.registration import prepare_registration
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.nodes.health import WARN, Problem
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import SMALL_SENSOR
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.transport import without_transport
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import BadInput, Camera

COLOR, DEPTH = "color/image_raw", "depth/image_rect"
TIMES_BACK = 3  # so many calibrations in a row that came before are those of two cameras
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


def depth_info_topic(node: Node) -> str:
    """The topic of the calibration of depth: ``depth/camera_info`` where it is remapped, else next to the images."""
    own = "depth/camera_info"
    name, expanded = (node.resolve_topic_name(own, only_expand=only) for only in (False, True))
    if name != expanded:  # remapped
        return own
    return without_transport(node.resolve_topic_name(DEPTH)).rpartition("/")[0] + "/camera_info"


class _Calibrations(CalibrationHistory):
    """The calibrations of one camera, and what is odd about the newest. ``prefix`` is that of its name in texts."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix, self._found, self._frame = prefix, list[str](), ""
        self._last: deque[Calibration] = deque(maxlen=3)  # that differ from the one before
        self._back = 0  # how often one came back
        self.image_frame = ""  # of the last image

    def take(self, message: CameraInfo, rectified: bool) -> None:
        """Add a calibration. Raises BadInput where it is none; then none is known until the next one."""
        try:
            self._frame, calibration = message.header.frame_id, codec.calibration_from_info(message)
            if self.add(codec.stamp_ns(message.header), calibration):
                self._found = findings(calibration, rectified)
                self._last.append(calibration)
                self._back = self._back + 1 if self._last[0] == calibration and len(self._last) == 3 else 0
        except BadInput:
            self.clear()
            self._found = []
            raise

    def oddities(self) -> list[str]:
        """What is odd about the newest calibration."""
        found = [*self._found, frame_finding(self._frame, self.image_frame)]
        if self._back >= TIMES_BACK:
            fx = " and ".join(f"{each.k[0]:.1f}" for each in (self._last[1], self._last[2]))
            found.append(
                f"camera_info: two calibrations come in turn, fx {fx}: two cameras publish it; remap one of them"
            )
        return [self._prefix + text for text in found if text]


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
        self._color, self._depth = _Calibrations(""), _Calibrations("depth ")
        color, depth = node.resolve_topic_name(prefix + COLOR), node.resolve_topic_name(DEPTH)
        self._info = prefix + "color/camera_info"
        self._rectified = is_rectified_topic(color), is_rectified_topic(depth)
        self._listens_since: float | None = None
        self._with_depth = False  # whether depth images have come

    def start(self, came: Callable[[], None], need: Need) -> None:
        """Subscribe until the node is deactivated. ``came()`` is called when ``of`` may give more than before."""
        self._came, self._need, self._listens_since = came, need, None
        silent = Need(need.purpose, lambda: not self.known and need.now())
        self._subscribe(self._info, self.on_color_info, silent)
        self._subscribe(depth_info_topic(self._node), self.on_depth_info, Need(need.purpose, lambda: False))

    @property
    def known(self) -> bool:
        """Whether the colour camera is known."""
        return self._color.at(0) is not None

    def of(self, color: Header, depth: Header, since: float) -> Optics | None:
        """The cameras of a view, by the headers of its images; None while a part may still come.

        That is the first calibration of colour, or, since ``since`` (``time.monotonic()``), where depth is seen from.
        """
        stamp_ns, frames = codec.stamp_ns(color), (depth.frame_id, color.frame_id)
        self._color.image_frame = color.frame_id
        if depth is not color:  # images without depth, such as label images with scans, have one header
            self._depth.image_frame, self._with_depth = depth.frame_id, True
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

    def problems(self) -> list[Problem]:
        """What is odd about the newest calibrations."""
        used = (self._color, self._depth) if self._with_depth else (self._color,)
        return [(WARN, text) for each in used for text in each.oddities()]

    # --- messages ---

    def on_color_info(self, message: CameraInfo) -> None:
        """Take a calibration. Raises BadInput where it is none; then none is known until the next one."""
        self._color.take(message, self._rectified[0])
        self._came()

    def on_depth_info(self, message: CameraInfo) -> None:
        """Take a calibration. Raises BadInput where it is none; then none is known until the next one."""
        self._depth.take(message, self._rectified[1])

    def _subscribe(self, topic: str, callback: Callable[[CameraInfo], None], need: Need) -> None:
        self._node.subscribe(CameraInfo, topic, callback, SMALL_SENSOR, need.purpose, need.now)

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
