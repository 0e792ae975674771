"""A room that is an empty box, as any camera sees it, and bags of it with the conventions of common drivers."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from wsss_ros.bags import cdr
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import Topic
from wsss_ros.geometry.distortion import rays
from wsss_ros.types import Camera

HALF = np.array([2.0, 1.6, 1.3])  # of the box, whose centre is at the origin; z is up
SIDES = np.array(
    [[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40], [40, 200, 200], [200, 40, 200]], np.uint8
)
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # level camera that looks along x


def seen(camera: Camera, world_from_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and true depth of each pixel, with the distortion of the camera."""
    plane = np.nan_to_num(rays(camera).reshape(-1, 2))
    along = np.column_stack([plane, np.ones(len(plane))]) @ world_from_camera[:3, :3].T
    along[along == 0] = 1e-12
    reach = (np.copysign(HALF, along) - world_from_camera[:3, 3]) / along
    side = reach.argmin(axis=1)
    colors = SIDES[2 * side + (along[np.arange(len(side)), side] > 0)]
    shape = camera.height, camera.width
    return colors.reshape(*shape, 3), reach.min(axis=1).reshape(shape).astype(np.float32)


def off_surface(xyz: np.ndarray) -> np.ndarray:
    """Metres from each point to the nearest side of the box."""
    return np.abs(np.abs(xyz) - HALF).min(axis=1)


def pose(yaw_deg: float, roll_deg: float = 0.0, centre=(0.1, -0.2, 0.0)) -> np.ndarray:
    """``world_from_camera`` of a level camera, rolled to the right as seen from behind it."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ FORWARD @ Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre
    return matrix


@dataclass
class Driver:
    """A bag as a driver publishes it: unregistered depth, poses in TF, the extrinsic on /tf_static."""

    color: Camera
    depth: Camera
    color_from_depth: np.ndarray
    color_topic: str = "/camera/camera/color/image_raw"
    depth_topic: str = "/camera/camera/depth/image_rect_raw"
    frames: tuple[str, str] = ("camera_color_optical_frame", "camera_depth_optical_frame")
    extrinsic: bool = True
    infos: str = "stream"  # or "once", "frozen"
    roll_deg: float = 0.0
    views: int = 4
    topics: dict = field(default_factory=dict)

    def write(self, path) -> None:
        """Write the bag."""
        messages = list(self._messages())
        names = {topic: Topic(topic, message.__msgtype__) for _, topic, message in messages}
        recorder = Recorder(path, list(names.values()))
        for stamp, topic, message in messages:
            recorder.write(topic, stamp, bytes(cdr.typestore().serialize_cdr(message, message.__msgtype__)))
        recorder.close()

    def _messages(self):
        infos = [f"{topic.rpartition('/')[0]}/camera_info" for topic in (self.color_topic, self.depth_topic)]
        if self.extrinsic:
            start = cdr.header(0, self.frames[0])
            yield 10**9, "/tf_static", cdr.tf_message(start, self.frames[1], self.color_from_depth)
        for number in range(self.views):
            stamp = (2 + number) * 10**9
            world_from_color = pose(40 * number, self.roll_deg)
            rgb, _ = seen(self.color, world_from_color)
            _, depth_m = seen(self.depth, world_from_color @ self.color_from_depth)
            heads = [cdr.header(stamp, frame) for frame in self.frames]
            yield stamp, "/tf", cdr.tf_message(cdr.header(stamp, "map"), self.frames[0], world_from_color)
            for at, topic, camera, frame in zip((0, 1), infos, (self.color, self.depth), self.frames, strict=True):
                if self.infos == "stream" or number == 0 or self.infos == "frozen":
                    head = heads[at] if self.infos == "stream" else cdr.header(0, frame)
                    yield stamp, topic, cdr.info_message(head, camera)
            yield stamp, self.depth_topic, cdr.depth_message(heads[1], depth_m, "16UC1")
            yield stamp, self.color_topic, cdr.image_message(heads[0], rgb, "rgb8")


APART = np.eye(4)
APART[:3, :3] = Rotation.from_euler("xyz", (0.5, -0.3, 0.2), degrees=True).as_matrix()
APART[:3, 3] = -0.03, 0.002, 0.004
REALSENSE = Driver(Camera(152.0, 152.0, 80.5, 61.0, 160, 120), Camera(96.0, 96.0, 80.0, 60.0, 160, 120), APART)
