"""The base of the nodes: lifecycle, parameters from a Config, one worker, diagnostics, and an end without noise.

A node defines ``name``, ``model`` and the hooks ``configure activate deactivate release report summary``, and calls
``publisher subscribe every at_deactivate submit report_problem``. No message ends it: what a job raises is counted,
logged and reported on /diagnostics.
"""

import time
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from wsss_ros.files import NotWritten
from wsss_ros.nodes import diagnostics, inputs, logs, parameters
from wsss_ros.nodes.clock_watch import ClockWatch
from wsss_ros.nodes.health import ERROR, WARN, Announcer, Health, Problem, Report, Status, cause_of, memory_mb
from wsss_ros.nodes.inputs import Input
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.qos import check_depths, overridable, override_faults
from wsss_ros.nodes.rival import UPTIME, RivalWatch
from wsss_ros.nodes.silence import Graph
from wsss_ros.nodes.worker import Worker
from wsss_ros.types import BadInput

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Node(LifecycleNode):
    """Lifecycle base class; see the text of this module. Hooks may raise BadInput to refuse a transition."""

    name = "node"
    model: type[NodeConfig] = NodeConfig
    exit_status = 0  # of the process, once the node has ended in order
    main_job = ""  # the kind of job whose rate and latency stand for the node's
    longest_job_s = 60.0  # a job that runs for longer is an error
    alone = True  # one in a namespace and domain: a second one ends, unless it has ``force``
    _built = False  # rclpy's own topics, which it creates while it builds a node, have no overrides

    def __init__(self, **options: Any) -> None:
        super().__init__(self.name, **options)
        self._built = True
        self.health = Health()
        self.config: Any = None  # values of ``model`` between configure and cleanup; a change replaces it
        self._worker = Worker(self._run_job, lambda kind: self.health.drop(f"{kind} replaced by a newer one"))
        self._inputs: list[Input] = []
        self._at_deactivate: list[Callable[[], Any]] = []
        self._outputs: list[Any] = []
        self._failure = ""
        self._awaits_since: float | None = None  # the first message of each input, since the activation
        self._faults = parameters.declare(self, self.model)
        for text in parameters.unknown(list(self._parameter_overrides), list(self._parameters)):
            self.get_logger().warning(text)
        logs.bridge(self.get_logger())
        self._guard_transitions()
        self._announcer = Announcer(self._log)
        self._graph = Graph(self)
        self._clock_watch = ClockWatch(self, self._graph)
        self._rivals = RivalWatch(self, self.fail)
        diagnostics.publish_every_second(self)

    # --- what a node may define ---

    def configure(self) -> None:
        """Load what is heavy and create publishers; ``self.config`` is read."""

    def activate(self) -> None:
        """Subscribe and start timers. They end by themselves at deactivation."""

    def deactivate(self) -> None:
        """Forget unfinished work. Subscriptions, timers and the worker have ended."""

    def release(self) -> None:
        """Free what ``configure`` allocated. Publishers end by themselves."""

    def summary(self) -> str:
        """What the node works with, for the log line that it is ready."""
        return ""

    def report(self) -> Report:
        """More problems and values for the diagnostics."""
        return [], {}

    # --- what a node may call ---

    def publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """A publisher that publishes only while the node is active."""
        profile, options = overridable(qos)
        with override_faults():
            publisher = self.create_lifecycle_publisher(kind, topic, profile, **options)
        self._outputs.append(publisher)
        return publisher

    def create_publisher(self, msg_type: Any, topic: str, qos_profile: QoSProfile | int, **options: Any) -> Any:
        """As in rclpy. The parameters ``qos_overrides.*`` apply to the publisher of a node that is built."""
        if self._built and "qos_overriding_options" not in options:
            qos_profile, overriding = overridable(qos_profile)
            options |= overriding
        with override_faults():
            return super().create_publisher(msg_type, topic, qos_profile, **options)

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Callable[..., Any], qos_profile: QoSProfile | int, **options: Any
    ) -> Any:
        """As in rclpy, with ``qos_overrides.*`` as for ``create_publisher``."""
        if self._built and "qos_overriding_options" not in options:
            qos_profile, overriding = overridable(qos_profile)
            options |= overriding
        with override_faults():
            return super().create_subscription(msg_type, topic, callback, qos_profile, **options)

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        purpose: str,
        needed: Callable[[], bool] = lambda: True,
    ) -> Input:
        """Subscribe while active (see ``inputs.subscribe``).

        ``purpose`` is what cannot be made without this topic; its silence is reported while ``needed()``.
        """
        record = Input(self.resolve_topic_name(topic), purpose, needed, name=topic)
        self._inputs.append(record)
        inputs.subscribe(self, record, kind, callback, qos)
        return record

    def unsubscribe(self, record: Input) -> None:
        """End a subscription before the node is deactivated."""
        self._inputs.remove(record)
        while record.subscriptions:
            self.destroy_subscription(record.subscriptions.pop())

    def every(self, period_s: float, function: Callable[[], None]) -> Any:
        """Call ``function`` on the executor thread while active, by the wall clock (simulated time may stand still).

        Returns the timer, for ``destroy_timer``.
        """
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(period_s, lambda: self.guarded(function), clock=steady)
        self.at_deactivate(lambda: self.destroy_timer(timer))
        return timer

    def at_deactivate(self, function: Callable[[], Any]) -> None:
        """Call ``function`` once, when the node is deactivated; the last one comes first."""
        self._at_deactivate.append(function)

    def submit(self, kind: str, function: Callable, *arguments: Any) -> None:
        """Call ``function`` on the worker. A job of this kind that still waits is replaced and counted as dropped."""
        self._worker.put(kind, function, *arguments)

    def queue(self, kind: str, function: Callable, *arguments: Any) -> None:
        """Call ``function`` on the worker before all submitted jobs. It is never replaced; the caller bounds these."""
        self._worker.queue(kind, function, *arguments)

    def report_problem(self, cause: str, text: str, level: int = WARN) -> None:
        """Report it on the diagnostics for a while, and in the log, again only after some seconds."""
        if self.health.note(cause, text, level):
            self._log(level, text)

    def fail(self, text: str) -> None:
        """End the process with status 1 and this reason."""
        self._failure = text
        self._log(ERROR, text)
        self.exit_status = 1
        self.context.try_shutdown()

    def has_subscribers(self, *publishers: Any) -> bool:
        """Whether somebody subscribes to one of these topics."""
        return any(publisher.get_subscription_count() for publisher in publishers)

    @property
    def active(self) -> bool:
        """Whether the life cycle is in its state ``active``."""
        return self._state_machine.current_state[1] == "active"

    # --- lifecycle ---

    def start(self) -> bool:
        """Configure and activate where ``autostart`` says so. Returns False where the process shall end."""
        if not self.get_parameter("autostart").value:
            return True
        started = self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS
        return started or not self.get_parameter("exit_on_failure").value or not self.context.ok()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: read the parameters and call ``configure``."""
        return self._transition("configure", self._configure, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: start the worker and call ``activate``."""
        super().on_activate(state)
        return self._transition("activate", self._activate, undo=lambda: self._deactivate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: end inputs, timers and the worker, then call ``deactivate``."""
        return self._transition("deactivate", lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: call ``release`` and destroy the publishers."""
        return self._transition("cleanup", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: end everything."""
        self.close()
        return _SUCCESS

    def close(self) -> None:
        """End everything, from any state."""
        for step in (lambda: self._deactivate(None), self._release):
            self.guarded(step)

    def _configure(self) -> None:
        self.config = parameters.read(self, self.model, self._faults)
        check_depths(self._parameter_overrides)
        self.configure()

    def _activate(self) -> None:
        self._worker.start()
        self._awaits_since = time.monotonic()
        self.activate()
        for text in parameters.unused_overrides(list(self._parameter_overrides), list(self._parameters)):
            self.get_logger().warning(text)
        self.get_logger().info(": ".join(filter(None, ["ready", self.summary()])))

    def _deactivate(self, state: LifecycleState | None) -> None:
        while self._at_deactivate:
            self._at_deactivate.pop()()
        while self._inputs:
            self.unsubscribe(self._inputs[-1])
        self._announcer.clear()  # what lasted is not over
        if not self._worker.stop():
            self.get_logger().warning("the running job did not end within 30 s; it is left behind")
        super().on_deactivate(state)
        self.deactivate()

    def _release(self) -> None:
        self.release()
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())
        self.config = None

    def _transition(self, what: str, step: Callable[[], None], undo: Callable[[], None] | None = None):
        try:
            step()
        except Exception as error:
            self._failure = f"{what} failed: {error}"
            if self.context.ok():
                if not isinstance(error, BadInput | NotWritten):
                    self.get_logger().error(traceback.format_exc())
                self.get_logger().error(self._failure)  # last: the reason of a process that ends now
            if undo is not None:
                self.guarded(undo)
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

    def _run_job(self, kind: str, function: Callable, arguments: tuple, put_at: float) -> None:
        self.health.begin(kind)
        if self.guarded(function, *arguments, job=kind):
            self.health.done(kind, time.monotonic() - put_at)
        self.health.ended()

    def guarded(self, function: Callable, *arguments: Any, job: str = "") -> bool:
        """Call ``function``. False when it raised; the error is then counted and reported.

        Internal errors of a ``job`` that come again and again are reported until one of its kind ends well.
        """
        try:
            function(*arguments)
            return True
        except (BadInput, NotWritten) as error:
            self.health.drop(cause_of(error))
            self.report_problem(cause_of(error), str(error))
        except Exception as error:
            if self.context.ok():
                self.health.drop("internal error")
                if job:
                    self.health.failed(job, f"{type(error).__name__}: {error}")
                text = f"internal error: {type(error).__name__}: {error}; please report it"
                self.report_problem("internal error", f"{text}\n{traceback.format_exc()}", ERROR)
        return False

    # --- diagnostics ---

    def look_for_rival(self) -> None:
        """Once a second: look for an older node of this name, unless there may be several."""
        if self.alone and not self.get_parameter("force").value:
            self._rivals.look()

    def look_for_inputs(self) -> None:
        """Once a second: end where a needed input has sent nothing ``inputs_timeout_s`` after the activation.

        What is needed from then on only, or becomes silent later, is reported and ends nothing.
        """
        timeout_s = self.config.inputs_timeout_s if self.active else 0.0
        if not timeout_s or self._awaits_since is None or time.monotonic() - self._awaits_since < timeout_s:
            return
        missing = inputs.never_came(self._inputs)
        text = missing[0].silence(0.0, self._graph) if missing else ""
        if missing and not text:
            return  # nodes of ours, which may still start, publish it
        self._awaits_since = None
        if text:
            self.fail(f"inputs_timeout_s:={timeout_s:g}: {text}")

    def status(self) -> Status:
        """Level, sentence and values of this moment. Problems that begin, or are over, are logged."""
        state = self._state_machine.current_state[1]
        lasting, values = self._lasting_problems()
        self._announcer.update(lasting)
        problems = self.health.problems() + lasting + self._state_problems(state)
        values = {"state": state} | values | self.health.values(self.main_job)
        values |= {f"received {record.topic}": str(record.received) for record in self._inputs}
        values |= {"memory_mb": f"{memory_mb():.0f}", UPTIME: f"{self._rivals.uptime_s:.1f}"}
        return diagnostics.status(problems, values, state)

    def _lasting_problems(self) -> Report:
        """Problems that last until their cause is gone, and the values of ``report``."""
        more, values = self.report()
        if not self.active:
            return [], values
        silent = inputs.silences(self._inputs, self.config.sensor_timeout_s, self._graph)
        of_clock = self._clock_watch.problems(self.config.sensor_timeout_s, bool(silent))
        mixed = inputs.mixtures(self._inputs, self._graph)
        return more + of_clock + silent + mixed + self.health.dead_jobs(self.longest_job_s), values

    def _state_problems(self, state: str) -> list[Problem]:
        if self._failure:
            return [(ERROR, f"{self._failure}; set it right, then request the transition again")]
        if state != "active":
            return [(WARN, f"{state}: waits for the lifecycle services ({self.get_name()}/change_state)")]
        return []

    def _log(self, level: int, text: str) -> None:
        log = self.get_logger()  # which takes one level from each line of code
        if level == ERROR:
            log.error(text)
        elif level == WARN:
            log.warning(text)
        else:
            log.info(text)
