"""Subscribed topics: how many messages came, whether there is silence, and publishers that are not latched."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions

from wsss_ros.nodes.health import WARN, Problem
from wsss_ros.nodes.qos import SENSOR, overridable, override_faults
from wsss_ros.nodes.silence import MOST_NAMED, Graph, reason, type_name
from wsss_ros.types import few_of

# Seconds for the first message of our own nodes: a replay waits until all of its set are ready, and the others wait
# for it. Each of them reports what it waits for itself.
START_S = 60.0
# A publisher whose process was killed is seen for 20 s: the lease of Fast DDS.
SHARED_S = 30.0
_ONE_SOURCE = ("Image", "CompressedImage", "PoseStamped", "PointCloud2")  # two of them would mix
OUR_SOURCES = ("replay", "cloud_accumulator", "image_segmenter", "cloud_segmenter", "semantic_mapper")


@dataclass
class Input:
    """One subscribed topic.

    ``purpose`` is what cannot be made without it; ``needed`` returns whether its silence matters now. ``name`` is the
    topic before namespace and remaps, ``type`` that of its messages, ``profiles`` have the QoS of its subscriptions.
    ``problem`` is why messages cannot come, ``streamed`` whether it is subscribed to a second time, without the latch.
    """

    topic: str
    purpose: str
    needed: Callable[[], bool] = lambda: True
    name: str = ""
    type: str = ""
    profiles: list[QoSProfile] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    received: int = 0
    problem: str = ""
    streamed: bool = False
    shared_since: float | None = None  # it has several publishers since then
    subscriptions: list[Any] = field(default_factory=list)
    _sent_at: deque[int] = field(default_factory=lambda: deque(maxlen=16))

    def receive(self, sent_at_ns: int = 0) -> bool:
        """Count a message. False where it came before, through another subscription of the same topic."""
        if sent_at_ns and sent_at_ns in self._sent_at:
            return False
        self._sent_at.append(sent_at_ns)
        self.received += 1
        self.since = time.monotonic()
        self.problem = ""
        return True

    @property
    def sent_ns(self) -> int:
        """When the newest message was sent, by its publisher's clock; 0 where that is unknown."""
        return self._sent_at[-1] if self._sent_at else 0

    def silence(self, timeout_s: float, graph: Graph) -> str:
        """One sentence when nothing came for longer than ``timeout_s``, else an empty string."""
        quiet_s = time.monotonic() - self.since
        if quiet_s <= timeout_s or (quiet_s <= START_S and not self.problem and self._starts(graph)):
            return ""
        why = self.problem or reason(self.topic, self.name, self.type, self.profiles, graph)
        return f"no message on {self.topic} for {quiet_s:.0f} s ({self.received} received), so no {self.purpose}: {why}"

    def mixed(self, graph: Graph) -> str:
        """One sentence when a topic of one sensor has had several publishers for SHARED_S, else an empty string."""
        if self.type.rpartition("/")[2] not in _ONE_SOURCE:
            return ""
        nodes = [each.node for each in graph.publishers(self.topic) if each.type == self.type]
        nodes = [node for node in nodes if node.rpartition("/")[2] != "cloud_accumulator"]  # it stays quiet
        if len(nodes) < 2:
            self.shared_since = None
            return ""
        self.shared_since = self.shared_since or time.monotonic()
        if time.monotonic() - self.shared_since <= SHARED_S:
            return ""
        named = f"{few_of(sorted(nodes), MOST_NAMED)} publish on {self.topic}"
        return f"{len(nodes)} publishers of one input: {named}, so their messages mix; end one, or remap it"

    def _starts(self, graph: Graph) -> bool:
        """Whether only nodes of ours publish it, and have sent nothing yet."""
        publishers = [] if self.received else graph.publishers(self.topic)
        ours = [each.type == self.type and each.node.rpartition("/")[2] in OUR_SOURCES for each in publishers]
        return bool(ours) and all(ours)


def silences(records: list[Input], timeout_s: float, graph: Graph) -> list[Problem]:
    """The inputs that are silent although they are needed."""
    texts = [record.silence(timeout_s, graph) for record in records if record.needed()]
    return [(WARN, text) for text in texts if text]


def mixtures(records: list[Input], graph: Graph) -> list[Problem]:
    """The inputs on which several publishers mix their messages."""
    return [(WARN, text) for record in records if (text := record.mixed(graph))]


def never_came(records: list[Input]) -> list[Input]:
    """The needed inputs that have sent nothing."""
    return [record for record in records if record.needed() and not record.received]


def subscribe(node: Any, record: Input, kind: type, callback: Callable[[Any], None], qos: QoSProfile) -> None:
    """Subscribe until ``node.unsubscribe`` or its deactivation. ``callback`` gets every message once.

    What it raises is reported.

    Where ``qos`` asks for a latched publisher and meets one that is not, this subscribes once more without the latch:
    the last map arrives where one is kept, and a plain stream arrives too.
    """

    def received(message: Any, about: dict[str, int]) -> None:
        if record.receive(about["source_timestamp"]):
            node.guarded(callback, message)

    def incompatible(event: Any) -> None:
        # Other publishers may fit. Where none does, the silence is reported with what is offered and asked for.
        if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL and not record.streamed:
            record.streamed = True
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            node.get_logger().info(f"a publisher of {record.topic} is not latched ({policy}); streamed too")
            subscribe(node, record, kind, callback, SENSOR)

    record.type = type_name(kind)
    profile, overriding = overridable(qos)
    if record.streamed:  # the overrides are those of the first subscription
        overriding = {"qos_overriding_options": QoSOverridingOptions(())}
    events = SubscriptionEventCallbacks(incompatible_qos=incompatible)
    options = {"event_callbacks": events, "raw": getattr(kind, "raw", False)} | overriding  # raw: see tf_message.py
    with override_faults():
        subscription = node.create_subscription(kind, record.topic, received, profile, **options)
    record.profiles.append(profile)
    record.subscriptions.append(subscription)
