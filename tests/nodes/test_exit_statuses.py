"""Statuses of node processes that cannot start: 1 at once, with the reason as the last line of the log."""

import signal
import socket
import subprocess
import sys

import pytest
from support.paths import ROOT
from support.ros_probe import NodeProcess
from support.tiny_scene import TinyScene
from support.waiting import HANG_S, until

from wsss_ros.bags.writing import write_bag
from wsss_ros.processes.failures import Tail


@pytest.fixture
def nodes(shared_ros_environment, tmp_path):
    started = []

    def start(name: str, **parameters) -> NodeProcess:
        started.append(NodeProcess(name, shared_ros_environment, tmp_path / f"{name}.log", **parameters))
        return started[-1]

    yield start
    for node in started:
        node.end()


def reason(node: NodeProcess) -> str:
    """The reason that a supervisor reads from the output of the node, which ends by itself."""
    until(lambda: node.process.poll() is not None, lambda: f"it does not end: {node.text}")
    assert node.process.returncode == 1, node.text
    tail = Tail()
    for line in node.text.splitlines():
        tail.add(line)
    return tail.reason()


def test_a_port_that_is_taken(nodes):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = reason(nodes("tag_page", port=port))
    assert text.startswith("activate failed: ") and str(port) in text


def test_a_device_that_this_machine_does_not_have_and_weights_that_are_missing(nodes, tmp_path):
    device, weights = nodes("image_segmenter", device="cuda:63"), nodes("cloud_segmenter", weights=tmp_path / "none")
    assert "configure failed: " in reason(device) and "cuda:63" in reason(device)
    assert "configure failed: " in reason(weights) and str(tmp_path / "none") in reason(weights)


def test_a_bag_without_the_topics_that_the_nodes_take(nodes, tmp_path):
    bag = write_bag(TinyScene(frames=2), tmp_path / "a.mcap")
    text = reason(nodes("replay", source=bag, needs="cam/rgb,cam/depth"))
    assert "none of the topics that the nodes take (cam/rgb, cam/depth)" in text
    assert "color/image_raw (sensor_msgs/msg/Image)" in text and "color_topic:=" in text


def test_a_bag_without_one_of_the_topics_that_were_named(nodes, tmp_path):
    """Its cloud alone is not what was asked for."""
    bag = write_bag(TinyScene(frames=2), tmp_path / "a.mcap")
    assert "that the nodes take (cam/rgb)" in reason(nodes("replay", source=bag, needs="'cloud,pose;cam/rgb'"))


def test_nobody_who_subscribes_to_the_replay(nodes, tmp_path):
    bag = write_bag(TinyScene(frames=2), tmp_path / "a.mcap")
    text = reason(nodes("replay", source=bag, needs="color/image_raw", wait_for_subscribers_s=0.2))
    assert text.startswith("nobody subscribes to /color/image_raw after 0.2 s")


def test_a_topic_that_never_comes(nodes):
    text = reason(nodes("cloud_accumulator", inputs_timeout_s=0.1))
    assert text.startswith("inputs_timeout_s:=0.1: no message on /cloud_accumulator_test_")
    assert "so no cloud: nobody publishes it, nor another topic of its type" in text


def test_a_node_that_shall_stay_waits_for_the_lifecycle_services(nodes, tmp_path):
    node = nodes("evaluator", output=tmp_path / "evaluator.log" / "out", exit_on_failure="false")
    until(lambda: "configure failed" in node.text)
    assert node.end(signal.SIGINT) == 0


HANGS = """
import os, signal, time
from wsss_ros.nodes import node, process

class Stuck(node.Node):
    name = "stuck"

    def activate(self):
        os.kill(os.getpid(), signal.SIGINT)

    def destroy_node(self):
        time.sleep(3600)

process.END_S = 0.5
process.run(Stuck)
"""


def test_a_node_whose_end_hangs_is_ended_with_a_traceback(ros_environment):
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=ROOT, env=ros_environment, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 1 and "Timeout (0:00:00.500000)!" in done.stderr and "destroy_node" in done.stderr
