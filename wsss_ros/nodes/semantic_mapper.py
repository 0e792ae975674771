"""Label images of any model, depth or LiDAR, and poses in; one semantic map of the place out, which can be saved.

``semantic_map`` has the fields of ``semantic_cloud``; ``semantic_map/label_info`` and ``semantic_map/label_names`` name
its classes. The map outlives looped bags and restarts (``map_file``); views whose pose cannot be true are left out and
reported.
"""

import threading
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

from builtin_interfaces.msg import Time
from pydantic import Field
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags.cloud_codec import ReadCloud
from wsss_ros.files import expanded
from wsss_ros.fusion.label_table import space_of
from wsss_ros.fusion.map_files import AboutMap, read_map, write_map
from wsss_ros.fusion.map_views import LabelledView
from wsss_ros.fusion.pose_guard import PoseGuard
from wsss_ros.fusion.scan_labels import label_scan
from wsss_ros.fusion.semantic_map import SemanticMap, SemanticMapConfig
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.nodes import conversions
from wsss_ros.nodes.health import OK, Problem, Report
from wsss_ros.nodes.label_info import LabelInfoTopic
from wsss_ros.nodes.label_views import LabelNames, LabelView, PosedIds
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.scan_views import PosedScan, Scans, ScanViews
from wsss_ros.nodes.silence import LABEL_IMAGES
from wsss_ros.nodes.slow_services import SlowServices
from wsss_ros.nodes.view_inputs import DepthViewConfig
from wsss_ros.nodes.views import Views
from wsss_ros.types import BadInput, Cloud

OUTPUT = "semantic_map"
_PURPOSE = "semantic map"


class MapperConfig(DepthViewConfig, SemanticMapConfig):
    """Parameters of the semantic mapper."""

    live: ClassVar[tuple[str, ...]] = ("map_file", "autosave")
    label_space: str = Field(
        "config/labels/scannet20.yaml",
        description="Label file or checkpoint: colours of the classes, and what ids mean where neither label_names nor "
        "label_info says it.",
    )
    label_names: str = Field(
        "",
        description="Names of the ids of another model: 'wall, floor, 7:car', a name without an id has the next one.",
    )
    points: Literal["depth", "lidar"] = Field(
        "depth", description="Where points come from: depth images, or the scans of lidar/points."
    )
    cameras: str = Field(
        "",
        description="Several cameras around a LiDAR, such as 'front, left': the topics of labels and calibrations are "
        "below these names, and poses come from TF.",
    )
    scan_tolerance_s: float = Field(
        0.1, ge=0, le=1, description="Stamps of a scan and a label image may differ by this much; TF moves the points."
    )
    occlusion_px: int = Field(
        6, ge=1, le=64, description="Cells of the image in which near points of a scan hide far ones; about two beams."
    )
    max_speed_mps: float = Field(
        5.0, ge=0, le=1000, description="Views whose pose moves faster are left out; 0: none is."
    )
    publish_period_s: float = Field(2.0, ge=0.1, le=600, description="Time between two maps, where it has changed.")
    map_file: str = Field("", description="File of ~/save and ~/load; read at configure, where it exists.")
    autosave: bool = Field(
        True, description="Save to map_file when the node is deactivated, where the map has changed."
    )


class SemanticMapperNode(Node):
    """Votes on the worker's thread; services on a thread of their own; one lock for the map."""

    name = "semantic_mapper"
    model = MapperConfig
    config: MapperConfig
    main_job = "frame"
    map: SemanticMap | None = None
    label_info: LabelInfoTopic | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.RLock()
        self.pose_guards: dict[str, PoseGuard] = {}  # by camera, as the inputs
        self._frame, self._loaded = "", False  # of the map; whether it was read from a file
        self._assumed = False  # whether nothing said which classes it has
        self._saved = self._published = -1  # ``changes`` of the map at that time
        self.map_services = SlowServices(self)
        for name in ("save", "load", "reset"):
            self.map_services.add(name, getattr(self, name))

    def configure(self) -> None:
        """Create the map, or read it from ``map_file``, and the publisher."""
        config = self.config
        self.known = labels_named(config.label_space)
        self.names = LabelNames(self, config.label_names, self.known)
        # The input label_info has the ids of the label images, which may be other numbers than those of the map.
        self.label_info = LabelInfoTopic(self, self.resolve_topic_name(OUTPUT))
        if config.map_file and self._path().exists():
            self.get_logger().info(self.load())
        else:
            self._begin(self.names.classes)
        conversions.warm_up(self.space)
        self.output = self.publisher(PointCloud2, OUTPUT, MAP)
        cameras = [name.strip().strip("/") for name in config.cameras.split(",")]  # one without a name by default
        self.pose_guards = {camera: PoseGuard(config.max_speed_mps) for camera in cameras}
        scans = Scans(self)
        self.inputs = {camera: self._inputs_of(config, camera, scans) for camera in cameras}

    def _inputs_of(self, config: MapperConfig, camera: str, scans: Scans) -> Views | ScanViews:
        """Raises BadInput for several cameras without a LiDAR, or with poses of a topic."""
        hooks = self.start_over, lambda frame_id: self.pose_guards[camera].clear()
        if config.points == "depth" and not camera:
            return Views(self, config, _PURPOSE, self.use_view, *hooks, LabelView, LABEL_IMAGES)
        if camera and (config.points == "depth" or config.pose_source == "topic"):
            raise BadInput(
                f"cameras: '{config.cameras}' with points '{config.points}' and pose_source '{config.pose_source}'; "
                "several cameras need points: lidar and poses of TF"
            )
        config = config.model_copy(update={"pose_source": "tf"}) if camera else config
        use = partial(self.use_scan, camera)
        return ScanViews(self, config, scans, config.scan_tolerance_s, _PURPOSE, use, *hooks, LABEL_IMAGES, camera)

    def activate(self) -> None:
        """Subscribe and publish the map every while."""
        self._published = -1  # a map of the last activation is published again
        self.names.start()
        for each in self.inputs.values():
            each.subscribe()
        self.every(self.config.publish_period_s, lambda: self.submit("map", self.publish_map))

    def deactivate(self) -> None:
        """Save the map, where that is asked for and it has changed. A service that runs ends before."""
        self.guarded(self.map_services.after_all, self._autosave)

    def _autosave(self) -> None:
        asked = self.config is not None and self.config.autosave and bool(self.config.map_file)
        if asked and self.map is not None and self.map.changes != self._saved:
            try:
                self.get_logger().info(self.save())
            except BadInput:
                self.exit_status = 1
                raise

    def release(self) -> None:
        """Free the map."""
        self.map = None
        if self.label_info is not None:
            self.label_info.close()
            self.label_info = None

    def summary(self) -> str:
        """Voxel size, bound, classes, and what is in the map."""
        config, have = self.config, f"; it has {len(self.map)} voxels" if len(self.map) else ""
        return (
            f"voxels of {config.voxel_size_m:g} m in frame '{config.fixed_frame}', at most {config.max_voxels}, "
            f"{len(self.space)} classes of {self.names.source}{have}"
        )

    def report(self) -> Report:
        """Problems of the inputs; the size of the map, and what it left out."""
        if not self.active:
            return [], {}
        problems: list[Problem] = []
        values: dict[str, str] = {}
        for camera, each in self.inputs.items():
            found, of_camera = each.report()
            problems += [problem for problem in found if problem not in problems]
            values |= {f"{camera} {key}".strip(): value for key, value in of_camera.items()}
        values |= {"voxels": str(len(self.map)), "views": str(self.map.views), "classes": self.names.source}
        values |= {name.replace("_", " "): str(count) for name, count in self.map.counts.items()}
        return problems, values | ({"last": self.map_services.message} if self.map_services.message else {})

    # --- views, on the worker ---

    def use_view(self, view: PosedIds) -> None:
        """Let a view vote. Raises BadInput where its pose cannot be true."""
        with self.lock:
            labels = self._labels_of(view, "")
            made = LabelledView(labels, view.depth_m, view.camera, view.world_from_camera, view.stamp_ns)
            if not self.map.add(made):
                raise BadInput(
                    "view without votes: no pixel with a known label has depth within "
                    f"{self.config.min_depth_m:g} to {self.config.max_depth_m:g} m; check depth, its unit, and the ids"
                )

    def use_scan(self, camera: str, scan: PosedScan) -> None:
        """Let a scan vote with the labels of an image. Raises BadInput where its pose cannot be true."""
        with self.lock:
            labels = self._labels_of(scan, camera)
            seen = scan.camera, scan.world_from_camera, self.config.occlusion_px
            if not self.map.add_scan(label_scan(scan.points_world, labels, *seen, scan.stamp_ns, scan.dt_s)):
                raise BadInput(
                    "scan without votes: the camera sees no point of it nearer than "
                    f"{self.config.max_depth_m:g} m; check max_depth_m, and the transform from camera to LiDAR in TF"
                )

    def _labels_of(self, view: PosedIds | PosedScan, camera: str) -> Any:
        """The labels of a view of this camera, once its pose is believed."""
        if self.names.classes != self.space.names:
            self._follow_classes()
        self._check_frame(self.inputs[camera].frame_id)
        labels = self.names.labels(view.ids, self.space.names)
        self.pose_guards[camera].check(view.stamp_ns, view.world_from_camera)
        return labels

    def _follow_classes(self) -> None:
        """An empty map takes the classes of the label images, and so does one whose classes were only assumed."""
        if not len(self.map):
            self._begin(self.names.classes)
        elif self._assumed and not self._loaded and not self.names.assumed:
            text = "the label images have other classes than label_space, as label_info says now; the map starts over"
            self.report_problem("classes", text)
            self._begin(self.names.classes)

    def start_over(self) -> None:
        """The stamps have jumped back, as in a looped bag: it shows the same place, so the map goes on."""
        self._believe_next()
        self.report_problem("clock", "the stamps jumped back (a looped bag?); the map goes on", OK)

    def _believe_next(self) -> None:
        for guard in self.pose_guards.values():
            guard.clear()

    def _check_frame(self, frame_id: str) -> None:
        """A map that was begun in a substitute such as odom starts over in the frame that was asked for.

        Raises BadInput for views in another frame than the map.
        """
        if frame_id == self._frame or not len(self.map):
            self._frame = frame_id
        elif frame_id == self.config.fixed_frame and not self._loaded:
            self.report_problem("frame", f"the poses are in the frame '{frame_id}' now; the map starts over")
            self._begin(self.names.classes)
            self._frame = frame_id
        else:
            raise BadInput(
                f"pose frame: the poses are in '{frame_id}' and the map is in '{self._frame}'; views are left out; "
                "start localisation again, or call ~/reset"
            )

    # --- the map ---

    def publish_map(self) -> None:
        """Publish the map where it has changed and somebody subscribes."""
        for each in self.inputs.values():
            each.handle_jump()
        with self.lock:
            if self.map.changes == self._published or not self.has_subscribers(self.output):
                return
            self._published, cloud = self.map.changes, self.map.cloud()
            frame_id, space = self._frame, self.space
        stamp = Time(sec=cloud.stamp_ns // 10**9, nanosec=cloud.stamp_ns % 10**9)
        read = ReadCloud(Cloud(cloud.xyz), None, 1, len(cloud))
        header = Header(stamp=stamp, frame_id=frame_id)
        self.output.publish(conversions.semantic_cloud_message(header, read, cloud.labels, cloud.confidence, space))

    def _begin(self, classes: tuple[str, ...]) -> None:
        """Start an empty map."""
        self._use_space(space_of(classes, self.known))
        if self.map is None or self.map.classes != len(classes):
            self.map = SemanticMap(self.config, len(classes), self._label_age_s())
        else:
            self.map.clear()
        self._frame, self._loaded, self._assumed = self.config.fixed_frame, False, self.names.assumed
        self._saved, self._published = self.map.changes, -1

    def _label_age_s(self) -> float:
        return 2 * max(self.config.scan_tolerance_s, 0.01)

    def _use_space(self, space: LabelSpace) -> None:
        """Take the classes of the map, and publish what its labels mean."""
        self.space = space
        self.label_info.publish(space)

    def _path(self) -> Path:
        if not self.config.map_file:
            raise BadInput("map_file is empty: set the parameter map_file to the file of the map")
        return expanded(self.config.map_file).absolute()

    # --- services: each returns what it did, or raises BadInput with the reason ---

    def save(self) -> str:
        """Write the map to ``map_file``."""
        path = self._path()
        with self.lock:
            made, state, changes = self.map, self.map.state(), self.map.changes
            about = AboutMap(self.space.names, self._frame, self.config.voxel_size_m)
            self._saved = changes  # now: the map may start over while this one is written
        try:
            write_map(path, about, state)
        except OSError as error:
            with self.lock:
                if self.map is made and self._saved == changes:
                    self._saved = -1
            raise BadInput(f"map not saved: {error}; make room, or set another map_file") from error
        return f"map saved: {len(state['key'])} voxels in {path}"

    def load(self) -> str:
        """Replace the map by that of ``map_file``."""
        path = self._path()
        about, state = read_map(path)
        config = self.config
        if about.voxel_size_m != config.voxel_size_m:
            raise BadInput(
                f"{path}: voxels of {about.voxel_size_m:g} m, expected {config.voxel_size_m:g} m; set voxel_size_m to "
                "that of the map, or another map_file"
            )
        made = SemanticMap(config, len(about.classes), self._label_age_s())
        made.restore(state)
        with self.lock:
            self._use_space(space_of(about.classes, self.known))
            self.map, self._frame, self._loaded = made, about.frame_id, True
            self._saved, self._published = made.changes, -1
            self._believe_next()
        return f"map loaded: {len(made)} voxels, {len(about.classes)} classes, frame '{about.frame_id}', from {path}"

    def reset(self) -> str:
        """Empty the map; the next views decide its classes and its frame. The file stays."""
        with self.lock:
            count = len(self.map)
            self._begin(self.names.classes)
            self._believe_next()
        return f"map reset: {count} voxels removed"


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(SemanticMapperNode, args)


if __name__ == "__main__":
    main()
