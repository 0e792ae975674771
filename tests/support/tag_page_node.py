"""The tag page's node as a process, requests to it, and a learner that stands in for the online trainer."""

import contextlib
import http.client
import json
import re
from pathlib import Path

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool, Trigger
from support.ros_probe import NodeProcess, Probe
from support.waiting import HANG_S, until

from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=50)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STATUS = {"state": "collecting", "paused": False, "scene": None, "scenes": 3, "held_out": 1, "new_scenes": 2}
STATUS |= {"round": None, "rounds": [], "version": "0002", "message": "scene_1 is kept"}
STATUS["classes"] = list(scannet20().names)


class PageClient:
    """Requests to a page as a browser makes them."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}/"

    def ask(self, method: str, path: str, value=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        headers = {"Origin": self.url.rstrip("/"), "Content-Type": "application/json"} if method == "POST" else {}
        try:
            connection.request(method, path, None if value is None else json.dumps(value), headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def status(self) -> dict:
        return json.loads(self.ask("GET", "/status")[2])

    def post(self, path: str, value) -> tuple[bool, str]:
        answer = json.loads(self.ask("POST", path, value)[2])
        return answer["ok"], answer["message"]


class Page(PageClient):
    """The node as a process, and requests to it."""

    def __init__(self, environment: dict, log: Path, **parameters) -> None:
        self.node = NodeProcess("tag_page", environment, log, **{"port": 0, **parameters})
        try:
            found = until(lambda: re.search(r"ready: http://127\.0\.0\.1:(\d+)/", self.node.text), "it never served")
        except AssertionError as error:
            self.node.end()
            raise AssertionError(f"{error}\n{self.node.text}") from error
        super().__init__(int(found.group(1)))


class Learner:
    """Stands in for the online_trainer: publishes a status and notes what it is asked to do."""

    def __init__(self, probe: Probe, page: Page) -> None:
        self.probe, self.asked, self.status = probe, [], dict(STATUS)
        self.name = page.node.topic("online_trainer")
        self.answers: dict[str, tuple[bool, str]] = {}
        node = probe.node
        self.services = [
            node.create_service(Trigger, f"{self.name}/{name}", lambda _, answer, name=name: self._answer(name, answer))
            for name in ("start_scene", "finish_scene", "train", "rollback", "reset")
        ]
        self.services.append(node.create_service(SetBool, f"{self.name}/pause", self._pause))
        self.publisher = node.create_publisher(String, f"{self.name}/status", LATCHED)
        self.timer = node.create_timer(1.0, self.report)
        self.report()

    def report(self, **changes) -> None:
        self.status |= changes
        self.publisher.publish(String(data=json.dumps(self.status)))

    def close(self) -> None:
        self.probe.node.destroy_timer(self.timer)
        self.probe.node.destroy_publisher(self.publisher)
        for service in self.services:
            self.probe.node.destroy_service(service)

    def _pause(self, wish, answer):
        self.status["paused"] = wish.data
        return self._answer("pause" if wish.data else "resume", answer)

    def _answer(self, name, answer):
        self.asked.append(name)
        answer.success, answer.message = self.answers.get(name, (True, f"{name}: done"))
        self.report()
        return answer


@contextlib.contextmanager
def running(environment: dict, folder: Path, **parameters):
    page = Page(environment, folder / "tag_page.log", **parameters)
    try:
        probe = Probe(environment)
        try:
            yield page, probe
        finally:
            probe.close()
    finally:
        status = page.node.end()
    assert status == 0 and "Traceback" not in page.node.text, page.node.text


def image(stamp_ns: int, value: int = 128, size=(48, 64)) -> Image:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return conversions.image_message(header, np.full((*size, 3), value, np.uint8), "rgb8")
