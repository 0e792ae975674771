"""The online trainer as a process on real DDS: scenes, rounds, services, status, diagnostics."""

import signal
import time
from pathlib import Path

import pytest
from support.online_stream import Room
from support.waiting import until

from wsss_ros.networks import checkpoint
from wsss_ros.online.budget import FRESH_S, WINDOW_S
from wsss_ros.scenes import open_scenes

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.online_robot import LATCHED, RELIABLE, SPACE, Robot  # noqa: E402

from wsss_ros.nodes.health import RECENT_S  # noqa: E402

pytestmark = pytest.mark.slow


def test_the_budget_looks_back_as_far_as_the_segmenters_reports():
    assert WINDOW_S == RECENT_S


@pytest.fixture(scope="module")
def robot(shared_ros_environment, tmp_path_factory, labels):
    made = Robot(shared_ros_environment, tmp_path_factory.mktemp("robot"), labels, steps=30, latency_budget_ms=50.0)
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def trained(robot) -> dict:
    """Status after four rooms were tagged and a round has ended."""
    for number in range(4):
        robot.tagged_scene(number)
    answer = robot.ask("train")
    assert answer.success and answer.message == "round 1 starts"
    robot.until(lambda status: status["state"] == "training" and status["round"]["step"] > 0)
    return robot.until(lambda status: status["rounds"])


def test_the_weights_it_starts_with_are_announced(robot, labels):
    status = robot.status
    assert (status["state"], status["version"], status["scenes"], status["rounds"]) == ("idle", "0000", 0, [])
    assert status["classes"] == list(labels.names) and status["scene"] is None and not status["paused"]
    for kind, network in (("image", "image"), ("cloud", "cloud")):
        (message,) = until(lambda kind=kind: robot.weights[kind])
        first = checkpoint.load(Path(robot.settings[f"{kind}_weights"]), network)
        assert Path(message.data).is_absolute()
        assert checkpoint.load(Path(message.data), network).version == first.version
    assert f"ready: weights 0000, 0 scenes in {robot.online}" in robot.trainer.text


def test_training_without_scenes_is_refused_with_the_reason(robot):
    if robot.status["scenes"]:
        pytest.skip("runs before the scenes are there")
    answer = robot.ask("train")
    assert not answer.success and "scene" in answer.message
    assert robot.until(lambda status: status["message"] == answer.message)


def test_scenes_are_stored_as_they_were_tagged(robot, trained, labels):
    scenes, left_out = open_scenes(robot.online / "scenes", labels)
    assert [scene.tags for scene in scenes] == [tuple(n for n in labels.names if n in Room(i).tags) for i in range(4)]
    assert all(len(scene) >= 4 for scene in scenes) and not left_out
    lists = [scene.tag_file.image_list(str(index)) for scene in scenes for index in range(len(scene))]
    assert {given.absent for given in lists if given is not None} == {("toilet",)}
    assert (trained["scenes"], trained["held_out"]) == (4, 2)


def test_a_round_hands_over_new_weights(robot, trained):
    (decision,) = trained["rounds"]
    assert decision["round"] == 1 and decision["promoted"] and decision["why"], decision
    assert trained["version"] == decision["version"] == "0001" and "promoted" in trained["message"]
    paths = {}
    for kind, network in (("image", "image"), ("cloud", "cloud")):
        late = robot.probe.collect(String, f"{SPACE}/weights/{kind}", LATCHED)
        paths[kind] = Path(until(lambda late=late: late, "a late joiner gets nothing")[0].data)
        first = checkpoint.load(Path(robot.settings[f"{kind}_weights"]), network)
        assert checkpoint.load(paths[kind], network).version != first.version
        assert robot.weights[kind][-1].data == str(paths[kind])
    assert {path.parent.name for path in paths.values()} == {"0001"}


def test_rollback_goes_back_and_then_reports_that_there_is_nothing_before(robot, trained):
    answer = robot.ask("rollback")
    assert answer.success and "0000" in answer.message
    robot.until(lambda status: status["version"] == "0000")
    until(lambda: Path(robot.weights["cloud"][-1].data).parent.name == "0000", "the old weights are not announced")
    answer = robot.ask("rollback")
    assert not answer.success and answer.message and robot.status["version"] == "0000"


def test_pause_freezes_collecting_and_learning(robot, trained):
    robot.visit(Room(10))
    answer = robot.pause(True)
    assert answer.success and answer.message == "Learning is paused. Collecting is paused, too."
    before = robot.until(lambda status: status["state"] == "paused" and status["paused"])["scene"]
    for index in range(4, 8):
        robot.show(Room(10), index)
        time.sleep(0.1)
    robot.tag("scene", "wall")
    robot.probe.next_status(robot.trainer, "tag refused: collecting is paused")
    robot.probe.values(robot.trainer)  # two seconds: one status more
    assert robot.status["scene"] == before, "nothing was collected"
    for service in ("start_scene", "train"):
        answer = robot.ask(service)
        assert not answer.success and "paused" in answer.message
    assert robot.pause(False).success
    robot.until(lambda status: status["state"] == "collecting" and not status["paused"])
    robot.visit(Room(10), 6)
    robot.ask("finish_scene")


def test_a_scene_without_tags_is_discarded_by_the_service_too(robot, trained):
    robot.visit(Room(11))
    answer = robot.ask("finish_scene")
    assert "is discarded (asked for)" in answer.message
    answer = robot.ask("finish_scene")
    assert not answer.success and "no scene is open" in answer.message


def report(robot, p95_ms: float, name: str = f"{SPACE}/image_segmenter") -> None:
    status = DiagnosticStatus(name=name, values=[KeyValue(key="latency_recent_p95_ms", value=str(p95_ms))])
    robot.probe.send("/diagnostics", DiagnosticArray(status=[status]), RELIABLE)


def test_the_training_waits_while_a_segmenter_is_too_slow(robot, trained):
    rounds = len(robot.status["rounds"])
    robot.tagged_scene(20)
    robot.tagged_scene(21)
    report(robot, 500)
    assert robot.ask("train").success

    def waits() -> bool:
        report(robot, 500)
        report(robot, 1, "/another_robot/image_segmenter")
        time.sleep(0.3)
        return robot.status["round"] is not None and robot.status["round"]["waiting"]

    until(waits, "it never waited")
    text = f"the training waits: {SPACE}/image_segmenter takes 500 ms (p95), its budget is 50 ms; if that lasts, raise"
    until(lambda: waits() and any(text in s.message for s in robot.probe.diagnostics[robot.trainer.path]), text)
    step = robot.status["round"]["step"]
    assert all(waits() for _ in range(8)) and robot.status["round"]["step"] <= step + 1, "it stands"
    for _ in range(5):
        report(robot, 45)
        time.sleep(0.3)
    assert robot.status["round"]["waiting"], "45 ms are below the budget, but not below 80 % of it"
    time.sleep(FRESH_S)  # the segmenter is gone: its old reports do not count
    robot.until(lambda status: len(status["rounds"]) > rounds)


def test_diagnostics_report_what_the_learner_does(robot, trained):
    values = robot.probe.values(robot.trainer)
    assert values["learner"] in ("idle", "collecting") and values["weights_version"] == robot.status["version"]
    assert int(values["tags taken"]) >= 4 and int(values["processed"]) > 4


def test_reset_empties_the_memory_and_keeps_a_copy(robot, trained):
    scenes = robot.status["scenes"]
    answer = robot.ask("reset")
    (archive,) = (robot.online / "archive").iterdir()
    assert answer.success and archive.name in answer.message
    status = robot.until(lambda status: status["scenes"] == 0)
    assert status["new_scenes"] == 0 and len([path for path in archive.rglob("tags.json")]) == scenes


def test_a_node_that_is_not_active_reports_it_and_can_be_activated_again(robot, trained):
    robot.visit(Room(30))
    robot.tag("scene", "bed")
    robot.until(lambda status: status["scene"] is not None and status["scene"]["tags"])
    assert robot.probe.transition(robot.trainer, "deactivate")
    answer = robot.ask("train")
    assert not answer.success and "not active" in answer.message
    robot.statuses.clear()
    assert robot.probe.transition(robot.trainer, "activate")
    assert until(lambda: robot.statuses) and robot.status["scenes"] == 1, "the open scene was stored"


def test_it_ends_in_order_and_stores_the_open_scene(robot, trained):
    """This test is the last one, because it ends the node."""
    robot.visit(Room(31))
    robot.tag("scene", "bed")
    robot.until(lambda status: status["scene"] is not None and status["scene"]["tags"])
    assert robot.trainer.end(signal.SIGINT) == 0
    assert len(list((robot.online / "scenes").glob("*/tags.json"))) == 2
    assert "Traceback" not in robot.trainer.text and "internal error" not in robot.trainer.text
