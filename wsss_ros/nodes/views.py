"""RGB, depth, camera_info and pose, matched by their stamps: the input of the nodes that build something of views."""

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.nodes.health import Report, sync_report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import SENSOR, SMALL_SENSOR
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Frame


class Views:
    """The posed views of a node. ``use(frame)`` is called on its worker as job ``frame``; the newest view wins.

    After the stamps have jumped back (a looped bag), ``jumped()`` is called there once, before the first view of the
    new time; views of the time before are left out. ``purpose`` is what cannot be made without views.
    """

    def __init__(
        self, node: Node, purpose: str, use: Callable[[Frame], None], jumped: Callable[[], None], frame_id: str,
        tolerance_s: float,
    ) -> None:
        self._node, self._purpose, self._use, self._jumped, self._frame_id = node, purpose, use, jumped, frame_id
        tolerance_ns = round(tolerance_s * 1e9)
        self.sync = Synchronizer(("color", "depth", "camera", "pose"), tolerance_ns)
        self._resets = 0
        self._distortion_reported = False

    def subscribe(self, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active. Silence is reported while ``needed()``."""
        self._distortion_reported = False
        for kind, topic, callback, qos in (
            (Image, "color/image_raw", self.on_color, SENSOR),
            (Image, "depth/image_rect", self.on_depth, SENSOR),
            (CameraInfo, "color/camera_info", self.on_camera_info, SMALL_SENSOR),
            (PoseStamped, "pose", self.on_pose, SMALL_SENSOR),
        ):
            self._node.subscribe(kind, topic, callback, qos, self._purpose, needed)

    def report(self) -> Report:
        """Problems and values of the matching, for the diagnostics."""
        return sync_report(self.sync, self._purpose)

    def handle_jump(self) -> None:
        """Call ``jumped`` now where the stamps have jumped back and no view has come since. Only on the worker."""
        self._handle_jump(self.sync.resets)

    # --- messages ---

    def on_color(self, message: Image) -> None:
        """Match a colour image."""
        self._match("color", message.header, message)

    def on_depth(self, message: Image) -> None:
        """Match a depth image. Raises BadInput for another encoding."""
        codec.check_depth_encoding(message.encoding)
        self._match("depth", message.header, message)

    def on_camera_info(self, message: CameraInfo) -> None:
        """Match a calibration. Raises BadInput where it is none."""
        camera = codec.camera_from_info(message)
        if codec.is_distorted(message) and not self._distortion_reported:
            self._distortion_reported = True
            text = "camera_info has lens distortion, which is ignored: give rectified images"
            self._node.report_problem("distortion", text)
        self._match("camera", message.header, camera)

    def on_pose(self, message: PoseStamped) -> None:
        """Match a pose. Raises BadInput where it is not one in the frame of the map."""
        self._match("pose", message.header, codec.stamped_pose_to_matrix(message, self._frame_id))

    # --- matching ---

    def _match(self, stream: str, header: Header, item: Any) -> None:
        matched = self.sync.add(stream, codec.stamp_ns(header), item)
        if matched is not None:
            self._node.submit("frame", self._use_match, matched, self.sync.resets)

    def _use_match(self, matched: dict[str, Any], resets: int) -> None:
        self._handle_jump(resets)
        if resets == self._resets:  # otherwise the view is of the time before the jump
            self._use(_frame(matched))

    def _handle_jump(self, resets: int) -> None:
        if resets > self._resets:
            self._resets = resets
            self._jumped()


def _frame(matched: dict[str, Any]) -> Frame:
    """Raises BadInput for images that cannot be read or differ in size, and for depth without any value."""
    color, camera = matched["color"], matched["camera"]
    rgb = codec.image_to_rgb(color)
    depth_m = codec.image_to_depth_m(matched["depth"])
    if not (color.height, color.width) == depth_m.shape == (camera.height, camera.width):
        raise BadInput(
            f"image and depth size: color {(color.width, color.height)}, depth {depth_m.shape[::-1]}, camera_info "
            f"{(camera.width, camera.height)}; expected depth registered to the color image"
        )
    if not depth_m.any():
        raise BadInput("depth all missing: no pixel has depth; check the depth camera and its topic")
    return Frame(rgb, camera, depth_m, matched["pose"], codec.stamp_ns(color.header))
