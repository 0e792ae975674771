"""The semantic mapper fed by our image segmenter, and by a LiDAR with cameras that move between scan and image."""

import os
import time

import numpy as np
import pytest
from scipy.spatial import cKDTree
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from support.node_views import LATCHED, answered, send, until_answered  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.view_messages import CAMERA, CLOCK, HEIGHT, WIDTH, camera_info, colors, depths, frame, header, view  # noqa: E402

from wsss_ros.bags import cdr, cloud_codec  # noqa: E402
from wsss_ros.bags.cdr import TF, typestore  # noqa: E402
from wsss_ros.fusion.map_views import LabelledView  # noqa: E402
from wsss_ros.fusion.scan_labels import label_scan  # noqa: E402
from wsss_ros.fusion.semantic_map import SemanticMap  # noqa: E402
from wsss_ros.geometry import transform  # noqa: E402
from wsss_ros.inference import ImageSegmenter  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.recorded_topics import message_class  # noqa: E402
from wsss_ros.nodes.semantic_mapper import MapperConfig  # noqa: E402
from wsss_ros.types import Frame  # noqa: E402

pytestmark = pytest.mark.slow
PARAMETERS = {"min_votes": 0.0, "publish_period_s": 0.1, "sensor_timeout_s": 1.0, "max_voxels": 20_000}
STATIC = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OPTICAL = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 0.1], [0, 0, 0, 1.0]])  # of the camera in base
LIDAR = np.eye(4)


def points_of(message: PointCloud2) -> np.ndarray:
    return np.frombuffer(message.data, cloud_codec.SEMANTIC_POINT)


def same_labels(message: PointCloud2, expected: SemanticMap) -> float:
    """The share of the points of the expected map, where both have one, that have its label."""
    got, cloud = points_of(message), expected.cloud()
    away, nearest = cKDTree(np.column_stack([got[name] for name in "xyz"])).query(cloud.xyz)
    return float((got["label"][nearest] == cloud.labels)[away < 2e-3].mean())


def assert_is(message: PointCloud2, expected: SemanticMap) -> None:
    got, cloud = points_of(message), expected.cloud()
    xyz = np.column_stack([got[name] for name in "xyz"])
    away, _ = cKDTree(xyz).query(cloud.xyz)
    assert abs(len(xyz) - len(cloud)) < 0.01 * len(cloud) + 1
    assert (away < 2e-3).mean() > 0.98, "but for voxels at whose border a rounded point lies"
    assert same_labels(message, expected) > 0.99


def test_our_image_segmenter_feeds_the_map(probe, started, weights, labels):
    space = f"/own_{os.getpid()}"
    mapper = started("semantic_mapper", space=space, **PARAMETERS)
    segmenter = started("image_segmenter", space=space, weights=weights["image"], min_confidence=0.0, **ON_ONE_THREAD)
    maps = probe.collect(PointCloud2, mapper.topic("semantic_map"), LATCHED)
    until_answered(lambda: send(probe, segmenter, view(CLOCK.next())), maps)
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    found, _ = ImageSegmenter(weights["image"], "cpu", "float32")(Frame(colors()))
    expected = SemanticMap(MapperConfig(**PARAMETERS), len(labels))
    expected.add(LabelledView(found, depths(), CAMERA, frame().world_from_camera, stamp))
    assert_is(answered(maps, stamp), expected)
    assert "no label_info" in mapper.text or "label_info" in probe.values(mapper)["classes"]


# --- LiDAR ---


def turned(degrees: float) -> np.ndarray:
    """The optical frame of a camera on the base that looks to the left by this angle."""
    pose, c, s = np.eye(4), np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose[:2, :2] = [[c, -s], [s, c]]
    return pose @ OPTICAL


CAMERAS = {"front": turned(0), "left": turned(40)}


def base(time_s: float) -> np.ndarray:
    """The robot drives 2 m/s to the front and turns by half a radian a second."""
    pose, c, s = np.eye(4), np.cos(0.5 * time_s), np.sin(0.5 * time_s)
    pose[:2, :2], pose[0, 3] = [[c, -s], [s, c]], 2 * time_s
    return pose


class Platform:
    """Publishes TF, label images of two cameras, and scans of a wall in front; the labels are stripes of the images."""

    def __init__(self, probe, node) -> None:
        self._probe, self._node, kind = probe, node, message_class(TF)
        self._moving = probe.node.create_publisher(kind, "/tf", 100)
        self._still = probe.node.create_publisher(kind, "/tf_static", STATIC)
        self.start_ns = CLOCK.now_ns
        for child, pose in {**CAMERAS, "lidar": LIDAR}.items():
            self._publish(self._still, 0, "base", child, pose)
        y, z = np.meshgrid(np.arange(-2.98, 6, 0.1), np.arange(-1.98, 2, 0.1))
        self.wall = np.column_stack([np.full(y.size, 5.02), y.ravel(), z.ravel()])
        stripes = np.tile((np.arange(WIDTH) // 8).astype(np.uint8), (HEIGHT, 1))
        self.ids = {"front": stripes, "left": stripes + np.uint8(9)}

    def _publish(self, publisher, stamp_ns: int, parent: str, child: str, pose: np.ndarray) -> None:
        message = cdr.tf_message(cdr.header(stamp_ns, parent), child, pose)
        publisher.publish(bytes(typestore().serialize_cdr(message, TF)))

    def at(self, stamp_ns: int) -> np.ndarray:
        return base((stamp_ns - self.start_ns) / 1e9)

    def show(self, scan_ns: int, image_ns: int) -> None:
        """A scan, the label images of another time, and TF around both."""
        until(lambda: self._moving.get_subscription_count() and self._still.get_subscription_count(), "TF is not heard")
        for stamp_ns in np.arange(scan_ns - 2 * 10**7, image_ns + 3 * 10**7, 10**7):
            self._publish(self._moving, int(stamp_ns), "map", "base", self.at(int(stamp_ns)))
        xyz = transform(np.linalg.inv(self.at(scan_ns) @ LIDAR), self.wall).astype(np.float32)
        send(self._probe, self._node, {"lidar/points": conversions.cloud_message(header(scan_ns, "lidar"), xyz)})
        for camera, ids in self.ids.items():
            info = camera_info(image_ns)
            labels = conversions.image_message(header(image_ns, camera), ids, "mono8")
            sent = {f"{camera}/color/camera_info": info, f"{camera}/semantic/image_raw": labels}
            send(self._probe, self._node, sent)

    def add(self, made: SemanticMap, wall: np.ndarray, scan_ns: int, image_ns: int) -> SemanticMap:
        for camera, ids in self.ids.items():
            seen = CAMERA, self.at(image_ns) @ CAMERAS[camera], 6, image_ns, (image_ns - scan_ns) / 1e9
            made.add_scan(label_scan(wall, ids, *seen))
        return made


@pytest.fixture(scope="module")
def lidar(started):
    given = {"points": "lidar", "max_depth_m": 20.0, "cameras": "'front, left'", "space": f"/lidar_{os.getpid()}"}
    return started("semantic_mapper", **given, **PARAMETERS)


def test_points_of_a_scan_are_labelled_by_the_cameras_that_see_them_at_their_own_time(probe, lidar):
    platform = Platform(probe, lidar)
    maps = probe.collect(PointCloud2, lidar.topic("semantic_map"), LATCHED)
    scan_ns = CLOCK.next()
    image_ns = scan_ns + 6 * 10**7
    config = MapperConfig(**PARAMETERS, max_depth_m=20)
    expected = platform.add(SemanticMap(config, 20, 0.2), platform.wall, scan_ns, image_ns)

    def complete() -> bool:
        return bool(maps) and len(points_of(maps[-1])) > 0.97 * len(expected.cloud())

    def asked() -> bool:
        if not complete():
            platform.show(scan_ns, image_ns)
            time.sleep(0.5)
        return complete()

    until(asked, lambda: lidar.text[-2000:])
    # Between the votes of two cameras, where both see the wall, the first one has the majority.
    until(
        lambda: same_labels(maps[-1], expected) > 0.99,
        lambda: f"{same_labels(maps[-1], expected)}: {probe.values(lidar)}",
    )
    assert_is(maps[-1], expected)
    values = probe.values(lidar)
    assert int(values["processed"]) == sum(int(values[f"frame {camera} processed"]) for camera in CAMERAS)
    got = points_of(maps[-1])
    assert {*range(2, 6)} < set(got["label"].tolist()) and got["label"].max() > 9, "both cameras see a part of the wall"
    unmoved = transform(platform.at(image_ns) @ np.linalg.inv(platform.at(scan_ns)), platform.wall)
    still = platform.add(SemanticMap(config, 20, 0.2), unmoved, scan_ns, image_ns)
    assert np.abs(got["x"] - 5.02).max() < 0.01 < 0.1 < np.abs(still.cloud().xyz[:, 0] - 5.02).max(), (
        "without the motion"
    )


def test_what_is_missing_for_a_scan_is_named(probe, lidar):
    stamp = CLOCK.next() + 30 * 10**9
    labels = conversions.image_message(header(stamp, "front"), np.zeros((HEIGHT, WIDTH), np.uint8), "mono8")
    sent = {"front/color/camera_info": camera_info(stamp), "front/semantic/image_raw": labels}
    text = "label image without scan or pose, so no semantic map: no scan within 0.1 s of the image"
    assert probe.next_status(lidar, text, act=lambda: send(probe, lidar, sent)).level == b"\x01"
