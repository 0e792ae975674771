"""The online trainer killed at random moments while it collects and trains, with the real processes."""

import contextlib
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image  # noqa: E402
from support.online_robot import RELIABLE, SEGMENTER, SPACE, Robot, decided_rounds, read_all  # noqa: E402
from support.waiting import until  # noqa: E402

pytestmark = pytest.mark.slow
STARTING, WORKING, TRAINING = range(3)
MOMENTS = [TRAINING, STARTING, WORKING, TRAINING, STARTING, TRAINING, WORKING, TRAINING, STARTING, TRAINING]


def kill_at(robot: Robot, moment: int, after_s: float) -> None:
    """Start the trainer, wait for this moment and a little longer, and kill it."""
    robot.start(until_active=moment != STARTING)
    if moment == TRAINING:
        robot.until(lambda status: status["round"] and status["round"]["step"] > 0)
    time.sleep(after_s)
    robot.trainer.end(signal.SIGKILL)


def test_killed_at_ten_random_moments(ros_environment, tmp_path, labels):
    """It collects and trains all the time; what was on disk after one kill is there after the next."""
    with contextlib.closing(Robot(ros_environment, tmp_path, labels, round_scenes=2, steps=40)) as robot:
        kill_ten_times(robot, labels, np.random.default_rng(4))


def kill_ten_times(robot: Robot, labels, random: np.random.Generator) -> None:
    segmenter = robot.start_node("image_segmenter", **SEGMENTER, weights=robot.settings["image_weights"])
    answers = robot.probe.collect(Image, f"{SPACE}/semantic/image_raw", RELIABLE)
    scenes, history, rounds = {}, ["0000"], []
    with robot.wandering():
        until(lambda: answers, "the segmenter never answered")
        for moment in MOMENTS:
            kill_at(robot, moment, random.uniform(0, 3))
            before = len(answers)
            until(lambda before=before: len(answers) > before + 3, "the segmenter stopped answering")
            kept, versions = read_all(robot, labels)
            assert scenes.items() <= kept.items() and versions[: len(history)] == history, "nothing is lost"
            assert decided_rounds(robot)[: len(rounds)] == rounds
            scenes, history, rounds = kept, versions, decided_rounds(robot)
        assert scenes, "it collected"
        unfinished = max(int(path.parent.name) for path in robot.online.glob("rounds/*/plan.json"))
        robot.start()
        status = robot.until(lambda status: len(status["rounds"]) > len(rounds))
    numbers = [decision["round"] for decision in status["rounds"]]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= unfinished, "each round came to its end"
    assert all(decision["promoted"] for decision in status["rounds"]), [d["why"] for d in status["rounds"]]
    assert status["scenes"] >= len(scenes)
    assert segmenter.process.poll() is None and segmenter.end() == 0
    assert robot.trainer.end() == 0 and "Traceback" not in robot.trainer.text
