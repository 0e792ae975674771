"""The page to tag with: its node on real DDS, and the page itself in a real Chromium."""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import browser

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from support.browser import Browser  # noqa: E402
from support.ros_probe import ROOT, NodeProcess, Probe, wait  # noqa: E402

from wsss_ros.labels import scannet20  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.scenes.images import decode_rgb  # noqa: E402

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=50)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HOSTILE = "<img src=x onerror=hacked=1>"
STATUS = {"state": "collecting", "paused": False, "scene": None, "scenes": 3, "held_out": 1, "new_scenes": 2}
STATUS |= {"round": None, "rounds": [], "version": "0002", "message": "scene_1 is kept"}
STATUS["classes"] = list(scannet20().names)


class Page:
    """The node as a process, and requests to it as the page makes them."""

    def __init__(self, environment: dict, log: Path, **parameters) -> None:
        self.node = NodeProcess("tag_page", environment, log, **{"port": 0, **parameters})
        try:
            found = wait(lambda: re.search(r"ready: http://127\.0\.0\.1:(\d+)/", self.node.text), 60, "it never served")
        except AssertionError as error:
            self.node.end()
            raise AssertionError(f"{error}\n{self.node.text}") from error
        self.port = int(found.group(1))
        self.url = f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, value=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
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
        told = json.loads(self.ask("POST", path, value)[2])
        return told["ok"], told["message"]


class Learner:
    """Stands in for the online_trainer: tells a status, and writes down what it is asked to do."""

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
        self.timer = node.create_timer(1.0, self.tell)
        self.tell()

    def tell(self, **changes) -> None:
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
        self.tell()
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


@pytest.fixture(scope="module")
def setting(shared_ros_environment, tmp_path_factory):
    with running(shared_ros_environment, tmp_path_factory.mktemp("page"), sensor_timeout_s=0.5) as (page, probe):
        heard = {name: probe.collect(String, page.node.topic(f"tags/{name}"), RELIABLE) for name in ("image", "scene")}
        wait(lambda: page.status()["listeners"] == {"image": 1, "scene": 1}, 20)
        yield page, probe, heard


@pytest.fixture
def page(setting):
    return setting[0]


@pytest.fixture
def probe(setting):
    return setting[1]


@pytest.fixture
def heard(setting):
    """The tags that arrive in this test."""
    for messages in setting[2].values():
        messages.clear()
    return setting[2]


@pytest.fixture
def learner(setting):
    made = Learner(setting[1], setting[0])
    wait(lambda: setting[0].status()["learner_there"], 20, "the learner was never seen")
    yield made
    made.close()
    wait(lambda: not setting[0].status()["learner_there"], 20, "the learner never left")


def image(stamp_ns: int, value: int = 128, size=(48, 64)) -> Image:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return conversions.image_message(header, np.full((*size, 3), value, np.uint8), "rgb8")


def looked_at(page: Page, probe: Probe, source: str, message: Image):
    """The picture that is served once ``message`` has come."""
    topic = page.node.topic({"overlay": "semantic_overlay/image_raw", "color": "color/image_raw"}[source])

    def shown():
        page.ask("GET", f"/image.jpg?source={source}")
        probe.publish_without_waiting(topic, message, BEST_EFFORT)
        status, headers, body = page.ask("GET", f"/image.jpg?source={source}")
        stamp = f"{message.header.stamp.sec}.{message.header.stamp.nanosec:09d}"
        return (headers, body) if status == 200 and headers["X-Stamp"] == stamp else None

    return wait(shown, 20, f"the image on {topic} was never served")


# --- the node ---


def test_an_image_comes_in_and_tags_go_out_with_its_stamp(page, probe, heard):
    headers, body = looked_at(page, probe, "overlay", image(1_234 * 10**9 + 7, 200))
    assert headers["X-Source"] == "overlay" and abs(int(decode_rgb(body, "x")[5, 5, 1]) - 200) < 3
    posted = {"about": "image", "names": ["table", "chair"], "stamp": headers["X-Stamp"]}
    assert page.post("/tags", posted) == (True, "sent for the image: chair, table")
    assert page.post("/tags", {"about": "image", "names": ["bed"]}) == (True, "sent for the image: bed")
    assert page.post("/tags", {"about": "scene", "names": ["bed"], "stamp": headers["X-Stamp"]})[0]
    wait(lambda: len(heard["image"]) == 2 and heard["scene"])
    assert [message.data for message in heard["image"]] == ["@1234.000000007 chair, table", "bed"]
    assert [message.data for message in heard["scene"]] == ["bed"]


def test_the_camera_steps_in_where_there_is_no_overlay(page, probe):
    time.sleep(2.1)  # the overlay of another test grows old
    headers, _ = looked_at(page, probe, "color", image(9 * 10**9))
    assert headers["X-Source"] == "color"
    assert page.ask("GET", "/image.jpg?source=overlay")[1]["X-Source"] == "color"


def test_images_are_taken_only_while_somebody_looks(page, probe):
    topics = [page.node.topic(name) for name in ("semantic_overlay/image_raw", "color/image_raw")]

    def takers():
        return sum(probe.node.count_subscribers(topic) for topic in topics)

    wait(lambda: takers() == 0, 20, "it goes on taking images although nobody looks")
    page.status()
    time.sleep(0.5)
    assert takers() == 0, "the status alone is no look"
    page.ask("GET", "/image.jpg")
    wait(lambda: takers() == 2, 5, "it takes no images although somebody looks")


def test_without_a_learner_that_is_what_is_told(page):
    status = page.status()
    assert status["learner"] is None or not status["learner_there"]
    done, why = page.post("/command", {"command": "train"})
    assert not done and "no learner" in why and "online:=true" in why


def test_tags_that_nobody_would_hear_are_not_sent(shared_ros_environment, tmp_path):
    with running(shared_ros_environment, tmp_path, space="/alone") as (page, _):
        done, why = page.post("/tags", {"about": "image", "names": ["bed"]})
        assert not done and "nobody listens to" in why


def test_the_learners_status_and_services(page, probe, learner):
    learner.tell(message="hello", rounds=[{"round": 1, "after": {"new": {"image_tags": float("nan")}}}])
    wait(lambda: (page.status()["learner"] or {}).get("message") == "hello")
    status = page.status()
    assert status["learner"]["rounds"][0]["after"]["new"]["image_tags"] is None, "NaN is no JSON"
    assert 0 <= status["learner_age_s"] < 5 and len(status["classes"]) == 20
    for name in ("start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset"):
        assert page.post("/command", {"command": name}) == (True, f"{name}: done")
    learner.answers["train"] = (False, "a round runs already")
    assert page.post("/command", {"command": "train"}) == (False, "a round runs already")
    assert learner.asked == ["start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset", "train"]
    assert learner.status["paused"] is False


def test_a_broken_status_and_other_classes_are_told_on_the_diagnostics(page, probe, learner):
    learner.publisher.publish(String(data="{"))
    probe.told(page.node, "learner status", "not JSON")
    learner.tell(classes=["dog"])
    probe.told(page.node, "other classes", "scannet20")
    assert page.status()["learner"]["classes"] == ["dog"]
    values = probe.values(page.node)
    assert values["url"] == page.url


def test_a_taken_port_is_told_and_another_may_be_given(page, shared_ros_environment, tmp_path, probe):
    other = NodeProcess("tag_page", shared_ros_environment, tmp_path / "log", port=page.port, space="/other")
    try:
        wait(lambda: "Address already in use" in other.text, 30, "nothing was said of the port")
    finally:
        other.end()
    assert page.ask("GET", "/")[0] == 200


def test_wsss_tag(ros_environment):
    command = [sys.executable, "-m", "wsss_ros.cli.main", "tag", "--port", "0", "--namespace", "robot"]
    running = subprocess.Popen(command, cwd=ROOT, env=ros_environment, stdout=subprocess.PIPE, text=True)
    try:
        url = next(filter(None, (re.search(r"http://127.0.0.1:(\d+)/", line) for line in running.stdout)))
        connection = http.client.HTTPConnection("127.0.0.1", int(url.group(1)), timeout=10)
        connection.request("GET", "/status")
        assert json.load(connection.getresponse())["topics"]["color"] == "/robot/color/image_raw"
        connection.close()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.communicate()


# --- the page in a real browser ---


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if why := browser.missing():
        pytest.skip(why)
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def opened(window, page, heard, learner):
    """The page, open at a desk, with a learner; the tags it sends."""
    window.size(1280, 800)
    window.go(page.url)
    window.wait("return document.querySelectorAll('#classes button').length == 20")
    window.wait("return document.querySelector('#state').innerText == 'collecting'")
    yield heard
    window.go("about:blank")
    assert window.errors() == []


def show(window: Browser, page: Page, probe: Probe, stamp_ns: int) -> None:
    topic = page.node.topic("semantic_overlay/image_raw")
    stamp = f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"

    def shown():
        probe.publish_without_waiting(topic, image(stamp_ns), BEST_EFFORT)
        time.sleep(0.1)
        return window.run("return shown.stamp") == stamp

    wait(shown, 20, "the picture never came to the screen")


def chosen(window: Browser) -> list[str]:
    return window.run("return [...document.querySelectorAll('#classes [aria-pressed=true]')].map(b => b.dataset.name)")


def test_keys_and_clicks_choose_and_the_tags_carry_the_stamp_of_what_was_seen(window, page, probe, opened):
    show(window, page, probe, 50 * 10**9 + 3)
    window.press("1", "5")
    assert chosen(window) == ["wall", "chair"] and "held" in window.text("#age")
    window.click("[data-name=sink]")
    window.press("1")
    assert chosen(window) == ["chair", "sink"]
    topic = page.node.topic("semantic_overlay/image_raw")
    for later in range(10):  # the robot drives on; the picture on the screen is held
        probe.publish_without_waiting(topic, image(60 * 10**9 + later), BEST_EFFORT)
        time.sleep(0.05)
    assert "Send 2 tags for this image" in window.text("#send")
    window.press("enter")
    wait(lambda: opened["image"], 10, "no tags arrived")
    assert [message.data for message in opened["image"]] == ["@50.000000003 chair, sink"]
    window.wait("return !document.querySelector('#toast').hidden")
    assert window.text("#toast") == "sent for the image: chair, sink" and chosen(window) == []
    show(window, page, probe, 70 * 10**9)
    assert "held" not in window.text("#age") and "live" in window.text("#age")


def test_tags_of_the_scene_by_mouse(window, opened):
    window.click("#about-scene")
    window.click("[data-name=bed]")
    window.click("[data-name='shower curtain']")
    window.click("#send")
    wait(lambda: opened["scene"], 10, "no tags arrived")
    assert [message.data for message in opened["scene"]] == ["bed, shower curtain"] and not opened["image"]
    window.wait("return document.querySelector('#toast').innerText == 'sent for the scene: bed, shower curtain'")
    window.press("escape")
    assert chosen(window) == []
    window.press("enter")
    window.wait("return document.querySelector('#toast').innerText == 'Choose a class first.'")


def test_every_class_has_a_key_of_its_own_that_no_action_has(window, opened):
    keys = window.run("return [...document.querySelectorAll('#classes kbd')].map(k => k.innerText)")
    actions = window.run("return Object.keys(ACTIONS)")
    assert len(set(keys)) == 20 and keys[:11] == [*"1234567890", "A"]
    assert not set("".join(keys).lower()) & set(actions)
    window.press(*(key.lower() for key in keys))
    assert chosen(window) == list(scannet20().names)
    buttons = "[...document.querySelectorAll('#classes button')]"
    colors = window.run(f"return {buttons}.map(b => getComputedStyle(b).backgroundColor)")
    assert [tuple(map(int, re.findall(r"\d+", color)[:3])) for color in colors] == list(scannet20().colors)


def test_buttons_and_keys_command_the_learner_and_reset_asks_first(window, opened, learner):
    window.press("n", "f", "t", "p")
    wait(lambda: len(learner.asked) == 4)
    assert learner.asked == ["start_scene", "finish_scene", "train", "pause"], "one after the other"
    window.wait("return document.querySelector('#pause').innerText.startsWith('Resume')")
    window.click("#pause")
    wait(lambda: learner.asked[4:] == ["resume"])
    window.click("[data-command=rollback]")
    wait(lambda: learner.asked[5:] == ["rollback"])
    window.wait("return document.querySelector('#toast').innerText == 'rollback: done'")
    window.click("[data-command=reset]")
    assert window.run("return document.querySelector('#ask').open")
    window.press("escape")
    window.click("[data-command=reset]")
    window.click("#keep")
    window.click("[data-command=reset]")
    window.press("1", "t", "enter")  # enter: the button that keeps them has the focus
    assert not window.run("return document.querySelector('#ask').open") and chosen(window) == []
    time.sleep(0.3)
    assert learner.asked[6:] == []
    window.click("[data-command=reset]")
    window.click("#reset")
    wait(lambda: learner.asked[6:] == ["reset"])
    window.wait("return document.querySelector('#toast').innerText == 'reset: done'")
    learner.answers["train"] = (False, "nothing to learn from")
    window.press("t")
    window.wait("return document.querySelector('#toast').innerText == 'nothing to learn from'")


def decision(round: int, promoted: bool, before: float, after: float, why: str) -> dict:
    def scores(value):
        return {name: {"image_tags": value, "cloud_tags": value / 2, "agreement": 0.5} for name in ("new", "memory")}

    told = {"round": round, "promoted": promoted, "why": why, "version": f"{round:04d}"}
    return told | {"before": scores(before), "after": scores(after)}


def test_the_learners_state_is_shown(window, opened, learner):
    rounds = [decision(1, True, 0.41, 0.52, "all scores rose"), decision(2, False, 0.52, 0.33, "image tags fell")]
    rounds[1]["after"]["new"]["agreement"] = None
    scene = {"name": "scene_9", "frames": 12, "received": 80, "tags": ["bed", "lamp"], "image_tags": 4}
    round_now = {"round": 3, "step": 30, "steps": 120, "loss": 0.5, "left_s": 95.0, "waiting": True}
    learner.tell(state="training", scene=scene, round=round_now, rounds=rounds)
    window.wait("return document.querySelector('#state').innerText == 'training'")
    assert window.text("#step") == "Round 3: step 30 of 120 · 2 min left · loss 0.50 · waits for the segmenters"
    assert window.run("return document.querySelector('#progress').value") == 0.25
    assert window.text("#version") == "weights 0002" and window.text("#message") == "scene_1 is kept"
    assert window.text("#decision") == "Round 2 was refused: image tags fell"
    shown = window.text("#scene")
    assert all(part in shown for part in ("scene_9", "12 of 80", "bed", "lamp"))
    rows = window.text("#rounds")
    assert "41 → 52" in rows and "52 → 33" in rows and "50 → –" in rows and "all scores rose" in rows
    assert window.run("return document.querySelectorAll('#chart circle').length") == 5
    assert window.run("return document.querySelectorAll('#chart circle.hollow').length") == 2
    window.click("#sets button:nth-child(2)")
    assert window.run("return document.querySelectorAll('#chart circle').length") == 6
    learner.tell(state="paused", paused=True, round=None, scene=None)
    window.wait("return document.querySelector('#state').innerText == 'paused'")
    assert not window.run("return document.querySelector('#round').checkVisibility()")
    assert "No scene is open." in window.text("#scene")


def test_a_learner_that_goes_is_missed_and_one_that_comes_is_found(window, page, probe, learner, opened):
    learner.timer.cancel()
    window.wait("return document.querySelector('#state').innerText.startsWith('silent for')", timeout_s=20)
    learner.close()
    window.wait("return document.querySelector('#state').innerText == 'no learner'", timeout_s=20)
    assert window.run("return [...document.querySelectorAll('[data-command]')].every(b => b.disabled)")
    window.press("t")
    window.wait("return document.querySelector('#toast').innerText == 'There is no learner to tell.'")
    another = Learner(probe, page)
    try:
        window.wait("return document.querySelector('#state').innerText == 'collecting'", timeout_s=20)
        window.click("[data-command=train]")
        wait(lambda: another.asked == ["train"])
    finally:
        another.close()
        learner.__init__(probe, page)  # for the fixture to close
        wait(lambda: page.status()["learner_there"], 20)


def test_the_page_finds_its_node_again(window, shared_ros_environment, tmp_path):
    (tmp_path / "first").mkdir()
    with running(shared_ros_environment, tmp_path / "first", space="/again") as (first, _):
        port = first.port
        window.go(first.url)
        window.wait("return document.querySelectorAll('#classes button').length == 20")
        assert not window.run("return document.querySelector('#offline').checkVisibility()")
    window.wait("return document.querySelector('#offline').checkVisibility()")
    window.press("1", "enter")
    window.wait("return document.querySelector('#toast').innerText == 'No answer from the robot.'")
    assert chosen(window) == ["wall"], "what could not be sent stays chosen"
    with running(shared_ros_environment, tmp_path, space="/again", port=port):
        window.wait("return !document.querySelector('#offline').checkVisibility()")
        assert chosen(window) == ["wall"]
    window.go("about:blank")
    assert all("net::ERR_" in error for error in window.errors())


def test_markup_in_names_and_in_what_the_learner_says_stays_text(window, shared_ros_environment, tmp_path):
    labels = tmp_path / "labels.yaml"
    names = (HOSTILE, "<b>bold</b>", "a&amp;b")
    rows = [{"name": name, "id": 1 + at, "color": [at, 9, 200]} for at, name in enumerate(names)]
    labels.write_text(yaml.safe_dump({"name": "hostile", "classes": rows}))
    with running(shared_ros_environment, tmp_path, space="/hostile", label_space=labels) as (page, probe):
        heard = probe.collect(String, page.node.topic("tags/image"), RELIABLE)
        learner = Learner(probe, page)
        scores = {HOSTILE: {"image_tags": 0.5, "cloud_tags": HOSTILE, "agreement": 0.5}, "new": {"image_tags": 0.4}}
        one = {"round": HOSTILE, "promoted": True, "why": HOSTILE, "before": scores, "after": scores}
        round_now = {"round": HOSTILE, "step": HOSTILE, "steps": 3, "loss": HOSTILE, "left_s": HOSTILE, "waiting": True}
        learner.tell(message=HOSTILE, state=HOSTILE, version=HOSTILE, rounds=[one], round=round_now, scenes=HOSTILE)
        scene = {"name": HOSTILE, "frames": HOSTILE, "received": HOSTILE, "tags": [HOSTILE], "image_tags": HOSTILE}
        learner.tell(scene=scene)
        window.go(page.url)
        window.wait("return document.querySelectorAll('#classes button').length == 3")
        parts = "message state version decision rounds step scene-name scene-facts scene-tags facts sets"
        for part in parts.split():
            window.wait("return document.getElementById(arguments[0]).innerText.includes(arguments[1])", part, HOSTILE)
        assert window.run("return document.querySelectorAll('img').length") == 1, "the picture alone"
        assert window.run("return document.querySelectorAll('b').length + (window.hacked ? 1 : 0)") == 0
        assert window.text("#classes button:nth-child(2) span") == "<b>bold</b>"
        wait(lambda: page.status()["listeners"]["image"] == 1, 20)
        window.press("1", "2", "3", "enter")
        wait(lambda: heard, 10)
        assert heard[0].data == f"{HOSTILE}, <b>bold</b>, a&amp;b"
        window.wait("return document.querySelector('#toast').innerText.includes(arguments[0])", HOSTILE)
        assert window.run("return document.querySelectorAll('img').length") == 1
    window.go("about:blank")
    window.errors()  # refused connections at the end


@pytest.mark.parametrize("width, height", [(360, 740), (740, 360), (820, 1180)])
def test_it_fits_a_phone(window, page, probe, learner, opened, width, height):
    rounds = [decision(n, n != 3, 0.123, 0.99, "no held-out score fell by more than 0.02 " * 3) for n in range(1, 40)]
    tags = list(scannet20().names)
    scene = {"name": "scene_20250301_" + "x" * 70, "frames": 120, "received": 123456, "tags": tags, "image_tags": 99}
    learner.tell(scene=scene, rounds=rounds, message="m" * 300)
    window.size(width, height, mobile=True)
    window.go(page.url)
    show(window, page, probe, 80 * 10**9)
    window.wait("return document.querySelectorAll('#chart circle').length == 39 * 3")
    assert window.run("return document.documentElement.scrollWidth") <= width
    small = """return [...document.querySelectorAll('button')].filter(b => b.checkVisibility())
        .map(b => b.getBoundingClientRect())
        .filter(r => r.height < 40 || r.width < 44 || r.left < 0 || r.right > innerWidth).length"""
    assert window.run(small) == 0, "too small for a finger, or off the screen"
    picture = window.run("return document.querySelector('#picture').getBoundingClientRect().bottom")
    assert picture < height, "the whole picture is on the first screen"
    assert not window.run("return document.querySelector('#classes kbd').checkVisibility()"), "a phone has no keys"
    window.run("window.scrollTo(0, 0)")
    send = window.run("return document.querySelector('#send').getBoundingClientRect().bottom")
    assert send <= height, "the button that sends is always at hand"
    window.size(1280, 800)
