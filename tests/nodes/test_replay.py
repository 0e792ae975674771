"""The replay node between two processes on real DDS."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT
from support.tiny_scene import TinyScene, write_scene_folder
from support.waiting import HANG_S, output_of

from wsss_ros.bags.writing import write_bag
from wsss_ros.config import share
from wsss_ros.processes import children

pytestmark = pytest.mark.slow
SECOND, LINGER_S = 10**9, 1.0  # the replay stays for LINGER_S after the last message

LISTENER = """
import json, sys, time
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

prefix, pause, end, HANG_S = sys.argv[1], sys.argv[2] == "pause", sys.argv[3], float(sys.argv[4])
rclpy.init()
node = rclpy.create_node("listener")
events = []  # (wall, topic, facts), in the order of arrival
best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ns = lambda t: t.sec * 10**9 + t.nanosec

def record(kind, topic, qos, facts=lambda m: []):
    def received(m):
        stamp = ns(m.clock) if kind is Clock else ns(m.header.stamp)
        events.append((time.monotonic(), topic, stamp, *facts(m)))
    node.create_subscription(kind, topic if topic[0] == "/" else prefix + topic, received, qos)

def image(m):
    return [m.header.frame_id, m.encoding, m.width, m.height, m.step, sum(m.data)]

record(Image, "color/image_raw", best_effort, image)
record(Image, "depth/image_rect", best_effort, image)
record(Image, "ground_truth/semantic/image_raw", 10, image)
record(CameraInfo, "color/camera_info", best_effort, lambda m: [m.header.frame_id, list(m.k)])
record(PoseStamped, "pose", 10, lambda m: [m.header.frame_id, m.pose.position.x])
for topic in ("cloud", "ground_truth/cloud"):
    record(PointCloud2, topic, latched, lambda m: [m.header.frame_id, [f.name for f in m.fields], m.width, len(m.data)])
record(Clock, "/clock", 10)
def diagnostic(m):
    (s,) = m.status
    return [s.name, s.message, {v.key: v.value for v in s.values}]

record(DiagnosticArray, "/diagnostics", 10, diagnostic)

def spin(until):
    count, since = len(events), time.monotonic()
    while not until():
        if len(events) > count:
            count, since = len(events), time.monotonic()
        assert time.monotonic() - since < HANG_S, "no event"
        rclpy.spin_once(node, timeout_sec=0.02)

def call(service):
    client = node.create_client(Trigger, service)
    spin(client.service_is_ready)
    asked, future = time.monotonic(), client.call_async(Trigger.Request())
    spin(future.done)
    events.append((time.monotonic(), service, asked, future.result().success, future.result().message))

count = lambda topic: sum(event[1] == topic for event in events)
print("ready", flush=True)
spin(lambda: count("color/image_raw"))
offers = {}
for topic in ("color/image_raw", "pose", "cloud"):
    profiles = [info.qos_profile for info in node.get_publishers_info_by_topic(prefix + topic)]
    offers[topic] = [(qos.reliability.name, qos.durability.name) for qos in profiles]
if pause:
    call(prefix + "replay/pause")
    until = time.monotonic() + 1.6
    told = lambda: any(e[1] == "/diagnostics" and e[5].get("paused") == "True" for e in events)
    spin(lambda: time.monotonic() > until and told())
    call(prefix + "replay/resume")
def over():
    images = [e[2] for e in events if e[1] == "color/image_raw"]
    jumps = sum(b < a for a, b in zip(images, images[1:]))
    return jumps >= 2 if end == "loop" else not node.count_publishers(prefix + "pose")
spin(over)
print(json.dumps({"events": events, "offers": offers}))
"""


@pytest.fixture
def processes(ros_environment):
    """Starts ROS processes in this test's domain; all that still run at the end are ended."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    profile = str(share("config/fastdds.xml"))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    names = {"FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile, "PYTHONPATH": path}
    running = []

    def start(*arguments: str) -> subprocess.Popen:
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(subprocess.Popen([sys.executable, *arguments], env=ros_environment | names, **pipes))
        return running[-1]

    yield start
    children.end(running, [(signal.SIGINT, HANG_S)])


def replay(start, source: Path, *more: str, namespace: str = "") -> subprocess.Popen:
    remap = ("-r", f"__ns:={namespace}") if namespace else ()
    return start("-m", "wsss_ros.nodes.replay", "--ros-args", "-p", f"source:={source}", *remap, *more)


def listen(start, prefix: str = "/", pause: bool = False, end: str = "end") -> subprocess.Popen:
    process = start("-c", LISTENER, prefix, "pause" if pause else "", end, str(HANG_S))
    assert process.stdout.readline() == "ready\n"
    return process


def recorded(listener: subprocess.Popen) -> tuple[dict[str, list], dict]:
    """Events by topic, and the profiles of the publishers."""
    out, errors = output_of(listener)
    assert listener.returncode == 0, errors
    answer = json.loads(out)
    topics: dict[str, list] = {}
    for wall, topic, *facts in answer["events"]:
        topics.setdefault(topic, []).append([wall, *facts])
    return topics, answer["offers"]


def logged_at(log: str, text: str) -> float:
    """When the node logged ``text``, in seconds: a line starts as [INFO] [1700000000.123456789] [replay]."""
    (line,) = [line for line in log.splitlines() if text in line]
    return float(line.split("] [")[1])


def test_a_bag_arrives_complete_and_as_recorded(tmp_path, processes):
    scene = TinyScene(frames=12, scale=8, world_up=(0, 0, 1))
    path = write_bag(scene, tmp_path / "a.mcap")
    listener = listen(processes)
    player = replay(processes, path, "-p", "rate:=0.5", "-p", "wait_for_subscribers_s:=300.0")
    topics, offers = recorded(listener)
    out, errors = output_of(player)
    assert player.returncode == 0, errors
    assert "the replay has ended: 76 messages" in out + errors
    stamps = [scene.frame(i).stamp_ns for i in range(12)]
    views = [topics[name] for name in ("color/image_raw", "depth/image_rect", "color/camera_info", "pose")]
    for messages in (*views, topics["ground_truth/semantic/image_raw"]):
        assert [facts[1] for facts in messages] == stamps
    for index, (color, depth, info, pose) in enumerate(zip(*views, strict=True)):
        frame = scene.frame(index)
        assert color[2:] == ["camera_optical", "rgb8", 256, 192, 768, int(frame.rgb.sum())]
        assert depth[2:6] == ["camera_optical", "16UC1", 256, 192] and depth[6] == 512
        assert info[2:] == ["camera_optical", frame.camera.matrix().ravel().tolist()]
        assert pose[2] == "map" and np.isclose(pose[3], 0.3 * index)
    assert topics["cloud"][-1][2:4] == ["map", ["x", "y", "z", "rgb"]]
    assert topics["ground_truth/cloud"][-1][3] == ["x", "y", "z", "rgb", "label"]
    assert topics["ground_truth/cloud"][-1][4] == topics["cloud"][-1][4] > 0
    clock = [stamp for _, stamp in topics["/clock"]]
    assert clock == sorted(clock) and clock[-1] == stamps[-1] and set(stamps) <= set(clock) and len(clock) > 13
    assert offers["color/image_raw"] == [["BEST_EFFORT", "VOLATILE"]]
    assert offers["pose"] == [["RELIABLE", "VOLATILE"]] and offers["cloud"] == [["RELIABLE", "TRANSIENT_LOCAL"]]
    ready, over = (logged_at(out + errors, text) for text in ("at rate 0.5", "the replay has ended"))
    assert over - ready >= (stamps[-1] - stamps[0]) / SECOND / 0.5 + LINGER_S, "no message is early"


def test_a_scene_folder_loops_pauses_and_moves_with_its_namespace(tmp_path, processes, labels):
    folder = write_scene_folder(tmp_path / "scene", labels)
    listener = listen(processes, "/robot1/", pause=True, end="loop")
    more = ("-p", "loop:=true", "-p", "wait_for_subscribers_s:=300.0", "-p", "rate:=0.2")
    player = replay(processes, folder, *more, namespace="/robot1")
    topics, _ = recorded(listener)
    player.send_signal(signal.SIGINT)
    out, errors = output_of(player)
    assert player.returncode == 0 and "Traceback" not in errors, errors
    images = [facts[1] for facts in topics["color/image_raw"]]
    assert sum(b < a for a, b in zip(images, images[1:], strict=False)) == 2  # two jumps back
    assert len(set(images)) == 5 and len(images) >= 11
    paused, resumed = topics["/robot1/replay/pause"][0], topics["/robot1/replay/resume"][0]
    assert paused[2:] == [True, "paused"] and resumed[2:] == [True, "resumed"]
    answered, asked = paused[0], resumed[1]  # it goes on before its answer to the second one is here
    assert [wall for wall, *_ in topics["color/image_raw"] if answered + 0.8 < wall < asked] == []
    held = {stamp for wall, stamp in topics["/clock"] if answered + 0.8 < wall < asked}
    assert len(held) == 1
    statuses = [facts for wall, *facts in topics["/diagnostics"] if facts[1] == "/robot1/replay"]
    assert any("paused" in facts[2] and facts[3]["paused"] == "True" for facts in statuses)


def test_sources_that_cannot_be_played_and_bags_that_break_off(tmp_path, processes):
    (tmp_path / "foreign.mcap").write_text("not a bag\n")
    path = write_bag(TinyScene(), tmp_path / "a.mcap")
    (tmp_path / "cut.mcap").write_bytes(path.read_bytes()[:-4000])
    data = bytearray(write_bag(TinyScene(frames=9, scale=8), tmp_path / "b.mcap").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400_000] = b"\xff" * 400_000
    (tmp_path / "b.mcap").write_bytes(data)
    damaged = replay(processes, tmp_path / "b.mcap")
    foreign = replay(processes, tmp_path / "foreign.mcap")
    cut = replay(processes, tmp_path / "cut.mcap")
    out, errors = output_of(foreign)
    assert foreign.returncode == 1 and "not a rosbag2" in out + errors and "Traceback" not in errors
    out, errors = output_of(cut)
    assert cut.returncode == 0 and "is cut off" in out + errors and "the replay has ended" in out + errors
    out, errors = output_of(damaged)
    assert damaged.returncode == 1 and "damaged after" in out + errors and "Traceback" not in errors
