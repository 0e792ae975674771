"""Faults that the online trainer survives, with real processes: signals, full disks, rivals, odd tags, loops."""

import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from support.online_stream import Room
from support.waiting import until

from wsss_ros.inference import ImageSegmenter
from wsss_ros.networks import checkpoint

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.online_robot import LATCHED, RELIABLE, SEGMENTER, SPACE, TAGS, Robot, decided_rounds, read_all, stamped  # noqa: E402
from support.ros_probe import NodeProcess  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def robots(ros_environment, tmp_path, labels):
    """Makes robots that are taken away at the end."""
    made = []

    def make(**changes) -> Robot:
        made.append(Robot(ros_environment, tmp_path, labels, **changes))
        return made[-1]

    yield make
    for robot in made:
        robot.close()


def test_a_signal_ends_a_round_soon_and_the_next_start_goes_on_with_it(robots, labels):
    robot = robots(steps=400)
    robot.start()
    for number in range(2):
        robot.tagged_scene(number)
    assert robot.ask("train").success
    robot.until(lambda status: status["round"] and status["round"]["step"] > 5)
    robot.visit(Room(7))
    robot.tag("scene", "bed")
    robot.until(lambda status: status["scene"] and status["scene"]["tags"] == ["bed"])
    child = children(robot.trainer)
    assert robot.trainer.end(signal.SIGTERM) == 0
    assert child, "it was training"
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in child), "the training does not end with its node")
    assert ("bed",) in read_all(robot, labels)[0].values(), "the open scene is stored"
    assert not decided_rounds(robot) and "Traceback" not in robot.trainer.text
    robot.start()
    running = robot.until(lambda status: status["round"] and status["round"]["step"] > 0)["round"]
    assert running["round"] == 1 and running["step"] > 5, "it goes on where it was"


def children(node: NodeProcess) -> list[int]:
    """Processes that were started by any thread of the node, and theirs."""
    found, left = [], [node.process.pid]
    while left:
        for path in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            left += map(int, path.read_text().split())
        found += [pid for pid in left if pid not in found]
    return found


def test_two_trainers_on_one_folder(robots, tmp_path):
    robot = robots()
    robot.start()
    settings = robot.settings | {"exit_on_failure": "false"}
    second = NodeProcess("online_trainer", robot.environment, tmp_path / "second.log", "/rival", **settings)
    try:
        status = robot.probe.next_status(second, "configure failed", str(robot.online), "another learner has it")
        assert status.level == b"\x02" and robot.probe.state(second) == "unconfigured"
        assert second.process.poll() is None and "Traceback" not in second.text
        assert robot.ask("start_scene").success, "the first does not notice"
        robot.trainer.end()
        assert robot.probe.transition(second, "configure"), "the folder is free"
    finally:
        second.end()


def limit_files(node: NodeProcess, size: int) -> None:
    """From now on no file that the node or its child writes grows beyond ``size`` bytes: a disk that is full."""
    for pid in [node.process.pid, *children(node)]:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_the_disk_is_full_while_storing_and_while_saving(robots, labels):
    robot = robots(end_silence_s=0.0)
    robot.start()
    for number in range(4):
        robot.tagged_scene(number)
    kept, _ = read_all(robot, labels)
    robot.visit(Room(8))
    robot.tag("scene", "bed")
    robot.until(lambda status: status["scene"] and status["scene"]["tags"] == ["bed"])
    limit_files(robot.trainer, 12_000)  # a frame fits, a cloud does not
    answer = robot.ask("finish_scene")
    assert not answer.success and "cannot be written" in answer.message and "too large" in answer.message
    assert read_all(robot, labels)[0] == kept and not list(robot.online.glob("scenes/.*")), "nothing is incomplete"
    limit_files(robot.trainer, 200_000)  # scenes fit, networks do not
    assert robot.ask("train").success
    (decision,) = robot.until(lambda status: status["rounds"])["rounds"]
    assert not decision["promoted"] and "File too large" in decision["why"], decision
    assert robot.status["version"] == "0000" and read_all(robot, labels) == (kept, ["0000"])
    limit_files(robot.trainer, resource.RLIM_INFINITY)
    robot.tagged_scene(5)
    assert robot.ask("train").success
    last = robot.until(lambda status: len(status["rounds"]) > 1)["rounds"][-1]
    assert last["promoted"], last
    assert robot.trainer.process.poll() is None and "Traceback" not in robot.trainer.text


def test_odd_tags_and_a_looped_stream(robots, labels):
    robot = robots()
    robot.start()
    robot.tag("image", "chair")
    robot.probe.next_status(robot.trainer, "tag refused: no scene is open for 'chair'")
    stamps = robot.visit(Room(0), 4)
    for text, reason in (
        ("wall, chiar", "'chiar' is not a class of 'scannet20'; the nearest is 'chair'"),
        ("@12.0 wall", "a tag for 12.000 s, and the nearest view"),
        ("@9999999999.0 wall", "a tag for 9999999999.000 s"),
        ("@soon wall", "'@soon wall'; expected 'chair, -sofa'"),
        ("x" * 100_000, "100000 characters; expected class names"),
    ):
        robot.tag("image", text)
        robot.probe.next_status(robot.trainer, f"tag refused: {reason}")
    status = robot.until(lambda status: "100000 characters" in status["message"])
    assert status["scene"]["tags"] == []

    counts = robot.probe.values(robot.trainer)
    for number in range(1000):
        text = f"{stamped(stamps[number % 4])} {labels.names[number // 4 % 20]}" if number % 5 else "no such class"
        robot.probe.publish_without_waiting(f"{SPACE}/tags/image", String(data=text), TAGS)
    topic = f"received {SPACE}/tags/image"
    until(lambda: values(robot)[topic] - int(counts[topic]) == 1000, "tags of the burst were lost")
    after = values(robot)
    assert after["tags taken"] - int(counts["tags taken"]) == 800
    assert after["dropped tag refused"] - int(counts["dropped tag refused"]) == 200
    robot.until(robot.scene(image_tags=4))

    before = robot.status["scene"]
    robot.stamp_ns = 1000 * 10**9
    for index in range(8):
        robot.show(Room(0), index % 4)
        time.sleep(0.1)
    robot.probe.next_status(robot.trainer, "the stamps jumped back (a looped bag?)")
    looped = robot.until(lambda status: status["scene"]["received"] > before["received"])["scene"]
    assert looped["name"] == before["name"] and looped["frames"] == before["frames"], "its views are known"
    assert values(robot)["clock jumps"] == 1
    assert robot.ask("finish_scene").success and len(read_all(robot, labels)[0]) == 1
    assert "internal error" not in robot.trainer.text


def values(robot: Robot) -> dict:
    return {key: int(value) for key, value in robot.probe.values(robot.trainer).items() if value.isdecimal()}


def test_pause_and_rollback_hold_over_restarts(robots, labels):
    robot = robots()
    robot.start()
    for number in range(4):
        robot.tagged_scene(number)
    for count in (1, 2):
        assert robot.ask("train").success
        assert robot.until(lambda status, count=count: len(status["rounds"]) == count)["version"] == f"000{count}"
        robot.tagged_scene(10 + 2 * count)
        robot.tagged_scene(11 + 2 * count)
    assert robot.pause(True).success
    robot.restart()
    status = robot.until(lambda status: status["paused"])
    assert (status["state"], status["version"], status["scenes"]) == ("paused", "0002", 8)
    for index in range(4):
        robot.show(Room(20), index)
        time.sleep(0.2)
    assert robot.status["scene"] is None and "paused" in robot.ask("train").message
    answer = robot.ask("rollback")
    assert answer.success and "0001" in answer.message and robot.until(lambda status: status["version"] == "0001")
    robot.restart()
    assert robot.status["version"] == "0001" and robot.status["paused"], "a rollback changes no pause"
    late = robot.probe.collect(String, f"{SPACE}/weights/image", LATCHED)
    assert Path(until(lambda: late)[-1].data).parent.name == "0001"
    assert robot.ask("rollback").success and robot.until(lambda status: status["version"] == "0000")
    answer = robot.ask("rollback")
    assert not answer.success and "no version before 0000" in answer.message
    assert robot.pause(False).success
    robot.tagged_scene(30)


def test_a_segmenter_restarted_in_a_hand_over_gets_the_newest_weights(robots, labels):
    robot = robots()
    robot.start()
    segmenter = robot.start_node("image_segmenter", **SEGMENTER, weights=robot.settings["image_weights"])
    used = robot.probe.collect(String, f"{SPACE}/image_segmenter/weights", LATCHED)
    first = checkpoint.load(Path(robot.settings["image_weights"])).version
    until(lambda: used, "the segmenter never reported its weights")
    for number in range(2):
        robot.tagged_scene(number)
    assert robot.ask("train").success
    until(lambda: Path(robot.weights["image"][-1].data).parent.name == "0001", "no new weights were announced")
    segmenter.end(signal.SIGKILL)
    segmenter = robot.start_node("image_segmenter", **SEGMENTER, weights=robot.settings["image_weights"])
    newest = robot.weights["image"][-1].data
    version = checkpoint.load(Path(newest)).version
    until(lambda: used[-1].data == version != first, "the restarted segmenter never took the newest weights")
    assert {pair.key: pair.value for pair in robot.probe.next_status(segmenter, "").values}["weights_file"] == newest

    answers = robot.probe.collect(Image, f"{SPACE}/semantic/image_raw", RELIABLE)
    until(lambda: robot.show(Room(0), 0) and time.sleep(0.3) or answers, "no answer")
    expected, _ = ImageSegmenter(newest, "cpu", "float32")(Room(0).frame(0, 0))
    np.testing.assert_array_equal(np.frombuffer(answers[-1].data, np.uint8), expected.ravel())

    assert robot.ask("rollback").success
    until(lambda: used[-1].data == first, "a rollback reaches the segmenter, too")
