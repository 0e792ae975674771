"""Playback by the wall clock, and the replay node between two processes on real DDS."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT
from support.tiny_scene import TinyScene, write_scene_folder

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.playback import Playback, open_recording
from wsss_ros.bags.recording import Raw, SceneRecording, Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.config import share
from wsss_ros.types import BadInput

SECOND = 10**9


class Ticks:
    """A recording of empty messages, one every 20 ms; ``slow_s`` is what making one takes."""

    topics = (Topic("/tick", "std_msgs/msg/Empty"),)

    def __init__(self, count: int = 6, slow_s: float = 0.0) -> None:
        self.stamps = [5 * SECOND + i * 20_000_000 for i in range(count)]
        self.slow_s = slow_s

    def raw(self):
        for stamp_ns in self.stamps:
            time.sleep(self.slow_s)
            yield Raw("/tick", "std_msgs/msg/Empty", stamp_ns, b"")


def played(playback: Playback) -> list[tuple[float, int]]:
    """(wall seconds since the first, stamp_ns) of all messages."""
    got = []
    playback.play(lambda raw: got.append((time.monotonic(), raw.stamp_ns)))
    return [(at - got[0][0], stamp_ns) for at, stamp_ns in got]


# --- pacing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_messages_come_when_they_are_due(rate):
    recording = Ticks()
    got = played(Playback(recording, rate))
    assert [stamp for _, stamp in got] == recording.stamps
    for at, stamp in got:  # never early; late only as a busy machine makes it
        due = (stamp - recording.stamps[0]) / SECOND / rate
        assert due - 0.005 <= at < due + 0.5


def test_the_clock_never_goes_back_nor_past_what_is_unsent():
    playback = Playback(Ticks(10, slow_s=0.01), rate=2.0)
    assert playback.now_ns() is None
    seen, sent = [], []
    thread = threading.Thread(target=playback.play, args=(lambda raw: sent.append(raw.stamp_ns),))
    thread.start()
    while thread.is_alive():
        known, now_ns = len(sent), playback.now_ns()
        if now_ns is not None:
            seen.append(now_ns)
            unsent = playback.recording.stamps[known:]
            assert len(sent) > known or not unsent or now_ns <= unsent[0]
    thread.join()
    assert len(seen) > 50 and seen == sorted(seen) and playback.now_ns() == sent[-1]


def test_pause_holds_messages_and_clock_and_resume_goes_on_from_there():
    playback = Playback(Ticks(), paused=True)
    got = []
    thread = threading.Thread(target=playback.play, args=(lambda raw: got.append(raw.stamp_ns),))
    thread.start()
    time.sleep(0.1)
    assert got == []
    playback.resume()
    while len(got) < 3:
        time.sleep(0.001)
    playback.pause()
    time.sleep(0.03)
    held, at = len(got), playback.now_ns()
    time.sleep(0.2)
    assert len(got) == held < 6 and playback.now_ns() == at
    playback.pause()
    resumed = time.monotonic()
    playback.resume()
    thread.join(5)
    assert len(got) == 6 and time.monotonic() - resumed > (5 * SECOND + 100_000_000 - at) / SECOND - 0.005


def test_a_loop_starts_over_until_it_is_stopped():
    playback, got = Playback(Ticks(3), rate=10, loop=True), []

    def send(raw: Raw) -> None:
        got.append(raw.stamp_ns)
        if len(got) == 7:
            playback.stop()

    playback.play(send)
    assert got == (Ticks(3).stamps * 3)[:7] and playback.loops == 2 and playback.sent == 7


def test_a_stop_ends_a_pause_at_once():
    playback = Playback(Ticks(), paused=True)
    thread = threading.Thread(target=playback.play, args=(lambda raw: None,))
    thread.start()
    playback.stop()
    thread.join(2)
    assert not thread.is_alive()


def test_slow_messages_slow_the_replay_and_are_told():
    playback = Playback(Ticks(5, slow_s=0.08))
    got = played(playback)
    assert len(got) == 5 and got[-1][0] > 0.3 and playback.behind_s > 0.1


# --- what can be played ----------------------------------------------------------------------------


def test_what_is_a_bag_and_what_a_scene(tmp_path, labels):
    folder = write_scene_folder(tmp_path / "scene", labels)
    file, of_rosbag2 = write_bag(TinyScene(), tmp_path / "a.mcap"), write_bag(TinyScene(), tmp_path / "a")
    (tmp_path / "a.mcap.partial").mkdir()
    told = {path.name: is_bag(path) for path in (folder, file, of_rosbag2, tmp_path / "a.mcap.partial")}
    assert told == {"scene": False, "a.mcap": True, "a": True, "a.mcap.partial": True}
    scene = open_recording(folder, labels)
    assert isinstance(scene, SceneRecording) and len(scene) == 5
    assert open_recording(file, labels).topics == open_recording(of_rosbag2, labels).topics == scene.topics
    with pytest.raises(BadInput, match="give 'source'"):
        open_recording("", labels)
    with pytest.raises(BadInput, match="no such bag or scene"):
        open_recording(tmp_path / "b.mcap", labels)
    with pytest.raises(BadInput, match="expected one scene folder"):
        open_recording(tmp_path / "scene" / "color", labels)


# --- the node --------------------------------------------------------------------------------------

LISTENER = """
import json, sys, time
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

prefix, pause, end = sys.argv[1], sys.argv[2] == "pause", sys.argv[3]
rclpy.init()
node = rclpy.create_node("listener")
events = []  # (wall, topic, facts), in the order of arrival
best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ns = lambda t: t.sec * 10**9 + t.nanosec

def listen(kind, topic, qos, facts=lambda m: []):
    def heard(m):
        stamp = ns(m.clock) if kind is Clock else ns(m.header.stamp)
        events.append((time.monotonic(), topic, stamp, *facts(m)))
    node.create_subscription(kind, topic if topic[0] == "/" else prefix + topic, heard, qos)

def image(m):
    return [m.header.frame_id, m.encoding, m.width, m.height, m.step, sum(m.data)]

listen(Image, "color/image_raw", best_effort, image)
listen(Image, "depth/image_rect", best_effort, image)
listen(Image, "ground_truth/semantic/image_raw", 10, image)
listen(CameraInfo, "color/camera_info", best_effort, lambda m: [m.header.frame_id, list(m.k)])
listen(PoseStamped, "pose", 10, lambda m: [m.header.frame_id, m.pose.position.x])
for topic in ("cloud", "ground_truth/cloud"):
    listen(PointCloud2, topic, latched, lambda m: [m.header.frame_id, [f.name for f in m.fields], m.width, len(m.data)])
listen(Clock, "/clock", 10)
def diagnostic(m):
    (s,) = m.status
    return [s.name, s.message, {v.key: v.value for v in s.values}]

listen(DiagnosticArray, "/diagnostics", 10, diagnostic)

def spin(until, most_s):
    started = time.monotonic()
    while not until() and time.monotonic() - started < most_s:
        rclpy.spin_once(node, timeout_sec=0.02)

def call(service):
    client = node.create_client(Trigger, service)
    client.wait_for_service(10)
    future = client.call_async(Trigger.Request())
    spin(future.done, 10)
    events.append((time.monotonic(), service, 0, future.result().success, future.result().message))

count = lambda topic: sum(event[1] == topic for event in events)
print("ready", flush=True)
spin(lambda: count("color/image_raw"), 30)
offers = {}
for topic in ("color/image_raw", "pose", "cloud"):
    profiles = [info.qos_profile for info in node.get_publishers_info_by_topic(prefix + topic)]
    offers[topic] = [(qos.reliability.name, qos.durability.name) for qos in profiles]
if pause:
    call(prefix + "replay/pause")
    spin(lambda: False, 1.6)
    call(prefix + "replay/resume")
def over():
    images = [e[2] for e in events if e[1] == "color/image_raw"]
    jumps = sum(b < a for a, b in zip(images, images[1:]))
    return jumps >= 2 if end == "loop" else not node.count_publishers(prefix + "pose")
spin(over, 30)
print(json.dumps({"events": events, "offers": offers}))
"""


@pytest.fixture
def processes(ros_environment):
    """Starts ROS processes in this test's domain; whatever still runs at the end is killed."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    profile = str(share("config/fastdds.xml"))
    root = str(ROOT)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    names = {"FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile, "PYTHONPATH": path}
    running = []

    def start(*arguments: str) -> subprocess.Popen:
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(subprocess.Popen([sys.executable, *arguments], env=ros_environment | names, **pipes))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def replay(start, source: Path, *more: str, namespace: str = "") -> subprocess.Popen:
    remap = ("-r", f"__ns:={namespace}") if namespace else ()
    return start("-m", "wsss_ros.nodes.replay", "--ros-args", "-p", f"source:={source}", *remap, *more)


def listen(start, prefix: str = "/", pause: bool = False, end: str = "end") -> subprocess.Popen:
    process = start("-c", LISTENER, prefix, "pause" if pause else "", end)
    assert process.stdout.readline() == "ready\n"
    return process


def heard(listener: subprocess.Popen) -> tuple[dict[str, list], dict]:
    out, told = listener.communicate(timeout=60)
    assert listener.returncode == 0, told
    answer = json.loads(out)
    topics: dict[str, list] = {}
    for wall, topic, *facts in answer["events"]:
        topics.setdefault(topic, []).append([wall, *facts])
    return topics, answer["offers"]


def test_a_bag_arrives_whole_and_as_recorded(tmp_path, processes):
    scene = TinyScene(frames=12, scale=8, world_up=(0, 0, 1))
    path = write_bag(scene, tmp_path / "a.mcap")
    listener = listen(processes)
    player = replay(processes, path, "-p", "rate:=0.5", "-p", "wait_for_subscribers_s:=20.0")
    topics, offers = heard(listener)
    out, told = player.communicate(timeout=30)
    assert player.returncode == 0, told
    assert "the replay has ended: 76 messages" in out + told
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
    assert clock == sorted(clock) and clock[-1] == stamps[-1] and set(stamps) <= set(clock) and len(clock) > 24
    assert offers["color/image_raw"] == [["BEST_EFFORT", "VOLATILE"]]
    assert offers["pose"] == [["RELIABLE", "VOLATILE"]] and offers["cloud"] == [["RELIABLE", "TRANSIENT_LOCAL"]]
    spent = topics["pose"][-1][0] - topics["pose"][0][0]
    assert spent > (stamps[-1] - stamps[0]) / SECOND / 0.5 - 0.1


def test_a_scene_folder_loops_pauses_and_moves_with_its_namespace(tmp_path, processes, labels):
    folder = write_scene_folder(tmp_path / "scene", labels)
    listener = listen(processes, "/robot1/", pause=True, end="loop")
    more = ("-p", "loop:=true", "-p", "wait_for_subscribers_s:=20.0", "-p", "rate:=0.2")
    player = replay(processes, folder, *more, namespace="/robot1")
    topics, _ = heard(listener)
    player.send_signal(signal.SIGINT)
    out, told = player.communicate(timeout=30)
    assert player.returncode == 0 and "Traceback" not in told, told
    images = [facts[1] for facts in topics["color/image_raw"]]
    assert sum(b < a for a, b in zip(images, images[1:], strict=False)) == 2  # two jumps back
    assert len(set(images)) == 5 and len(images) >= 11
    paused, resumed = topics["/robot1/replay/pause"][0], topics["/robot1/replay/resume"][0]
    assert paused[2:] == [True, "paused"] and resumed[2:] == [True, "resumed"]
    quiet = [wall for wall, *_ in topics["color/image_raw"] if paused[0] + 0.1 < wall < resumed[0]]
    assert quiet == []
    held = {stamp for wall, stamp in topics["/clock"] if paused[0] + 0.1 < wall < resumed[0]}
    assert len(held) == 1
    said = [facts for wall, *facts in topics["/diagnostics"] if facts[1] == "/robot1/replay"]
    assert any("paused" in facts[2] and facts[3]["paused"] == "True" for facts in said)


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
    out, told = foreign.communicate(timeout=60)
    assert foreign.returncode == 1 and "not a rosbag2" in out + told and "Traceback" not in told
    out, told = cut.communicate(timeout=60)
    assert cut.returncode == 0 and "breaks off" in out + told and "the replay has ended" in out + told
    out, told = damaged.communicate(timeout=60)
    assert damaged.returncode == 1 and "damaged after" in out + told and "Traceback" not in told
