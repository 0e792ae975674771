"""The status of a node on /diagnostics, once a second."""

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType

from wsss_ros.nodes.health import OK, Problem, Status
from wsss_ros.nodes.rival import identity


def publish_every_second(node: Any) -> None:
    """Publish ``node.status()`` by the wall clock, in every state of the life cycle."""
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    steady = Clock(clock_type=ClockType.STEADY_TIME)

    def tick() -> None:
        node.look_for_rival()
        node.look_for_inputs()
        publisher.publish(_message(node))

    node.create_timer(1.0, lambda: node.guarded(tick), clock=steady)


def status(problems: list[Problem], values: dict[str, str], state: str) -> Status:
    """Level, sentence and values: the worst problem first; without any, the state."""
    problems = sorted(problems, key=lambda problem: -problem[0])
    level = problems[0][0] if problems else OK
    return level, "; ".join(text.partition("\n")[0] for _, text in problems) or state, values


def _message(node: Any) -> DiagnosticArray:
    level, text, values = node.status()
    status = DiagnosticStatus(level=bytes([level]), name=node.get_fully_qualified_name(), message=text)
    status.hardware_id = identity()
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array
