"""Colour images in, semantic images out; with depth, camera_info and pose also semantic points in the map.

Weights announced on ``weights/image`` replace the current ones between two frames (hand_over.py).
"""

import threading
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import numpy as np
from geometry_msgs.msg import PoseStamped
from pydantic import Field
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags import cloud_codec, codec
from wsss_ros.geometry import unproject
from wsss_ros.labels import LabelSpace
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import WARN, Report, sync_report
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import RESULT, SENSOR, SMALL_SENSOR
from wsss_ros.nodes.segmenter import SegmenterConfig, SegmenterNode
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Cloud, Frame


class ImageSegmenterConfig(SegmenterConfig):
    """Parameters of the image segmenter."""

    transport: Literal["raw", "compressed"] = Field("raw", description="Which colour topic to take.")
    overlay_alpha: float = Field(0.5, ge=0, le=1, description="Share of the class colour in the overlay.")
    points_stride: int = Field(2, ge=1, le=32, description="Every n-th pixel of a row and column in semantic/points.")
    max_depth_m: float = Field(8.0, gt=0, le=100, description="Farther pixels are left out of semantic/points.")
    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of one view may differ by this much.")


@dataclass
class View:
    """One colour image in work: its result and its companions arrive in either order."""

    header: Header
    rgb: np.ndarray
    result: tuple[np.ndarray, np.ndarray] | None = None
    companions: dict[str, Any] | None = None
    sent: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def completed(self, **parts: Any) -> bool:
        """Add parts. Returns True for the one call that makes the view complete."""
        with self.lock:
            for name, part in parts.items():
                setattr(self, name, part)
            complete = self.result is not None and self.companions is not None and not self.sent
            self.sent = self.sent or complete
            return complete


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
        self.sync = Synchronizer(
            ("color", "depth", "camera", "pose"), round(self.config.sync_tolerance_s * 1e9), capacity=60
        )
        self._resets = 0
        self._size: tuple[int, int] | None = None
        self._distortion_reported = False
        if self.config.transport == "compressed":
            self._subscribe_color(CompressedImage, "color/image_raw/compressed", codec.compressed_to_rgb)
        else:
            self._subscribe_color(Image, "color/image_raw", codec.image_to_rgb)
        self.companions = [
            self._subscribe_companion(Image, "depth/image_rect", self.on_depth, SENSOR),
            self._subscribe_companion(CameraInfo, "color/camera_info", self.on_camera_info, SMALL_SENSOR),
            self._subscribe_companion(PoseStamped, "pose", self.on_pose, SMALL_SENSOR),
        ]
        self.networks.start()

    def report(self) -> Report:
        """The weights in use, and matching where points have subscribers."""
        if not self.active:
            return [], {}
        problems, weights = self.networks_report()
        unmatched, values = sync_report(self.sync, "semantic/points")
        return problems + (unmatched if self.has_subscribers(self.points) else []), weights | values

    # --- messages ---

    def on_depth(self, message: Image) -> None:
        """Match a depth image. Raises BadInput for another encoding or size."""
        codec.check_depth_encoding(message.encoding)
        self._check_size("depth", message.height, message.width)
        self._match("depth", message.header, message)

    def on_camera_info(self, message: CameraInfo) -> None:
        """Match a calibration. Raises BadInput where it is none, or one of another size."""
        camera = codec.camera_from_info(message)
        self._check_size("camera_info", message.height, message.width)
        if codec.is_distorted(message) and not self._distortion_reported:
            self._distortion_reported = True
            text = "camera_info has lens distortion, which is ignored: give rectified images"
            self.report_problem("distortion", text)
        self._match("camera", message.header, camera)

    def on_pose(self, message: PoseStamped) -> None:
        """Match a pose. Raises BadInput where it is not one."""
        self._match("pose", message.header, (message.header.frame_id, codec.stamped_pose_to_matrix(message)))

    # --- work ---

    def segment(self, message: Image | CompressedImage, convert: Any) -> None:
        """Segment one image and publish the results that have subscribers."""
        view = View(message.header, convert(message))
        self._size = view.rgb.shape[:2]
        self._match("color", message.header, view)
        result = self.labelled(Frame(view.rgb, stamp_ns=codec.stamp_ns(message.header)))
        self._publish_images(view, *result)
        if view.completed(result=result):
            self.submit("points", self.publish_points, view)

    def publish_points(self, view: View) -> None:
        """Publish the labels of a complete view as points in the map."""
        frame_id, pose = view.companions["pose"]
        depth_m = codec.image_to_depth_m(view.companions["depth"])
        cloud, pixel = self._unproject(view, depth_m, pose)
        labels, confidence = (values.reshape(-1)[pixel] for values in view.result)
        header = Header(stamp=view.header.stamp, frame_id=frame_id)
        read = cloud_codec.ReadCloud(cloud, None, 1, len(cloud))
        self.points.publish(conversions.semantic_cloud_message(header, read, labels, confidence, self.space))

    def _publish_images(self, view: View, labels: np.ndarray, confidence: np.ndarray) -> None:
        def publish(publisher: Any, pixels: np.ndarray, encoding: str) -> None:
            publisher.publish(conversions.image_message(view.header, pixels, encoding))

        if self.has_subscribers(self.labels):
            publish(self.labels, labels, "mono8")
        if self.has_subscribers(self.confidence):
            publish(self.confidence, confidence, "32FC1")
        if self.has_subscribers(self.colors, self.overlay):
            colors = self.space.colorize(labels)
            if self.has_subscribers(self.colors):
                publish(self.colors, colors, "rgb8")
            if self.has_subscribers(self.overlay):
                mixed = conversions.overlay(view.rgb, colors, labels, self.config.overlay_alpha)
                publish(self.overlay, mixed, "rgb8")

    def _unproject(self, view: View, depth_m: np.ndarray, pose: np.ndarray) -> tuple[Cloud, np.ndarray]:
        """Points of every n-th pixel with depth, and the flat index of their pixels in the full image."""
        step, camera = self.config.points_stride, view.companions["camera"]
        if not view.rgb.shape[:2] == depth_m.shape == (camera.height, camera.width):
            raise BadInput(
                f"image and depth size: color {view.rgb.shape[1::-1]}, depth {depth_m.shape[::-1]}, camera_info "
                f"{(camera.width, camera.height)}; expected depth registered to the color image"
            )
        xyz, pixel = unproject(depth_m, camera, pose, step, self.config.max_depth_m)
        if not len(xyz):
            raise BadInput(
                f"depth all missing: no pixel within {self.config.max_depth_m} m; check the depth camera, its unit "
                "(16UC1 is millimetres, 32FC1 metres) and max_depth_m"
            )
        rgb = view.rgb.reshape(-1, 3)[pixel]
        return Cloud(xyz.astype(np.float32), rgb), pixel

    # --- weights ---

    def load(self, weights: str, labels: LabelSpace | None) -> Any:
        """An image segmenter of the core with these weights."""
        from wsss_ros.inference import ImageSegmenter

        return ImageSegmenter(weights, self.config.device, self.config.precision, self.config.threads, labels)

    def dry_run(self, segmenter: Any) -> tuple[np.ndarray, np.ndarray]:
        """Segment a small black image."""
        return segmenter(Frame(np.zeros((48, 64, 3), np.uint8)))

    # --- matching ---

    def _subscribe_color(self, kind: type, topic: str, convert: Any) -> None:
        def submit(message: Image | CompressedImage) -> None:
            self.submit("image", self.segment, message, convert)

        self.subscribe(kind, topic, submit, SENSOR, "result")

    def _subscribe_companion(self, kind: type, topic: str, callback: Any, qos: Any) -> Any:
        def needed() -> bool:
            return self.has_subscribers(self.points) or any(record.received for record in self.companions)

        return self.subscribe(kind, topic, callback, qos, "semantic/points", needed)

    def _match(self, stream: str, header: Header, item: Any) -> None:
        if not self.has_subscribers(self.points):
            return
        matched = self.sync.add(stream, codec.stamp_ns(header), item)
        if self.sync.resets != self._resets:
            self._resets = self.sync.resets
            self.report_problem("clock", "the stamps jumped back (a looped bag?); matching started over", WARN)
        if matched is not None and matched["color"].completed(companions=matched):
            self.submit("points", self.publish_points, matched["color"])

    def _check_size(self, what: str, height: int, width: int) -> None:
        if self._size is not None and (height, width) != self._size:
            raise BadInput(
                f"{what} size: {width} x {height} for a color image of {self._size[1]} x {self._size[0]}; expected "
                f"{what} registered to the color image, remap to the registered topic"
            )


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(ImageSegmenterNode, args)


if __name__ == "__main__":
    main()
