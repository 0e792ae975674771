"""Views and tags in, better weights out: collects tagged scenes, trains on them beside the segmenters, hands over."""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from pydantic import Field
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wsss_ros.nodes.health import OK, WARN
from wsss_ros.nodes.node import MAP, SMALL_SENSOR, Node, NodeConfig, run
from wsss_ros.nodes.views import Views
from wsss_ros.online.budget import Latencies, LatencyBudget
from wsss_ros.online.collector import Collector
from wsss_ros.online.learner import Learner
from wsss_ros.online.records import Decision
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.types import BadInput, Frame

# A burst of tags is no reason to lose one.
TAGS = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)
SEGMENTERS = ("image_segmenter", "cloud_segmenter")
DECISIONS = 50  # the last of them are in the status


class OnlineTrainerConfig(NodeConfig, OnlineConfig):
    latency_budget_ms: float = Field(
        0.0, ge=0, le=60_000, description="The training waits while a segmenter's p95 of 10 s is above this; 0: never."
    )
    sync_tolerance_s: float = Field(0.02, ge=0, le=1, description="Stamps of one view may differ by this much.")
    frame_id: str = Field("map", description="Frame of the poses.")
    collect: bool = Field(True, description="Begin a scene by itself when views come; false waits for ~/start_scene.")


class OnlineTrainerNode(Node):
    """The learner and its store are called under one lock: views come on the worker, all else on the executor's thread.

    A pause freezes collecting and learning, also over a restart; scenes, weights and the open scene stay as they are.
    """

    name = "online_trainer"
    model = OnlineTrainerConfig
    main_job = "frame"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.RLock()
        self.learner: Learner | None = None
        self.message, self._changed = "", False
        for name, do in {
            "start_scene": self.start_scene,
            "finish_scene": lambda: self.collector.finish("asked for"),
            "train": self.train,
            "rollback": self.rollback,
            "reset": self.reset,
        }.items():
            self.create_service(Trigger, f"~/{name}", lambda _, answer, do=do: self._answer(answer, do))
        self.create_service(SetBool, "~/pause", lambda wish, answer: self._answer(answer, self.pause, wish.data))

    def configure(self) -> None:
        config = self.config
        self.learner = Learner(config)
        self.collector = Collector(self.learner.store, config, config.collect, self.say)
        self.budget, self.latencies = LatencyBudget(config.latency_budget_ms), Latencies()
        self.learner.observe = lambda: {"segmenters_p95_ms": self.latencies.take()}
        self.views = Views(self, "scene", self.take, self.clock_jumped, config.frame_id)
        self.weights = {kind: self.publisher(String, f"weights/{kind}", MAP) for kind in ("image", "cloud")}
        self.status_topic = self.publisher(String, "~/status", MAP)

    def activate(self) -> None:
        self.views.listen(self.collects)
        for about in ("image", "scene"):
            self._listen_quietly(String, f"tags/{about}", lambda said, about=about: self.tag(about, said.data), TAGS)
        self._listen_quietly(DiagnosticArray, "/diagnostics", self.on_diagnostics, SMALL_SENSOR)
        self.announce()
        self.every(0.2, self.look_after_scenes)
        self.every(0.5, self.look_after_learning)
        self.every(1.0, self.publish_status)

    def deactivate(self) -> None:
        """The open scene is stored, the training waits."""
        if self.learner is None:
            return
        with self.lock:
            self.learner.yield_to(True)
            if self.collector.scene is not None:
                self.say(self.collector.finish("the node was stopped"))

    def release(self) -> None:
        if self.learner is not None:
            self.learner.close()
        self.learner = None

    def summary(self) -> str:
        learner = self.learner
        scenes = len(learner.store.scenes())
        paused = "; paused, ~/pause with false goes on" if learner.paused else ""
        return f"weights {learner.versions.current().name}, {scenes} scenes in {learner.folder}{paused}"

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        if not self.active:
            return [], {}
        problems, values = self.views.report()
        collector = self.collector
        values |= {"learner": self.state(), "weights_version": self.learner.versions.current().name}
        values |= {"tags taken": str(collector.taken), "tags waiting": str(len(collector.waiting))}
        values |= {"clock jumps": str(collector.jumps), "last": self.message}
        return (problems if self.collects() else []) + self._freezes(), values

    def _freezes(self) -> list[tuple[int, str]]:
        """What somebody asked to wait, and for how long a round may wait because of it: for ever."""
        if self.learner.paused:
            return [(OK, "collecting and learning are paused; ~/pause with false goes on")]
        worst, running = self.budget.worst(time.monotonic()), self.learner.progress()
        if worst is None or running is None or not running["waiting"]:
            return []
        limit_ms = self.budget.budget_ms
        text = f"the training waits: {worst[0]} takes {worst[1]:.0f} ms (p95), its budget is {limit_ms:g} ms"
        return [(WARN, f"{text}; if that lasts, raise latency_budget_ms, or train on another device (round_device)")]

    def state(self) -> str:
        if self.learner.paused:
            return "paused"
        if self.learner.progress() is not None:
            return "training"
        return "collecting" if self.collector.scene is not None else "idle"

    def collects(self) -> bool:
        return not self.learner.paused and (self.config.collect or self.collector.scene is not None)

    # --- views and tags ---

    def take(self, frame: Frame) -> None:
        with self.lock:
            if not self.learner.paused:
                self.collector.view(frame, time.monotonic())

    def clock_jumped(self) -> None:
        with self.lock:
            self.collector.jumped()
        self.complain("clock", "the stamps jumped back (a looped bag?); the scene goes on with the views it knows")

    def tag(self, about: str, text: str) -> None:
        with self.lock:
            try:
                if self.learner.paused:
                    raise BadInput("collecting is paused; ~/pause with false goes on")
                self.collector.tag(about, text, time.monotonic())
            except BadInput as error:
                self._refuse_tag(error)

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        for status in message.status:
            if status.name in self._segmenters():
                values = {pair.key: pair.value for pair in status.values}
                if latency_ms := values.get("latency_recent_p95_ms"):
                    self.budget.report(status.name, float(latency_ms), now)
                    self.latencies.report(status.name.rpartition("/")[2], float(latency_ms), now)

    # --- care, on the executor's thread ---

    def look_after_scenes(self) -> None:
        with self.lock:
            now = time.monotonic()
            for error in self.collector.settle(now):
                self._refuse_tag(error)
            if self.learner.paused:
                self.collector.pause(now)
            self.collector.check_silence(now)
        if self._changed:
            self.publish_status()

    def look_after_learning(self) -> None:
        with self.lock:
            now = time.monotonic()
            self.learner.yield_to(self.budget.busy(now))
            running = self.learner.progress()
            self.latencies.round_runs(running is not None and not running["waiting"], now)
            try:
                decision = self.learner.poll()
            except OSError as error:
                raise BadInput(f"decision of a round: not stored ({error}); make room on the disk") from error
            if decision is not None:
                self.decided(decision)
            elif self.learner.due():
                self.say(self.train())

    def decided(self, decision: Decision) -> None:
        what = f"promoted, weights {decision.version}" if decision.promoted else "not promoted"
        self.tell(f"round {decision.round} {what}: {decision.why}")
        if decision.promoted:
            self.announce()

    def announce(self) -> None:
        """The weights in use, for segmenters of now and of later: also those of the beginning."""
        version = self.learner.versions.current()
        self.weights["image"].publish(String(data=str(version.image)))
        self.weights["cloud"].publish(String(data=str(version.cloud)))

    # --- services; each returns what it did, or raises BadInput with why not ---

    def start_scene(self) -> str:
        if self.learner.paused:
            raise BadInput("collecting is paused; ~/pause with false goes on")
        self.collector.pause(time.monotonic())
        return self.collector.start()

    def pause(self, on: bool) -> str:
        told = self.learner.pause(on)
        return f"{told} Collecting {'is paused' if on else 'goes on'}, too."

    def train(self) -> str:
        return f"round {self.learner.start_round()} begins"

    def rollback(self) -> str:
        told = self.learner.rollback()
        self.announce()
        return told

    def reset(self) -> str:
        told = [self.collector.finish("the memory is reset")] if self.collector.scene is not None else []
        return "; ".join([*told, self.learner.reset()])

    def _answer(self, answer: Any, do: Callable[..., str], *arguments: Any) -> Any:
        try:
            if not self.active:
                raise BadInput(f"{self.get_name()} is not active: {self.status()[1]}")
            with self.lock:
                answer.message = do(*arguments)
            answer.success = True
        except BadInput as error:
            answer.success, answer.message = False, str(error)
        except Exception as error:
            answer.success, answer.message = False, f"internal error: {type(error).__name__}: {error}"
        self.say(answer.message)
        return answer

    # --- status ---

    def tell(self, text: str) -> None:
        """The last thing that happened, for the status and the diagnostics."""
        self.message, self._changed = text, True

    def say(self, text: str) -> None:
        """The same, and for the log."""
        self.tell(text)
        self.get_logger().info(text)

    def publish_status(self) -> None:
        self._changed = False
        with self.lock:
            self.status_topic.publish(String(data=json.dumps(self.status_now())))

    def status_now(self) -> dict[str, Any]:
        learner, scene, scenes = self.learner, self.collector.scene, self.learner.store.scenes()
        return {
            "state": self.state(),
            "paused": learner.paused,
            "classes": list(learner.labels.names),
            "scene": scene and scene.summary(),
            "scenes": len(scenes),
            "held_out": sum(stored.held_out for stored in scenes),
            "new_scenes": learner.new_scenes(),
            "round": learner.progress(),
            "rounds": [_short(decision) for decision in learner.decisions[-DECISIONS:]],
            "version": learner.versions.current().name,
            "message": self.message,
        }

    # --- small ones ---

    def _segmenters(self) -> list[str]:
        return [f"{self.get_namespace().rstrip('/')}/{name}" for name in SEGMENTERS]

    def _refuse_tag(self, error: BadInput) -> None:
        """A thousand of them make one line of the log and count as a thousand."""
        self.tell(f"tag refused: {error}")
        self.health.drop("tag refused")
        self.complain("tag refused", self.message, WARN)

    def _listen_quietly(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        """Its silence is no fault."""
        self.listen(kind, topic, callback, qos, "", lambda: False)


def _short(decision: Decision) -> dict[str, Any]:
    """Without what is for the log only."""
    return {key: value for key, value in asdict(decision).items() if key != "more"}


def main(args: list[str] | None = None) -> int:
    return run(OnlineTrainerNode, args)


if __name__ == "__main__":
    sys.exit(main())
