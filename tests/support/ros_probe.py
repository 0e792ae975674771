"""The other side of a node under test: starts it as a process, exchanges messages with it, keeps its diagnostics."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from support.paths import ROOT
from support.waiting import status_of, until

TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}


class NodeProcess:
    """``python -m wsss_ros.nodes.<name>`` in a namespace of its own, or in ``space``."""

    def __init__(self, name: str, environment: dict, log: Path, space: str = "", **parameters) -> None:
        # of this run: what other runs left in the domain has other names
        self.name, self.log, self.space = name, log, space or f"/{name}_test_{os.getpid()}"
        self.path = f"{self.space}/{name}"
        options = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
        module = f"wsss_ros.nodes.{name}"
        command = [sys.executable, "-m", module, "--ros-args", "-r", f"__ns:={self.space}", *options]
        self._output = log.open("wb")
        environment = environment | {
            "PYTHONPATH": f"{ROOT}:{environment.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=self._output, stderr=subprocess.STDOUT
        )

    def topic(self, name: str) -> str:
        return f"{self.space}/{name}"

    def end(self, by: signal.Signals = signal.SIGINT) -> int:
        """Ask the process to end. Returns its exit status; one that hangs is killed."""
        self.process.send_signal(by)
        try:
            return status_of(self.process, lambda: self.log.stat().st_size)
        finally:
            self._output.close()

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Probe:
    """A node of the test process that spins on its own thread."""

    def __init__(self, environment: dict) -> None:
        self._before = dict(os.environ)
        os.environ.update({key: environment[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE",)})
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("probe", context=self.context)
        self.diagnostics: dict[str, list] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._clients: dict = {}
        self._publishers: dict = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        rclpy.shutdown(context=self.context)
        self._thread.join(5)
        self.node.destroy_node()  # else its subscriptions are seen until the garbage is collected
        os.environ.clear()
        os.environ.update(self._before)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics.setdefault(status.name, []).append(status)

    # --- topics ---

    def collect(self, kind, topic: str, qos) -> list:
        """A list that fills with the messages of a topic."""
        got: list = []
        self.node.create_subscription(kind, topic, got.append, qos)
        return got

    def send(self, topic: str, message, qos) -> None:
        """Publish once a subscriber is there."""
        publisher = self._publisher(topic, type(message), qos)
        until(lambda: publisher.get_subscription_count() > 0, f"nobody subscribes to {topic}")
        publisher.publish(message)

    def _publisher(self, topic: str, kind, qos):
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
        return self._publishers[topic]

    def forget(self, topic: str) -> None:
        """Destroy the publisher of a topic, if there is one."""
        if topic in self._publishers:
            self.node.destroy_publisher(self._publishers.pop(topic))

    def publish_without_waiting(self, topic: str, message, qos) -> None:
        self._publisher(topic, type(message), qos).publish(message)

    # --- services ---

    def call(self, kind, name: str, request):
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        until(client.service_is_ready, f"no service {name}")
        future = client.call_async(request)
        until(future.done, f"no answer of {name}")
        return future.result()

    def state(self, node: NodeProcess) -> str:
        return self.call(GetState, f"{node.path}/get_state", GetState.Request()).current_state.label

    def transition(self, node: NodeProcess, name: str) -> bool:
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        return self.call(ChangeState, f"{node.path}/change_state", request).success

    def set(self, node: NodeProcess, name: str, value):
        attribute, kind = {
            str: ("string_value", ParameterType.PARAMETER_STRING),
            float: ("double_value", ParameterType.PARAMETER_DOUBLE),
        }[type(value)]
        given = ParameterValue(type=kind, **{attribute: value})
        request = SetParameters.Request(parameters=[Parameter(name=name, value=given)])
        return self.call(SetParameters, f"{node.path}/set_parameters", request).results[0]

    def get(self, node: NodeProcess, name: str) -> str:
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, f"{node.path}/get_parameters", request).values[0].string_value

    def describe(self, node: NodeProcess, names: list[str]):
        request = DescribeParameters.Request(names=names)
        return self.call(DescribeParameters, f"{node.path}/describe_parameters", request).descriptors

    # --- diagnostics ---

    def active(self, node: NodeProcess) -> NodeProcess:
        """Wait until the diagnostics of a node report that it is active."""
        seen = self.diagnostics.setdefault(node.path, [])
        start = len(seen)

        def state() -> str:
            values = {pair.key: pair.value for status in seen[start:][-1:] for pair in status.values}
            return values.get("state", "")

        until(lambda: state() == "active", lambda: f"{node.name} never became active: {node.text}")
        return node

    def next_status(self, node: NodeProcess, *parts: str, act: Callable[[], object] = lambda: None):
        """The next diagnostic status of a node whose message has all ``parts``.

        ``act`` is called now, and again after each status without them.
        """
        seen = self.diagnostics.setdefault(node.path, [])
        looked_at = len(seen)

        def found():
            nonlocal looked_at
            for status in seen[looked_at:]:
                looked_at += 1
                if all(part in status.message for part in parts):
                    return status
                act()
            return None

        act()
        return until(found, lambda: f"no status with {parts}; last: {seen[-1].message if seen else 'none'}")

    def values(self, node: NodeProcess) -> dict[str, str]:
        """The values of a status that is made after this call."""
        seen = self.diagnostics.setdefault(node.path, [])
        start = len(seen) + 1
        until(lambda: len(seen) > start, "no diagnostics")
        return {pair.key: pair.value for pair in seen[-1].values}
