"""``viewer``: a 3D page in a browser: the semantic cloud, the camera with its overlay, its path, and the classes.

It subscribes to clouds and images only while a browser looks at the page, so that nothing is computed for nobody. The
path of the camera is kept all the time.
"""

import time
from collections import deque
from functools import partial
from typing import Any, Literal, NoReturn

import numpy as np
from pydantic import Field
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from wsss_ros.bags import codec
from wsss_ros.fusion.label_table import LabelTable, meaning_of
from wsss_ros.geometry.camera_models import is_rectified_topic
from wsss_ros.labels import UNLABELLED, LabelSpace, labels_named
from wsss_ros.nodes.health import OK, Report
from wsss_ros.nodes.inputs import Input
from wsss_ros.nodes.label_info import names_of_cloud
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP, SENSOR, SMALL_SENSOR
from wsss_ros.nodes.ros_packages import read_cloud
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.transforms import PoseConfig, Poses
from wsss_ros.nodes.view_cameras import COLOR
from wsss_ros.nodes.view_sources import Need, Pose
from wsss_ros.processes.priority import yield_processor
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput, Camera
from wsss_ros.viewer.points import LIVE_MODES, read_semantic_points, with_colors
from wsss_ros.viewer.stage import ShownView, Stage

WATCH_S = 0.25
STATUS_S = 1.0
COLOR_CLOUDS = 3  # input clouds that wait for their semantic cloud
SEMANTIC_CLOUD, SEMANTIC_MAP = "semantic_cloud", "semantic_map"
MOST_ASKED = 60  # stamps whose pose was asked for last
NO_POSE_S = 1.0  # after this time without a pose, pictures are shown without one


class ViewerConfig(PoseConfig):
    """Parameters of the node."""

    host: str = Field("127.0.0.1", description="Address served on; another one lets other machines look.")
    port: int = Field(8081, ge=0, le=65_535, description="Port; 0 takes a free one.")
    label_space: str = Field(
        "config/labels/scannet20.yaml",
        description="Label file or checkpoint; semantic_map is named by its label_info, with colours from here.",
    )
    cloud: Literal["auto", "semantic_cloud", "semantic_map"] = Field(
        "auto", description="The cloud that is shown; auto: semantic_map where it has a publisher, else semantic_cloud."
    )
    rate_hz: float = Field(5.0, ge=0.1, le=30, description="Largest rate of clouds and of pictures; the newest wins.")
    max_points: int = Field(300_000, ge=1000, le=5_000_000, description="Of more points, every n-th is drawn.")
    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of a picture and its pose may differ so.")


class ViewerNode(Node):
    """Serves the page and hands the newest messages to it, at most ``rate_hz`` times a second."""

    name = "viewer"
    main_job = "cloud"
    model = ViewerConfig
    config: ViewerConfig
    stage: Stage | None = None

    def configure(self) -> None:
        """Read the classes."""
        self.labels = labels_named(self.config.label_space)

    def activate(self) -> None:
        """Serve the page and subscribe to the poses."""
        config = self.config
        self.stage = Stage(config.host, config.port, self.labels, config.max_points, self.get_namespace().strip("/"))
        self.at_deactivate(self._close_stage)
        self._watched: dict[str, Input] = {}
        self._cloud: PointCloud2 | None = None
        self._names: dict[int, str] = {}  # of the labels of the map
        self._meaning: tuple[LabelSpace, LabelTable] | None = None  # the same, once there are any
        self._map: PointCloud2 | None = None  # the last one
        self._overlay: tuple[Image, Any] | None = None
        self._colors: dict[int, PointCloud2] = {}
        self._camera: Camera | None = None
        self._rectified = is_rectified_topic(self.resolve_topic_name(COLOR))
        self._posed_at = -NO_POSE_S
        self._asked: deque[int] = deque(maxlen=MOST_ASKED)
        self._frames = {"the poses": "", "the cloud": ""}
        self._resets = 0
        self.sync = Synchronizer(("overlay", "pose"), round(config.sync_tolerance_s * 1e9))
        self.poses = Poses(self, config, TfListener(self))
        self.poses.start(self.on_pose, Need("camera and path in the view", self.is_watched))
        self.subscribe(
            CameraInfo, "color/camera_info", self.on_camera_info, SMALL_SENSOR, "camera in the view", self.is_watched
        )
        self.every(WATCH_S, self._subscribe_while_watched)
        self.every(1 / config.rate_hz, self._draw)
        self.every(STATUS_S, self._show_status)
        if self.stage.address.is_open:
            text = f"whoever reaches {self.summary()} may look; host 127.0.0.1 keeps it on this machine"
            self.get_logger().warning(text)

    def summary(self) -> str:
        """Address of the page."""
        return self.stage.address.url

    def report(self) -> Report:
        """Address and number of browsers, and where poses come from."""
        if not self.active or self.stage is None:
            return [], {}
        problems, values = self.poses.report()
        shown = {"url": self.summary(), "browsers": str(self.stage.watchers)}
        return (problems if self.is_watched() else []), shown | values

    def is_watched(self) -> bool:
        """Whether a browser looks at the page."""
        return self.stage is not None and self.stage.watchers > 0

    # --- messages ---

    def on_camera_info(self, message: CameraInfo) -> None:
        """Keep the calibration and ask for the pose at this time. Raises BadInput for an uncalibrated camera."""
        self._camera = codec.camera_from_info(message, rectified=self._rectified)
        self._ask_pose(message.header)

    def _ask_pose(self, header: Any) -> None:
        """Ask for the pose at the stamp of a calibration, which may come once only, or of a picture."""
        stamp_ns = codec.stamp_ns(header)
        if stamp_ns not in self._asked:
            self._asked.append(stamp_ns)
            self.poses.expect(stamp_ns, header.frame_id)

    def on_pose(self, stamp_ns: int, pose: Pose) -> None:
        """Continue the path, and match the pose with the picture of its time."""
        self._posed_at = time.monotonic()
        self._check_frame("the poses", pose.frame_id)
        self._match("pose", stamp_ns, pose.world_from_camera)
        self.stage.add_pose(pose.world_from_camera)

    def on_overlay(self, message: Image) -> None:
        """Match a picture with its pose; without poses it is shown alone."""
        self._match("overlay", codec.stamp_ns(message.header), message)
        self._ask_pose(message.header)
        if time.monotonic() - self._posed_at > NO_POSE_S:
            self._overlay = (message, None)

    def on_cloud(self, name: str, message: PointCloud2) -> None:
        """Keep the newest semantic cloud, or map, for the next drawing."""
        self._check_frame("the cloud", message.header.frame_id)
        self._cloud = message
        self._map = message if name == SEMANTIC_MAP else None
        if name != SEMANTIC_MAP:
            self._names, self._meaning = {}, None

    def on_names(self, names: dict[int, str]) -> None:
        """Take the names of the labels of the map, and draw it again. Raises BadInput where they cannot be classes."""
        if names == self._names:
            return
        self._names, self._meaning = names, meaning_of(names, self.labels)
        self._cloud = self._map or self._cloud

    def on_input_cloud(self, message: PointCloud2) -> None:
        """Keep the last clouds, which have the colours of the camera."""
        self._colors[codec.stamp_ns(message.header)] = message
        while len(self._colors) > COLOR_CLOUDS:
            del self._colors[next(iter(self._colors))]

    def _match(self, stream: str, stamp_ns: int, item: Any) -> None:
        matched = self.sync.add(stream, stamp_ns, item)
        if self.sync.resets > self._resets:
            self._resets = self.sync.resets
            self.stage.clear_path()
        if matched is not None:
            self._overlay = (matched["overlay"], matched["pose"])

    def _check_frame(self, what: str, frame: str) -> None:
        self._frames[what] = frame.removeprefix("/")
        cloud, poses = self._frames["the cloud"], self._frames["the poses"]
        if cloud and poses and cloud != poses:
            text = (
                f"frames: the cloud is in '{cloud}' and the poses are in '{poses}', so the camera is drawn in a wrong"
            )
            self.report_problem("frames", f"{text} place; set fixed_frame to '{cloud}', or give poses in it")

    # --- what is subscribed to while somebody looks ---

    def _subscribe_while_watched(self) -> None:
        needed = self._needed() if self.is_watched() else {}
        for topic in set(self._watched) - set(needed):
            self.unsubscribe(self._watched.pop(topic))
        for topic in set(needed) - set(self._watched):
            self._watched[topic] = self.subscribe(*needed[topic])

    def _needed(self) -> dict[str, tuple]:
        shown = self._shown_cloud()
        clouds: dict[str, tuple[Any, ...]] = {
            shown: (PointCloud2, shown, partial(self.on_cloud, shown), MAP, "cloud in the view")
        }
        if shown == SEMANTIC_MAP:
            named = names_of_cloud(self.resolve_topic_name(SEMANTIC_MAP), self.on_names)
            clouds |= {given[1]: given for given in named}
        elif self.stage.panel.mode == "rgb":
            clouds["cloud"] = (PointCloud2, "cloud", self.on_input_cloud, MAP, "colours of the points in the view")
        overlay = (Image, "semantic_overlay/image_raw", self.on_overlay, SENSOR, "picture in the view")
        return clouds | {"semantic_overlay/image_raw": overlay}

    def _shown_cloud(self) -> str:
        if self.config.cloud != "auto":
            return self.config.cloud
        has_map = self.count_publishers(self.resolve_topic_name(SEMANTIC_MAP)) > 0
        return SEMANTIC_MAP if has_map else SEMANTIC_CLOUD

    # --- drawing ---

    def _draw(self) -> None:
        if self._cloud is not None and not self._waits_for_colors():
            message, self._cloud = self._cloud, None
            meaning = self._meaning if message is self._map else None
            self.submit("cloud", self.show_cloud, message, self._colors.get(codec.stamp_ns(message.header)), meaning)
        if self._overlay is not None:
            (message, pose), self._overlay = self._overlay, None
            self.submit("picture", self.show_picture, message, pose)

    def _waits_for_colors(self) -> bool:
        """Whether the colours of the newest cloud were asked for and are still to come."""
        wanted = "cloud" in self._watched and not self._colors
        return wanted and self.count_publishers(self._watched["cloud"].topic) > 0

    def show_cloud(
        self, message: PointCloud2, colors: PointCloud2 | None, meaning: tuple[LabelSpace, LabelTable] | None
    ) -> None:
        """Show a semantic cloud whose labels mean this. Raises BadInput where it is none, or has no finite point."""
        if not message.height * message.width:
            return  # a map is empty before its first view
        space, table = meaning or (self.labels, None)
        points = read_semantic_points(message, table)
        if not len(points):
            raise BadInput("empty semantic cloud: none of its points is finite; check what fills the cloud topic")
        if colors is not None:
            points = with_colors(points, read_cloud(colors).cloud)
        self._check_classes(points.labels, space)
        self.stage.show_cloud(points, LIVE_MODES, space)

    def _check_classes(self, labels: np.ndarray, space: LabelSpace) -> None:
        beyond = int(((labels >= len(space)) & (labels != UNLABELLED)).sum())
        if beyond:
            text = (
                f"classes: {beyond} points have labels that '{space.name}' does not have ({len(space)} classes); they "
                "are shown as unlabelled; set label_space to the classes of the cloud"
            )
            self.report_problem("classes", text)

    def show_picture(self, message: Image, pose: Any) -> None:
        """Show a picture, with its camera where the pose is known."""
        rgb = codec.image_to_rgb(message)
        self.stage.show_view(ShownView(rgb, self._camera, pose, codec.stamp_ns(message.header)))
        self.stage.show_path()

    def _show_status(self) -> None:
        if self.is_watched():
            level, text, _ = self.status()
            self.stage.panel.show_status("live" if level == OK else text)

    def _close_stage(self) -> None:
        stage, self.stage = self.stage, None
        stage.close()


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM. The segmenters have the processor first."""
    yield_processor()
    run(ViewerNode, args)


if __name__ == "__main__":
    main()
