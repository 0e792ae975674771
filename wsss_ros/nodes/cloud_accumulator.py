"""RGB, depth, camera_info and pose in, one growing cloud of the map out."""

import sys
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.accumulate import VoxelMap
from wsss_ros.config import AccumulatorConfig
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import matching
from wsss_ros.nodes.node import MAP, SENSOR, SMALL_SENSOR, WARN, Node, run
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Frame


class CloudAccumulatorNode(Node):
    """Fuses what matches in time into voxels and publishes the cloud when it has changed.

    A clock that jumps back starts the map over. The cloud is stamped like its last frame.
    """

    name = "cloud_accumulator"
    model = AccumulatorConfig
    main_job = "frame"

    def configure(self) -> None:
        self.map = VoxelMap(self.config)
        conversions.warm_up(scannet20())
        self.sync = Synchronizer(("color", "depth", "camera", "pose"), round(self.config.sync_tolerance_s * 1e9))
        self._resets = 0
        self.output = self.publisher(PointCloud2, "cloud", MAP)

    def activate(self) -> None:
        self._published_frames = 0  # a cloud of before is published anew
        self._distortion_told = False
        self._listen(Image, "color/image_raw", self.on_color, SENSOR)
        self._listen(Image, "depth/image_rect", self.on_depth, SENSOR)
        self._listen(CameraInfo, "color/camera_info", self.on_camera_info, SMALL_SENSOR)
        self._listen(PoseStamped, "pose", self.on_pose, SMALL_SENSOR)
        self.every(self.config.publish_period_s, lambda: self.submit("cloud", self.publish_cloud))

    def release(self) -> None:
        self.map = None

    def summary(self) -> str:
        config = self.config
        return f"voxels of {config.voxel_size_m:g} m in frame '{config.frame_id}', at most {config.max_points}"

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        if not self.active:
            return [], {}
        problems, values = matching(self.sync, "cloud")
        if self.map.full:
            text = f"the map is full at {len(self.map)} points and takes no new ones; raise max_points or voxel_size_m"
            problems.append((WARN, text))
        return problems, {"points": str(len(self.map))} | values

    # --- messages ---

    def on_color(self, message: Image) -> None:
        self._offer("color", message.header, message)

    def on_depth(self, message: Image) -> None:
        conversions.check_depth_encoding(message.encoding)
        self._offer("depth", message.header, message)

    def on_camera_info(self, message: CameraInfo) -> None:
        camera = conversions.camera_from_info(message)
        if conversions.is_distorted(message) and not self._distortion_told:
            self._distortion_told = True
            self.complain("distortion", "camera_info states lens distortion, which is left out: feed rectified images")
        self._offer("camera", message.header, camera)

    def on_pose(self, message: PoseStamped) -> None:
        self._offer("pose", message.header, conversions.pose_to_matrix(message, self.config.frame_id))

    # --- work ---

    def fuse(self, views: dict[str, Any], resets: int) -> None:
        self._start_over_after(resets)
        if resets < self._resets:
            return  # of the time before the jump
        frame = self._frame(views)
        if not frame.depth_m.any():
            raise BadInput("depth all missing: no pixel has depth; check the depth camera and its topic")
        self.map.add(frame)

    def publish_cloud(self) -> None:
        self._start_over_after(self.sync.resets)
        if self.map.frames == self._published_frames:
            return
        self._published_frames = self.map.frames
        cloud = self.map.cloud()
        stamp = Time(sec=cloud.stamp_ns // 10**9, nanosec=cloud.stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id=self.config.frame_id)
        self.output.publish(conversions.cloud_message(header, cloud.xyz, cloud.rgb))

    def _frame(self, views: dict[str, Any]) -> Frame:
        color, camera = views["color"], views["camera"]
        rgb = conversions.image_to_rgb(color)
        depth_m = conversions.image_to_depth_m(views["depth"])
        if not (color.height, color.width) == depth_m.shape == (camera.height, camera.width):
            raise BadInput(
                f"image and depth size: color {(color.width, color.height)}, depth {depth_m.shape[::-1]}, camera_info "
                f"{(camera.width, camera.height)}; wanted depth registered to the color image"
            )
        return Frame(rgb, camera, depth_m, views["pose"], conversions.stamp_ns(color.header))

    def _start_over_after(self, resets: int) -> None:
        if resets > self._resets:
            self._resets = resets
            self._published_frames = 0
            self.map.clear()
            self.complain("clock", "the stamps jumped back (a looped bag?); the map starts over")

    # --- matching ---

    def _listen(self, kind: type, topic: str, callback: Any, qos: Any) -> None:
        self.listen(kind, topic, callback, qos, "cloud")

    def _offer(self, stream: str, header: Header, item: Any) -> None:
        matched = self.sync.add(stream, conversions.stamp_ns(header), item)
        if matched is not None:
            self.submit("frame", self.fuse, matched, self.sync.resets)


def main(args: list[str] | None = None) -> int:
    return run(CloudAccumulatorNode, args)


if __name__ == "__main__":
    sys.exit(main())
