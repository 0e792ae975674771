"""Colour images in, semantic images out; with depth, camera_info and pose also semantic points in the map.

Weights announced on ``weights/image`` replace the current ones between two frames (hand_over.py).
"""

import threading
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NoReturn

import numpy as np
from pydantic import BeforeValidator, Field
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags import cloud_codec
from wsss_ros.bags.label_images import write_colors, write_overlay
from wsss_ros.geometry import compact, parse_turns, quarter_turns, unproject
from wsss_ros.labels import LabelSpace
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import RESULT
from wsss_ros.nodes.segmenter import SegmenterConfig, SegmenterNode
from wsss_ros.nodes.view_inputs import View, ViewConfig, ViewInputs
from wsss_ros.nodes.view_sources import Need, Pose
from wsss_ros.types import BadInput, Cloud, Frame


class ImageSegmenterConfig(SegmenterConfig, ViewConfig):
    """Parameters of the image segmenter."""

    live: ClassVar[tuple[str, ...]] = ("overlay_alpha", "points_stride", "max_depth_m")
    rotate: Annotated[Literal["auto", "0", "90", "180", "270"], BeforeValidator(str)] = Field(
        "0",
        description="Degrees that turn the image to the right until it is upright, where the camera is mounted turned; "
        "auto: from the poses, in a world with z up. Results keep the orientation of the image.",
    )
    overlay_alpha: float = Field(0.5, ge=0, le=1, description="Share of the class colour in the overlay.")
    points_stride: int = Field(2, ge=1, le=32, description="Every n-th pixel of a row and column in semantic/points.")
    max_depth_m: float = Field(8.0, gt=0, le=100, description="Farther pixels are left out of semantic/points.")


TURNED_S = 3.0  # poses that need another turn than is set, for so long, are reported


@dataclass(eq=False)
class LabelledView(View):
    """A view in work: its labels and its companions arrive in either order."""

    pixels: np.ndarray | None = None
    result: tuple[np.ndarray, np.ndarray] | None = None
    sent: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ready(self) -> bool:
        """True for the one call that finds both labels and companions."""
        with self.lock:
            ready = self.result is not None and self.companions is not None and not self.sent
            self.sent = self.sent or ready
            return ready


class ImageSegmenterNode(SegmenterNode):
    """Colour never waits: depth, camera_info and pose are matched by stamp and only ``semantic/points`` needs them."""

    name = "image_segmenter"
    model = ImageSegmenterConfig
    config: ImageSegmenterConfig
    kind = main_job = "image"

    def configure(self) -> None:
        """Load the weights and create the publishers."""
        super().configure()
        self.labels = self.publisher(Image, "semantic/image_raw", RESULT)
        self.confidence = self.publisher(Image, "semantic/confidence", RESULT)
        self.colors = self.publisher(Image, "semantic_color/image_raw", RESULT)
        self.overlay = self.publisher(Image, "semantic_overlay/image_raw", RESULT)
        self.points = self.publisher(PointCloud2, "semantic/points", RESULT)

    def activate(self) -> None:
        """Subscribe to images, their companions and new weights."""
        turns = parse_turns(self.config.rotate)
        self._turns = turns or 0
        self.inputs = ViewInputs(
            self,
            self.config,
            "semantic/points",
            LabelledView,
            self.publish_when_ready,
            self.on_color,
            lambda: self.has_subscribers(self.points),
            posed=self.turn if turns is None else None,
        )
        self._resets = 0
        self._turned_ns: int | None = None  # since when the poses have needed another turn
        self.turn_problem = ""
        self.inputs.start(Need("result"), lambda: self.has_subscribers(self.points))
        self.networks.start()

    def report(self) -> Report:
        """The weights in use, and matching where points have subscribers."""
        if not self.active:
            return [], {}
        problems, weights = self.networks_report()
        unmatched, values = self.inputs.report()
        if self.turn_problem:
            problems = [*problems, (WARN, self.turn_problem)]
        return problems + (unmatched if self.has_subscribers(self.points) else []), weights | values

    # --- messages ---

    def on_color(self, view: LabelledView) -> None:
        """Segment the newest image."""
        if self.inputs.sync.resets != self._resets:
            self._resets = self.inputs.sync.resets
            self.report_problem("clock", "the stamps jumped back (a looped bag?); matching started over", WARN)
        self.submit("image", self.segment, view)

    def turn(self, pose: Pose) -> None:
        """Find out how the camera is mounted."""
        turns = quarter_turns(pose.world_from_camera, before=self._turns)
        if turns != self._turns:
            self._turns = turns
            self.get_logger().info(f"the network sees the images turned by {-90 * turns % 360} degrees to the right")

    def check_turn(self, view: LabelledView) -> None:
        """Find out whether the poses need another turn than is set."""
        frame_id, world_from_camera = view.companions.pose
        needed = quarter_turns(world_from_camera, before=self._turns)
        if needed == self._turns:
            self._turned_ns, self.turn_problem = None, ""
            return
        if self._turned_ns is None or view.stamp_ns < self._turned_ns:
            self._turned_ns = view.stamp_ns
        if view.stamp_ns - self._turned_ns > 1e9 * TURNED_S:
            degrees = -90 * needed % 360
            self.turn_problem = (
                f"the camera is mounted turned, as its poses say, and labels of turned images are poor: set "
                f"rotate:=auto or rotate:={degrees}; if its images are upright, z of '{frame_id}' is not up"
            )

    def publish_when_ready(self, view: LabelledView) -> None:
        """Publish the points of a view once it has labels and companions. No newer view replaces it."""
        if view.ready():
            self.queue("points", self.publish_points, view)

    # --- work ---

    def segment(self, view: LabelledView) -> None:
        """Segment one image and publish the results that have subscribers."""
        view.pixels = view.rgb()
        result = self.labelled(Frame(view.pixels, stamp_ns=view.stamp_ns), None, self._turns)
        self._publish_images(view, *result)
        view.result = result
        self.publish_when_ready(view)

    def publish_points(self, view: LabelledView) -> None:
        """Publish the labels of a complete view as points in the map."""
        self.check_turn(view)
        cloud, pixel = self._unproject(view.frame(view.pixels))
        labels, confidence = (values.reshape(-1)[pixel] for values in view.result)
        header = Header(stamp=view.header.stamp, frame_id=view.companions.pose.frame_id)
        read = cloud_codec.ReadCloud(cloud, None, 1, len(cloud))
        self.points.publish(conversions.semantic_cloud_message(header, read, labels, confidence, self.space))

    def _publish_images(self, view: LabelledView, labels: np.ndarray, confidence: np.ndarray) -> None:
        def publish(publisher: Any, pixels: np.ndarray, encoding: str) -> None:
            publisher.publish(conversions.image_message(view.header, pixels, encoding))

        if self.has_subscribers(self.labels):
            publish(self.labels, labels, "mono8")
        if self.has_subscribers(self.confidence):
            publish(self.confidence, confidence, "32FC1")
        if self.has_subscribers(self.colors):
            message, pixels = conversions.image_to_fill(view.header, labels.shape, "rgb8")
            write_colors(labels, self.space, pixels)
            self.colors.publish(message)
        if self.has_subscribers(self.overlay):
            message, pixels = conversions.image_to_fill(view.header, labels.shape, "rgb8")
            write_overlay(view.pixels, labels, self.space, self.config.overlay_alpha, pixels)
            self.overlay.publish(message)

    def _unproject(self, frame: Frame) -> tuple[Cloud, np.ndarray]:
        """Points of every n-th pixel with depth, and the flat index of their pixels in the full image."""
        step, farthest = self.config.points_stride, self.config.max_depth_m
        xyz, pixel = unproject(frame.depth_m, frame.camera, frame.world_from_camera, step, farthest)
        if not len(xyz):
            raise BadInput(
                f"depth all missing: no pixel within {farthest} m; check the depth camera, its unit "
                "(16UC1 is millimetres, 32FC1 metres) and max_depth_m"
            )
        return Cloud(compact(xyz), frame.rgb.reshape(-1, 3)[pixel]), pixel

    # --- weights ---

    def load(self, weights: str, labels: LabelSpace | None) -> Any:
        """An image segmenter of the core with these weights."""
        from wsss_ros.inference import ImageSegmenter

        return ImageSegmenter(weights, self.config.device, self.config.precision, self.config.threads, labels)

    def dry_run(self, segmenter: Any) -> tuple[np.ndarray, np.ndarray]:
        """Segment a small black image."""
        return segmenter(Frame(np.zeros((48, 64, 3), np.uint8)))


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(ImageSegmenterNode, args)


if __name__ == "__main__":
    main()
