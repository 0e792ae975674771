"""The inputs of all nodes that take views: colour images, each with its depth, its camera and its pose.

Every colour image becomes a ``View`` as soon as it comes, and is given its companions when they have come, however late
the node takes it. Images come in any transport (``transport.py``), poses from the topic or from TF (``transforms.py``).
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import Field, model_validator
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from wsss_ros.bags import codec
from wsss_ros.nodes.health import Report, sync_report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import COMPANION, SENSOR
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.transforms import PoseConfig, Poses
from wsss_ros.nodes.transport import DEPTH, DepthTransportConfig, ImageTransport, TransportConfig
from wsss_ros.nodes.view_cameras import COLOR, Cameras, Optics
from wsss_ros.nodes.view_cameras import DEPTH as DEPTH_IMAGES
from wsss_ros.nodes.view_sources import Need, Pose
from wsss_ros.sync import PATIENCE, CompanionMatcher
from wsss_ros.types import BadInput, Camera, Frame

WAITING = 60  # images, depth images and poses that wait for partners
WAITING_FOR_LABELS = 150  # of each, where the images are results of a network, which come late
WAITING_BYTES = 64_000_000  # of the images and of the depth images that wait, unless the slowest stream needs more
FEW = 2  # messages of the slowest stream without a match, once sensor_timeout_s is over
MOST_EARLY = 30  # views that wait until TF says where depth is seen from


class DepthViewConfig(DepthTransportConfig, PoseConfig):
    """Parameters of all nodes that take depth images with poses."""

    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of one view may differ by this much.")


class ViewConfig(TransportConfig, DepthViewConfig):
    """Parameters of all nodes that take views."""


class OneFrameConfig(ViewConfig):
    """Parameters of nodes that build something in one frame of the world."""

    frame_id: str = Field("", description="Previous name of fixed_frame; it counts where it is not empty.")

    @model_validator(mode="before")
    @classmethod
    def _read_previous_name(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"fixed_frame": values["frame_id"]} if values.get("frame_id") else values


class Companions(NamedTuple):
    """What belongs to a colour image: the message with its depth, the cameras, the pose."""

    depth: Image | CompressedImage
    optics: Optics
    pose: Pose


@dataclass(eq=False)
class View:
    """One colour image. ``companions`` is None until they have come; ``resets`` counts the jumps of the stamps."""

    message: Image | CompressedImage
    companions: Companions | None = None
    resets: int = 0

    @property
    def header(self) -> Header:
        """The header of the colour image."""
        return self.message.header

    @property
    def stamp_ns(self) -> int:
        """The stamp of the colour image."""
        return codec.stamp_ns(self.header)

    def rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """Decode the colour image. Raises BadInput where it cannot be read."""
        return codec.color_to_rgb(self.message)

    def frame(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Frame:
        """The complete view as a frame; ``rgb`` is its decoded colour image.

        Depth is registered to the colour image. Raises BadInput for depth that cannot be read or registered or has no
        value, and for a camera of another size.
        """
        camera, depth_m = self.registered((rgb.shape[1], rgb.shape[0]))
        return Frame(rgb, camera, depth_m, self.companions.pose.world_from_camera, self.stamp_ns)

    def registered(self, size: tuple[int, int]) -> tuple[Camera, Float32[np.ndarray, "H W"]]:
        """Camera and depth of the pixels of an image of this size (width, height). Raises BadInput as ``frame``."""
        depth, optics, _ = self.companions
        camera = optics.camera(size)
        depth_m = optics.on_color(codec.depth_to_m(depth), camera)
        if not depth_m.any():
            raise BadInput("depth all missing: no pixel has depth; check the depth camera and its topic")
        return camera, depth_m

    def content(self) -> Any:
        """What a node that builds something of views takes: the frame. Raises BadInput as ``frame`` and ``rgb``."""
        return self.frame(self.rgb())


def _size(item: Any) -> int:
    """The bytes of an item that waits: a view, the message with its depth, or a pose."""
    message = item.message if isinstance(item, View) else item
    return len(message.data) if isinstance(message, Image | CompressedImage) else 0


V = TypeVar("V", bound=View)


class ViewInputs(Generic[V]):
    """Subscribes to the parts of views and matches them. All callbacks come on the executor's thread.

    ``on_color(view)`` is called with each image as it comes, and ``on_complete(view)`` once its companions are there.
    An image without partners is dropped and counted by the synchroniser. ``matching()`` says whether companions are
    used at this moment.
    """

    def __init__(
        self,
        node: Node,
        config: DepthViewConfig,
        purpose: str,
        view: type[V],
        on_complete: Callable[[V], None],
        on_color: Callable[[V], None] = lambda view: None,
        matching: Callable[[], bool] = lambda: True,
        one_frame: bool = False,
        posed: Callable[[Pose], None] | None = None,
        images: str = COLOR,
    ) -> None:
        """Create the inputs of one activation; ``start`` subscribes.

        Args:
            node: that takes the views.
            config: its parameters.
            purpose: what cannot be made without complete views.
            view: class of the views: View, or one that keeps more.
            on_complete: see above.
            on_color: see above.
            matching: see above.
            one_frame: poses of the topic must be in the frame ``fixed_frame``; otherwise they may be in any.
            posed: called with each pose; None where poses are needed for complete views only.
            images: topic of the images; those of another topic than that of colour are raw.
        """
        self._node, self._on_color, self._on_complete, self._matching = node, on_color, on_complete, matching
        self._config, self._purpose, self._view = config, purpose, view
        waiting = WAITING if images == COLOR else WAITING_FOR_LABELS
        limits = round(config.sync_tolerance_s * 1e9), waiting, WAITING_BYTES, _size
        self.sync = CompanionMatcher(("color", "depth", "pose"), *limits)
        self._tf = TfListener(node)
        self._poses = Poses(node, config, self._tf, config.fixed_frame if one_frame else "")
        self._cameras = Cameras(node, self._tf, config.tf_wait_s)
        self._early: deque[tuple[float, V, dict[str, Any]]] = deque()  # matched views that wait for their cameras
        self._posed, self._images = posed, images
        self._matched_at = time.monotonic()

    def start(self, color: Need, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe until the node is deactivated. ``color`` and ``needed`` say when silence is reported."""
        node, config = self._node, self._config
        self._matched_at = time.monotonic()
        transport = config.transport if isinstance(config, ViewConfig) else "raw"
        images = ImageTransport(node, self._images, transport, SENSOR)
        images.start(self.on_color, color)
        depths = ImageTransport(node, DEPTH_IMAGES, config.depth_transport, COMPANION, DEPTH)
        depths.start(self.on_depth, Need(self._purpose, needed))
        self._cameras.start(self._complete_early, Need(self._purpose, needed))
        self._poses.start(self._on_pose, Need(self._purpose, needed))

    def report(self) -> Report:
        """Problems and values of poses and matching."""
        problems, values = sync_report(
            self.sync, self._purpose, self._node.get_clock().now().nanoseconds, self._patience()
        )
        more, of_poses = self._poses.report()
        return problems + more + self._cameras.problems(), values | of_poses

    def _patience(self) -> int:
        """After sensor_timeout_s without a match few messages are enough: the slowest stream may be a pose a second."""
        if not self._matching():
            self._matched_at = time.monotonic()
        return FEW if time.monotonic() - self._matched_at > self._node.config.sensor_timeout_s else PATIENCE

    # --- messages ---

    def on_color(self, message: Image | CompressedImage) -> None:
        """Start a view with a colour image."""
        view = self._view(message)
        self._on_color(view)
        self._match("color", view.stamp_ns, view)
        if self._posed is not None or self._matching():
            self._poses.expect(view.stamp_ns, message.header.frame_id)

    def on_depth(self, message: Image | CompressedImage) -> None:
        """Match a depth image. Raises BadInput for another encoding."""
        codec.check_depth(message)
        self._match("depth", codec.stamp_ns(message.header), message)

    def _on_pose(self, stamp_ns: int, pose: Pose) -> None:
        if self._posed is not None:
            self._posed(pose)
        self._match("pose", stamp_ns, pose)

    # --- matching ---

    def _match(self, stream: str, stamp_ns: int, item: Any) -> None:
        if not self._matching():
            return
        if not stamp_ns:  # messages whose stamps were never set would all fit each other
            self.sync.leave_out(stream, stamp_ns, "without a stamp")
            return
        for matched in self.sync.add_all(stream, stamp_ns, item):
            self._matched_at = time.monotonic()
            self._complete(matched.pop("color"), matched)

    def _complete(self, view: V, matched: dict[str, Any]) -> None:
        view.resets = self.sync.resets
        self._early.append((time.monotonic(), view, matched))
        self._complete_early()
        while len(self._early) > (MOST_EARLY if self._cameras.known else 1):
            self._early.popleft()
            self._node.health.drop("view before tf_static" if self._cameras.known else "view before camera_info")

    def _complete_early(self) -> None:
        while self._early:
            since, view, matched = self._early[0]
            optics = self._cameras.of(view.header, matched["depth"].header, since)
            if optics is None:
                return
            self._early.popleft()
            view.companions = Companions(matched["depth"], optics, matched["pose"])
            self._on_complete(view)
