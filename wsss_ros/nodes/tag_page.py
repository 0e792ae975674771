"""``tag_page``: a web page that shows the live image and the learner, and sends tags and commands to it.

It subscribes to images only while a page is open, so that no overlay is computed for nobody.
"""

import json
import threading
import time
from typing import Any, NoReturn

from pydantic import Field
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from wsss_ros.bags import codec
from wsss_ros.labels import labels_named
from wsss_ros.nodes.health import Report
from wsss_ros.nodes.label_info import PredictedLabels
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP, SENSOR
from wsss_ros.nodes.silence import LABEL_IMAGES
from wsss_ros.nodes.transport import ImageTransport
from wsss_ros.nodes.view_sources import Need
from wsss_ros.tag_page.handler import Page, Robot
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.tag_page.server import PageServer
from wsss_ros.tag_page.worth import TagWorth
from wsss_ros.types import BadInput

TOPICS = {"overlay": "semantic_overlay/image_raw", "color": "color/image_raw"}
LEARNER = "online_trainer"
COMMANDS = ("start_scene", "finish_scene", "train", "rollback", "reset")
TAGS = QoSProfile(depth=100)  # no tag of a burst is lost
ANSWER_S = 20.0  # after this time without an answer a command fails
WATCH_S = 0.25


class TagPageConfig(NodeConfig):
    """Parameters of the node."""

    host: str = Field("127.0.0.1", description="Address served on; another one lets other machines tag.")
    port: int = Field(8080, ge=0, le=65_535, description="Port; 0 takes a free one.")
    label_space: str = Field(
        "config/labels/scannet20.yaml", description="Classes to tag with: a label file or a checkpoint."
    )


class TagPageNode(Node):
    """Serves the page and connects it to topics and services."""

    name = "tag_page"
    model = TagPageConfig
    config: TagPageConfig

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._learner_clients: dict[str, Any] = {}

    def configure(self) -> None:
        """Create the tag topics and the clients of the learner's services."""
        self.labels = labels_named(self.config.label_space)
        self.tags = {about: self.publisher(String, f"tags/{about}", TAGS) for about in ("image", "scene")}
        for name in COMMANDS:
            self._learner_clients[name] = self.create_client(Trigger, f"{LEARNER}/{name}")
        self._learner_clients["pause"] = self.create_client(SetBool, f"{LEARNER}/pause")

    def activate(self) -> None:
        """Serve the page."""
        self.view = LiveView()
        self.worth, self.predicted = TagWorth(self.labels), PredictedLabels(self, self.labels)
        self.predicted.start()
        self._labels_input: Any = None
        self._subscribed: dict[str, Any] = {}
        self._learner: tuple[dict, float] | None = None
        page = Page(self.labels, self.view, Robot(self.page_status, self.send_tags, self.command))
        self.server = PageServer(self.config.host, self.config.port, page)
        self.at_deactivate(self._unsubscribe_all)
        self.at_deactivate(self.server.close)
        topic = f"{LEARNER}/status"
        self._status = self.subscribe(String, topic, self.on_learner, MAP, "learning", self._had_a_learner)
        self.every(WATCH_S, self._subscribe_to_needed_images)
        self.server.start()
        if self.server.address.is_open:
            text = f"whoever reaches {self.summary()} may look and tag; host 127.0.0.1 keeps it on this machine"
            self.get_logger().warning(text)

    def release(self) -> None:
        """Remove the clients."""
        while self._learner_clients:
            self.destroy_client(self._learner_clients.popitem()[1])

    def summary(self) -> str:
        """Address of the page."""
        return self.server.address.url

    def report(self) -> Report:
        """Values for the diagnostics."""
        return [], {"url": self.summary(), "looked at": ", ".join(sorted(self._subscribed))} if self.active else {}

    # --- subscriptions ---

    def on_learner(self, message: String) -> None:
        """Take the learner's status."""
        try:
            learner = json.loads(message.data)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"learner status: not JSON ({error})") from error
        if not isinstance(learner, dict):
            raise BadInput(f"learner status: expected a JSON object, got a {type(learner).__name__}")
        self._learner = learner, time.monotonic()
        classes = learner.get("classes", list(self.labels.names))
        if classes != list(self.labels.names):
            text = f"other classes: the learner's are not those of label_space {self.labels.name}; give both the same"
            self.report_problem("other classes", text)

    def _had_a_learner(self) -> bool:
        """Whether the silence of the learner is a problem: the page also works if there never was one."""
        return self._learner is not None

    def _subscribe_to_needed_images(self) -> None:
        needed = self.view.needed()
        for source in set(self._subscribed) - needed:
            self._subscribed.pop(source).stop()
        for source in needed - set(self._subscribed):
            self._subscribed[source] = self._subscribe_image(source)
        self._subscribe_labels(bool(needed))

    def _subscribe_labels(self, needed: bool) -> None:
        """Take the predicted labels while somebody looks; the page only leaves out a line without them."""
        if needed and self._labels_input is None:
            self._labels_input = self.subscribe(Image, LABEL_IMAGES, self.see_labels, SENSOR, "worth", lambda: False)
        elif not needed and self._labels_input is not None:
            self.unsubscribe(self._labels_input)
            self._labels_input = None

    def see_labels(self, message: Image) -> None:
        """Compare what the live image shows with the tags that were sent."""
        self.worth.see(self.predicted.read(message))

    def _subscribe_image(self, source: str) -> ImageTransport:
        def put(message: Image | CompressedImage) -> None:
            self.view.put(source, codec.stamp_ns(message.header), lambda: codec.color_to_rgb(message))

        images = ImageTransport(self, TOPICS[source], "auto", SENSOR)
        images.start(put, Need("picture on the page", lambda: False))  # the page itself shows that none has come
        return images

    def _unsubscribe_all(self) -> None:
        while self._subscribed:
            self._subscribed.popitem()[1].stop()
        self._subscribe_labels(False)

    # --- requests of the page, on its threads ---

    def page_status(self) -> dict:
        """Values that the page shows."""
        learner, at = self._learner or (None, None)
        classes = zip(self.labels.names, self.labels.colors, strict=True)
        return {
            "classes": [{"name": name, "color": list(color)} for name, color in classes],
            "images": self.view.ages_s(),
            "topics": {source: self.resolve_topic_name(topic) for source, topic in TOPICS.items()},
            "listeners": {about: publisher.get_subscription_count() for about, publisher in self.tags.items()},
            "worth": self.worth.status(),
            "learner": learner,
            "learner_age_s": None if at is None else time.monotonic() - at,
            "learner_there": self.count_publishers(self._status.topic) > 0,
        }

    def send_tags(self, about: str, names: tuple[str, ...], stamp: str) -> tuple[bool, str]:
        """Publish tags, ``-sofa`` for an absent class.

        ``stamp`` is SECONDS.NANOS of the tagged picture, or empty for the newest.
        """
        publisher = self.tags[about]
        if not publisher.get_subscription_count():
            raise BadInput(f"nobody subscribes to {publisher.topic_name}: start the learner (wsss up online:=true)")
        text = ", ".join(names)
        if about == "image":
            self.worth.sent(names)
        publisher.publish(String(data=f"@{stamp} {text}" if stamp and about == "image" else text))
        return True, f"sent for the {about}: {text}"

    def command(self, name: str) -> tuple[bool, str]:
        """Call a service of the learner and return its answer."""
        client = self._learner_clients["pause" if name == "resume" else name]
        if not client.service_is_ready():
            raise BadInput(f"no learner: no node has the service {client.srv_name}; start it (wsss up online:=true)")
        pausing = name in ("pause", "resume")
        future = client.call_async(SetBool.Request(data=name == "pause") if pausing else Trigger.Request())
        answered = threading.Event()
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(ANSWER_S):
            client.remove_pending_request(future)
            raise BadInput(f"no answer of {client.srv_name} within {ANSWER_S:.0f} s; is the learner still running?")
        answer = future.result()
        return answer.success, answer.message


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(TagPageNode, args)


if __name__ == "__main__":
    main()
