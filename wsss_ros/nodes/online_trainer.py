"""``online_trainer``: collects tagged scenes, trains on them next to the segmenters, and publishes new weights."""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NoReturn

from diagnostic_msgs.msg import DiagnosticArray
from pydantic import Field
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wsss_ros.nodes.health import OK, WARN, Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP, SMALL_SENSOR
from wsss_ros.nodes.view_inputs import OneFrameConfig
from wsss_ros.nodes.views import Views
from wsss_ros.online.budget import Latencies, LatencyBudget
from wsss_ros.online.collector import Collector
from wsss_ros.online.learner import Learner
from wsss_ros.online.records import Decision
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.types import BadInput, Frame

# No tag of a burst is lost.
TAGS = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)
SEGMENTERS = ("image_segmenter", "cloud_segmenter")
DECISIONS = 50  # of the last rounds, in the status


class OnlineTrainerConfig(OneFrameConfig, OnlineConfig):
    """Parameters of the node."""

    latency_budget_ms: float = Field(
        0.0, ge=0, le=60_000, description="The training waits while a segmenter's p95 of 10 s is above this; 0: never."
    )
    collect: bool = Field(True, description="Start a scene when views come; false waits for ~/start_scene.")


class OnlineTrainerNode(Node):
    """Calls the learner and its store under one lock: views come on the worker's thread, all else on the executor's.

    A pause stops collecting and learning, also over a restart; scenes, weights and the open scene stay as they are.
    """

    name = "online_trainer"
    model = OnlineTrainerConfig
    config: OnlineTrainerConfig
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
            self.create_service(Trigger, f"~/{name}", partial(self._serve_trigger, do))
        self.create_service(SetBool, "~/pause", self._serve_pause)

    def configure(self) -> None:
        """Open the learner's folder."""
        config = self.config
        self.learner = Learner(config)
        self.collector = Collector(self.learner.store, config, config.collect, self.log_message)
        self.budget, self.latencies = LatencyBudget(config.latency_budget_ms), Latencies()
        self.learner.observe = lambda: {"segmenters_p95_ms": self.latencies.take()}
        self.views = Views(self, config, "scene", self.take, self.clock_jumped, self.frame_changed)
        self.weights = {kind: self.publisher(String, f"weights/{kind}", MAP) for kind in ("image", "cloud")}
        self.status_topic = self.publisher(String, "~/status", MAP)

    def activate(self) -> None:
        """Listen to views, tags and the segmenters' latencies."""
        self.views.subscribe(self.collects)
        for about in ("image", "scene"):
            on_tag = lambda message, about=about: self.tag(about, message.data)  # noqa: E731
            self._listen_quietly(String, f"tags/{about}", on_tag, TAGS)
        self._listen_quietly(DiagnosticArray, "/diagnostics", self.on_diagnostics, SMALL_SENSOR)
        self.publish_weights()
        self.every(0.2, self.check_scenes)
        self.every(0.5, self.check_learning)
        self.every(1.0, self.publish_status)

    def deactivate(self) -> None:
        """Store the open scene and let the training wait."""
        if self.learner is None:
            return
        with self.lock:
            self.learner.yield_to(True)
            if self.collector.scene is not None:
                self.log_message(self.collector.finish("the node was stopped"))

    def release(self) -> None:
        """Close the learner; a running round ends after its step."""
        if self.learner is not None:
            self.learner.close()
        self.learner = None

    def summary(self) -> str:
        """Weights, scenes and folder."""
        learner = self.learner
        scenes = len(learner.store.scenes())
        paused = "; paused, ~/pause with false goes on" if learner.paused else ""
        return f"weights {learner.versions.current().name}, {scenes} scenes in {learner.folder}{paused}"

    def report(self) -> Report:
        """Problems and values for the diagnostics."""
        if not self.active:
            return [], {}
        problems, values = self.views.report()
        collector = self.collector
        values |= {"learner": self.state(), "weights_version": self.learner.versions.current().name}
        values |= {"tags taken": str(collector.taken), "tags waiting": str(len(collector.waiting))}
        values |= {"clock jumps": str(collector.jumps), "last": self.message}
        return (problems if self.collects() else []) + self._waiting(), values

    def _waiting(self) -> list[tuple[int, str]]:
        """Report what waits because a person asked for it or because of the latency budget; that has no time limit."""
        if self.learner.paused:
            return [(OK, "collecting and learning are paused; ~/pause with false goes on")]
        worst, running = self.budget.worst(time.monotonic()), self.learner.progress()
        if worst is None or running is None or not running["waiting"]:
            return []
        limit_ms = self.budget.budget_ms
        text = f"the training waits: {worst[0]} takes {worst[1]:.0f} ms (p95), its budget is {limit_ms:g} ms"
        return [(WARN, f"{text}; if that lasts, raise latency_budget_ms, or train on another device (round_device)")]

    def state(self) -> str:
        """``paused``, ``training``, ``collecting`` or ``idle``."""
        if self.learner.paused:
            return "paused"
        if self.learner.progress() is not None:
            return "training"
        return "collecting" if self.collector.scene is not None else "idle"

    def collects(self) -> bool:
        """Whether views are used now."""
        return not self.learner.paused and (self.config.collect or self.collector.scene is not None)

    # --- views and tags ---

    def take(self, frame: Frame) -> None:
        """Take one view."""
        with self.lock:
            if not self.learner.paused:
                self.collector.view(frame, time.monotonic())

    def clock_jumped(self) -> None:
        """Note that the stamps of the views jumped back."""
        with self.lock:
            self.collector.jumped()
        text = "the stamps jumped back (a looped bag?); the scene goes on with the views it knows"
        self.report_problem("clock", text)

    def frame_changed(self, frame_id: str) -> None:
        """End the open scene: the poses to come are in another frame."""
        with self.lock:
            if self.collector.scene is not None:
                self.log_message(self.collector.finish(f"the poses are in the frame '{frame_id}' now"))

    def tag(self, about: Literal["image", "scene"], text: str) -> None:
        """Take a tag message for the image or the scene."""
        with self.lock:
            try:
                if self.learner.paused:
                    raise BadInput("collecting is paused; ~/pause with false goes on")
                self.collector.tag(about, text, time.monotonic())
            except BadInput as error:
                self._refuse_tag(error)

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        """Take the latencies that the segmenters of this namespace report."""
        now = time.monotonic()
        for status in message.status:
            if status.name in self._segmenters():
                values = {pair.key: pair.value for pair in status.values}
                if latency_ms := values.get("latency_recent_p95_ms"):
                    self.budget.report(status.name, float(latency_ms), now)
                    self.latencies.report(status.name.rpartition("/")[2], float(latency_ms), now)

    # --- timers, on the executor's thread ---

    def check_scenes(self) -> None:
        """Attach waiting tags and end a silent scene."""
        with self.lock:
            now = time.monotonic()
            for error in self.collector.settle(now):
                self._refuse_tag(error)
            if self.learner.paused:
                self.collector.pause(now)
            self.collector.check_silence(now)
        if self._changed:
            self.publish_status()

    def check_learning(self) -> None:
        """Let the round wait for slow segmenters, take its decision, start the next one."""
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
                self.on_decision(decision)
            elif self.learner.due():
                self.log_message(self.train())

    def on_decision(self, decision: Decision) -> None:
        """Report a round that has ended; publish its weights if they are promoted."""
        weights = f", weights {decision.version}" if decision.promoted else ""
        self.set_message(f"round {decision.round} {decision.result}{weights}: {decision.why}")
        if decision.promoted:
            self.publish_weights()

    def publish_weights(self) -> None:
        """Publish the paths of the weights in use, latched for segmenters that start later; also the first weights."""
        version = self.learner.versions.current()
        self.weights["image"].publish(String(data=str(version.image)))
        self.weights["cloud"].publish(String(data=str(version.cloud)))

    # --- services: each returns what it did, or raises BadInput with the reason ---

    def start_scene(self) -> str:
        """Start a scene, after the end of an open one."""
        if self.learner.paused:
            raise BadInput("collecting is paused; ~/pause with false goes on")
        self.collector.pause(time.monotonic())
        return self.collector.start()

    def pause(self, on: bool) -> str:
        """Stop collecting and learning, or go on."""
        text = self.learner.pause(on)
        return f"{text} Collecting {'is paused' if on else 'goes on'}, too."

    def train(self) -> str:
        """Start a round."""
        return f"round {self.learner.start_round()} starts"

    def rollback(self) -> str:
        """Return to the previous weights."""
        text = self.learner.rollback()
        self.publish_weights()
        return text

    def reset(self) -> str:
        """Empty the memory of scenes."""
        texts = [self.collector.finish("the memory is reset")] if self.collector.scene is not None else []
        return "; ".join([*texts, self.learner.reset()])

    def _serve_trigger(self, do: Callable[[], str], _: Any, answer: Any) -> Any:
        return self._answer(answer, do)

    def _serve_pause(self, request: Any, answer: Any) -> Any:
        return self._answer(answer, self.pause, request.data)

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
        self.log_message(answer.message)
        return answer

    # --- status ---

    def set_message(self, text: str) -> None:
        """Show the last event in the status and the diagnostics."""
        self.message, self._changed = text, True

    def log_message(self, text: str) -> None:
        """Show the last event in the status and the diagnostics, and log it."""
        self.set_message(text)
        self.get_logger().info(text)

    def publish_status(self) -> None:
        """Publish the status as JSON."""
        self._changed = False
        with self.lock:
            self.status_topic.publish(String(data=json.dumps(self.status_now())))

    def status_now(self) -> dict[str, Any]:
        """Values of the status."""
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
            "rounds": [decision.without_values() for decision in learner.decisions[-DECISIONS:]],
            "version": learner.versions.current().name,
            "message": self.message,
        }

    # --- helpers ---

    def _segmenters(self) -> list[str]:
        return [f"{self.get_namespace().rstrip('/')}/{name}" for name in SEGMENTERS]

    def _refuse_tag(self, error: BadInput) -> None:
        """Count each refused tag; many of them make one line of the log."""
        self.set_message(f"tag refused: {error}")
        self.health.drop("tag refused")
        self.report_problem("tag refused", self.message, WARN)

    def _listen_quietly(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        """Listen to a topic whose silence is not a problem."""
        self.subscribe(kind, topic, callback, qos, "", lambda: False)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(OnlineTrainerNode, args)


if __name__ == "__main__":
    main()
