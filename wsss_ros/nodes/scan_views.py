"""Scans of a LiDAR with the label images of a camera: each image gets the scan and the poses that belong to it.

The scan lies where the LiDAR was at its stamp, the image is seen from where the camera was at its own: both poses are
looked up, so that the motion between them causes no error.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer
from sensor_msgs.msg import Image, PointCloud2

from wsss_ros.bags import codec
from wsss_ros.fusion.scan_labels import fitted
from wsss_ros.geometry.pose_track import PoseTrack
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.nodes.health import WARN, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.qos import COMPANION, SENSOR
from wsss_ros.nodes.ros_packages import read_cloud
from wsss_ros.nodes.tf_listener import TfListener
from wsss_ros.nodes.transforms import RETRY_S, PoseConfig, Poses
from wsss_ros.nodes.view_cameras import Cameras, Optics
from wsss_ros.nodes.view_sources import Need, Pose
from wsss_ros.sync import JUMP_NS
from wsss_ros.types import BadInput, Camera

SCANS = "lidar/points"
_KEPT_SCANS = 20
_MOST_WAITING = 20


@dataclass(frozen=True)
class PosedScan:
    """The points of a scan in the world, and a label image with its camera and pose; each at its own stamp."""

    points_world: Float64[np.ndarray, "N 3"]
    ids: Integer[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]
    stamp_ns: int
    dt_s: float


@dataclass(eq=False)
class _Waiting:
    """A label image that waits for its scan and its poses."""

    message: Image
    since: float
    resets: int

    @property
    def stamp_ns(self) -> int:
        return codec.stamp_ns(self.message.header)


@dataclass(eq=False)
class _Matched:
    """A label image with all that belongs to it."""

    message: Image
    scan: PointCloud2
    optics: Optics
    frame_id: str
    world_from_camera: Float64[np.ndarray, "4 4"]  # at the stamp of the image
    world_from_lidar: Float64[np.ndarray, "4 4"]  # at the stamp of the scan
    resets: int

    def content(self) -> PosedScan:
        """Read both messages. Raises BadInput where one cannot be read, or does not fit the camera."""
        ids = fitted(codec.image_to_ids(self.message), *self.optics.color.picture_size)
        camera = self.optics.camera((ids.shape[1], ids.shape[0]))
        xyz = read_cloud(self.scan).cloud.xyz
        if not len(xyz):
            raise BadInput("empty scan: none of its points is finite; check the LiDAR and its topic")
        points = xyz.astype(np.float64) @ self.world_from_lidar[:3, :3].T + self.world_from_lidar[:3, 3]
        stamps_ns = codec.stamp_ns(self.message.header), codec.stamp_ns(self.scan.header)
        dt_s = (stamps_ns[0] - stamps_ns[1]) / 1e9
        return PosedScan(points, ids, camera, self.world_from_camera, stamps_ns[0], dt_s)


class Scans:
    """The newest scans of a LiDAR and the transforms of TF, which all cameras of a node share."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.tf = TfListener(node)
        self.kept: deque[PointCloud2] = deque(maxlen=_KEPT_SCANS)
        self._came: list[Callable[[], None]] = []

    def start(self, came: Callable[[], None], need: Need) -> None:
        """Call ``came()`` after every scan, until the node is deactivated."""
        if not self._came:
            self._node.at_deactivate(self._came.clear)
            self._node.subscribe(PointCloud2, SCANS, self.put, COMPANION, need.purpose, need.now)
        self._came.append(came)

    def put(self, message: PointCloud2) -> None:
        """Keep a scan. Raises BadInput for one without a stamp."""
        if not codec.stamp_ns(message.header):
            raise BadInput("stamp of the scan is 0: its place is unknown; its driver has to fill header.stamp")
        if self.kept and codec.stamp_ns(message.header) < codec.stamp_ns(self.kept[-1].header) - JUMP_NS:
            self.kept.clear()
        self.kept.append(message)
        for came in self._came:
            came()


class ScanViews:
    """As ``Views``, with scans in place of depth images: ``use(content)`` is called on the worker as job ``frame``.

    Poses are those of the camera, from the topic or from TF; where the LiDAR is seen from the camera comes from TF.
    ``camera`` is the name of one of several cameras; its topics are below this name.
    """

    def __init__(
        self,
        node: Node,
        config: PoseConfig,
        scans: Scans,
        tolerance_s: float,
        purpose: str,
        use: Callable[[PosedScan], None],
        jumped: Callable[[], None],
        reframed: Callable[[str], None],
        images: str,
        camera: str = "",
    ) -> None:
        prefix = f"{camera}/" if camera else ""
        self._node, self._config, self._purpose, self._images = node, config, purpose, prefix + images
        self._job = f"frame {camera}".strip()
        self._tolerance_ns = round(tolerance_s * 1e9)
        self._use, self._jumped, self._reframed = use, jumped, reframed
        self.frame_id = config.fixed_frame
        self._seen = False
        self._tf, self._kept, self._scans = scans.tf, scans.kept, scans
        self._poses = Poses(node, config, self._tf, config.fixed_frame)
        self._cameras = Cameras(node, self._tf, config.tf_wait_s, prefix)
        self._waiting: deque[_Waiting] = deque()
        self._resets = self._handled = self._matched = 0
        self._fault, self._newest_ns, self._busy = "", 0, False
        self._track = PoseTrack()
        self._asked: deque[int] = deque(maxlen=2 * _KEPT_SCANS)  # stamps of scans whose pose was asked for

    def subscribe(self, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active. Silence is reported while ``needed()``."""
        node, need = self._node, Need(self._purpose, needed)
        self._forget()
        self._track = PoseTrack()
        node.subscribe(Image, self._images, self.on_labels, SENSOR, need.purpose, need.now)
        self._scans.start(self._match, need)
        self._cameras.start(self._match, need)
        self._poses.start(self.on_pose, need)
        self._tf.start(self._match, Need(self._purpose, lambda: False))
        node.every(RETRY_S, self._match)

    def report(self) -> Report:
        """Problems and values of poses and matching."""
        problems, values = self._poses.report()
        problems = problems + self._cameras.problems()
        if self._fault:
            problems = [*problems, (WARN, self._fault)]
        return problems, values | {"scans matched": str(self._matched), "clock_resets": str(self._resets)}

    def handle_jump(self) -> None:
        """Call ``jumped`` now where the stamps have jumped back and no view has come since. Only on the worker."""
        if self._resets > self._handled:
            self._handled = self._resets
            self._jumped()

    # --- messages ---

    def on_labels(self, message: Image) -> None:
        """Let a label image wait for its scan. Raises BadInput for one without a stamp or the frame that TF needs."""
        stamp_ns = codec.stamp_ns(message.header)
        if not stamp_ns:
            raise BadInput("stamp of the label image is 0: it has to be that of the image it was made from")
        if stamp_ns < self._newest_ns - JUMP_NS:
            self._resets += 1
            self._forget()
            self._track.images_jumped()
        self._newest_ns = max(stamp_ns, self._newest_ns)
        self._poses.expect(stamp_ns, message.header.frame_id)
        self._waiting.append(_Waiting(message, time.monotonic(), self._resets))
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self._node.health.drop("label image without a scan")
        self._match()

    def on_pose(self, stamp_ns: int, pose: Pose) -> None:
        """Keep a pose of the camera."""
        self._track.add(pose.frame_id, stamp_ns, pose.world_from_camera)
        self._match()

    # --- matching ---

    def _forget(self) -> None:
        self._waiting.clear()
        self._asked.clear()
        self._newest_ns = 0

    def _match(self) -> None:
        """Complete the images whose scan and poses are there; give up those that have waited long enough."""
        if self._busy:  # a pose came while it was asked for
            return
        self._busy = True
        try:
            self._complete_waiting()
        finally:
            self._busy = False

    def _complete_waiting(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            late = time.monotonic() - first.since > self._config.tf_wait_s
            scan = self._scan_of(first.stamp_ns, late)
            try:
                if scan is None:
                    raise LookupFailed("future", self._no_scan(first.stamp_ns))
                matched = self._complete(first, scan)
            except LookupFailed as error:
                if not late and error.may_come:
                    return
                self._give_up(error)
                self._waiting.popleft()
                continue
            self._waiting.popleft()
            self._fault = ""
            self._matched += 1
            self._node.submit(self._job, self._use_matched, matched)

    def _scan_of(self, stamp_ns: int, late: bool) -> PointCloud2 | None:
        """The nearest scan, once a later one cannot be nearer."""
        if not self._kept:
            return None
        away = [abs(codec.stamp_ns(scan.header) - stamp_ns) for scan in self._kept]
        nearest = int(np.argmin(away))
        known = late or codec.stamp_ns(self._kept[-1].header) >= stamp_ns
        return self._kept[nearest] if known and away[nearest] <= self._tolerance_ns else None

    def _complete(self, waiting: _Waiting, scan: PointCloud2) -> _Matched:
        """Raises LookupFailed for a pose that is not there."""
        header, scan_ns = waiting.message.header, codec.stamp_ns(scan.header)
        if scan_ns not in self._asked:
            self._asked.append(scan_ns)
            self._poses.expect(scan_ns, header.frame_id)
        optics = self._cameras.of(header, header, waiting.since)
        if optics is None:
            raise LookupFailed("future", "no camera_info came")
        poses = self._track.of_image(waiting.stamp_ns)
        now, then = poses.at(waiting.stamp_ns), poses.at(scan_ns)
        lidar = self._tf.lookup(header.frame_id, scan.header.frame_id, scan_ns)
        return _Matched(waiting.message, scan, optics, poses.frame_id, now, then @ lidar, waiting.resets)

    def _no_scan(self, stamp_ns: int) -> str:
        if not self._kept:
            return "no scan came"
        away_s = (codec.stamp_ns(self._kept[-1].header) - stamp_ns) / 1e9
        return f"no scan within {self._tolerance_ns / 1e9:g} s of the image; the newest is {away_s:+.2f} s from it"

    def _give_up(self, error: LookupFailed) -> None:
        self._node.health.drop("label image without scan or pose")
        self._fault = f"label image without scan or pose, so no {self._purpose}: {error}"

    def _use_matched(self, matched: _Matched) -> None:
        self.handle_jump()
        if matched.resets != self._handled:
            return
        if self._seen and matched.frame_id != self.frame_id:
            self._reframed(matched.frame_id)
        self.frame_id, self._seen = matched.frame_id, True
        self._use(matched.content())
