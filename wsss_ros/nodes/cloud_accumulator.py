"""RGB, depth, camera_info and pose in, one growing cloud of the map out."""

from typing import NoReturn

from builtin_interfaces.msg import Time
from pydantic import Field
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.view_inputs import OneFrameConfig
from wsss_ros.nodes.views import Views
from wsss_ros.types import Frame


class AccumulatorConfig(OneFrameConfig, VoxelMapConfig):
    """Parameters of the accumulator."""

    publish_period_s: float = Field(1.0, ge=0.05, le=60, description="Time between two clouds.")


class CloudAccumulatorNode(Node):
    """Fuses views into voxels and publishes the cloud when it has changed.

    When the clock jumps back, the map starts over. The cloud has the stamp of its last frame.
    """

    name = "cloud_accumulator"
    model = AccumulatorConfig
    config: AccumulatorConfig
    main_job = "frame"

    def configure(self) -> None:
        """Create an empty map and the publisher."""
        self.map = VoxelMap(self.config)
        conversions.warm_up(scannet20())
        self.views = Views(self, self.config, "cloud", self.fuse, self.start_over, self.change_frame)
        self.output = self.publisher(PointCloud2, "cloud", MAP)

    def activate(self) -> None:
        """Subscribe to views and publish the map every while."""
        self._published_frames = 0  # a cloud of the last activation is published again
        self.views.subscribe()
        self.every(self.config.publish_period_s, lambda: self.submit("cloud", self.publish_cloud))

    def release(self) -> None:
        """Free the map."""
        self.map = None

    def summary(self) -> str:
        """Voxel size, frame and bound."""
        config = self.config
        return f"voxels of {config.voxel_size_m:g} m in frame '{config.fixed_frame}', at most {config.max_points}"

    def report(self) -> Report:
        """Problems of matching, a full map, and the number of points."""
        if not self.active:
            return [], {}
        problems, values = self.views.report()
        if self.map.full:
            text = f"the map is full at {len(self.map)} points and takes no new ones; raise max_points or voxel_size_m"
            problems.append((WARN, text))
        return problems, {"points": str(len(self.map))} | values

    # --- work ---

    def fuse(self, frame: Frame) -> None:
        """Add one view to the map."""
        self.map.add(frame)

    def start_over(self) -> None:
        """Empty the map, after the stamps have jumped back."""
        self._published_frames = 0
        self.map.clear()
        self.report_problem("clock", "the stamps jumped back (a looped bag?); the map starts over")

    def change_frame(self, frame_id: str) -> None:
        """Empty the map: the poses to come are in another frame."""
        self._published_frames = 0
        self.map.clear()
        self.report_problem("frame", f"the poses are in the frame '{frame_id}' now; the map starts over")

    def publish_cloud(self) -> None:
        """Publish the map where it has changed since the last time."""
        self.views.handle_jump()
        if self.map.frames == self._published_frames:
            return
        self._published_frames = self.map.frames
        cloud = self.map.cloud()
        stamp = Time(sec=cloud.stamp_ns // 10**9, nanosec=cloud.stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id=self.views.frame_id)
        self.output.publish(conversions.cloud_message(header, cloud.xyz, cloud.rgb))


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(CloudAccumulatorNode, args)


if __name__ == "__main__":
    main()
