"""TF in a node: our own buffer and that of tf2_ros give the same poses; images wait for their transform, not longer."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import PoseStamped, TransformStamped
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import tf2_stand_in
from support.waiting import until

from wsss_ros.bags import cdr
from wsss_ros.bags.cdr import TF, typestore
from wsss_ros.geometry.transforms import LookupFailed
from wsss_ros.nodes import tf_listener, tf_message, transforms
from wsss_ros.nodes.health import Health
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.recorded_topics import message_class
from wsss_ros.nodes.tf_listener import OwnBuffer, Tf2Buffer, TfListener
from wsss_ros.nodes.transforms import PoseConfig, Poses
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import BadInput

S = 10**9
INSTALLED = all(importlib.util.find_spec(name) for name in ("tf2_ros", "tf2_msgs"))


@pytest.fixture(params=["own", "tf2_ros"])
def buffer(request, monkeypatch) -> OwnBuffer | Tf2Buffer:
    """A buffer of each kind. Where tf2_ros is not installed, a module with its interface takes its place."""
    if request.param == "own":
        monkeypatch.setattr(tf_listener, "new_buffer", OwnBuffer)
    else:
        with_tf2(monkeypatch)
    made = tf_listener.new_buffer()
    assert isinstance(made, OwnBuffer if request.param == "own" else Tf2Buffer)
    return made


def with_tf2(monkeypatch) -> None:
    if not INSTALLED:
        monkeypatch.setitem(sys.modules, "tf2_ros", tf2_stand_in.module())
        monkeypatch.setitem(sys.modules, "tf2_msgs", ModuleType("tf2_msgs"))
        monkeypatch.setitem(sys.modules, "tf2_msgs.msg", tf2_stand_in.MESSAGES)


def stamped(parent: str, child: str, stamp_ns: int, xyz=(0.0, 0.0, 0.0), quaternion=(0.0, 0.0, 0.0, 1.0)):
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(stamp_ns, S)
    move, turn = made.transform.translation, made.transform.rotation
    move.x, move.y, move.z = map(float, xyz)
    turn.x, turn.y, turn.z, turn.w = map(float, quaternion)
    return made


# --- both buffers ---


def robot(buffer) -> None:
    for second in (1, 2, 3):
        buffer.add(stamped("map", "odom", second * S, (0, second, 0)), False)
        turn = Rotation.from_rotvec([0, 0, second]).as_quat()
        buffer.add(stamped("odom", "base", second * S, (10 * second, 0, 0), turn), False)
    buffer.add(stamped("base", "camera", 0, (0, 0, 0.5)), True)
    buffer.add(stamped("arm", "gripper", 0), True)


def test_poses_are_interpolated(buffer):
    robot(buffer)
    expected = np.eye(4)
    expected[:3, :3] = Rotation.from_rotvec([0, 0, 2.25]).as_matrix()
    expected[:3, 3] = 22.5, 2.25, 0.5
    np.testing.assert_allclose(buffer.lookup("map", "/camera", 2_250_000_000), expected, atol=1e-9)
    assert buffer.frames() == ["arm", "base", "camera", "gripper", "map", "odom"]


@pytest.mark.parametrize(
    "target, stamp_ns, why, text",
    [
        ("map", 3_100_000_000, "future", "into the future|newest from"),
        ("map", 900_000_000, "past", "into the past|oldest from"),
        ("gripper", 2 * S, "connection", "no path in TF"),
        ("world", 2 * S, "frame", "world.*known frames.*base, camera"),
    ],
)
def test_what_is_missing_is_named(buffer, target, stamp_ns, why, text):
    robot(buffer)
    with pytest.raises(LookupFailed, match=text) as failed:
        buffer.lookup(target, "camera", stamp_ns)
    assert failed.value.why == why and failed.value.may_come == (why != "past")


@pytest.mark.parametrize("stamp_ns", [0, -5 * S])
def test_a_stamp_that_was_never_set_is_not_the_newest_transform(buffer, stamp_ns):
    """For tf2 the time 0 means the newest."""
    robot(buffer)
    with pytest.raises(LookupFailed) as failed:
        buffer.lookup("map", "camera", stamp_ns)
    assert failed.value.why == "past"
    np.testing.assert_allclose(buffer.lookup("base", "camera", stamp_ns)[:3, 3], (0, 0, 0.5))


def test_a_clear_forgets_what_moves(buffer):
    robot(buffer)
    buffer.clear()
    buffer.add(stamped("odom", "base", S // 2, (7, 0, 0)), False)
    assert buffer.lookup("odom", "camera", S // 2)[0, 3] == 7


names = st.sampled_from([("map", "odom"), ("map", "base"), ("odom", "base"), ("base", "camera"), ("odom", "camera")])
arrivals = st.lists(st.tuples(names, st.integers(0, 6), st.integers(0, 2**31)), min_size=1, max_size=15)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(arrivals=[(("odom", "camera"), 0, 0), (("base", "camera"), 0, 0), (("odom", "camera"), 0, 0)], static="", at=0)
@given(arrivals=arrivals, static=st.sampled_from(["", "camera"]), at=st.integers(0, 70))
def test_both_buffers_give_the_same(monkeypatch, arrivals, static, at):
    with_tf2(monkeypatch)
    own, other = OwnBuffer(), Tf2Buffer()
    for (parent, child), second, seed in arrivals:
        rng = np.random.default_rng(seed)
        turn = Rotation.random(random_state=rng).as_quat()
        transform = stamped(parent, child, (second + 1) * S, rng.normal(size=3), turn)
        for buffer in (own, other):
            buffer.add(transform, child == static)
    assert own.frames() == other.frames()
    pairs = [(target, source) for target in own.frames() for source in own.frames() if target < source]
    for target, source in pairs[:4]:
        answers = []
        for buffer in (own, other):
            try:
                answers.append(buffer.lookup(target, source, S + at * S // 10))
            except LookupFailed as error:
                answers.append(error.why)
        if isinstance(answers[0], str):
            assert isinstance(answers[1], str)
        else:
            np.testing.assert_allclose(*answers, atol=1e-9)


# --- a node without ROS ---


class FakeNode(Node):
    """What poses need of a node, without ROS. ``send`` calls a subscriber; ``advance`` lets time pass."""

    def __init__(self, monkeypatch) -> None:
        self.health, self.now = Health(), 100.0
        self.problems: list[str] = []
        self.texts: list[str] = []
        self.counts: dict[str, int] = {}
        self.pose_type = "geometry_msgs/msg/PoseStamped"
        self.callbacks: dict[str, object] = {}
        self.needs: dict[str, object] = {}
        self.ticks: list = []
        self.ends: list = []
        self.jump = None
        for module in (transforms, tf_listener):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def subscribe(self, kind, topic, callback, qos, purpose, needed=lambda: True) -> None:
        self.callbacks[topic], self.needs[topic] = callback, needed

    def every(self, period_s, function) -> None:
        self.ticks.append(function)

    def at_deactivate(self, function) -> None:
        self.ends.append(function)

    def resolve_topic_name(self, name: str) -> str:
        return f"/robot/{name}"

    def get_publishers_info_by_topic(self, topic: str) -> list:
        return [SimpleNamespace(topic_type=self.pose_type)] * self.counts.get(topic, 0)

    def report_problem(self, cause, text, level=1) -> None:
        self.problems.append(text)

    def get_logger(self):
        return SimpleNamespace(warning=self.texts.append, info=self.texts.append)

    def get_clock(self):
        def create_jump_callback(threshold, post_callback):
            self.jump = post_callback
            return SimpleNamespace(unregister=lambda: None)

        return SimpleNamespace(create_jump_callback=create_jump_callback)

    def send(self, topic: str, *given) -> None:
        self.callbacks[topic](SimpleNamespace(transforms=list(given)))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for function in self.ticks:
            function()


@pytest.fixture
def node(monkeypatch) -> FakeNode:
    return FakeNode(monkeypatch)


def started(node, buffer=None, **options) -> tuple[Poses, list]:
    got: list = []
    poses = Poses(node, PoseConfig(**options), TfListener(node))
    poses.start(lambda stamp_ns, pose: got.append((stamp_ns, pose.frame_id, pose.world_from_camera[0, 3])), Need("map"))
    return poses, got


def drive(node, *stamps_s: float, parent="map", child="base") -> None:
    """The robot is at x = 10 t."""
    for stamp in stamps_s:
        node.send("/tf", stamped(parent, child, round(stamp * S), (10 * stamp, 0, 0)))


STILL = stamped("base", "camera", 0)


def test_an_image_gets_the_pose_of_its_stamp_as_soon_as_it_is_known(node, buffer):
    poses, got = started(node, pose_source="tf")
    node.send("/tf_static", STILL)
    drive(node, 1, 2)
    poses.expect(round(1.25 * S), "camera")
    assert got == [(round(1.25 * S), "map", pytest.approx(12.5))]
    poses.expect(round(2.5 * S), "camera")
    assert len(got) == 1  # never the newest instead
    drive(node, 3)
    assert got[1:] == [(round(2.5 * S), "map", pytest.approx(25))]
    assert poses.report() == ([], {"pose_source": "tf, map", "poses waiting for tf": "0"})


def test_an_image_whose_transform_does_not_come_is_given_up_with_the_reason(node, buffer):
    poses, got = started(node, pose_source="tf", tf_wait_s=0.5)
    node.send("/tf_static", STILL)
    drive(node, 1, 2)
    poses.expect(3 * S, "camera")
    node.advance(0.4)
    assert not node.problems
    node.advance(0.2)
    assert not got and node.health.dropped == {"no pose from TF": 1}
    (text,) = node.problems
    assert text.startswith("no pose of 'camera' from TF, so no map: no transform in TF at this time")
    drive(node, 4)
    assert not got  # it is over


def test_an_image_of_before_the_first_transform_does_not_wait(node, buffer):
    poses, got = started(node, pose_source="tf")
    node.send("/tf_static", STILL)
    drive(node, 1, 2)
    poses.expect(S // 2, "camera")
    assert not got and node.health.dropped == {"no pose from TF": 1}


def test_the_wait_is_bounded_in_number(node, buffer):
    poses, _ = started(node, pose_source="tf", tf_wait_s=10)
    node.send("/tf_static", STILL)
    drive(node, 1, 2)
    for number in range(100):
        poses.expect(3 * S + number, "camera")
    assert node.health.dropped == {"pose from TF too late": 40}


def test_an_image_without_a_frame_is_refused(node):
    poses, _ = started(node, pose_source="tf")
    with pytest.raises(BadInput, match="frame_id of the image is empty"):
        poses.expect(S, "")


def test_map_falls_back_to_odom_with_a_message_and_comes_back(node, buffer):
    poses, got = started(node, pose_source="tf", tf_wait_s=5)
    node.send("/tf_static", STILL)
    drive(node, 1, 2, parent="odom")
    poses.expect(round(1.5 * S), "camera")
    node.advance(1.0)
    assert not got and not node.texts  # the node that publishes map may still start
    node.advance(1.5)
    assert got == [(round(1.5 * S), "odom", pytest.approx(15))]
    (text,) = node.texts
    assert "TF has no path from 'map' to the camera; poses are in 'odom', which drifts" in text
    assert poses.report()[0] == [(1, text)]
    drive(node, 1, 2, child="odom")
    poses.expect(round(1.75 * S), "camera")
    assert got[1:] == [(round(1.75 * S), "map", pytest.approx(35))]
    assert "poses are in it, and no longer in 'odom'" in node.texts[1] and poses.report()[0] == []


def test_another_fixed_frame_does_not_fall_back(node, buffer):
    poses, got = started(node, pose_source="tf", fixed_frame="world", tf_wait_s=5)
    node.send("/tf_static", STILL)
    drive(node, 1, 2, parent="odom")
    poses.expect(round(1.5 * S), "camera")
    node.advance(6)
    assert not got and "world" in node.problems[0] and "known frames" in node.problems[0]


def test_auto_takes_the_topic_where_it_has_a_publisher(node):
    node.counts["/robot/pose"] = 1
    poses, got = started(node)
    poses.expect(S, "camera")
    assert list(node.callbacks) == ["pose"] and node.needs["pose"]()
    message = PoseStamped()
    message.header.frame_id, message.pose.position.x, message.pose.orientation.w = "map", 4.0, 1.0
    node.callbacks["pose"](message)
    assert got == [(0, "map", 4.0)]
    assert poses.report() == ([], {"pose_source": "topic /robot/pose"})
    node.counts.clear()
    node.advance(1.1)
    poses.expect(S, "camera")
    assert set(node.callbacks) == {"pose", "/tf", "/tf_static"}
    assert node.needs["/tf"]() and not node.needs["pose"]() and not node.needs["/tf_static"]()


def test_a_pose_of_another_type_does_not_keep_auto_from_tf(node, buffer):
    """slam_toolbox publishes PoseWithCovarianceStamped of the robot on /pose."""
    node.counts["/robot/pose"], node.pose_type = 1, "geometry_msgs/msg/PoseWithCovarianceStamped"
    poses, got = started(node, fixed_frame="/map")
    poses.expect(round(1.5 * S), "/camera")
    node.send("/tf_static", STILL)
    drive(node, 1, 2)
    assert got == [(round(1.5 * S), "map", pytest.approx(15))]


def test_a_leading_slash_of_a_pose_does_not_count(node):
    node.counts["/robot/pose"] = 1
    got: list = []
    Poses(node, PoseConfig(), TfListener(node), "map").start(
        lambda stamp_ns, pose: got.append(pose.frame_id), Need("map")
    )
    message = PoseStamped()
    message.header.frame_id, message.pose.orientation.w = "/map", 1.0
    node.callbacks["pose"](message)
    assert got == ["map"]


def test_without_any_way_to_read_tf_the_node_says_what_to_install(node, monkeypatch):
    monkeypatch.setattr(tf_message, "message_class", lambda: None)
    poses, _ = started(node)
    poses.expect(S, "camera")
    ((level, text),) = poses.report()[0]
    assert text.startswith("/robot/pose has no publisher, so no map. TF cannot be read: the package tf2_msgs is not")
    with pytest.raises(BadInput, match="apt install ros-jazzy-tf2-msgs"):
        started(node, pose_source="tf")


# --- jumps of the clock, and bad transforms ---


def test_a_looped_bag_starts_over(node, buffer):
    poses, got = started(node, pose_source="tf")
    node.send("/tf_static", STILL)
    drive(node, *range(1, 31))
    drive(node, 1, 2, 3, 4, 5)
    poses.expect(round(4.5 * S), "camera")
    assert got == [(round(4.5 * S), "map", pytest.approx(45))]
    assert "the stamps of TF jumped back" in node.problems[0]


def test_a_simulated_clock_that_jumps_back_empties_the_buffer(node, buffer):
    poses, got = started(node, pose_source="tf")
    node.send("/tf_static", STILL)
    drive(node, 1, 5)
    node.jump(None)
    drive(node, 1, 2)
    poses.expect(3 * S, "camera")
    assert not got


def test_a_bad_transform_is_left_out_and_reported(node, buffer):
    poses, got = started(node, pose_source="tf")
    node.send("/tf_static", STILL, stamped("base", "lidar", 0, quaternion=(0, 0, 0, 0)))
    drive(node, 1, 2)
    poses.expect(round(1.5 * S), "camera")
    assert len(got) == 1 and node.health.dropped == {"bad transform": 1}
    assert "transform from 'lidar' to 'base' with quaternion [0.0, 0.0, 0.0, 0.0]" in node.problems[0]


def test_the_transform_between_two_cameras(node, buffer):
    listener = TfListener(node)
    listener.start(lambda: None, Need("registration"))
    node.send("/tf_static", stamped("camera", "color", 0, (0.015, 0, 0)), stamped("camera", "depth", 0))
    assert listener.lookup("color", "depth", 77 * S)[0, 3] == pytest.approx(-0.015)


# --- the message type ---


def test_tf_is_decoded_from_bytes_where_tf2_msgs_is_not_installed():
    message = cdr.tf_message(cdr.header(5, "map"), "camera", np.eye(4))
    (decoded,) = tf_message.decode(bytes(typestore().serialize_cdr(message, TF))).transforms
    assert (decoded.header.frame_id, decoded.child_frame_id) == ("map", "camera")
    assert message_class(TF) is tf_message.message_class() is not None


def test_tf_is_published_and_read_without_tf2_msgs(probe):
    """With the wheels of ROS 2 alone: rosidl has compiled nothing for this type."""
    kind, got = tf_message._built(), []
    if kind is None:
        pytest.skip("not the libraries of the wheels of ROS 2 Jazzy")
    sent = bytes(typestore().serialize_cdr(cdr.tf_message(cdr.header(7, "map"), "camera", np.eye(4)), TF))
    subscription = probe.node.create_subscription(kind, "/tf_of_test", got.append, 10, raw=True)
    publisher = probe.node.create_publisher(kind, "/tf_of_test", 10)
    until(lambda: got or publisher.publish(sent), "a message of TF", lambda: len(got))
    assert tf_message.decode(got[0]).transforms[0].child_frame_id == "camera"
    (found,) = probe.node.get_publishers_info_by_topic("/tf_of_test")
    assert (found.topic_type, str(found.topic_type_hash)) == (TF, typestore().hash_rihs01(TF))
    probe.node.destroy_subscription(subscription)
    probe.node.destroy_publisher(publisher)


def test_libraries_of_another_middleware_are_not_touched(monkeypatch):
    monkeypatch.setattr(tf_message, "get_rmw_implementation_identifier", lambda: "rmw_cyclonedds_cpp")
    assert tf_message._built() is None
