"""Sends views to a node and finds its answers by their stamps."""

import time

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from support.ros_probe import NodeProcess, Probe
from support.view_messages import CLOCK, pose, view
from support.waiting import until

from wsss_ros.bags import codec

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def send(probe: Probe, node: NodeProcess, messages: dict) -> None:
    """Publish messages by topic, once the node subscribes."""
    for topic, message in messages.items():
        probe.send(node.topic(topic), message, BEST_EFFORT)


def has_answer(got: list, stamp: int) -> bool:
    return any(codec.stamp_ns(message.header) == stamp for message in got)


def answered(got: list, stamp: int):
    """The message with this stamp, once it is there."""

    def found():
        return next((message for message in got if codec.stamp_ns(message.header) == stamp), None)

    return until(found, f"no answer to stamp {stamp}")


def until_answered(ask, *answers: list) -> None:
    """Ask again and again: best effort loses messages while the two sides have not yet discovered each other."""
    for answer in answers:
        answer.clear()

    def all_answered() -> bool:
        ask()
        time.sleep(0.5)
        return all(answers)

    until(all_answered, "never all answered")


def poses_between_the_views(probe: Probe, node: NodeProcess) -> None:
    """Twelve views whose poses come half way between one and the next."""
    for _ in range(12):
        stamp = CLOCK.next()
        send(probe, node, view(stamp) | {"pose": pose(stamp + 5 * 10**7)})
        time.sleep(0.05)
