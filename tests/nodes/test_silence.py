"""Why an input is silent: publishers, their types and QoS, and the topics that could be meant."""

from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from support.waiting import until  # noqa: E402

from wsss_ros.nodes import inputs, silence  # noqa: E402
from wsss_ros.nodes.inputs import SHARED_S, START_S, Input, mixtures, silences  # noqa: E402
from wsss_ros.nodes.qos import MAP, SENSOR  # noqa: E402
from wsss_ros.nodes.silence import Publisher, similar  # noqa: E402

IMAGE, INFO, TEXT = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "std_msgs/msg/String"
JPEG = "sensor_msgs/msg/CompressedImage"
RELIABLE = QoSProfile(depth=5)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Graph(silence.Graph):
    """Topics with their publishers."""

    def __init__(self, node: str = "/camera/driver", **topics: tuple[str, QoSProfile]) -> None:
        names = {name: f"/{name.replace('__', '/')}" for name in topics}
        self.topics = {names[name]: Publisher(node, *each) for name, each in topics.items()}

    def publishers(self, topic):
        return [self.topics[topic]] if topic in self.topics else []

    def published(self, kind):
        return [topic for topic, publisher in self.topics.items() if publisher.type == kind]


def color(profile: QoSProfile = SENSOR) -> Input:
    record = Input("/robot/color/image_raw", "result", name="color/image_raw", type=IMAGE, profiles=[profile])
    record.since -= 7
    return record


def text(graph: Graph, record: Input | None = None) -> str:
    ((_, said),) = silences([record or color()], 5, graph)
    start = "no message on /robot/color/image_raw for 7 s (0 received), so no result: "
    assert said.startswith(start)
    return said.removeprefix(start)


def test_a_topic_that_could_be_meant():
    graph = Graph(
        camera__depth__image_raw=(IMAGE, RELIABLE),
        camera__color__image_raw=(IMAGE, RELIABLE),
        robot__semantic__image_raw=(IMAGE, RELIABLE),
        camera__color__camera_info=(INFO, RELIABLE),
    )
    assert text(graph) == (
        "nobody publishes it; /camera/color/image_raw has a publisher: remap with color_topic:=/camera/color/image_raw"
    )


def test_a_camera_that_sends_compressed_images_only():
    graph = Graph(cam__image__compressed=(JPEG, RELIABLE))
    assert "/cam/image has a publisher: remap with color_topic:=/cam/image" in text(graph)


def test_nothing_of_this_type():
    assert text(Graph(chatter=(TEXT, RELIABLE))) == (
        f"nobody publishes it, nor another topic of its type ({IMAGE}); start its source"
    )


def test_a_replay_that_waits_for_its_set_is_no_silence():
    graph, record = Graph("/robot/replay", robot__color__image_raw=(IMAGE, RELIABLE)), color()
    assert silences([record], 5, graph) == []
    record.since -= START_S
    assert "published by /robot/replay" in silences([record], 5, graph)[0][1], "not for ever"
    record = color()
    record.receive()
    record.since -= 7
    assert "published by /robot/replay" in silences([record], 5, graph)[0][1], "it has begun"
    assert "expected" in text(Graph("/robot/replay", robot__color__image_raw=(TEXT, RELIABLE)))


def test_another_type():
    graph = Graph(robot__color__image_raw=(TEXT, RELIABLE))
    assert text(graph) == f"/camera/driver publishes {TEXT} there, expected {IMAGE}"


def test_a_qos_that_does_not_fit():
    graph = Graph(robot__color__image_raw=(IMAGE, BEST_EFFORT))
    said = text(graph, color(RELIABLE))
    assert "QoS of /camera/driver (best effort, volatile) does not fit what is asked for (reliable, volatile" in said
    assert "set qos_overrides./robot/color/image_raw.subscription.reliability:=best_effort" in said
    assert "does it run" in text(graph, color(BEST_EFFORT)), "this one fits"
    latched = Graph(robot__color__image_raw=(IMAGE, QoSProfile(depth=1)))
    assert "asked for (reliable, transient local" in text(latched, color(MAP))


def test_a_second_subscription_without_the_latch_fits():
    record = color(MAP)
    record.profiles.append(SENSOR)
    assert "does it run" in text(Graph(robot__color__image_raw=(IMAGE, BEST_EFFORT)), record)


def test_a_publisher_that_sends_nothing():
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    said = text(Graph(robot__color__image_raw=(IMAGE, latched)))
    assert said.startswith("published by /camera/driver (reliable, transient local): does it run")


def test_what_is_known_already_wins_and_silence_ends_with_a_message():
    record = color()
    record.problem = "only its transport theora has a publisher"
    assert text(Graph(), record) == record.problem
    assert record.receive(sent_at_ns=77)
    assert silences([record], 5, Graph()) == [] and record.received == 1
    assert not record.receive(sent_at_ns=77) and record.receive(sent_at_ns=78) and record.received == 2
    record.since -= 7
    record.needed = lambda: False
    assert silences([record], 5, Graph()) == []


class Several(silence.Graph):
    """A topic with several publishers."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = nodes

    def publishers(self, topic):
        return [Publisher(node, IMAGE, RELIABLE) for node in self.nodes]


def test_two_sensors_on_one_topic(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(inputs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    record, two = color(), Several("/left/driver", "/right/driver")
    assert mixtures([record], two) == []
    now[0] += SHARED_S + 1
    ((_, said),) = mixtures([record], two)
    assert said.startswith(
        "2 publishers of one input: /left/driver, /right/driver publish on /robot/color/image_raw, so"
    )
    assert mixtures([record], Several("/left/driver")) == []
    assert mixtures([record], two) == [], "a driver that was started again"
    record.type, record.shared_since = "tf2_msgs/msg/TFMessage", 1.0
    assert mixtures([record], two) == []


def test_a_publisher_that_is_discovered_before_its_node_has_no_name():
    names = {"node_namespace": "_NODE_NAMESPACE_UNKNOWN_", "node_name": "_NODE_NAME_UNKNOWN_"}
    end = SimpleNamespace(**names, topic_type=IMAGE, qos_profile=RELIABLE)
    graph = silence.Graph(SimpleNamespace(get_publishers_info_by_topic=lambda topic: [end]))
    said = silence.reason("/color/image_raw", "color/image_raw", IMAGE, [SENSOR], graph)
    assert said.startswith("published by a node without a known name (")


def test_the_nearest_names_come_first():
    topics = ["/left/image_raw", "/camera/color/image_raw", "/camera/infra1/image_raw", "/camera/depth/image_rect_raw"]
    assert similar("color/image_raw", topics) == ["/camera/color/image_raw", "/left/image_raw"]
    assert similar("depth/image_rect", topics) == ["/camera/depth/image_rect_raw"]
    labels = ["/yolo/labels", "/camera/color/image_raw", "/semantic_color/image_raw", "/sam/masks"]
    assert similar("semantic/image_raw", labels) == ["/yolo/labels", "/sam/masks"]


def test_type_names():
    assert silence.type_name(Image) == IMAGE


def test_a_topic_that_was_remapped_by_mistake_is_found_in_the_graph(shared_ros_environment):
    """The publisher has the name that the node would have without the remap."""
    context = rclpy.Context()
    remap = ["--ros-args", "-r", "depth/image_rect:=/camera/depth/image_raw"]
    rclpy.init(args=remap, context=context, domain_id=int(shared_ros_environment["ROS_DOMAIN_ID"]))
    driver = rclpy.create_node("driver", context=context, use_global_arguments=False)
    node = rclpy.create_node("segmenter", context=context)
    driver.create_publisher(Image, "/depth/image_rect", 1)
    wrong, graph = node.resolve_topic_name("depth/image_rect"), silence.Graph(node)
    until(lambda: graph.published(IMAGE), "the publisher is never seen")
    said = silence.reason(wrong, "depth/image_rect", IMAGE, [SENSOR], graph)
    assert said.endswith("/depth/image_rect has a publisher: remap with depth_topic:=/depth/image_rect")
    for each in (node, driver):
        each.destroy_node()
    rclpy.shutdown(context=context)
