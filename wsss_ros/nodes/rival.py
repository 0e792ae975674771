"""A second node of the same name in the same namespace and domain: the younger one ends.

Otherwise each topic has two publishers, and each tag and view two takers. The graph shows the name twice; the process
and the host of the other node come from its diagnostics.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos_overriding_options import QoSOverridingOptions

WATCH_S = 15.0  # from the start on; a node that has run for longer is not ended
UPTIME = "uptime_s"  # key in the diagnostics


def identity() -> str:
    """Host and process, as the diagnostics have them."""
    return f"{socket.gethostname()}, process {os.getpid()}"


class RivalWatch:
    """``look`` is called once a second; ``found(text)`` once, where an older node of the name of ``node`` runs."""

    def __init__(self, node: Any, found: Callable[[str], None]) -> None:
        self._node, self._found = node, found
        self._started = time.monotonic()
        self._heard: Any = None
        self._over = False

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def look(self) -> None:
        """Listen to the diagnostics where the graph has the name twice."""
        if self._over:
            return
        if self.uptime_s > WATCH_S:
            self._end()
        elif self._heard is None and self._nodes_of_my_name() > 1:
            options = QoSOverridingOptions(())  # the node may have a subscription of this topic with another profile
            self._heard = self._node.create_subscription(
                DiagnosticArray, "/diagnostics", self.on_diagnostics, 10, qos_overriding_options=options
            )

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        """Look for an older node of my name."""
        for status in message.status:
            if status.name != self._node.get_fully_qualified_name() or status.hardware_id in ("", identity()):
                continue
            age_s = next((float(pair.value) for pair in status.values if pair.key == UPTIME), 0.0)
            if not self._over and (age_s, status.hardware_id) > (self.uptime_s, identity()):
                self._end()
                self._found(
                    f"{status.name} runs already on {status.hardware_id}, in ROS_DOMAIN_ID "
                    f"{self._node.context.get_domain_id()}: end it, or give this one another namespace or domain; "
                    "force:=true starts it all the same"
                )

    def _nodes_of_my_name(self) -> int:
        mine = self._node.get_name(), self._node.get_namespace()
        return self._node.get_node_names_and_namespaces().count(mine)

    def _end(self) -> None:
        self._over = True
        if self._heard is not None:
            self._node.destroy_subscription(self._heard)
            self._heard = None
