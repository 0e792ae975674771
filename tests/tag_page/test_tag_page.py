"""The tag page's node on real DDS: pictures in, tags out, the learner's status and services."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.waiting import HANG_S, until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from support.ros_probe import ROOT, NodeProcess, Probe  # noqa: E402
from support.tag_page_node import BEST_EFFORT, Page, image, running  # noqa: E402

from wsss_ros.labels import scannet20  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.scenes.images import decode_rgb  # noqa: E402


def looked_at(page: Page, probe: Probe, source: str, message: Image):
    """The picture that is served once ``message`` has come."""
    topic = page.node.topic({"overlay": "semantic_overlay/image_raw", "color": "color/image_raw"}[source])

    def shown():
        page.ask("GET", f"/image.jpg?source={source}")
        probe.publish_without_waiting(topic, message, BEST_EFFORT)
        status, headers, body = page.ask("GET", f"/image.jpg?source={source}")
        stamp = f"{message.header.stamp.sec}.{message.header.stamp.nanosec:09d}"
        return (headers, body) if status == 200 and headers["X-Stamp"] == stamp else None

    return until(shown, f"the image on {topic} was never served")


def test_an_image_comes_in_and_tags_go_out_with_its_stamp(page, probe, received):
    headers, body = looked_at(page, probe, "overlay", image(1_234 * 10**9 + 7, 200))
    assert headers["X-Source"] == "overlay" and abs(int(decode_rgb(body, "x")[5, 5, 1]) - 200) < 3
    posted = {"about": "image", "names": ["table", "chair"], "stamp": headers["X-Stamp"]}
    assert page.post("/tags", posted) == (True, "sent for the image: chair, table")
    assert page.post("/tags", {"about": "image", "names": ["bed"]}) == (True, "sent for the image: bed")
    assert page.post("/tags", {"about": "scene", "names": ["bed"], "stamp": headers["X-Stamp"]})[0]
    until(lambda: len(received["image"]) == 2 and received["scene"])
    assert [message.data for message in received["image"]] == ["@1234.000000007 chair, table", "bed"]
    assert [message.data for message in received["scene"]] == ["bed"]


def test_the_camera_steps_in_where_there_is_no_overlay(page, probe):
    def camera_is_shown():  # as soon as the overlay of another test is old
        headers, _ = looked_at(page, probe, "color", image(9 * 10**9))
        assert headers["X-Source"] == "color"
        return page.ask("GET", "/image.jpg?source=overlay")[1]["X-Source"] == "color"

    until(camera_is_shown)


def test_images_are_taken_only_while_somebody_looks(page, probe):
    topics = [page.node.topic(name) for name in ("semantic_overlay/image_raw", "color/image_raw")]

    def takers():
        return sum(probe.node.count_subscribers(topic) for topic in topics)

    until(lambda: takers() == 0, "it goes on taking images although nobody looks")
    page.status()
    time.sleep(0.5)
    assert takers() == 0, "the status alone does not count as looking"
    page.ask("GET", "/image.jpg")
    until(lambda: takers() == 2, "it takes no images although somebody looks")


def test_the_page_says_what_the_live_image_adds(page, probe, received):
    labels = np.zeros((48, 64), np.uint8)
    labels[:, 32:] = 4
    message = conversions.image_message(Header(frame_id="camera"), labels, "mono8")
    names = scannet20().names

    def worth():
        page.ask("GET", "/image.jpg")
        probe.publish_without_waiting(page.node.topic("semantic/image_raw"), message, BEST_EFFORT)
        return page.status()["worth"]

    found = until(worth, "the labels of the live image were never used")
    before = dict(map(tuple, found["classes"]))
    assert set(before) == {names[0], names[4]} and found["high"] is False
    assert page.post("/tags", {"about": "image", "names": [names[4], f"-{names[0]}"]})[0]
    after = page.status()["worth"]["classes"]
    assert dict(map(tuple, after)) == {names[0]: before[names[0]], names[4]: before[names[4]] + 1}
    assert [count for _, count in after] == sorted(count for _, count in after)


def test_a_missing_learner_is_reported(page):
    status = page.status()
    assert status["learner"] is None or not status["learner_there"]
    done, why = page.post("/command", {"command": "train"})
    assert not done and "no learner" in why and "online:=true" in why


def test_tags_are_not_sent_without_a_subscriber(shared_ros_environment, tmp_path):
    with running(shared_ros_environment, tmp_path, space="/alone") as (page, _):
        done, why = page.post("/tags", {"about": "image", "names": ["bed"]})
        assert not done and "nobody subscribes to" in why


def test_the_learners_status_and_services(page, probe, learner):
    learner.report(message="hello", rounds=[{"round": 1, "after": {"new": {"image_tags": float("nan")}}}])
    until(lambda: (page.status()["learner"] or {}).get("message") == "hello")
    status = page.status()
    assert status["learner"]["rounds"][0]["after"]["new"]["image_tags"] is None, "JSON has no NaN"
    assert 0 <= status["learner_age_s"] < 5 and len(status["classes"]) == 20
    for name in ("start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset"):
        assert page.post("/command", {"command": name}) == (True, f"{name}: done")
    learner.answers["train"] = (False, "a round runs already")
    assert page.post("/command", {"command": "train"}) == (False, "a round runs already")
    assert learner.asked == ["start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset", "train"]
    assert learner.status["paused"] is False


def test_a_broken_status_and_other_classes_are_reported_in_the_diagnostics(page, probe, learner):
    learner.publisher.publish(String(data="{"))
    probe.next_status(page.node, "learner status", "not JSON")
    learner.report(classes=["dog"])
    probe.next_status(page.node, "other classes", "scannet20")
    assert page.status()["learner"]["classes"] == ["dog"]
    values = probe.values(page.node)
    assert values["url"] == page.url


def test_a_taken_port_is_reported_and_another_may_be_given(page, shared_ros_environment, tmp_path, probe):
    other = NodeProcess("tag_page", shared_ros_environment, tmp_path / "log", port=page.port, space="/other")
    try:
        until(lambda: "Address already in use" in other.text, "the port was never named")
    finally:
        other.end()
    assert page.ask("GET", "/")[0] == 200


def test_wsss_tag(ros_environment):
    command = [sys.executable, "-m", "wsss_ros.cli.main", "tag", "--port", "0", "--namespace", "robot"]
    running = subprocess.Popen(command, cwd=ROOT, env=ros_environment, stdout=subprocess.PIPE, text=True)
    try:
        url = next(filter(None, (re.search(r"http://127.0.0.1:(\d+)/", line) for line in running.stdout)))
        connection = http.client.HTTPConnection("127.0.0.1", int(url.group(1)), timeout=HANG_S)
        connection.request("GET", "/status")
        assert json.load(connection.getresponse())["topics"]["color"] == "/robot/color/image_raw"
        connection.close()
        running.send_signal(signal.SIGINT)
        assert running.wait(HANG_S) == 0
    finally:
        running.kill()
        running.communicate()
