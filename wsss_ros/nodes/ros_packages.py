"""Packages of ROS that not every installation has: sensor_msgs_py and tf_transformations. They are used where they are.

``sensor_msgs_py`` reads clouds of an unusual layout, ``tf_transformations`` turns quaternions into matrices. Without
them the core's own functions give the same results.
"""

import array
import contextlib
import copy
from types import SimpleNamespace

import numpy as np
from jaxtyping import Float64
from sensor_msgs.msg import PointCloud2

from wsss_ros import geometry
from wsss_ros.bags import cloud_codec
from wsss_ros.bags.cloud_codec import PointField, ReadCloud

try:
    from sensor_msgs_py import point_cloud2
except ImportError:
    point_cloud2 = None
try:
    import tf_transformations
except (ImportError, AttributeError):  # versions of its transforms3d fail on numpy 2 with an AttributeError
    tf_transformations = None

_REFUSALS = (AssertionError, KeyError, TypeError, ValueError)  # what sensor_msgs_py raises for a broken message


def quaternion_to_matrix(xyzw: np.ndarray) -> Float64[np.ndarray, "3 3"]:
    """The rotation matrix of a quaternion ``x y z w``. Raises BadInput as ``geometry.quaternion_to_matrix`` does."""
    if tf_transformations is None:
        return geometry.quaternion_to_matrix(xyzw)
    return np.asarray(tf_transformations.quaternion_matrix(geometry.unit_quaternion(xyzw)))[:3, :3]


def read_cloud(message: PointCloud2) -> ReadCloud:
    """Read a cloud as ``cloud_codec.read_cloud`` does, an unusual one with the help of sensor_msgs_py.

    Rows with padding are left to the core, since sensor_msgs_py reads the padding as points.
    """
    if point_cloud2 is not None and not cloud_codec.is_usual(message) and not cloud_codec.has_padded_rows(message):
        with contextlib.suppress(*_REFUSALS):  # the core's reader says what is wrong with the message
            message = _packed(message)
    return cloud_codec.read_cloud(message)


def _packed(message: PointCloud2) -> SimpleNamespace:
    """The same cloud with little-endian fields and no gaps. Fields with more than one value are left out."""
    if message.is_bigendian:  # sensor_msgs_py swaps the bytes of the message that it is given
        message = copy.copy(message)
        message.data = array.array("B", message.data)
    points = point_cloud2.read_points(message)
    fields = [field for field in message.fields if field.name in points.dtype.names]
    dtype = np.dtype([(field.name, points.dtype[field.name].newbyteorder("<")) for field in fields])
    packed = np.empty(len(points), dtype)
    for name in dtype.names:
        packed[name] = points[name]
    return SimpleNamespace(
        header=message.header,
        height=message.height,
        width=message.width,
        fields=[PointField(field.name, dtype.fields[field.name][1], field.datatype) for field in fields],
        is_bigendian=False,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * message.width,
        data=packed.view(np.uint8),
    )
