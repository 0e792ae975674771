"""``replay``: a bag or a scene folder onto the topics it names, with /clock, for machines without ``ros2 bag``.

Topics are taken as relative names, so that a namespace or a remap moves them; /tf and /clock stay.
Services ~/pause and ~/resume. At the end the process ends with status 0, unless it loops: then the
stamps jump back, as those of any looped bag do.
"""

import importlib
import sys
import threading
import time
from typing import Any

from pydantic import Field
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger

from wsss_ros.bags.cdr import IMAGE, JPEG
from wsss_ros.bags.playback import Playback, open_recording
from wsss_ros.bags.recording import Raw, Topic
from wsss_ros.labels import scannet20
from wsss_ros.nodes.health import ERROR, OK, WARN
from wsss_ros.nodes.node import MAP, Node, NodeConfig, run
from wsss_ros.types import BadInput

CLOCK_PERIOD_S = 0.02
SETTLE_S = 0.3  # a subscriber knows of us a little later than we know of it
LINGER_S = 1.0  # the last messages are on their way when the last one has been sent


class ReplayConfig(NodeConfig):
    source: str = Field("", description="A bag (.mcap, .db3 or its folder) or a scene folder.")
    rate: float = Field(1.0, gt=0, le=100, description="Speed against the recording.")
    loop: bool = Field(False, description="Start over at the end.")
    start_paused: bool = Field(False, description="Wait for ~/resume.")
    wait_for_subscribers_s: float = Field(
        0.0, ge=0, le=300, description="Wait at most this long for subscribers first."
    )
    subscribers: int = Field(1, ge=1, le=100, description="So many of each image topic are waited for.")
    set_name: str = Field("", description="Told on ground_truth/set, latched, for the evaluator; empty tells nothing.")


class Replay(Node):
    name = "replay"
    model = ReplayConfig
    main_job = "replay"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.exit_status = 0
        self._playback: Playback | None = None
        self._sent_ns: int | None = None
        self._clock_lock = threading.Lock()
        self.create_service(Trigger, "~/pause", lambda _, answer: self._answer(answer, pause=True))
        self.create_service(Trigger, "~/resume", lambda _, answer: self._answer(answer, pause=False))

    def start(self) -> None:
        """Ends the process where there is nothing to play: nobody would come to configure it again."""
        super().start()
        if self.get_parameter("autostart").value and not self.active:
            raise SystemExit(1)

    def configure(self) -> None:
        self._recording = open_recording(self.config.source, scannet20())
        self._clock_topic = self.publisher(Clock, "/clock", QoSProfile(depth=10))
        self._set = self.publisher(String, "ground_truth/set", MAP) if self.config.set_name else None
        topics = [topic for topic in self._recording.topics if topic.name != "/clock"]  # there is one clock, ours
        self._offers = {topic.name: self._offer(topic) for topic in topics}
        missing = sorted({topic.msgtype for topic in topics if not self._offers[topic.name]})
        if missing:
            self.get_logger().warning(f"not published, their packages are not installed: {', '.join(missing)}")

    def activate(self) -> None:
        config = self.config
        self._sent_ns = None
        self._playback = Playback(self._recording, config.rate, config.loop, config.start_paused)
        self._closables.append(self._playback.stop)
        if self._set is not None:
            self._set.publish(String(data=config.set_name))
        self.every(CLOCK_PERIOD_S, self._tick)
        self.submit("replay", self._replay, self._playback)

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        if self._playback is None:
            return [], {}
        playback, problems = self._playback, []
        if playback.behind_s > 1.0:
            text = f"the replay is {playback.behind_s:.1f} s behind: lower 'rate', or write the scene as a bag first"
            problems.append((WARN, text))
        if broken := getattr(self._recording, "broken", ""):
            problems.append((WARN, broken))
        if playback.paused:
            problems.append((OK, f"paused; call {self.get_name()}/resume"))
        values = {"rate": f"{playback.rate:g}", "paused": str(playback.paused), "loops": str(playback.loops)}
        values |= {"sent": str(playback.sent), "behind_s": f"{playback.behind_s:.2f}"}
        if (now_ns := playback.now_ns()) is not None:
            values["time_s"] = f"{now_ns / 1e9:.2f}"
        return problems, values

    # --- playing ---

    def _offer(self, topic: Topic) -> Any:
        """A publisher as recorded; None where the message package is not installed."""
        package, _, kind = topic.msgtype.split("/")
        try:
            message = getattr(importlib.import_module(f"{package}.msg"), kind)
        except (ImportError, AttributeError):
            return None
        name = topic.name if topic.name in ("/tf", "/tf_static") else topic.name.lstrip("/")
        return self.publisher(message, name, _qos(topic))

    def _replay(self, playback: Playback) -> None:
        """On the worker: one run from the first message to the last, or for ever; then the process ends."""
        self.exit_status = 1
        try:
            self._wait_for_subscribers(playback)
            self.get_logger().info(f"replays {self.config.source} at rate {playback.rate:g}")
            playback.play(self._send)
            self.exit_status = 0
        except BadInput as error:
            self.complain("recording", str(error), ERROR)
        finally:
            if not playback.stopped:
                self._end(playback)

    def _send(self, raw: Raw) -> None:
        if raw.stamp_ns != self._sent_ns:
            self._sent_ns = raw.stamp_ns
            self._tick()
        if publisher := self._offers.get(raw.topic):
            publisher.publish(bytes(raw.data))

    def _tick(self) -> None:
        """The lock keeps the clock from going back where both threads tick at once."""
        with self._clock_lock:
            now_ns = self._playback.now_ns()
            if now_ns is not None:
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(now_ns, 10**9)
                self._clock_topic.publish(message)

    def _wait_for_subscribers(self, playback: Playback) -> None:
        """Until each image topic has its subscribers, at most as long as configured; ground truth needs one, and only
        where a set is named, which is for an evaluator."""
        truth_wanted = 1 if self.config.set_name else 0
        wanted = {
            topic.name: truth_wanted if "ground_truth/" in topic.name else self.config.subscribers
            for topic in self._recording.topics
            if topic.msgtype in (IMAGE, JPEG)
        }
        until = time.monotonic() + self.config.wait_for_subscribers_s
        while lonely := [n for n, least in wanted.items() if self._offers[n].get_subscription_count() < least]:
            if time.monotonic() >= until or playback.stopped:
                break
            time.sleep(0.05)
        if self.config.wait_for_subscribers_s and not playback.stopped:
            if lonely:
                self.get_logger().warning(f"starts with too few subscribers on {', '.join(lonely)}")
            time.sleep(SETTLE_S)

    def _end(self, playback: Playback) -> None:
        for publisher in filter(None, self._offers.values()):
            publisher.wait_for_all_acked(Duration(seconds=LINGER_S))
        time.sleep(LINGER_S)
        self.get_logger().info(f"the replay has ended: {playback.sent} messages")
        self.context.try_shutdown()

    def _answer(self, answer: Trigger.Response, pause: bool) -> Trigger.Response:
        playback = self._playback
        answer.success = playback is not None and self.active
        answer.message = ("paused" if pause else "resumed") if answer.success else "nothing is being replayed"
        if answer.success:
            playback.pause() if pause else playback.resume()
        return answer


def _qos(topic: Topic) -> QoSProfile:
    reliable, latched = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(
        depth=topic.depth,
        reliability=reliable if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=latched if topic.latched else DurabilityPolicy.VOLATILE,
    )


def main(args: list[str] | None = None) -> int:
    """Returns 0 at the end of the recording or on a signal, 1 where it could not be played to its end."""
    nodes: list[Replay] = []

    def make() -> Replay:
        nodes.append(Replay())
        return nodes[0]

    status = run(make, args)
    return status or max((node.exit_status for node in nodes), default=0)


if __name__ == "__main__":
    sys.exit(main())
