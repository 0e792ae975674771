"""The graph as `wsss doctor --topics` sees it: listens to all inputs for some seconds, then prints the findings.

It takes the topic names of the set by remaps, as the other nodes do, and ends by itself. Its status is 1 with a fault.
"""

import time
from typing import Any, NamedTuple, NoReturn

from geometry_msgs.msg import PoseStamped
from pydantic import Field
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from wsss_ros.bags import cloud_codec, codec
from wsss_ros.doctor import findings, topics
from wsss_ros.doctor.topics import Graph, Observed
from wsss_ros.geometry.camera_models import findings as calibration_findings
from wsss_ros.geometry.camera_models import is_rectified_topic
from wsss_ros.geometry.transforms import WORLD_FRAMES, LookupFailed
from wsss_ros.nodes import silence
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import COMPANION, MAP, SENSOR, SMALL_SENSOR
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.transforms import FrameName
from wsss_ros.nodes.view_cameras import COLOR, depth_info_topic
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import BadInput

DISCOVERY_S = 10.0  # longest wait for the first other node, before the listening begins
MOST_DECODED = 3  # messages of each input; more say nothing new and would slow the others down


class DoctorConfig(NodeConfig):
    """Parameters of the doctor."""

    seconds: float = Field(5.0, ge=0.5, le=120, description="How long to listen.")
    fixed_frame: FrameName = Field("map", description="World frame that poses from TF are looked up in.")
    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of one view may differ by this much.")


class DoctorNode(Node):
    """Listens, prints, and ends."""

    name = "doctor"
    model = DoctorConfig
    config: DoctorConfig

    def activate(self) -> None:
        """Subscribe to every input in every transport, and to TF."""
        self.observed = {way.role: Observed(self.resolve_topic_name(way.topic)) for way in WAYS}
        self._late: list[float] = []
        self._depth_infos = 0
        self.subscribe(CameraInfo, self._depth_info(), self._count_depth_info, SMALL_SENSOR, "", lambda: False)
        for way in WAYS:
            self._listen(way)
        self.tf = TfListener(self)
        if self.tf.readable:
            self.tf.start(lambda: None, Need("", lambda: False))
        self._until: float | None = None  # known once another node is seen
        self._alone_until = time.monotonic() + DISCOVERY_S
        self.every(0.1, self._finish)

    def _depth_info(self) -> str:
        return self.resolve_topic_name(depth_info_topic(self))

    def _count_depth_info(self, _: CameraInfo) -> None:
        self._depth_infos += 1

    def _listen(self, way: "Way") -> None:
        topic = self._full_name(way)
        self.subscribe(
            way.kind, topic, lambda message: self._take(way.role, topic, message), way.qos, "", lambda: False
        )

    def _full_name(self, way: "Way") -> str:
        return self.resolve_topic_name(way.topic) + way.suffix

    def _take(self, name: str, topic: str, message: Any) -> None:
        seen = self.observed[name]
        seen.topic, seen.frame = topic, message.header.frame_id
        seen.arrivals_s.append(time.monotonic())
        stamp_ns = codec.stamp_ns(message.header)
        seen.stamps_ns.append(stamp_ns)
        if name == "colour":
            self._late.append((self.get_clock().now().nanoseconds - stamp_ns) / 1e9)
        if len(seen.stamps_ns) <= MOST_DECODED:
            try:
                self._look_into(name, seen, message)
            except BadInput as error:
                seen.fault = str(error)

    def _look_into(self, name: str, seen: Observed, message: Any) -> None:
        """Raises BadInput for a message that cannot be used."""
        if name != "camera_info":
            seen.detail = DETAILS[name](message)
        else:
            rectified = is_rectified_topic(self.resolve_topic_name(COLOR))
            seen.detail = _info(message, rectified)
            seen.oddities = calibration_findings(codec.calibration_from_info(message), rectified)
        seen.fault, seen.size = "", _size(message)

    # --- the end ---

    def _finish(self) -> None:
        if self._until is None:
            if len(self.get_node_names()) < 2 and time.monotonic() < self._alone_until:
                return
            self._until = time.monotonic() + self.config.seconds
        if time.monotonic() < self._until:
            return
        self.exit_status = 1  # unless it comes to its end
        try:
            self._print_findings()
        finally:
            self.context.try_shutdown()

    def _print_findings(self) -> None:
        for way in WAYS:
            self._look_at_publishers(way)
        found = topics.findings(self._observation())
        for finding in found:
            print(finding.line(), flush=True)
        print(findings.count(found), flush=True)
        self.exit_status = findings.status(found)

    def _observation(self) -> Graph:
        path, tf_fault = self._path_to_camera()
        return Graph(
            self.observed,
            path,
            tf_fault,
            self._extrinsic_fault(),
            self._late,
            self.config.sync_tolerance_s,
            self.config.seconds,
            "; ".join(text for _, text in self._clock_watch.problems(0.0, silent=False)),
            "" if self._depth_infos else self._depth_info(),
        )

    def _look_at_publishers(self, way: "Way") -> None:
        seen, topic = self.observed[way.role], self._full_name(way)
        kind = silence.type_name(way.kind)
        publishers = self._graph.publishers(topic)
        nodes = [each.node for each in publishers if each.type == kind or way.role != "pose"]  # else TF is taken
        sources = sorted(each.node for each in publishers if each.type == kind)
        if len(sources) > 1 and way.role != "camera_info":
            mixed = f"{len(sources)} publishers, {', '.join(sources)}: their messages mix; end one, or remap it"
            seen.oddities = [*seen.oddities, mixed]
        if nodes or not way.suffix:
            seen.why = silence.reason(topic, way.topic, kind, [way.qos], self._graph)
        seen.publishers = [*seen.publishers, *nodes]

    def _path_to_camera(self) -> tuple[str, str]:
        """The poses that TF has, or why it has none."""
        camera = self.observed["colour"].frame or self.observed["camera_info"].frame
        if not self.tf.readable or not camera:
            return "", "no image came that names the frame of the camera" if self.tf.readable else "cannot be read here"
        fault, fixed = "", self.config.fixed_frame
        for frame in WORLD_FRAMES if fixed == WORLD_FRAMES[0] else (fixed,):  # as the nodes do
            try:
                self._lookup(frame, camera)
                return f"{frame} -> {camera}, at the stamps of the images", ""
            except LookupFailed as error:
                fault = fault or str(error)
        return "", fault

    def _lookup(self, frame: str, camera: str) -> None:
        """Look the camera up at the newest stamp that TF has; images of the last moment may be ahead of TF."""
        stamps = [
            stamp for stamp in self.observed["colour"].stamps_ns or self.observed["camera_info"].stamps_ns if stamp
        ]
        failed: LookupFailed | None = None
        for stamp_ns in reversed(stamps):
            try:
                self.tf.lookup(frame, camera, stamp_ns)
                return
            except LookupFailed as error:
                failed = error
        raise failed or LookupFailed("past", "the images have no stamps")

    def _extrinsic_fault(self) -> str:
        color, depth = self.observed["colour"], self.observed["depth"]
        if not color.frame or not depth.frame or not depth.stamps_ns or not self.tf.readable:
            return "" if self.tf.readable else "TF cannot be read here"
        try:
            self.tf.lookup(color.frame, depth.frame, depth.stamps_ns[0])
        except LookupFailed as error:
            return str(error)
        return ""


def _color(message: Any) -> str:
    rgb = codec.color_to_rgb(message)
    return f"{_encoding(message)}, {rgb.shape[1]} x {rgb.shape[0]}"


def _depth(message: Any) -> str:
    depth_m = codec.depth_to_m(message)
    known = depth_m[depth_m > 0]
    if not known.size:
        raise BadInput("depth all missing: no pixel has depth; check the depth camera and its topic")
    span = f"{known.min():.2f} to {known.max():.2f} m"
    known_share = f"{100 * known.size // depth_m.size} % known, {span}"
    return f"{_encoding(message)}, {depth_m.shape[1]} x {depth_m.shape[0]}, {known_share}"


def _encoding(message: Any) -> str:
    return getattr(message, "encoding", None) or getattr(message, "format", "")


def _size(message: Any) -> tuple[int, int] | None:
    """Width and height of the pictures of an image or a calibration; None where they are not in the message."""
    if isinstance(message, CameraInfo):
        return codec.calibration_from_info(message).picture_size
    return (message.width, message.height) if isinstance(message, Image) else None


def _info(message: CameraInfo, rectified: bool = False) -> str:
    camera = codec.camera_from_info(message, rectified=rectified)
    lens = f"{message.distortion_model or 'lens'} distortion" if camera.distortion is not None else "no distortion"
    return f"{message.width} x {message.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}, {lens}"


def _pose(message: PoseStamped) -> str:
    x, y, z = codec.stamped_pose_to_matrix(message)[:3, 3]
    return f"at {x:.2f}, {y:.2f}, {z:.2f} m"


def _cloud(message: PointCloud2) -> str:
    read = cloud_codec.read_cloud(message)
    colors = "with colours" if read.cloud.rgb is not None else "without colours"
    return f"{len(read.cloud):,} points {colors}, {read.dropped:,} not finite"


DETAILS = {"colour": _color, "camera_info": _info, "depth": _depth, "pose": _pose, "cloud": _cloud}


class Way(NamedTuple):
    """One topic that an input may come on: that of the input, with the suffix of a transport."""

    role: str
    kind: type
    topic: str
    suffix: str
    qos: QoSProfile


WAYS = (
    Way("colour", Image, "color/image_raw", "", SENSOR),
    Way("colour", CompressedImage, "color/image_raw", "/compressed", SENSOR),
    Way("camera_info", CameraInfo, "color/camera_info", "", SMALL_SENSOR),
    Way("depth", Image, "depth/image_rect", "", COMPANION),
    Way("depth", CompressedImage, "depth/image_rect", "/compressedDepth", COMPANION),
    Way("depth", CompressedImage, "depth/image_rect", "/compressed", COMPANION),
    Way("pose", PoseStamped, "pose", "", SMALL_SENSOR),
    Way("cloud", PointCloud2, "cloud", "", MAP),
)


def main(args: list[str] | None = None) -> NoReturn:
    """Listen, print the findings, and end with status 1 where there is a fault."""
    run(DoctorNode, args)


if __name__ == "__main__":
    main()
