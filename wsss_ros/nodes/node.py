"""The base of the nodes: lifecycle, parameters from a Config, one worker, diagnostics, and an end without noise.

A node defines ``name``, ``model`` and the hooks ``configure activate deactivate release report summary``, and
calls ``publisher listen every submit complain``. It never dies of a message: what a job raises is counted,
logged and told.
"""

import ctypes
import logging
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from pydantic import Field
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind

from wsss_ros.config import Config
from wsss_ros.nodes import parameters
from wsss_ros.nodes.health import ERROR, OK, WARN, Health, Input, cause_of
from wsss_ros.nodes.worker import Worker
from wsss_ros.types import BadInput

# Sensor input: the newest wins. The small companions of an image may queue, so that a busy moment loses no match.
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
SMALL_SENSOR = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
# Results frame by frame: reliable, for RViz asks for it; best-effort subscribers match too.
RESULT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# Maps: the last one is kept for whoever comes late.
MAP = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class NodeConfig(Config):
    """Parameters that all nodes have."""

    autostart: bool = Field(
        True, description="Configure and activate at start; false waits for the lifecycle services."
    )
    sensor_timeout_s: float = Field(
        5.0, ge=0.1, le=600, description="Silence on an input after which diagnostics warn."
    )


class Node(LifecycleNode):
    """Lifecycle base class; see the module's text. Hooks may raise BadInput to refuse a transition."""

    name = "node"
    model: type[NodeConfig] = NodeConfig
    main_job = ""  # the kind of job whose rate and latency stand for the node's

    def __init__(self, **options: Any) -> None:
        super().__init__(self.name, **options)
        self.health = Health()
        self.config: Config | None = None
        self._worker = Worker(self._run_job, lambda kind: self.health.drop(f"{kind} replaced by a newer one"))
        self._inputs: list[Input] = []
        self._closables: list[Callable[[], Any]] = []
        self._makers: list[Any] = []
        self._failure = ""
        self._faults = parameters.declare(self, self.model)
        for text in parameters.unknown(list(self._parameter_overrides), list(self._parameters)):
            self.get_logger().warning(text)
        _bridge_logging(self.get_logger())
        self._guard_transitions()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # --- what a node may define ---

    def configure(self) -> None:
        """Load what is heavy and create publishers; ``self.config`` is read."""

    def activate(self) -> None:
        """Subscribe and start timers. They end by themselves at deactivate."""

    def deactivate(self) -> None:
        """Forget what is half done. Subscriptions, timers and the worker have ended."""

    def release(self) -> None:
        """Give back what ``configure`` took. Publishers end by themselves."""

    def summary(self) -> str:
        """What works with what, for the log line that says that the node is ready."""
        return ""

    def report(self) -> tuple[list[tuple[int, str]], dict[str, str]]:
        """More problems, as (level, text), and values for the diagnostics."""
        return [], {}

    # --- what a node may call ---

    def publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """A publisher that publishes only while the node is active."""
        made = self.create_lifecycle_publisher(kind, topic, qos)
        self._makers.append(made)
        return made

    def listen(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        purpose: str,
        missed: Callable[[], bool] = lambda: True,
    ) -> Input:
        """Subscribe while active. ``purpose`` is what cannot be made without this topic; its silence is told
        while ``missed()``.

        Where it asks for a latched publisher and meets one that is not, it subscribes once more without that
        wish: the last map is had where one is kept, a plain stream is taken where it is not, and no message twice.
        """
        record = Input(self.resolve_topic_name(topic), purpose, missed)
        self._inputs.append(record)
        self._subscribe(kind, callback, qos, record)
        return record

    def every(self, period_s: float, function: Callable[[], None]) -> None:
        """Call ``function`` on the executor thread while active, by the wall clock (simulated time may stand)."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(period_s, lambda: self._guarded(function), clock=steady)
        self._closables.append(lambda: self.destroy_timer(timer))

    def submit(self, kind: str, function: Callable, *arguments: Any) -> None:
        """Do it on the worker; a job of this kind that still waits is replaced, and counted as dropped."""
        self._worker.put(kind, function, *arguments)

    def complain(self, cause: str, text: str, level: int = WARN) -> None:
        """Tell it on the diagnostics, and in the log once in a while."""
        if self.health.note(cause, text, level):
            log = self.get_logger()
            log.error(text) if level == ERROR else log.warning(text)

    def wanted(self, *publishers: Any) -> bool:
        return any(publisher.get_subscription_count() for publisher in publishers)

    @property
    def active(self) -> bool:
        return self._state_machine.current_state[1] == "active"

    # --- lifecycle ---

    def start(self) -> None:
        """Configure and activate where ``autostart`` says so."""
        if self.get_parameter("autostart").value and self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)
        return self._transition("activate", self._activate, undo=lambda: self._deactivate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("cleanup", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return _SUCCESS

    def close(self) -> None:
        """End everything, from any state."""
        for step in (lambda: self._deactivate(None), self._release):
            self._guarded(step)

    def _configure(self) -> None:
        self.config = parameters.read(self, self.model, self._faults)
        self.configure()

    def _activate(self) -> None:
        self._worker.start()
        self.activate()
        self.get_logger().info(": ".join(filter(None, ["ready", self.summary()])))

    def _deactivate(self, state: LifecycleState | None) -> None:
        while self._closables:
            self._closables.pop()()
        self._inputs.clear()
        if not self._worker.stop():
            self.get_logger().warning("the job in hand did not end within 30 s and is left to itself")
        super().on_deactivate(state)
        self.deactivate()

    def _release(self) -> None:
        self.release()
        while self._makers:
            self.destroy_lifecycle_publisher(self._makers.pop())

    def _transition(self, what: str, step: Callable[[], None], undo: Callable[[], None] | None = None):
        try:
            step()
        except Exception as error:
            self._failure = f"{what} failed: {error}"
            detail = "" if isinstance(error, BadInput) else "\n" + traceback.format_exc()
            if self.context.ok():
                self.get_logger().error(self._failure + detail)
            if undo is not None:
                self._guarded(undo)
            return _FAILURE
        self._failure = ""
        return _SUCCESS

    def _guard_transitions(self) -> None:
        """A request for an impossible transition is refused; rclpy would let it end the process."""
        service = self._service_change_state
        answer = service.callback

        def refuse_or_answer(request: Any, response: Any) -> Any:
            try:
                return answer(request, response)
            except Exception as error:
                self.get_logger().warning(f"transition {request.transition.id} refused: {error}")
                response.success = False
                return response

        service.callback = refuse_or_answer

    # --- messages and jobs ---

    def _subscribe(self, kind: type, callback: Callable, qos: QoSProfile, record: Input) -> None:
        def heard(message: Any, about: dict[str, int]) -> None:
            if record.heard(about["source_timestamp"]):
                self._guarded(callback, message)

        def incompatible(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            if qos.durability != DurabilityPolicy.TRANSIENT_LOCAL:
                record.trouble = f"its publisher has an incompatible QoS ({policy}); offer what this node asks for"
                self.complain(record.topic, f"{record.topic}: {record.trouble}")
            elif not record.streamed:
                record.streamed = True
                self.get_logger().info(f"a publisher of {record.topic} is not latched ({policy}); streamed too")
                self._subscribe(kind, callback, SENSOR, record)

        events = SubscriptionEventCallbacks(incompatible_qos=incompatible)
        made = self.create_subscription(kind, record.topic, heard, qos, event_callbacks=events)
        self._closables.append(lambda: self.destroy_subscription(made))

    def _run_job(self, kind: str, function: Callable, arguments: tuple, put_at: float) -> None:
        if self._guarded(function, *arguments):
            self.health.done(kind, time.monotonic() - put_at)

    def _guarded(self, function: Callable, *arguments: Any) -> bool:
        """Call it; False when it raised, which is then counted and told."""
        try:
            function(*arguments)
            return True
        except BadInput as error:
            self.health.drop(cause_of(error))
            self.complain(cause_of(error), str(error))
        except Exception as error:
            if self.context.ok():
                self.health.drop("internal error")
                text = f"internal error: {type(error).__name__}: {error}; please report it"
                self.complain("internal error", f"{text}\n{traceback.format_exc()}", ERROR)
        return False

    # --- diagnostics ---

    def status(self) -> tuple[int, str, dict[str, str]]:
        """Level, sentence and values of now."""
        state = self._state_machine.current_state[1]
        more, values = self.report()
        problems = self.health.problems() + more + self._state_problems(state)
        values = {"state": state} | values | self.health.values(self.main_job)
        values |= {f"received {record.topic}": str(record.received) for record in self._inputs}
        problems.sort(key=lambda problem: -problem[0])
        level = problems[0][0] if problems else OK
        return level, "; ".join(text.partition("\n")[0] for _, text in problems) or state, values

    def _state_problems(self, state: str) -> list[tuple[int, str]]:
        if self._failure:
            return [(ERROR, f"{self._failure}; set it right, then request the transition again")]
        if state != "active":
            return [(WARN, f"{state}: waits for the lifecycle services ({self.get_name()}/change_state)")]
        told = []
        for record in self._inputs:
            publishers = self.count_publishers(record.topic)
            text = record.silence(self.config.sensor_timeout_s, publishers)
            if text and record.missed():
                told.append((WARN, text))
        return told

    def _publish_diagnostics(self) -> None:
        level, text, values = self.status()
        status = DiagnosticStatus(level=bytes([level]), name=self.get_fully_qualified_name(), message=text)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def run(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Spin one node until SIGINT or SIGTERM, then end in order. Returns the exit status."""
    tune_allocator()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node = None
    try:
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()
        node = make()
        executor.add_node(node)
        node.start()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # after a signal, what was under way fails for want of a context
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def tune_allocator() -> None:
    """Keep freed buffers of messages in the process instead of mapping them anew each time (glibc only).

    A 300,000-point cloud costs its subscriber 2.1 ms of CPU instead of 10.5 (FACTS 7).
    """
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    try:
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((mmap_threshold, 256 << 20), (trim_threshold, 1 << 30), (top_pad, 64 << 20)):
            libc.mallopt(option, value)
    except (OSError, AttributeError):
        logging.getLogger("wsss_ros").debug("no glibc mallopt here; large messages cost more")


class _RosHandler(logging.Handler):
    def __init__(self, logger: Any) -> None:
        super().__init__()
        self.logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.logger.error(text)
        elif record.levelno >= logging.WARNING:
            self.logger.warning(text)
        elif record.levelno >= logging.INFO:
            self.logger.info(text)
        else:
            self.logger.debug(text)


def _bridge_logging(logger: Any) -> None:
    """What the core logs goes where ROS logs go."""
    core = logging.getLogger("wsss_ros")
    core.handlers = [handler for handler in core.handlers if not isinstance(handler, _RosHandler)]
    core.addHandler(_RosHandler(logger))
    core.setLevel(logging.INFO)
    core.propagate = False
