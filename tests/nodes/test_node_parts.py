"""The parts of the node base that need no ROS graph: the queue of one, the figures, problems."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.waiting import HANG_S, until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.labels import LabelSpace  # noqa: E402
from wsss_ros.nodes import label_info, logs  # noqa: E402
from wsss_ros.nodes.health import (  # noqa: E402
    DEAD_AFTER,
    ERROR,
    MOST_CAUSES,
    OK,
    REPEAT_S,
    WARN,
    Announcer,
    Health,
    cause_of,
    memory_mb,
    sync_report,
)
from wsss_ros.nodes.worker import Worker  # noqa: E402
from wsss_ros.sync import Synchronizer  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

SECOND = 10**9


class Recorder:
    """A worker whose jobs wait for permission."""

    def __init__(self) -> None:
        self.done, self.replaced = [], []
        self.go, self.taken = threading.Event(), threading.Event()
        self.worker = Worker(self._run, self.replaced.append)

    def _run(self, kind, function, arguments, put_at) -> None:
        self.taken.set()
        self.go.wait(HANG_S)
        function(*arguments)
        self.done.append((kind, *arguments))

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.done) >= count)


def test_the_newest_of_each_kind_wins_and_the_others_are_counted():
    recorder = Recorder()
    recorder.worker.start()
    recorder.worker.put("image", lambda n: None, 0)
    assert recorder.taken.wait(HANG_S)
    for n in (1, 2, 3):
        recorder.worker.put("image", lambda n: None, n)
        recorder.worker.put("points", lambda n: None, n)
    recorder.go.set()
    recorder.wait_for(3)
    assert sorted(recorder.done) == [("image", 0), ("image", 3), ("points", 3)]
    assert sorted(recorder.replaced) == ["image", "image", "points", "points"]
    assert recorder.worker.stop()


def test_stop_forgets_what_waits_and_start_works_again():
    recorder = Recorder()
    recorder.worker.start()
    recorder.worker.put("a", lambda n: None, 1)
    assert recorder.taken.wait(HANG_S)
    recorder.worker.put("a", lambda n: None, 2)
    threading.Timer(0.1, recorder.go.set).start()
    assert recorder.worker.stop()
    recorder.worker.put("a", lambda n: None, 3)
    assert recorder.done == [("a", 1)]
    recorder.worker.start()
    recorder.worker.put("a", lambda n: None, 4)
    recorder.wait_for(2)
    assert recorder.done == [("a", 1), ("a", 4)]
    recorder.worker.stop()


def test_stop_does_not_wait_for_ever():
    recorder = Recorder()
    recorder.worker.start()
    recorder.worker.put("a", lambda: None)
    assert recorder.taken.wait(HANG_S)
    assert not recorder.worker.stop(timeout_s=0.05)
    recorder.go.set()


def test_a_stopped_worker_that_was_left_behind_does_no_new_work():
    """Its job ends after the next start; from then on only the new thread may take jobs."""
    recorder = Recorder()
    recorder.worker.start()
    recorder.worker.put("a", lambda n: None, 1)
    assert recorder.taken.wait(HANG_S)
    left_behind = recorder.worker._thread
    assert not recorder.worker.stop(timeout_s=0.05)
    recorder.worker.start()
    recorder.go.set()
    left_behind.join(HANG_S)
    assert not left_behind.is_alive()
    recorder.worker.put("a", lambda n: None, 2)
    recorder.wait_for(2)
    assert recorder.done == [("a", 1), ("a", 2)] and recorder.worker.stop()


def test_figures_are_those_of_the_jobs():
    health, seconds = Health(), np.linspace(0.01, 0.1, 91)
    for latency in seconds:
        health.done("image", float(latency))
    health.done("points", 0.002)
    values = health.values("image")
    assert values["processed"] == "91" and values["points processed"] == "1"
    assert float(values["latency_median_ms"]) == pytest.approx(55, abs=0.1)
    assert float(values["latency_p95_ms"]) == pytest.approx(1e3 * np.percentile(seconds, 95), abs=0.1)


def test_jobs_of_several_cameras_have_their_own_figures_and_are_one_main_job_together():
    health = Health()
    for latency, kind in ((0.01, "frame left"), (0.03, "frame right"), (0.02, "frame left"), (9.0, "frames")):
        health.done(kind, latency)
    values = health.values("frame")
    assert [values[f"{kind}processed"] for kind in ("", "frame left ", "frame right ")] == ["3", "2", "1"]
    assert [values[f"{kind}rate_hz"] for kind in ("", "frame left ")] == ["3.00", "2.00"]
    assert values["latency_median_ms"] == "20.0" and values["frame left latency_median_ms"] == "15.0"
    health.done("frame", 0.5)
    assert health.values("frame")["processed"] == "4"
    assert "processed" not in health.values()


def test_causes_are_counted_in_bounded_memory():
    health = Health()
    for n in range(1000):
        health.drop(f"cause {n}")
        health.note(f"cause {n}", "text", ERROR)
    assert len(health.dropped) <= MOST_CAUSES + 1 and sum(health.dropped.values()) == 1000
    assert len(health.problems()) <= MOST_CAUSES + 1


def test_a_cause_is_what_stands_before_the_colon():
    assert cause_of(BadInput("pose orientation: quaternion 0 0 0 0")) == "pose orientation"
    assert cause_of(BadInput("a cloud of 12 points, none of them finite")) == cause_of(
        BadInput("a cloud of 305 points, none of them finite")
    )


def test_a_problem_is_logged_again_only_after_a_while():
    health = Health()
    assert [health.note("a", "text") for _ in range(3)] == [True, False, False]


def test_a_problem_is_announced_once_and_once_that_it_is_over(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    announcer = Announcer(lambda level, text: said.append((level, text)))
    for seconds in (5, 6, 7):
        announcer.update([(WARN, f"no message on /pose for {seconds} s: start its source"), (OK, "paused")])
        now[0] += 1
    assert said == [(WARN, "no message on /pose for 5 s: start its source")]
    announcer.update([(ERROR, "the network is dead: restart")])
    assert said[1:] == [(OK, "over after 3 s: no message on /pose for 5 s"), (ERROR, "the network is dead: restart")]
    announcer.update([])
    announcer.update([(WARN, "no message on /pose for 9 s: start its source")])
    assert len(said) == 4, "what comes and goes is not logged each time"
    announcer.update([])
    now[0] += REPEAT_S
    announcer.update([(WARN, "no message on /pose for 9 s: start its source")])
    assert len(said) == 5 and said[-1][0] == WARN


def test_problems_of_two_numbered_topics_are_two(monkeypatch):
    said = []
    announcer = Announcer(lambda level, text: said.append(text))
    both = ["no message on /camera1/color for 5 s: wait", "no message on /camera_2/color for 5 s: wait"]
    announcer.update([(WARN, text) for text in both])
    assert said == both
    announcer.update([(WARN, both[1].replace("5 s", "6.5 s"))])
    assert said[2:] == ["over after 0 s: no message on /camera1/color for 5 s"]


@pytest.mark.parametrize(
    "text, cause",
    [
        ("no message on /camera12/color for 5 s", "no message on /camera12/color for # s"),
        ("depth of 64x20, not 640x480", "depth of #, not #"),
        ("image size: 3", "image size"),
        ("rgb8 at -1.5e-3 m, 3.0m, 40%", "rgb8 at # m, #m, #%"),
        ("stamp 1002.333, frame cam_0", "stamp #, frame cam_0"),
        ("<object at 0x7f3a01>", "<object at #>"),
    ],
)
def test_causes_have_the_numbers_of_names_only(text, cause):
    assert cause_of(ValueError(text)) == cause


def test_a_problem_with_another_cause_is_not_over(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    announcer = Announcer(lambda level, text: said.append(text))
    for seconds, cause in ((5, "nobody publishes it"), (6, "published by /replay"), (7, "nobody publishes it")):
        announcer.update([(WARN, f"no message on /pose for {seconds} s: {cause}"), (WARN, "no map: wait")])
        now[0] += 1
    assert said == ["no message on /pose for 5 s: nobody publishes it", "no map: wait"] + [
        "no message on /pose for 6 s: published by /replay"
    ]
    announcer.update([(WARN, "no map: wait")])
    assert said[3:] == ["over after 3 s: no message on /pose for 7 s"]


def test_a_dead_network_and_a_job_that_does_not_end_are_errors(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    health = Health()
    for _ in range(DEAD_AFTER):
        assert health.dead_jobs(60) == []
        health.begin("image")
        health.failed("image", "RuntimeError: CUDA error")
        health.failed("points", "ValueError: another job")
        health.ended()
    health.done("points", 1)
    (problem,) = health.dead_jobs(60)
    assert problem == (ERROR, "the last 3 jobs 'image' failed: RuntimeError: CUDA error; nothing comes out of it")
    health.begin("image")
    now[0] += 61
    assert [level for level, _ in health.dead_jobs(60)] == [ERROR, ERROR]
    assert "'image' runs for 61 s" in health.dead_jobs(60)[0][1]
    health.done("image", 61)
    health.ended()
    assert health.dead_jobs(60) == []


def test_stamps_that_are_zero_or_far_from_the_clock_are_named():
    sync = Synchronizer(("color", "pose"), tolerance_ns=20_000_000)
    for n in range(1, 12):
        sync.add("color", n * SECOND, "image")
        sync.add("pose", 0, "pose")
    ((level, text),), _ = sync_report(sync, "cloud")
    assert level == WARN and text == "the stamps of pose are 0, so no cloud: its driver has to fill header.stamp"
    sync = Synchronizer(("color", "pose"), tolerance_ns=20_000_000)
    for n in range(1, 12):
        sync.add("color", (1000 + n) * SECOND, "image")
        sync.add("pose", n * SECOND, "pose")
    ((_, text),), _ = sync_report(sync, "cloud", now_ns=1011 * SECOND)
    assert "pose is 1000.0 s behind the node's clock; stamp all by one clock" in text and "color is" not in text


def test_memory_is_that_of_this_process():
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc here")
    assert memory_mb() > 20


class PublishingNode:
    """A node, and its publisher that keeps what it has to publish."""

    def __init__(self) -> None:
        self.sent, self.topics = [], []
        self.publish, self.destroy_publisher = self.sent.append, self.topics.remove

    def create_publisher(self, kind, topic, qos):
        self.topics.append(self)
        return self


def test_without_vision_msgs_there_is_no_label_info(labels, monkeypatch):
    monkeypatch.setattr(label_info, "LabelInfo", None)
    node = PublishingNode()
    topic = label_info.LabelInfoTopic(node)
    topic.publish(labels)
    topic.close()
    assert node.sent == node.topics == []


@pytest.mark.parametrize("count", [3, 20, 60])
def test_label_info_names_the_classes_until_it_is_closed(monkeypatch, count):
    if label_info.LabelInfo is None:  # vision_msgs is not in the wheels
        monkeypatch.setattr(label_info, "LabelInfo", SimpleNamespace)
        monkeypatch.setattr(label_info, "VisionClass", SimpleNamespace)
    names = tuple(f"part {n}" for n in range(count))
    labels = LabelSpace("own", names, tuple((n, 0, 0) for n in range(count)), tuple(range(1, count + 1)))
    node = PublishingNode()
    topic = label_info.LabelInfoTopic(node)
    topic.publish(labels)
    assert [label_info.names_of(message) for message in node.sent] == [dict(enumerate(names))]
    assert node.topics
    topic.close()
    assert not node.topics


@pytest.mark.parametrize("name, folder", [("HOME", ".ros/log"), ("ROS_HOME", "log"), ("ROS_LOG_DIR", "")])
def test_log_files_of_ros_where_they_can_be_written(tmp_path, name, folder, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    variables = {"HOME": "/nonexistent", name: str(tmp_path)}
    assert logs.arguments(["a"], variables) == ["a"] and (tmp_path / folder).is_dir()
    assert capsys.readouterr().err == ""


def test_no_log_files_of_ros_where_they_cannot(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for variables, word in (
        ({}, "HOME is not set"),
        ({"ROS_LOG_DIR": str(tmp_path / "file")}, "a file is where a folder"),
    ):
        assert logs.arguments(["a"], variables) == ["a", "--ros-args", "--disable-external-lib-logs"]
        error = capsys.readouterr().err
        assert word in error and "set ROS_LOG_DIR" in error and error.count("\n") == 1
