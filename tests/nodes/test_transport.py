"""Images in the transport that has a publisher, followed while publishers come and go."""

import contextlib
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy  # noqa: E402
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402

from wsss_ros.bags import codec  # noqa: E402
from wsss_ros.nodes import transport  # noqa: E402
from wsss_ros.nodes.conversions import image_message  # noqa: E402
from wsss_ros.nodes.node import Node  # noqa: E402
from wsss_ros.nodes.qos import RESULT, SENSOR  # noqa: E402
from wsss_ros.nodes.silence import Graph  # noqa: E402
from wsss_ros.nodes.transport import ImageTransport, advice  # noqa: E402
from wsss_ros.scenes.images import encode_jpeg  # noqa: E402


@dataclass
class Need:
    purpose: str = "result"
    now: object = lambda: True


@dataclass
class Taker:
    """A node that takes the images of ``color/image_raw``, and the publishers of the other side."""

    probe: object
    node: Node
    got: list = field(default_factory=list)
    publishers: dict = field(default_factory=dict)
    stamp: int = 0

    def stamps(self) -> list[int]:
        return [message.header.stamp.sec for message in self.got]

    def topic(self, end: str = "") -> str:
        return f"{self.node.get_namespace()}/color/image_raw{end}"

    def advertise(self, end: str, kind: type) -> None:
        self.publishers[end] = self.probe.node.create_publisher(kind, self.topic(end), RESULT)

    def withdraw(self, end: str) -> None:
        self.probe.node.destroy_publisher(self.publishers.pop(end))

    def publish(self, *ends: str, stamp: int | None = None) -> int:
        """The next image on each of these topics."""
        self.stamp = self.stamp + 1 if stamp is None else stamp
        header = Header()
        header.stamp.sec = self.stamp
        rgb = np.full((4, 6, 3), 200, np.uint8)
        for end in ends:
            if end:
                data = encode_jpeg(rgb)
                self.publishers[end].publish(CompressedImage(header=header, format="jpeg", data=data))
            else:
                self.publishers[end].publish(image_message(header, rgb, "rgb8"))
        return self.stamp

    def arrives(self, *ends: str) -> None:
        """Publish until an image arrives."""
        first = self.stamp + 1

        def arrived() -> bool:
            self.publish(*ends)
            return any(stamp >= first for stamp in self.stamps())

        until(arrived, lambda: f"nothing on {ends}; {self.stamps()}")


class Spinning:
    """A node in a context of its own, as in another process: one context has one type for each topic."""

    def __init__(self, kind: type[Node], arguments: list[str], domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = kind(context=self.context, cli_args=arguments)
        self.node.start()
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def end(self) -> None:
        rclpy.shutdown(context=self.context)
        self._thread.join()
        self.node.close()
        self.node.destroy_node()


@pytest.fixture
def taker(probe, shared_ros_environment, monkeypatch):
    monkeypatch.setattr(transport, "CHECK_S", 0.02)
    made: list[tuple[Taker, Spinning]] = []

    def make(chosen: str, remap: str = "") -> Taker:
        got: list = []

        class TakerNode(Node):
            name = "taker"

            def activate(self) -> None:
                ImageTransport(self, "color/image_raw", chosen, SENSOR).start(got.append, Need())

        remaps = ["-r", remap] if remap else []
        arguments = ["--ros-args", "-r", f"__ns:=/transport_{chosen}{len(remap)}", *remaps]
        spinning = Spinning(TakerNode, arguments, int(shared_ros_environment["ROS_DOMAIN_ID"]))
        made.append((Taker(probe, spinning.node, got), spinning))
        return made[-1][0]

    yield make
    for each, spinning in made:
        for end in list(each.publishers):
            each.withdraw(end)
        spinning.end()


def test_publishers_are_followed_and_no_image_is_doubled(taker):
    camera = taker("auto")
    camera.advertise("/compressed", CompressedImage)
    camera.arrives("/compressed")
    assert codec.color_to_rgb(camera.got[-1]).shape == (4, 6, 3) and isinstance(camera.got[-1], CompressedImage)
    camera.advertise("", Image)
    until(
        lambda: (
            camera.publishers[""].get_subscription_count()
            and not camera.publishers["/compressed"].get_subscription_count()
        )
    )
    last = camera.stamps()[-1]
    camera.publish("", stamp=last)  # the raw one of an image that came compressed
    camera.arrives("", "/compressed")
    assert isinstance(camera.got[-1], Image)
    camera.withdraw("")
    camera.arrives("/compressed")
    assert isinstance(camera.got[-1], CompressedImage)
    assert len(set(camera.stamps())) == len(camera.got)


def test_a_publisher_that_sends_wins_over_a_silent_one(taker, monkeypatch):
    """A lossy network loses the large raw images, or a republisher advertises them and has no input."""
    monkeypatch.setattr(transport, "SILENT_S", 0.3)
    camera = taker("auto")
    camera.advertise("", Image)
    camera.advertise("/compressed", CompressedImage)
    camera.arrives("/compressed")
    assert all(isinstance(message, CompressedImage) for message in camera.got)
    problems = [text for _, text in camera.node.health.problems() if "has a publisher that sends nothing for" in text]
    assert len(problems) == 1 and f"{camera.topic('/compressed')} sends, so the images are taken from" in problems[0]
    camera.publish("", "/compressed")
    camera.arrives("", "/compressed")  # once left, the silent one has to be gone before it is tried again
    assert isinstance(camera.got[-1], CompressedImage) and len(set(camera.stamps())) == len(camera.got)
    camera.withdraw("")
    camera.advertise("", Image)  # perhaps between two looks at the publishers
    until(lambda: (camera.publish("", "/compressed"), isinstance(camera.got[-1], Image))[1])
    camera.withdraw("/compressed")
    camera.arrives("")


def test_a_camera_that_pauses_keeps_its_transport(taker, monkeypatch):
    monkeypatch.setattr(transport, "SILENT_S", 0.1)
    camera = taker("auto")
    camera.advertise("", Image)
    camera.advertise("/compressed", CompressedImage)
    camera.arrives("")
    until(camera.publishers["/compressed"].get_subscription_count, "the other transport is not tried")
    camera.arrives("", "/compressed")
    assert all(isinstance(message, Image) for message in camera.got)
    until(lambda: (camera.publish(""), not camera.publishers["/compressed"].get_subscription_count())[1])
    assert not [text for _, text in camera.node.health.problems() if "sends nothing" in text]


def test_a_chosen_transport_is_not_left_and_the_other_one_is_reported(taker):
    camera = taker("compressed")
    camera.advertise("", Image)
    problem = until(lambda: [text for _, text in camera.node.health.problems()])[0]
    assert "transport 'compressed' is set, and only raw has a publisher; set it to auto" in problem
    assert not camera.publishers[""].get_subscription_count()
    camera.advertise("/compressed", CompressedImage)
    camera.arrives("/compressed", "")
    assert all(isinstance(message, CompressedImage) for message in camera.got)


def test_a_topic_of_compressed_images_under_the_raw_name(taker):
    """A remap straight to the compressed topic, which is of another type."""
    camera = taker("auto", "color/image_raw:=color/image_raw/compressed")
    camera.advertise("/compressed", CompressedImage)
    camera.arrives("/compressed")
    assert isinstance(camera.got[-1], CompressedImage)


def test_the_compressed_topic_can_be_remapped_by_itself(taker):
    camera = taker("auto", "color/image_raw/compressed:=other/jpeg")
    publisher = camera.probe.node.create_publisher(CompressedImage, f"{camera.node.get_namespace()}/other/jpeg", RESULT)
    until(publisher.get_subscription_count, "nobody takes other/jpeg")
    camera.probe.node.destroy_publisher(publisher)


def test_transports_that_cannot_be_read_are_reported_once(taker):
    camera = taker("auto")
    camera.advertise("/theora", String)  # theora's own type is not installed here
    problem = until(lambda: [text for _, text in camera.node.health.problems()])[0]
    assert "only its transport theora has a publisher, and this node cannot read it" in problem
    assert f"-r in/theora:={camera.topic('/theora')} -r out:={camera.topic()}" in problem
    record = camera.node._inputs[0]
    until(lambda: record.silence(0, Graph(None)))
    assert "republish" in record.silence(0, Graph(None))


@pytest.mark.parametrize(
    "others, chosen, expected",
    [
        (["ffmpeg"], "auto", "in_transport:=ffmpeg"),
        (["compressed", "theora"], "raw", "only compressed, theora has a publisher; set it to auto"),
        (["raw"], "auto", "another type than sensor_msgs/msg/Image"),
    ],
)
def test_advice(others, chosen, expected):
    assert expected in advice("/camera/color", others, transport.COLOR, chosen)
