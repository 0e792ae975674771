"""Messages of ROS 2 Jazzy without ROS, made from arrays: dataclasses of rosbags, which can serialise them (CDR)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from wsss_ros.bags.cloud_codec import all_finite, point_dtype, point_fields, write_points
from wsss_ros.bags.codec import JPEG_FORMAT, depth_to_pixels
from wsss_ros.geometry import matrix_to_quaternion
from wsss_ros.geometry.camera_models import distortion_fields
from wsss_ros.scenes.images import encode_jpeg
from wsss_ros.types import BadInput, Camera, Cloud

IMAGE, JPEG, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
POSE, CLOUD, TF = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
POSE_WITH_COVARIANCE, ODOMETRY = "geometry_msgs/msg/PoseWithCovarianceStamped", "nav_msgs/msg/Odometry"
STRING = "std_msgs/msg/String"
_STAMPED = re.compile(r"@(\d{1,10})(?:\.(\d{1,9}))?\s+(.*)", re.DOTALL)  # a tag with the stamp of its image
_MAX_LETTERS = 1000  # of one tag message; all classes of a label space fit in


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The message definitions of ROS 2 Jazzy. All callers share them: copy them before registering more."""
    return get_typestore(Stores.ROS2_JAZZY)


def make(msgtype: str, **fields: Any) -> object:
    """A message of the type ``msgtype``; ``fields`` must contain all its fields."""
    return typestore().types[msgtype](**fields)


def header(stamp_ns: int, frame_id: str) -> object:
    """A std_msgs/Header."""
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def image_message(head: object, image: np.ndarray, encoding: str) -> object:
    """An Image; ``image`` is [H W] or [H W C], of the encoding's type, little-endian."""
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    data = image.reshape(-1).view(np.uint8)
    step = len(data) // height
    return make(IMAGE, header=head, height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data)


def jpeg_message(head: object, rgb: UInt8[np.ndarray, "H W 3"], quality: int) -> object:
    """A CompressedImage with a JPEG of ``quality`` 1..100."""
    return make(JPEG, header=head, format=JPEG_FORMAT, data=np.frombuffer(encode_jpeg(rgb, quality), np.uint8))


def depth_message(head: object, depth_m: Float32[np.ndarray, "H W"], encoding: str) -> object:
    """An Image with depth. 16UC1: millimetres, 0 if missing or beyond 65.5 m. 32FC1: metres, NaN if missing."""
    return image_message(head, depth_to_pixels(depth_m, encoding), encoding)


def info_message(head: object, camera: Camera) -> object:
    """A CameraInfo of raw images: K and the distortion of the camera. P is K."""
    k = camera.matrix()
    model, coefficients = distortion_fields(camera.distortion)
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return make(
        INFO,
        header=head,
        height=camera.height,
        width=camera.width,
        distortion_model=model,
        d=np.array(coefficients),
        k=k.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def pose_message(head: object, world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    """A PoseStamped."""
    x, y, z = map(float, world_from_camera[:3, 3])
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=_quaternion(world_from_camera),
    )
    return make(POSE, header=head, pose=pose)


def tf_message(head: object, child: str, world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    """A TFMessage with one transform, from the frame ``child`` to the frame of the header."""
    x, y, z = map(float, world_from_camera[:3, 3])
    transform = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=_quaternion(world_from_camera),
    )
    stamped = make("geometry_msgs/msg/TransformStamped", header=head, child_frame_id=child, transform=transform)
    return make(TF, transforms=[stamped])


def _quaternion(world_from_camera: Float64[np.ndarray, "4 4"]) -> object:
    x, y, z, w = map(float, matrix_to_quaternion(world_from_camera[:3, :3]))
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def cloud_message(head: object, cloud: Cloud, labels: UInt8[np.ndarray, "N"] | None = None) -> object:
    """A PointCloud2 with the fields x y z, ``rgb`` if the cloud has colours, and ``label`` if given."""
    names = ["x", "y", "z"] + ["rgb"] * (cloud.rgb is not None) + ["label"] * (labels is not None)
    points = np.empty(len(cloud), point_dtype(names, cloud.xyz.dtype))
    write_points(points, cloud.xyz, cloud.rgb, labels)
    step = points.dtype.itemsize
    return make(
        CLOUD,
        header=head,
        height=1,
        width=len(cloud),
        fields=[make("sensor_msgs/msg/PointField", **field._asdict(), count=1) for field in point_fields(points.dtype)],
        is_bigendian=False,
        point_step=step,
        row_step=step * len(cloud),
        data=points.view(np.uint8),
        is_dense=all_finite(cloud.xyz),
    )


def tags_message(names: Sequence[str], stamp_ns: int | None = None) -> object:
    """A String with tags, ``chair, -sofa``; with the stamp of the tagged image, ``@SECONDS.NANOS chair, -sofa``."""
    about = "" if stamp_ns is None else f"@{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} "
    return make(STRING, data=about + ", ".join(names))


def read_tag(text: str) -> tuple[tuple[str, ...], int | None]:
    """Read names and stamp of ``chair, -sofa`` or ``@SECONDS.FRACTION chair, -sofa``.

    Raises BadInput for any other text.
    """
    if len(text) > _MAX_LETTERS:
        raise BadInput(f"{len(text)} characters; expected class names, at most {_MAX_LETTERS} characters in all")
    stamped = _STAMPED.fullmatch(text.strip())
    names = tuple(filter(None, map(str.strip, (stamped[3] if stamped else text).split(","))))
    if not names or names[0].startswith("@"):
        raise BadInput(f"'{text}'; expected 'chair, -sofa' or '@12.500000000 chair, -sofa'")
    return names, int(stamped[1]) * 10**9 + int((stamped[2] or "").ljust(9, "0")) if stamped else None
