"""RGB, depth, camera_info and pose, matched by their stamps: what the nodes that build something of views take."""

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.nodes.health import matching
from wsss_ros.nodes.node import SENSOR, SMALL_SENSOR, Node
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Frame


class Views:
    """The posed views of a node: ``use(frame)`` is called on its worker, as job ``frame``, the newest wins.

    ``jumped()`` is called there once after the stamps have jumped back (a looped bag), before the first view of the
    new time; views of the old one are then left out. ``purpose`` is what cannot be made without views.
    """

    def __init__(
        self, node: Node, purpose: str, use: Callable[[Frame], None], jumped: Callable[[], None], frame_id: str
    ) -> None:
        self._node, self._purpose, self._use, self._jumped, self._frame_id = node, purpose, use, jumped, frame_id
        tolerance_ns = round(node.config.sync_tolerance_s * 1e9)
        self.sync = Synchronizer(("color", "depth", "camera", "pose"), tolerance_ns)
        self._resets = 0
        self._distortion_told = False

    def listen(self, missed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active; silence is told while ``missed()``."""
        self._distortion_told = False
        for kind, topic, callback, qos in (
            (Image, "color/image_raw", self.on_color, SENSOR),
            (Image, "depth/image_rect", self.on_depth, SENSOR),
            (CameraInfo, "color/camera_info", self.on_camera_info, SMALL_SENSOR),
            (PoseStamped, "pose", self.on_pose, SMALL_SENSOR),
        ):
            self._node.listen(kind, topic, callback, qos, self._purpose, missed)

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        """Problems and values for the diagnostics."""
        return matching(self.sync, self._purpose)

    def settle(self) -> None:
        """Call ``jumped`` now where the stamps have jumped back and no view has come since. On the worker."""
        self._settle(self.sync.resets)

    # --- messages ---

    def on_color(self, message: Image) -> None:
        self._offer("color", message.header, message)

    def on_depth(self, message: Image) -> None:
        codec.check_depth_encoding(message.encoding)
        self._offer("depth", message.header, message)

    def on_camera_info(self, message: CameraInfo) -> None:
        camera = codec.camera_from_info(message)
        if codec.is_distorted(message) and not self._distortion_told:
            self._distortion_told = True
            text = "camera_info states lens distortion, which is left out: feed rectified images"
            self._node.complain("distortion", text)
        self._offer("camera", message.header, camera)

    def on_pose(self, message: PoseStamped) -> None:
        self._offer("pose", message.header, codec.stamped_pose_to_matrix(message, self._frame_id))

    # --- matching ---

    def _offer(self, stream: str, header: Header, item: Any) -> None:
        matched = self.sync.add(stream, codec.stamp_ns(header), item)
        if matched is not None:
            self._node.submit("frame", self._take, matched, self.sync.resets)

    def _take(self, matched: dict[str, Any], resets: int) -> None:
        self._settle(resets)
        if resets == self._resets:  # else it is of the time before the jump
            self._use(_frame(matched))

    def _settle(self, resets: int) -> None:
        if resets > self._resets:
            self._resets = resets
            self._jumped()


def _frame(matched: dict[str, Any]) -> Frame:
    """Raises BadInput for images that cannot be read or differ in size, and for depth that is missing throughout."""
    color, camera = matched["color"], matched["camera"]
    rgb = codec.image_to_rgb(color)
    depth_m = codec.image_to_depth_m(matched["depth"])
    if not (color.height, color.width) == depth_m.shape == (camera.height, camera.width):
        raise BadInput(
            f"image and depth size: color {(color.width, color.height)}, depth {depth_m.shape[::-1]}, camera_info "
            f"{(camera.width, camera.height)}; wanted depth registered to the color image"
        )
    if not depth_m.any():
        raise BadInput("depth all missing: no pixel has depth; check the depth camera and its topic")
    return Frame(rgb, camera, depth_m, matched["pose"], codec.stamp_ns(color.header))
