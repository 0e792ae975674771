"""One room as the drivers of robots publish it: their encodings, transports, frames, calibrations and poses.

Each class has a colour of its own in the room, so that a network by colour shows whether the geometry is right.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import simplejpeg
from geometry_msgs.msg import PoseStamped
from PIL import Image as Picture
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from wsss_ros.bags import cdr
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.geometry import matrix_to_quaternion, unproject
from wsss_ros.geometry.distortion import rays
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.nodes import conversions
from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.walk import pose as looking
from wsss_ros.types import Camera, Distortion

VIEWS = 4
START_NS, STEP_NS, HOLD_NS = 500 * 10**9, 10**8, 3 * 10**7
FAR_M = 20.0  # the parameter max_depth_m
FARTHEST_M = 0.05  # of a point from the surfaces that have its label
TINT = np.array([30, 0, -30])  # the same for all classes: cameras share colour between pixels, but not brightness
# The camera looks along x of its link (REP-103).
LINK_FROM_OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])


def moved(x: float, y: float, z: float, *degrees: float) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3] = Rotation.from_euler("xyz", degrees or (0, 0, 0), degrees=True).as_matrix()
    made[:3, 3] = x, y, z
    return made


@dataclass
class Driver:
    """How one driver publishes. ``poses`` is topic or tf. ``turns`` quarter turns to the left make images upright."""

    name: str
    color: Camera
    color_encoding: str = "rgb8"  # of the raw image, or jpeg
    color_topic: str = "color/image_raw"
    color_frame: str = "camera_optical"
    depth: Camera | None = None  # another camera than that of colour
    depth_encoding: str = "16UC1"  # or 32FC1, or png: compressedDepth
    depth_frame: str = "camera_optical"
    color_from_depth: np.ndarray = field(default_factory=lambda: np.eye(4))
    poses: str = "tf"
    info: dict = field(default_factory=dict)  # fields of camera_info that differ
    info_once: bool = False
    repeated: bool = False  # the transforms of its own parts come on /tf again and again, instead of /tf_static
    turns: int = 0
    parameters: dict = field(default_factory=dict)

    def sees(self, room: "DriverRoom", number: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels on the pixels of colour, and depth on the pixels of the depth camera."""
        world_from_color = room.pose(number, self.turns)
        labels, depth = room.seen(self.color, world_from_color)
        if self.depth is not None:
            _, depth = room.seen(self.depth, world_from_color @ self.color_from_depth)
        return labels, depth

    def points(self, room: "DriverRoom") -> np.ndarray:
        """The points of ``semantic/points`` of all views, from the truth. For registered depth without distortion."""
        views = [(self.sees(room, number)[1], room.pose(number, self.turns)) for number in range(VIEWS)]
        return np.concatenate([unproject(depth, self.color, pose, 2, FAR_M)[0] for depth, pose in views])


class DriverRoom:
    """A furnished room, the poses of a robot in it, and the truth about its surfaces."""

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.world = World(plan("office", np.random.default_rng([1, 1]), DEFAULT), labels)
        truth = Camera(260.0, 260.0, 239.5, 179.5, 480, 360)
        clouds = []
        for number in range(VIEWS):
            of_pixels, depth = self.seen(truth, self.pose(number))
            points, pixel = unproject(depth, truth, self.pose(number))
            clouds.append((points, of_pixels.ravel()[pixel]))
        self.points, self.truth = (np.concatenate(parts) for parts in zip(*clouds, strict=True))

        self._surfaces = cKDTree(self.points)
        self.classes = np.unique(np.append(self.truth, UNLABELLED))
        self.palette = (np.linspace(45, 210, len(self.classes))[:, None] + TINT).round().astype(np.uint8)

    def painted(self, labels: np.ndarray) -> np.ndarray:
        """The image with the colour of each label."""
        return self.palette[np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)]

    def pose(self, number: int, turns: int = 0) -> np.ndarray:
        """``world_from_color`` of an optical frame whose images ``turns`` quarter turns to the left make upright."""
        room = self.world.room
        x, y = 0.5 * room.width, 0.5 * room.depth
        upright = looking(np.array([x, y, 1.4]), 2 * np.pi * number / VIEWS + 0.3, -0.35, 0.0)
        return upright @ moved(0, 0, 0, 0, 0, -90.0 * turns)

    def seen(self, camera: Camera, world_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The label and the depth of each pixel."""
        table = rays(camera).reshape(-1, 2)
        inside = np.isfinite(table[:, 0])
        along = np.column_stack([np.nan_to_num(table), np.ones(len(table))]) @ world_from_camera[:3, :3].T
        part, depth = self.world.first_hits(np.broadcast_to(world_from_camera[:3, 3], along.shape), along)
        shown = inside & (part >= 0) & np.isfinite(depth)
        shape = (camera.height, camera.width)
        labels = np.where(shown, self.world.label[part], UNLABELLED).astype(np.uint8).reshape(shape)
        return labels, np.where(shown, depth, 0).astype(np.float32).reshape(shape)

    def score(self, xyz: np.ndarray, labels: np.ndarray) -> float:
        """The mIoU of labelled points; a point without a surface of the truth near it is a miss."""
        distance, nearest = self._surfaces.query(xyz)
        found = np.where(distance <= FARTHEST_M, labels, np.uint8(UNLABELLED))
        return ConfusionMatrix(self.labels).update(found, self.truth[nearest]).compute()["miou"]


class ColorNetwork:
    """Labels by colour, in upright images only: the floor has to be below. It has the members of a Segmenter."""

    version, file, device = "by colour", "", SimpleNamespace(type="cpu")

    def __init__(self, room: DriverRoom) -> None:
        self.labels, self._room = room.labels, room

    def __call__(self, frame: Any, present: Any = None, turns: int = 0) -> tuple[np.ndarray, np.ndarray]:
        red, green, blue = np.moveaxis(frame.rgb.astype(np.int16), 2, 0)
        nearest = np.abs(np.arange(256)[:, None] - self._room.palette[:, 1].astype(int)).argmin(axis=1)
        tinted = np.abs(red - blue - (TINT[0] - TINT[2])) < 30
        labels = np.where(tinted, self._room.classes[nearest[green]], UNLABELLED).astype(np.uint8)
        floor = np.rot90(labels == self.labels.index("floor"), turns)
        if floor.mean() > 0.02 and np.nonzero(floor)[0].mean() < 0.5 * len(floor):
            labels = np.zeros_like(labels)
        return labels, np.ones(labels.shape, np.float32)

    def threshold(self, _: float) -> float:
        return 0.0

    def drop_unsure(self, labels: np.ndarray, *_: Any) -> np.ndarray:
        return labels


# --- messages --------------------------------------------------------------------------------------


def header(stamp_ns: int, frame_id: str) -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 10**9)
    return made


def messages(driver: Driver, room: DriverRoom) -> Iterator[list[tuple[str, Any]]]:
    """The messages of each view, with their topics; TF as bytes. One more view comes first, before START_NS.

    Where the node finds out how the camera is turned, it knows that after the first pose.
    """
    if driver.poses == "tf" and not driver.repeated:
        yield [("/tf_static", _tf(0, child, parent, pose)) for child, parent, pose in _still(driver)]
    for number in range(-1, VIEWS):
        stamp = START_NS + number * STEP_NS
        labels, depth = driver.sees(room, number)
        view = [_color(driver, stamp, room.painted(labels)), _depth(driver, stamp, depth)]
        if number == -1 or not driver.info_once:
            view.append(("color/camera_info", info(driver.color, header(stamp, driver.color_frame), **driver.info)))
            if driver.depth is not None:
                view.append(("depth/camera_info", info(driver.depth, header(stamp, driver.depth_frame))))
        yield view + list(_pose(driver, stamp, room.pose(number, driver.turns)))


def _pose(driver: Driver, stamp: int, world_from_color: np.ndarray) -> Iterator[tuple[str, Any]]:
    if driver.poses == "topic":
        message = PoseStamped(header=header(stamp, "map"))
        at, turn = message.pose.position, message.pose.orientation
        at.x, at.y, at.z = map(float, world_from_color[:3, 3])
        turn.x, turn.y, turn.z, turn.w = map(float, matrix_to_quaternion(world_from_color[:3, :3]))
        yield "pose", message
        return
    color_from_base = np.linalg.inv(moved(0.2, 0.0, 0.5) @ _link_from_color(driver))
    map_from_odom = moved(1.0, -2.0, 0.0, 0, 0, 40)
    odom_from_base = np.linalg.inv(map_from_odom) @ world_from_color @ color_from_base
    for when in (stamp - HOLD_NS, stamp + HOLD_NS):  # no transform has the stamp of the image
        yield "/tf", _tf(when, "odom", "map", map_from_odom)
        yield "/tf", _tf(when, "base_link", "odom", odom_from_base)
    for when in (stamp - HOLD_NS, stamp + HOLD_NS) if driver.repeated else ():
        for child, parent, pose in _still(driver):
            yield "/tf", _tf(when, child, parent, pose)


def _link_from_color(driver: Driver) -> np.ndarray:
    return moved(0.0, 0.015, 0.0) @ LINK_FROM_OPTICAL


def _still(driver: Driver) -> Iterator[tuple[str, str, np.ndarray]]:
    yield "camera_link", "base_link", moved(0.2, 0.0, 0.5)
    yield driver.color_frame, "camera_link", _link_from_color(driver)
    if driver.depth_frame != driver.color_frame:
        yield driver.depth_frame, "camera_link", _link_from_color(driver) @ driver.color_from_depth


def _tf(stamp_ns: int, child: str, parent: str, pose: np.ndarray) -> bytes:
    message = cdr.tf_message(cdr.header(stamp_ns, parent), child, pose)
    return bytes(cdr.typestore().serialize_cdr(message, cdr.TF))


def info(camera: Camera, head: Header, **fields: Any) -> CameraInfo:
    message = CameraInfo(header=head, width=camera.width, height=camera.height, distortion_model="plumb_bob")
    message.k = camera.matrix().ravel().tolist()
    message.p = np.column_stack([camera.matrix(), np.zeros(3)]).ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.d = list(camera.distortion.coefficients) if camera.distortion is not None else [0.0] * 5
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _color(driver: Driver, stamp: int, rgb: np.ndarray) -> tuple[str, Any]:
    head, encoding = header(stamp, driver.color_frame), driver.color_encoding
    if encoding == "jpeg":
        message = CompressedImage(header=head, format="rgb8; jpeg compressed bgr8")
        message.data.frombytes(simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=95))
        return f"{driver.color_topic}/compressed", message
    if encoding == "nv12":
        return driver.color_topic, _nv12(head, rgb)
    order = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "bgra8": [2, 1, 0, 0]}[encoding]
    return driver.color_topic, conversions.image_message(head, np.ascontiguousarray(rgb[..., order]), encoding)


def _nv12(head: Header, rgb: np.ndarray) -> Image:
    r, g, b = (rgb[..., k].astype(float) / 255 for k in range(3))
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u, v = 128 - 37.797 * r - 74.203 * g + 112.0 * b, 128 + 112.0 * r - 93.786 * g - 18.214 * b
    height, width = y.shape
    pairs = np.stack([c.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for c in (u, v)], axis=-1)
    octets = np.rint(np.concatenate([y.ravel(), pairs.ravel()])).astype(np.uint8)
    message = Image(header=head, height=height, width=width, encoding="nv12", step=width)
    message.data.frombytes(octets.tobytes())
    return message


def _depth(driver: Driver, stamp: int, depth_m: np.ndarray) -> tuple[str, Any]:
    head, topic = header(stamp, driver.depth_frame), "depth/image_rect"
    if driver.depth_encoding == "32FC1":
        return topic, conversions.image_message(head, np.where(depth_m > 0, depth_m, np.float32(np.nan)), "32FC1")
    millimetres = np.rint(depth_m * 1000).astype(np.uint16)
    if driver.depth_encoding == "16UC1":
        return topic, conversions.image_message(head, millimetres, "16UC1")
    stream = io.BytesIO()
    Picture.fromarray(millimetres).save(stream, "png")
    message = CompressedImage(header=head, format="16UC1; compressedDepth png")
    message.data.frombytes(struct.pack("<iff", 0, 0.0, 0.0) + stream.getvalue())
    return f"{topic}/compressedDepth", message


# --- drivers ---------------------------------------------------------------------------------------

PLAIN = Camera(300.0, 300.0, 159.5, 119.5, 320, 240)
OWN = Driver("own bag", PLAIN, poses="topic")
DRIVERS = [
    Driver(
        "RealSense, unregistered, compressed, TF",
        Camera(610.0, 609.0, 322.0, 245.0, 640, 480),  # a D435 as it is: most errors are at the edges of things
        color_encoding="jpeg",
        color_frame="camera_color_optical_frame",
        depth=Camera(430.0, 430.0, 423.5, 239.5, 848, 480),
        depth_encoding="png",
        depth_frame="camera_depth_optical_frame",
        color_from_depth=moved(-0.015, 0.0, 0.0, 0.2, -0.3, 0.1),
    ),
    Driver(
        "RealSense, unregistered, its transforms on /tf",
        Camera(305.0, 304.5, 161.0, 122.5, 320, 240),
        color_frame="camera_color_optical_frame",
        depth=Camera(430.0, 430.0, 423.5, 239.5, 848, 480),
        depth_frame="camera_depth_optical_frame",
        color_from_depth=moved(-0.015, 0.0, 0.0, 0.2, -0.3, 0.1),
        repeated=True,
    ),
    Driver(
        "OAK, nv12",
        Camera(
            300.0,
            300.0,
            158.0,
            121.0,
            320,
            240,
            Distortion("polynomial", (9.0, -37.0, 1e-4, -3e-4, 51.0, 8.9, -36.0, 50.0)),
        ),
        color_encoding="nv12",
        color_frame="oak_rgb_camera_optical_frame",
        depth_frame="oak_rgb_camera_optical_frame",
        info={"distortion_model": "rational_polynomial"},
    ),
    Driver(
        "a region of a binned sensor",
        Camera(300.0, 299.0, 150.5, 121.25, 320, 240),
        info={
            "width": 800,
            "height": 600,
            "k": [600.0, 0.0, 361.0, 0.0, 598.0, 282.5, 0.0, 0.0, 1.0],
            "p": [600.0, 0.0, 361.0, 0.0, 0.0, 598.0, 282.5, 0.0, 0.0, 0.0, 1.0, 0.0],
            "binning_x": 2,
            "binning_y": 2,
            "roi": RegionOfInterest(x_offset=60, y_offset=40, width=640, height=480),
        },
    ),
    Driver(
        "OAK, bgr8",
        Camera(300.0, 300.0, 158.0, 121.0, 320, 240),
        color_encoding="bgr8",
        color_frame="oak_rgb_camera_optical_frame",
        depth_frame="oak_rgb_camera_optical_frame",
    ),
    Driver(
        "Kinect, 16UC1, raw images with distortion",
        Camera(304.0, 304.0, 160.0, 118.0, 320, 240, Distortion("polynomial", (0.09, -0.05, 4e-4, -2e-4, 0.02))),
        color_encoding="bgra8",
        color_frame="rgb_camera_link",
        depth_frame="rgb_camera_link",
    ),
    Driver(
        "ZED, 32FC1, rectified, TF",
        PLAIN,
        color_encoding="bgra8",
        color_topic="left/image_rect_color",
        color_frame="zed_left_camera_optical_frame",
        depth_encoding="32FC1",
        depth_frame="zed_left_camera_optical_frame",
        info={"k": [330.0, 0.0, 170.0, 0.0, 331.0, 110.0, 0.0, 0.0, 1.0], "d": [-0.2, 0.05, 0.0, 0.0, 0.0]},
    ),
    Driver(
        "phone, turned",
        Camera(300.0, 300.0, 119.5, 159.5, 240, 320),
        color_encoding="jpeg",
        poses="topic",
        info_once=True,
        turns=1,
        parameters={"rotate": "auto"},
    ),
]
