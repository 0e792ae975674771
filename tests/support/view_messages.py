"""A tiny scene as ROS messages: views of 64 x 48 pixels, bad ones among them, and clouds."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.nodes import conversions
from wsss_ros.types import Camera, Cloud, Frame

HEIGHT, WIDTH = 48, 64
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, WIDTH, HEIGHT)


class Clock:
    """Stamps that only go forward, for the tests share the nodes."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * 10**9

    def next(self) -> int:
        self.now_ns += 10**8
        return self.now_ns


CLOCK = Clock()


def header(stamp_ns: int, frame_id: str) -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 10**9)
    return made


def colors(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def depths() -> np.ndarray:
    depth = np.linspace(1, 3, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    depth[:5] = 0
    return np.round(depth, 3)


def image(stamp: int, rgb: np.ndarray | None = None) -> Image:
    return conversions.image_message(header(stamp, "camera_optical"), colors() if rgb is None else rgb, "rgb8")


def depth_image(stamp: int, depth_m: np.ndarray | None = None) -> Image:
    millimetres = np.rint((depths() if depth_m is None else depth_m) * 1000).astype(np.uint16)
    return conversions.image_message(header(stamp, "camera_optical"), millimetres, "16UC1")


def camera_info(stamp: int, **changes) -> CameraInfo:
    message = CameraInfo(header=header(stamp, "camera_optical"), width=WIDTH, height=HEIGHT)
    message.k = CAMERA.matrix().ravel().tolist()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def pose(stamp: int, xyz=(1.0, 2.0, 3.0), xyzw=(0.0, 0.0, 0.0, 1.0), frame_id: str = "map") -> PoseStamped:
    message = PoseStamped(header=header(stamp, frame_id))
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = xyz
    turn.x, turn.y, turn.z, turn.w = xyzw
    return message


def view(stamp: int) -> dict:
    return {
        "color/image_raw": image(stamp),
        "depth/image_rect": depth_image(stamp),
        "color/camera_info": camera_info(stamp),
        "pose": pose(stamp),
    }


def frame(pose_xyz=(1.0, 2.0, 3.0), stamp: int = 0) -> Frame:
    world_from_camera = np.eye(4)
    world_from_camera[:3, 3] = pose_xyz
    return Frame(colors(), CAMERA, depths(), world_from_camera, stamp)


def room(count: int = 3000) -> Cloud:
    random = np.random.default_rng(0)
    xyz = random.random((count, 3)).astype(np.float32) * (4, 3, 2.5)
    return Cloud(xyz.astype(np.float32), random.integers(0, 256, (count, 3), dtype=np.uint8))


def cloud(stamp: int, points: Cloud | None = None) -> PointCloud2:
    points = room() if points is None else points
    return conversions.cloud_message(header(stamp, "world"), points.xyz, points.rgb)


BAD_VIEWS = {
    "unknown encoding": (
        "color/image_raw",
        lambda s: set_to(image(s), encoding="yuv444"),
        "got 'yuv444', expected one of",
    ),
    "image cut off": ("color/image_raw", lambda s: set_to(image(s), height=HEIGHT + 9), "image size: "),
    "no pixels": ("color/image_raw", lambda s: Image(header=image(s).header, encoding="rgb8"), "empty image: 0 x 0"),
    "depth of another size": ("depth/image_rect", lambda s: depth_image(s, depths()[:20]), "depth of 64x20"),
    "depth all missing": ("depth/image_rect", lambda s: depth_image(s, depths() * 0), "depth all missing"),
    "depth encoding": (
        "depth/image_rect",
        lambda s: set_to(depth_image(s), encoding="8UC3"),
        "got '8UC3', expected 16UC1",
    ),
    "camera not calibrated": ("color/camera_info", lambda s: camera_info(s, k=[0.0] * 9), "camera_info uncalibrated"),
    "camera of another size": ("color/camera_info", lambda s: camera_info(s, width=640), "camera_info size: 640 x 48"),
    "pose with NaN": ("pose", lambda s: pose(s, xyz=(np.nan, 0.0, 0.0)), "pose position: nan"),
    "zero quaternion": ("pose", lambda s: pose(s, xyzw=(0.0, 0.0, 0.0, 0.0)), "pose orientation: quaternion 0 0 0 0"),
    "quaternion of length 2": ("pose", lambda s: pose(s, xyzw=(0.0, 0.0, 0.0, 2.0)), "of length 2"),
    "pose without frame": ("pose", lambda s: pose(s, frame_id=""), "pose frame: got ''"),
}


def set_to(message, **values):
    for name, value in values.items():
        setattr(message, name, value)
    return message
