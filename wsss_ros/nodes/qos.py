"""Quality of service: the profiles of this package's topics."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rclpy.exceptions import InvalidParameterTypeException
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from wsss_ros.types import BadInput

# Sensor input: the newest wins. The companions of an image may queue, so that a busy moment loses no match.
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMPANION = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
SMALL_SENSOR = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
# Results frame by frame: reliable, as RViz asks for; best-effort subscribers match too.
RESULT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# Maps: the last one is kept for late subscribers.
MAP = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

OVERRIDES = "qos_overrides."
OVERRIDABLE = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY)


def overridable(qos: QoSProfile | int) -> tuple[QoSProfile, dict[str, Any]]:
    """A copy of the profile, and the options with which rclpy applies the parameters ``qos_overrides.*`` to it."""
    profile = QoSProfile(depth=qos) if isinstance(qos, int) else copy.copy(qos)
    return profile, {"qos_overriding_options": QoSOverridingOptions(OVERRIDABLE)}


@contextmanager
def override_faults() -> Iterator[None]:
    """Raises BadInput, with the possible values, for an override that rclpy cannot apply."""
    try:
        yield
    except (RuntimeError, InvalidParameterTypeException) as error:
        if "qos" not in str(error).lower():
            raise
        raise BadInput(
            f"{error}; expected for reliability: reliable or best_effort, for durability: volatile or transient_local, "
            "for history: keep_last or keep_all, for depth: a number"
        ) from error


def check_depths(given: Mapping[str, Any]) -> None:
    """Raises BadInput for a depth below 0 among the given parameters; the libraries of ROS call it an allocator."""
    for name, parameter in given.items():
        is_depth = name.startswith(OVERRIDES) and name.endswith(".depth")
        if is_depth and isinstance(parameter.value, int) and parameter.value < 0:
            raise BadInput(f"parameter '{name}': {parameter.value}; expected a number of messages, 0 or more")


def describe(qos: QoSProfile) -> str:
    """Reliability and durability in words, such as "best effort, volatile"."""
    return ", ".join(policy.name.lower().replace("_", " ") for policy in (qos.reliability, qos.durability))
