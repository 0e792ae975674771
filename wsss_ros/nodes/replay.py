"""``replay``: publishes a bag or a scene folder on its topics, with /clock, for machines without ``ros2 bag``.

Topics have relative names, so that a namespace or a remap moves them; /tf and /clock stay. Services: ~/pause and
~/resume. At the end the process ends with status 0, unless it loops: then the stamps jump back, as in any looped bag.
"""

import math
import threading
import time
from typing import Any, NoReturn

from pydantic import Field
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger

from wsss_ros.bags.cdr import CLOUD, IMAGE, JPEG
from wsss_ros.bags.playback import Playback, open_recording
from wsss_ros.bags.recording import Raw, Topic
from wsss_ros.labels import labels_named
from wsss_ros.nodes.health import ERROR, OK, WARN, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.recorded_topics import message_class, quality
from wsss_ros.scenes.reading import given_reading
from wsss_ros.types import BadInput

CLOCK_PERIOD_S = 0.02
_TAKEN = (IMAGE, JPEG, CLOUD)
SETTLE_S = 1.0  # a subscriber discovers us later than we discover it, on a busy machine by more than 0.3 s
LINGER_S = 1.0  # after the last message was sent it is still on its way


class ReplayConfig(NodeConfig):
    """Parameters of the replay."""

    source: str = Field("", description="A bag (.mcap, .db3 or its folder) or a scene folder.")
    label_space: str = Field(
        "config/labels/scannet20.yaml",
        description="Label file, or checkpoint, with the classes of a scene folder's tags and labels.",
    )
    layout: str = Field("", description="Layout of a scene folder, such as tum; empty finds it by its files.")
    depth_scale: float = Field(
        0.0, ge=0, le=1e6, description="Depth values per metre of a scene folder; 0: as its layout has it."
    )
    intrinsics: str = Field(
        "", description="fx,fy,cx,cy in pixels of a scene folder, or a file with them; empty: its own file."
    )
    rate: float = Field(1.0, gt=0, le=100, description="Speed against the recording.")
    loop: bool = Field(False, description="Start over at the end.")
    start_paused: bool = Field(False, description="Wait for ~/resume.")
    wait_for_subscribers_s: float = Field(
        0.0, ge=0, le=300, description="Wait at most this long for subscribers first."
    )
    needs: str = Field(
        "",
        description="Topics to wait for, separated by commas: at least one must be in the recording and find a "
        "subscriber; empty: all images. Of several such lists, separated by semicolons, each one must.",
    )
    subscribers: int = Field(1, ge=1, le=100, description="Subscribers of each image topic to wait for.")
    set_name: str = Field("", description="Published on ground_truth/set, latched, for the evaluator; empty: nothing.")


class ReplayNode(Node):
    """Publishes a recording by the wall clock; see the text of this module."""

    name = "replay"
    model = ReplayConfig
    config: ReplayConfig
    main_job = "replay"
    longest_job_s = math.inf
    alone = False  # two bags may play, or be recorded, at once

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._playback: Playback | None = None
        self._sent_ns: int | None = None
        self._clock_lock = threading.Lock()
        self.create_service(Trigger, "~/pause", lambda _, answer: self._answer(answer, pause=True))
        self.create_service(Trigger, "~/resume", lambda _, answer: self._answer(answer, pause=False))

    def configure(self) -> None:
        """Open the recording and create a publisher for each of its topics."""
        reading = given_reading(self.config.layout, self.config.depth_scale, self.config.intrinsics)
        self._recording = open_recording(self.config.source, labels_named(self.config.label_space), reading=reading)
        self._clock_topic = self.publisher(Clock, "/clock", QoSProfile(depth=10))
        self._set = self.publisher(String, "ground_truth/set", MAP) if self.config.set_name else None
        topics = [topic for topic in self._recording.topics if topic.name != "/clock"]  # there is only one clock, ours
        self._needed = self._recorded_needs(topics)
        self._outputs_by_topic = {topic.name: self._output(topic) for topic in topics}
        missing = sorted({topic.msgtype for topic in topics if not self._outputs_by_topic[topic.name]})
        if missing:
            self.get_logger().warning(f"not published, their packages are not installed: {', '.join(missing)}")

    def activate(self) -> None:
        """Start to play on the worker."""
        config = self.config
        self._sent_ns = None
        self._playback = Playback(self._recording, config.rate, config.loop, config.start_paused)
        self.at_deactivate(self._playback.stop)
        if self._set is not None:
            self._set.publish(String(data=config.set_name))
        self.every(CLOCK_PERIOD_S, self._tick)
        self.submit("replay", self._replay, self._playback)

    def report(self) -> Report:
        """Rate, time, and whether the replay is late, damaged or paused."""
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

    def _output(self, topic: Topic) -> Any:
        """A publisher as recorded; None where the message package is not installed."""
        try:
            message = message_class(topic.msgtype)
        except (ImportError, AttributeError):
            return None
        return self.publisher(message, _played_name(topic), quality(topic))

    def _recorded_needs(self, topics: list[Topic]) -> list[Topic]:
        """The recorded topics that somebody needs. Raises BadInput where there are none, with those there are."""
        if not self.config.needs:
            return [topic for topic in topics if topic.msgtype in (IMAGE, JPEG)]
        found: list[Topic] = []
        for names in self.config.needs.split(";"):
            needed = {self.resolve_topic_name(name.strip()) for name in names.split(",")}
            of_these = [topic for topic in topics if self.resolve_topic_name(_played_name(topic)) in needed]
            if not of_these:
                raise BadInput(self._nothing_needed(names.split(","), topics))
            found += of_these
        return found

    def _nothing_needed(self, names: list[str], topics: list[Topic]) -> str:
        there = "; ".join(f"{_played_name(topic)} ({topic.msgtype})" for topic in topics if topic.msgtype in _TAKEN)
        return (
            f"{self.config.source} has none of the topics that the nodes take ({', '.join(names)}); it has "
            f"{there or 'no images and no clouds'}; choose with color_topic:=, depth_topic:= or cloud_topic:="
        )

    def _replay(self, playback: Playback) -> None:
        """Play from the first message to the last, or for ever; then the process ends. On the worker."""
        self.exit_status = 1
        try:
            self._wait_for_subscribers(playback)
            self.get_logger().info(f"replays {self.config.source} at rate {playback.rate:g}")
            playback.play(self._send)
            self.exit_status = 0
        except BadInput as error:
            self.report_problem("recording", str(error), ERROR)
        finally:
            if not playback.stopped:
                self._end(playback)

    def _send(self, raw: Raw) -> None:
        if raw.stamp_ns != self._sent_ns:
            self._sent_ns = raw.stamp_ns
            self._tick()
        if publisher := self._outputs_by_topic.get(raw.topic):
            publisher.publish(bytes(raw.data))

    def _tick(self) -> None:
        """Publish the time. The lock keeps it from going back where both threads publish at once."""
        with self._clock_lock:
            now_ns = self._playback.now_ns()
            if now_ns is not None:
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(now_ns, 10**9)
                self._clock_topic.publish(message)

    def _wait_for_subscribers(self, playback: Playback) -> None:
        """Wait until each needed image topic has its subscribers, at most as long as configured.

        Ground truth needs one subscriber, an evaluator, and only where a set is named. Raises BadInput where the time
        is over and nobody subscribes to anything that is needed.
        """
        of_truth = 1 if self.config.set_name else 0
        expected = {
            topic.name: of_truth if "ground_truth/" in topic.name else self.config.subscribers
            for topic in self._needed
            if topic.msgtype in (IMAGE, JPEG) and self._outputs_by_topic[topic.name]
        }
        until = time.monotonic() + self.config.wait_for_subscribers_s
        while missing := [n for n, least in expected.items() if self._subscribers(n) < least]:
            if time.monotonic() >= until or playback.stopped:
                break
            time.sleep(0.05)
        if self.config.wait_for_subscribers_s and not playback.stopped:
            if self.config.needs and missing and not any(map(self._subscribers, expected)):
                raise BadInput(
                    f"nobody subscribes to {', '.join(missing)} after {self.config.wait_for_subscribers_s:g} s: do the "
                    "nodes run, in this ROS_DOMAIN_ID, and do they take these topics?"
                )
            if missing:
                self.get_logger().warning(f"starts with too few subscribers on {', '.join(missing)}")
            time.sleep(SETTLE_S)

    def _subscribers(self, topic: str) -> int:
        return self._outputs_by_topic[topic].get_subscription_count()

    def _end(self, playback: Playback) -> None:
        for publisher in filter(None, self._outputs_by_topic.values()):
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


def _played_name(topic: Topic) -> str:
    """Relative, so that a namespace and remaps apply; except of transforms."""
    return topic.name if topic.name in ("/tf", "/tf_static") else topic.name.lstrip("/")


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node. Its status is 1 if the recording could not be played to its end, else 0."""
    run(ReplayNode, args)


if __name__ == "__main__":
    main()
