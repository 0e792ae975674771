"""TF in a node: /tf and /tf_static into a buffer, that of tf2_ros where it is installed, else our own."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from wsss_ros.bags.codec import stamp_ns, transform_parts
from wsss_ros.geometry.frame_tree import FrameTree
from wsss_ros.geometry.transforms import CACHE_S, LookupFailed, TransformBuffer, Why, check_transform, matrix
from wsss_ros.nodes import tf_message
from wsss_ros.nodes.health import WARN, Problem
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import BadInput

# As tf2_ros subscribes.
DYNAMIC = QoSProfile(depth=100)
STATIC = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STEPS_BACK = 3  # this many transforms of a frame in a row, all older than the cache, are a jump of the clock

Pose = Float64[np.ndarray, "4 4"]


class OwnBuffer:
    """Our own buffer, for machines without tf2_ros."""

    def __init__(self) -> None:
        self._buffer = TransformBuffer()
        self.lookup, self.frames, self.clear = self._buffer.lookup, self._buffer.frames, self._buffer.clear

    def add(self, transform: Any, static: bool) -> None:
        """Add a TransformStamped that has been checked."""
        parts = transform_parts(transform.transform)
        parent, child = transform.header.frame_id, transform.child_frame_id
        self._buffer.add(parent, child, stamp_ns(transform.header), *parts, static=static)


class Tf2Buffer:
    """The buffer of tf2_ros. Raises ImportError where it is not installed."""

    def __init__(self) -> None:
        import tf2_ros

        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=CACHE_S))
        self.clear = self._buffer.clear

    def add(self, transform: Any, static: bool) -> None:
        """Add a TransformStamped that has been checked."""
        set_transform = self._buffer.set_transform_static if static else self._buffer.set_transform
        set_transform(transform, "wsss_ros")

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """``target_from_source`` at this time. Raises LookupFailed."""
        target, source = target.removeprefix("/"), source.removeprefix("/")
        tf2, stamp = self._tf2, Time(nanoseconds=max(stamp_ns, 1))  # 0 would be the newest transform
        try:
            found = self._buffer.lookup_transform(target, source, stamp)
        except (tf2.LookupException, tf2.InvalidArgumentException) as error:
            known = ", ".join(self.frames()) or "none yet"
            raise LookupFailed("frame", f"no such frame in TF: {error}; known frames: {known}") from error
        except tf2.ConnectivityException as error:
            raise LookupFailed("connection", f"no path in TF: {error}") from error
        except tf2.ExtrapolationException as error:
            why: Why = "past" if "into the past" in str(error) else "future"
            raise LookupFailed(why, f"no transform in TF at this time: {error}") from error
        return matrix(*transform_parts(found.transform))

    def frames(self) -> list[str]:
        """The names of all frames, sorted."""
        return sorted(self._buffer._getFrameStrings())


def new_buffer() -> OwnBuffer | Tf2Buffer:
    """The buffer of tf2_ros where it is installed together with tf2_msgs, else our own."""
    try:
        from tf2_msgs.msg import TFMessage  # noqa: F401 - the buffer of tf2_ros takes only its transforms

        return Tf2Buffer()
    except ImportError:
        return OwnBuffer()


class TfListener:
    """The transforms of /tf and /tf_static for all who need them in one node, from ``start`` to its deactivation."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._message = tf_message.message_class()
        self._users: list[tuple[Callable[[], None], Need]] = []
        self._forget()

    @property
    def readable(self) -> bool:
        """Whether the messages of TF can be read on this machine."""
        return self._message is not None

    def start(self, came: Callable[[], None], need: Need) -> None:
        """Call ``came()`` after every message from now on. The first call subscribes, with an empty buffer.

        The silence of /tf is reported while one of the needs is there. Raises BadInput where TF cannot be read on
        this machine.
        """
        if not self.readable:
            raise BadInput(tf_message.MISSING)
        if not self._users:
            self._subscribe(need.purpose)
        self._users.append((came, need))

    def _subscribe(self, purpose: str) -> None:
        self._forget()
        node = self._node
        node.at_deactivate(self._users.clear)
        node.subscribe(self._message, "/tf", lambda message: self._add(message, False), DYNAMIC, purpose, self._needed)
        node.subscribe(self._message, "/tf_static", lambda message: self._add(message, True), STATIC, purpose, _never)
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        handle = node.get_clock().create_jump_callback(back, post_callback=lambda _: self._jumped())
        node.at_deactivate(handle.unregister)

    def _needed(self) -> bool:
        return any(need.now() for _, need in self._users)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """``target_from_source``: carries points of ``source`` to ``target``, at exactly this time.

        Raises LookupFailed with the reason.
        """
        return self._buffer.lookup(target, source, stamp_ns)

    def problems(self) -> list[Problem]:
        """What is wrong with the tree of frames: loops, and frames with two parents in turn."""
        return [(WARN, text) for text in self._tree.faults()]

    # --- transforms come ---

    def _forget(self) -> None:
        self._buffer = new_buffer()
        self.since: float | None = None  # when the first transform came, by the steady clock
        self._tree = FrameTree()
        self._newest: dict[str, int] = {}
        self._back: Counter[str] = Counter()

    def _add(self, message: Any, static: bool) -> None:
        self.since = self.since or time.monotonic()
        for transform in tf_message.decode(message).transforms:
            parts = transform_parts(transform.transform)
            try:
                check_transform(transform.header.frame_id, transform.child_frame_id, *parts)
            except BadInput as error:
                self._node.health.drop("bad transform")
                self._node.report_problem("bad transform", f"a transform in TF is left out: {error}")
                continue
            self._tree.add(transform.header.frame_id, transform.child_frame_id, static)
            if not static:
                self._notice_jump(transform.child_frame_id, stamp_ns(transform.header))
            self._buffer.add(transform, static)
        for came, _ in self._users:
            came()

    def _notice_jump(self, frame: str, stamp: int) -> None:
        """A looped bag without a simulated clock: the buffer would refuse all transforms of the new time."""
        newest = self._newest.get(frame, stamp)
        if stamp >= newest - CACHE_S * 1e9:
            self._newest[frame], self._back[frame] = max(stamp, newest), 0
            return
        self._back[frame] += 1
        if self._back[frame] >= STEPS_BACK:
            self._jumped()

    def _jumped(self) -> None:
        self._buffer.clear()
        self._newest.clear()
        self._back.clear()
        self._node.report_problem("tf clock", "the stamps of TF jumped back (a looped bag?); its buffer is empty", WARN)


def _never() -> bool:
    """The silence of /tf_static is not reported: a robot may have no static transform."""
    return False
