"""The other side of a node under test: starts it as a process, talks to it over DDS, keeps what it answers."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from support.paths import ROOT

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
        """Ask the process to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
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
        wait(lambda: publisher.get_subscription_count() > 0, 20, f"nobody subscribes to {topic}")
        publisher.publish(message)

    def _publisher(self, topic: str, kind, qos):
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
        return self._publishers[topic]

    def publish_without_waiting(self, topic: str, message, qos) -> None:
        self._publisher(topic, type(message), qos).publish(message)

    # --- services ---

    def call(self, kind, name: str, request):
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(20), f"no service {name}"
        future = client.call_async(request)
        wait(future.done, 60, f"no answer of {name}")
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

    def told(self, node: NodeProcess, *parts: str, timeout_s: float = 6):
        """The next diagnostic status of a node whose message has all ``parts``."""
        seen = self.diagnostics.setdefault(node.path, [])
        start = len(seen)

        def match():
            return next((s for s in seen[start:] if all(part in s.message for part in parts)), None)

        last = seen[-1].message if seen else "nothing"
        wait(match, timeout_s, f"diagnostics never said {parts}; before: {last}")
        return match()

    def values(self, node: NodeProcess) -> dict[str, str]:
        """The values of a status that is made after this call."""
        seen = self.diagnostics.setdefault(node.path, [])
        start = len(seen) + 1
        wait(lambda: len(seen) > start, 6, "no diagnostics")
        return {pair.key: pair.value for pair in seen[-1].values}


def wait(condition, timeout_s: float = 10, why: str = "it did not happen"):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"{why} (waited {timeout_s} s)")
