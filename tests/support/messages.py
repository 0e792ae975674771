"""Messages as both families have them: rosbags' dataclasses, and the same messages as rclpy reads them."""

import importlib

import pytest

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
