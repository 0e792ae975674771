"""RGB, depth, camera_info and pose in, one growing cloud of the map out."""

from typing import NoReturn

import numpy as np
from builtin_interfaces.msg import Time
from pydantic import Field
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags.cdr import CLOUD
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

    When the clock jumps back, the map starts over. The cloud has the stamp of its last frame. While another node
    publishes on the same topic, this one stays quiet: nobody gets two clouds in turn.
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
        self._others: list[str] = []  # other nodes that publish on its topic

    def activate(self) -> None:
        """Subscribe to views and publish the map every while."""
        self._published_frames = 0  # a cloud of the last activation is published again
        self._far_reported = False
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
        if self._others:
            problems.append((WARN, self._quiet()))
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
        self._others = self._other_publishers()
        if self._others or self.map.frames == self._published_frames:
            return
        self._published_frames = self.map.frames
        cloud = self.map.cloud()
        stamp = Time(sec=cloud.stamp_ns // 10**9, nanosec=cloud.stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id=self.views.frame_id)
        self.output.publish(conversions.cloud_message(header, cloud.xyz, cloud.rgb))
        if cloud.xyz.dtype != np.float32:
            self._report_far(cloud.xyz)

    def _report_far(self, xyz: np.ndarray) -> None:
        if not self._far_reported:
            self._far_reported = True
            self.get_logger().info(
                f"the map is {np.abs(xyz).max():,.0f} m from the origin of '{self.views.frame_id}': x y z are "
                "float64, which RViz does not show; poses in a frame near the robot, such as odom, give float32"
            )

    def _other_publishers(self) -> list[str]:
        """The names of other nodes that publish on the topic of the cloud."""
        found = self.get_publishers_info_by_topic(self.resolve_topic_name("cloud"))
        clouds = [info for info in found if info.topic_type == CLOUD]
        names = {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in clouds}
        return sorted(names - {self.get_fully_qualified_name()})

    def _quiet(self) -> str:
        return (
            f"cloud has another publisher: {', '.join(self._others)} on {self.resolve_topic_name('cloud')}; this node "
            "stays quiet; start without it (accumulate:=false), or remap its output"
        )


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(CloudAccumulatorNode, args)


if __name__ == "__main__":
    main()
