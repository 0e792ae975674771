"""A cloud in, the same points with class, confidence and class colour out.

Weights announced on ``weights/cloud`` replace the current ones between two clouds (hand_over.py).
"""

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from pydantic import Field
from sensor_msgs.msg import PointCloud2

from wsss_ros.bags import cloud_codec
from wsss_ros.fusion.label_table import LabelTable, table_of
from wsss_ros.geometry import Up, parse_up, up_as_text, up_in_frame
from wsss_ros.labels import LabelSpace
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.label_info import names_of_cloud, report_foreign
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.ros_packages import read_cloud
from wsss_ros.nodes.segmenter import SegmenterConfig, SegmenterNode
from wsss_ros.types import BadInput, Cloud


class CloudSegmenterConfig(SegmenterConfig):
    """Parameters of the cloud segmenter."""

    points: int = Field(
        0, ge=0, le=2_000_000, description="Points the network sees, the rest is interpolated; 0 as in its training."
    )
    up: str = Field("auto", description="Direction against gravity in the cloud's frame: auto finds it, or 'x,y,z'.")


class CloudSegmenterNode(SegmenterNode):
    """``semantic_cloud`` has the points of ``cloud`` in their order and organisation, with the same header.

    Points that are not finite stay, with label 255 and confidence 0. x y z have the type that they have in ``cloud``:
    float64 stays float64. After an empty cloud there is a warning and no result; the last semantic cloud stays latched.
    The cloud may be in any frame: which way is up in it is found from the cloud and the name of its frame.
    Weights that take fused labels (2D3DNet) need a field ``label``, as ``semantic_mapper`` gives it; clouds without it
    are refused. Its classes are those of the weights, unless ``label_info`` or ``label_names`` below the topic of the
    cloud names others; these are matched by name.
    """

    name = "cloud_segmenter"
    model = CloudSegmenterConfig
    config: CloudSegmenterConfig
    kind = main_job = "cloud"

    def configure(self) -> None:
        """Load the weights and create the publisher."""
        self.up = None if self.config.up == "auto" else parse_up(self.config.up)
        super().configure()
        self.output = self.publisher(PointCloud2, "semantic_cloud", MAP)
        self.left_out = 0
        self.up_used: Up | None = None
        self.problems: dict[str, str] = {}  # of the last cloud, by cause
        self._ups: dict[str, np.ndarray] = {}  # directions that were found, by frame

    def activate(self) -> None:
        """Subscribe to clouds and to new weights."""
        self._fused_labels: LabelTable | None = None
        if self.networks.current.segmenter.takes_fused_labels:  # the names first: the executor takes the first topic
            for given in names_of_cloud(self.resolve_topic_name("cloud"), self.on_names):
                self.subscribe(*given)
        self.subscribe(PointCloud2, "cloud", lambda message: self.submit("cloud", self.segment, message), MAP, "result")
        self.networks.start()

    def report(self) -> Report:
        """The weights in use and the points left out."""
        if not self.active:
            return [], {}
        problems, values = self.networks_report()
        if self.up_used is not None:
            values |= {"up": up_as_text(self.up_used.direction), "up_certainty": f"{self.up_used.certainty:.2f}"}
        values |= {"points_not_finite": str(self.left_out)}
        return [*problems, *((WARN, text) for text in self.problems.values() if text)], values

    def segment(self, message: PointCloud2) -> None:
        """Segment one cloud and publish it. Raises BadInput for a cloud without finite points."""
        read = read_cloud(message)
        self.left_out += read.dropped
        if not len(read.cloud):
            raise BadInput(
                f"empty cloud: {read.dropped} points, none of them finite, in frame '{message.header.frame_id}'; "
                "check what fills the cloud topic"
            )
        x, y, z = map(float, self._up_of(read, message.header.frame_id))
        labels, confidence = self.labelled(self._with_fused_labels(read, message), (x, y, z))
        self.problems["color"] = self.networks.current.segmenter.color_problem(read.cloud.rgb)
        self.problems["coordinates"] = cloud_codec.coarse_positions(read)
        self.output.publish(conversions.semantic_cloud_message(message.header, read, labels, confidence, self.space))

    def _with_fused_labels(self, read: cloud_codec.ReadCloud, message: PointCloud2) -> Cloud:
        """The cloud with its field ``label``, for weights that take the labels that images vote for."""
        given = any(field.name == "label" for field in message.fields)
        if not given or not self.networks.current.segmenter.takes_fused_labels:
            return read.cloud
        table = self._fused_labels
        labels = (
            cloud_codec.cloud_to_labels(message) if table is None else table.known(cloud_codec.cloud_to_ids(message))
        )
        return replace(read.cloud, fused_label=read.gather(labels))

    def on_names(self, names: dict[int, str]) -> None:
        """Take what the field ``label`` of the clouds means. Classes that the weights do not have are reported."""
        self._fused_labels = table_of(names, self.space.names)
        report_foreign(self, self._fused_labels, self.space, WARN)

    def _up_of(self, read: cloud_codec.ReadCloud, frame_id: str) -> np.ndarray:
        """The direction of the parameter ``up``, else the one that is found; its doubts are reported."""
        if self.up is not None:
            return self.up
        camera = np.zeros((1, 3)) if "optical" in frame_id else None
        self.up_used, self.problems["up"] = up_in_frame(read.cloud.xyz, frame_id, camera, self._ups.get(frame_id))
        if not self.problems["up"]:
            self._ups[frame_id] = self.up_used.direction
        return self.up_used.direction

    # --- weights ---

    def load(self, weights: str, labels: LabelSpace | None) -> Any:
        """A cloud segmenter of the core with these weights."""
        from wsss_ros.inference import CloudSegmenter

        config = self.config
        return CloudSegmenter(weights, config.device, config.precision, config.points, config.threads, labels)

    def dry_run(self, segmenter: Any, count: int = 2048) -> tuple[np.ndarray, np.ndarray]:
        """Segment ``count`` random points."""
        random = np.random.default_rng(0)
        xyz, rgb = random.random((count, 3), np.float32) * 4, np.zeros((count, 3), np.uint8)
        return segmenter(Cloud(xyz, rgb, fused_label=np.zeros(count, np.uint8)))

    def warm_up(self, segmenter: Any) -> None:
        """Compiles the kernels. More points than the network takes in, so that the interpolation runs, too."""
        self.dry_run(segmenter, segmenter.points + 100)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(CloudSegmenterNode, args)


if __name__ == "__main__":
    main()
