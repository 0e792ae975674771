"""The simulated clock of a node: with ``use_sim_time`` its time comes from /clock, and stands still without it."""

import time
from typing import Any

from wsss_ros.nodes.health import WARN, Problem
from wsss_ros.nodes.inputs import OUR_SOURCES, START_S
from wsss_ros.nodes.silence import Graph


class ClockWatch:
    """``problems`` is called once a second or so, while the node is active."""

    def __init__(self, node: Any, graph: Graph) -> None:
        self._node, self._graph = node, graph
        self._now_ns, self._since = -1, time.monotonic()

    def problems(self, timeout_s: float, silent: bool) -> list[Problem]:
        """A clock that has not moved for longer than ``timeout_s``.

        One that never came is a problem; one that stands still is one only while inputs are ``silent``, as its reason.
        """
        if not self._node.get_parameter("use_sim_time").value:
            return []
        now_ns = self._node.get_clock().now().nanoseconds
        if now_ns != self._now_ns:
            self._now_ns, self._since = now_ns, time.monotonic()
        still_s = time.monotonic() - self._since
        if still_s <= timeout_s or (now_ns and not silent) or self._starts(still_s):
            return []
        if not now_ns:
            text = f"no simulated time: use_sim_time is true, and nothing came on /clock for {still_s:.0f} s; "
            advice = "start the simulation, play the bag with --clock, or set use_sim_time:=false"
            return [(WARN, text + advice)]
        at = f"at {now_ns / 1e9:.3f} s for {still_s:.0f} s"
        return [(WARN, f"the simulated clock stands still {at}: the simulation or the bag is paused, or has ended")]

    def _starts(self, still_s: float) -> bool:
        """Whether only a replay of ours publishes the clock: it waits until its set is ready."""
        if still_s > START_S or self._now_ns:
            return False
        nodes = [each.node.rpartition("/")[2] for each in self._graph.publishers("/clock")]
        return bool(nodes) and all(node in OUR_SOURCES for node in nodes)
