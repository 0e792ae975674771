"""Nodes in this process: overrides of the QoS, inputs that never come, and a second node of the same name."""

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from support.waiting import until  # noqa: E402

from wsss_ros.nodes import process, rival  # noqa: E402
from wsss_ros.nodes.node import Node  # noqa: E402
from wsss_ros.nodes.qos import MAP, SENSOR  # noqa: E402


class Relay(Node):
    """One input and one output."""

    name = "relay"

    def configure(self) -> None:
        self.output = self.publisher(Image, "out", MAP)

    def activate(self) -> None:
        self.subscribe(Image, "in", lambda message: None, SENSOR, "output")


@pytest.fixture
def ros(shared_ros_environment):
    """Builds nodes and spins them until something holds."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(shared_ros_environment["ROS_DOMAIN_ID"]))
    executor, nodes = SingleThreadedExecutor(context=context), []

    def build(**parameters) -> Relay:
        given = [Parameter(name, value=value) for name, value in parameters.items()]
        nodes.append(Relay(context=context, parameter_overrides=given))
        executor.add_node(nodes[-1])
        return nodes[-1]

    def spin_until(condition) -> None:
        def look():
            executor.spin_once(timeout_sec=0.02)
            return condition()

        until(look)

    yield build, spin_until
    for node in nodes:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_overrides_of_the_qos(ros):
    build, _ = ros
    node = build(
        **{
            "qos_overrides./in.subscription.reliability": "reliable",
            "qos_overrides./in.subscription.depth": 7,
            "qos_overrides./in.subscription.durability": "transient_local",
            "qos_overrides./out.publisher.durability": "volatile",
            "qos_overrides./out.publisher.history": "keep_all",
            "qos_overrides./diagnostics.publisher.depth": 3,
        }
    )
    assert node.start()
    (subscription,) = node._inputs[0].subscriptions
    profile = subscription.qos_profile
    assert (profile.reliability, profile.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
    assert profile.depth == 7
    output = node.output.qos_profile
    assert (output.durability, output.history) == (DurabilityPolicy.VOLATILE, HistoryPolicy.KEEP_ALL)
    assert node.get_parameter("qos_overrides./diagnostics.publisher.depth").value == 3
    assert MAP.durability == DurabilityPolicy.TRANSIENT_LOCAL and SENSOR.depth == 1, "the profiles themselves stay"
    assert not node.set_parameters([Parameter("qos_overrides./in.subscription.depth", value=8)])[0].successful


def test_overrides_stay_over_a_second_activation(ros):
    build, _ = ros
    node = build(**{"qos_overrides./in.subscription.depth": 7})
    assert node.start()
    node.trigger_deactivate()
    node.trigger_activate()
    assert node._inputs[0].profiles[0].depth == 7


def test_silence_is_not_over_because_the_node_is_deactivated(ros, capfd):
    build, _ = ros
    node = build()
    assert node.start()
    record = node._inputs[0]
    record.since -= 60
    node.status()
    node.trigger_deactivate()
    node.status()
    said = capfd.readouterr().err
    assert "no message on /in for 60 s" in said and "over after" not in said
    assert not node._inputs and not record.subscriptions


def test_an_input_that_never_comes_ends_the_node_where_that_is_asked_for(ros, capfd):
    build, _ = ros
    patient, strict = build(), build(inputs_timeout_s=2.0)
    for node in (patient, strict):
        assert node.start()
        node._awaits_since -= 1
        node.look_for_inputs()
        assert node.exit_status == 0 and node.context.ok()
        node._awaits_since -= 3600
    patient.look_for_inputs()
    assert patient.exit_status == 0, "by default a camera may be switched on at any time"
    strict.look_for_inputs()
    assert strict.exit_status == 1 and not strict.context.ok()
    assert "inputs_timeout_s:=2: no message on /in for 0 s (0 received), so no output: nobody" in capfd.readouterr().err


def test_an_input_that_only_our_nodes_publish_ends_the_node_after_their_start(ros, monkeypatch):
    """A look while they may still start is not the last one."""
    build, _ = ros
    node = build(inputs_timeout_s=2.0)
    assert node.start()
    monkeypatch.setattr(node._inputs[0], "_starts", lambda graph: True)
    node._awaits_since -= 10
    node.look_for_inputs()
    assert node.exit_status == 0
    node._inputs[0].since -= 3600
    node.look_for_inputs()
    assert node.exit_status == 1


def test_inputs_that_came_in_time_may_end_and_others_may_be_needed_later(ros):
    build, _ = ros
    node, needed = build(inputs_timeout_s=2.0), []
    assert node.start()
    later = node.subscribe(Image, "later", lambda message: None, SENSOR, "more", lambda: bool(needed))
    node._inputs[0].receive()
    node._awaits_since -= 3600
    node.look_for_inputs()
    needed.append(True)
    node.look_for_inputs()
    assert later.needed() and node.exit_status == 0
    node.trigger_deactivate()
    node.look_for_inputs()
    assert node.context.ok()


def test_a_subscription_that_ended_leaves_nothing_behind(ros):
    build, _ = ros
    node = build()
    assert node.start()
    before = len(node._at_deactivate)
    for _ in range(3):
        node.unsubscribe(node.subscribe(Image, "more", lambda message: None, SENSOR, "output"))
    assert len(node._at_deactivate) == before and len(node._inputs) == 1


def test_an_override_that_is_not_possible_is_refused_with_the_possible_ones(ros):
    build, _ = ros
    node = build(**{"qos_overrides./in.subscription.reliability": "best"})
    assert not node.start(), "the process ends"
    assert "best_effort" in node.status()[1] and "activate failed" in node.status()[1]


def test_an_override_with_a_depth_below_0_is_named(ros):
    build, _ = ros
    node = build(**{"qos_overrides./in.subscription.depth": -1})
    assert not node.start()
    assert "'qos_overrides./in.subscription.depth': -1; expected a number of messages, 0 or more" in node.status()[1]


def test_arguments_that_ros_refuses_are_a_failure(monkeypatch):
    """No signal came: the process must not end with status 0."""

    def refuse(args) -> None:
        raise RuntimeError("Couldn't parse remap rule")

    monkeypatch.setattr(process.rclpy, "init", refuse)
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    with pytest.raises(RuntimeError, match="Couldn't parse remap rule"):
        process._spin(lambda: None, [])


def test_an_override_of_an_unknown_topic_is_reported(ros, capfd):
    build, _ = ros
    build(**{"qos_overrides./inn.subscription.depth": 7}).start()
    said = capfd.readouterr().err
    assert "'qos_overrides./inn.subscription.depth' has no effect so far" in said
    assert "the nearest is 'qos_overrides./in." in said


def test_an_override_applies_to_a_topic_that_the_node_takes_later(ros):
    build, _ = ros
    node = build(**{"qos_overrides./later/compressed.subscription.reliability": "reliable"})
    assert node.start()
    later = node.subscribe(CompressedImage, "later/compressed", lambda message: None, SENSOR, "output")
    assert later.subscriptions[0].qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_the_younger_of_two_nodes_with_one_name_ends(ros, monkeypatch):
    build, spin_until = ros
    first = build()
    first._rivals._found = lambda text: None
    assert first.start()
    mine = rival.identity()
    monkeypatch.setattr(rival, "identity", lambda: "robot, process 42")
    older = DiagnosticStatus(name="/relay", hardware_id=mine, values=[KeyValue(key=rival.UPTIME, value="1000")])
    second, said = build(), []
    second._rivals._found = said.append
    assert second.start()
    publisher = first.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def ended() -> list:
        publisher.publish(DiagnosticArray(status=[older]))
        return said

    spin_until(ended)
    assert f"/relay runs already on {mine}, in ROS_DOMAIN_ID" in said[0] and "force:=true" in said[0]


def test_the_older_of_two_stays_and_force_starts_both(ros):
    build, _ = ros
    node, text = build(), []
    watch = rival.RivalWatch(node, text.append)
    values = [KeyValue(key=rival.UPTIME, value="0.0")]
    for status in (
        DiagnosticStatus(name="/relay", hardware_id="other, process 1", values=values),  # younger than this one
        DiagnosticStatus(name="/relay", hardware_id=rival.identity(), values=values),  # this one
        DiagnosticStatus(name="/else", hardware_id="other, process 1", values=values),
    ):
        watch.on_diagnostics(DiagnosticArray(status=[status]))
    assert text == []
    values = [KeyValue(key=rival.UPTIME, value="1000")]
    older = DiagnosticStatus(name="/relay", hardware_id="other, process 1", values=values)
    for _ in range(2):
        watch.on_diagnostics(DiagnosticArray(status=[older]))
    assert len(text) == 1 and "other, process 1" in text[0]
    forced, looks = build(force=True), []
    forced._rivals.look = lambda: looks.append(1)
    forced.look_for_rival()
    node._rivals.look = lambda: looks.append(2)
    node.look_for_rival()
    assert looks == [2]


def test_a_node_that_has_run_for_long_does_not_look(ros, monkeypatch):
    build, _ = ros
    watch = rival.RivalWatch(build(), lambda text: None)
    asked = []
    monkeypatch.setattr(rival.RivalWatch, "_nodes_of_my_name", lambda self: asked.append(1) or 2)
    watch._started = time.monotonic() - rival.WATCH_S - 1
    watch.look()
    assert asked == []
