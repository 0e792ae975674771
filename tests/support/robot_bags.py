"""Bags as a robot records them: cameras with their drivers' topics, and poses only in /tf and /tf_static."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wsss_ros.bags import cdr
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import Topic
from wsss_ros.types import Camera

CAMERA = Camera(8.0, 8.0, 3.5, 2.5, 8, 6)
STEP_NS = 100_000_000
# The camera looks along x of the robot, 0.5 m above its base: REP-103's optical frame.
BASE_FROM_OPTICAL = np.array([[0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1.0]])


def odom_from_base(stamp_ns: int) -> np.ndarray:
    """The robot drives 0.2 m/s along x and turns 0.3 rad/s: linear in time, as interpolation is."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0, 0, 0.3 * stamp_ns / 1e9]).as_matrix()
    pose[0, 3] = 0.2 * stamp_ns / 1e9
    return pose


def map_from_odom() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
    pose[:3, 3] = 3, -2, 0
    return pose


def truth(stamp_ns: int, frame: str = "map") -> np.ndarray:
    """``frame_from_optical``."""
    local = odom_from_base(stamp_ns) @ BASE_FROM_OPTICAL
    return map_from_odom() @ local if frame == "map" else local


def write_robot_bag(
    path: Path,
    cameras: Sequence[str] = ("/camera",),
    count: int = 10,
    with_map: bool = True,
    tf: str = "",
    tf_from_ns: int = 0,
) -> Path:
    """A bag of ``count`` views of each camera at 10 Hz.

    TF has odom at 30 Hz from ``tf_from_ns`` on and map at 1 Hz, in the namespace ``tf``. No stamp of TF is that of an
    image.
    """
    messages = [(stamp, topic, message) for camera in cameras for stamp, topic, message in _views(camera, count)]
    end_ns = (count + 2) * STEP_NS
    for stamp in range(max(1, tf_from_ns), end_ns, 33_333_333):
        messages.append((stamp, f"{tf}/tf", _tf(stamp, "odom", "base_link", odom_from_base(stamp))))
    if with_map:
        for stamp in range(1, end_ns + 10**9, 10**9):
            messages.append((stamp, f"{tf}/tf", _tf(stamp, "map", "odom", map_from_odom())))
    for camera in cameras:
        still = _tf(0, "base_link", _frame(camera), BASE_FROM_OPTICAL)
        messages.append((end_ns, f"{tf}/tf_static", still))  # a latched topic may be recorded late
    types = {topic: message.__msgtype__ for _, topic, message in messages}
    recorder = Recorder(path, [Topic(topic, msgtype) for topic, msgtype in types.items()])
    for stamp, topic, message in sorted(messages, key=lambda one: one[0]):
        recorder.write(topic, stamp, bytes(cdr.typestore().serialize_cdr(message, types[topic])))
    recorder.close()
    return path


def _frame(camera: str) -> str:
    return f"{camera.strip('/') or 'camera'}_optical"


def _tf(stamp_ns: int, parent: str, child: str, pose: np.ndarray) -> object:
    return cdr.tf_message(cdr.header(stamp_ns, parent), child, pose)


def _views(camera: str, count: int):
    colour = np.full((6, 8, 3), 100 + len(camera), np.uint8)
    depth = np.full((6, 8), len(camera) / 4, np.float32)
    for number in range(1, count + 1):
        stamp = number * STEP_NS
        head = cdr.header(stamp, _frame(camera))
        yield stamp, f"{camera}/color/image_raw", cdr.image_message(head, colour, "rgb8")
        yield stamp, f"{camera}/depth/image_rect", cdr.depth_message(head, depth, "16UC1")
        yield stamp, f"{camera}/color/camera_info", cdr.info_message(head, CAMERA)


def without(source: Path, path: Path, *ends: str) -> Path:
    """A copy of a bag without the topics that end so."""
    from wsss_ros.bags.bag import Bag

    bag = Bag(source)
    kept = [topic for topic in bag.topics if not topic.name.endswith(ends)]
    recorder = Recorder(path, kept)
    for raw in bag.raw():
        if not raw.topic.endswith(ends):
            recorder.write(raw.topic, raw.stamp_ns, bytes(raw.data))
    recorder.close()
    return path
