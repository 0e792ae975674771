"""Messages as both families have them: rosbags' dataclasses, and the same messages as rclpy reads them."""

import importlib
import struct
from pathlib import Path

import numpy as np
import pytest

from wsss_ros.bags.bag import read_bag
from wsss_ros.bags.cdr import typestore

FAMILIES = ("rosbags", "rclpy")


def of_family(message: object, family: str) -> object:
    """The message itself, or what rclpy makes of its bytes; skips the test where rclpy is not installed."""
    if family == "rosbags":
        return message
    serialization = pytest.importorskip("rclpy.serialization", reason="ROS 2 is not installed")
    package, _, kind = message.__msgtype__.split("/")
    data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
    return serialization.deserialize_message(data, getattr(importlib.import_module(f"{package}.msg"), kind))


def by_topic(path: Path) -> dict[str, list]:
    messages: dict[str, list] = {}
    for topic, stamp_ns, message in read_bag(path):
        messages.setdefault(topic, []).append((stamp_ns, message))
    return messages


def columns(message: object) -> dict[str, np.ndarray]:
    """The columns of a PointCloud2, read one value at a time by its field table."""
    kinds = {7: "<f", 6: "<I"}
    data = message.data.tobytes()
    starts = range(0, message.width * message.point_step, message.point_step)

    def column(kind: str, offset: int) -> np.ndarray:
        return np.array([struct.unpack_from(kind, data, start + offset)[0] for start in starts])

    return {field.name: column(kinds[field.datatype], field.offset) for field in message.fields}
