"""RGB, depth, camera_info and pose in, one growing cloud of the map out."""

import sys

from builtin_interfaces.msg import Time
from pydantic import Field
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from wsss_ros.geometry.voxel_map import VoxelMap, VoxelMapConfig
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions
from wsss_ros.nodes.node import MAP, WARN, Node, NodeConfig, run
from wsss_ros.nodes.views import Views
from wsss_ros.types import Frame


class AccumulatorConfig(NodeConfig, VoxelMapConfig):
    publish_period_s: float = Field(1.0, ge=0.05, le=60, description="Time between two clouds.")
    frame_id: str = Field("map", description="Frame of the cloud.")
    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of one view may differ by this much.")


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
        self.views = Views(self, "cloud", self.fuse, self.start_over, self.config.frame_id)
        self.output = self.publisher(PointCloud2, "cloud", MAP)

    def activate(self) -> None:
        self._published_frames = 0  # a cloud of before is published anew
        self.views.listen()
        self.every(self.config.publish_period_s, lambda: self.submit("cloud", self.publish_cloud))

    def release(self) -> None:
        self.map = None

    def summary(self) -> str:
        config = self.config
        return f"voxels of {config.voxel_size_m:g} m in frame '{config.frame_id}', at most {config.max_points}"

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        if not self.active:
            return [], {}
        problems, values = self.views.report()
        if self.map.full:
            text = f"the map is full at {len(self.map)} points and takes no new ones; raise max_points or voxel_size_m"
            problems.append((WARN, text))
        return problems, {"points": str(len(self.map))} | values

    # --- work ---

    def fuse(self, frame: Frame) -> None:
        self.map.add(frame)

    def start_over(self) -> None:
        self._published_frames = 0
        self.map.clear()
        self.complain("clock", "the stamps jumped back (a looped bag?); the map starts over")

    def publish_cloud(self) -> None:
        self.views.settle()
        if self.map.frames == self._published_frames:
            return
        self._published_frames = self.map.frames
        cloud = self.map.cloud()
        stamp = Time(sec=cloud.stamp_ns // 10**9, nanosec=cloud.stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id=self.config.frame_id)
        self.output.publish(conversions.cloud_message(header, cloud.xyz, cloud.rgb))


def main(args: list[str] | None = None) -> int:
    return run(CloudAccumulatorNode, args)


if __name__ == "__main__":
    sys.exit(main())
