"""The learner's controls: waiting, pause, rollback, reset."""

import os
import time
from pathlib import Path

import pytest
from support.online_rounds import act, current_step
from support.waiting import until

from wsss_ros.online.learner import Learner
from wsss_ros.types import BadInput


def test_a_running_round_waits_while_a_segmenter_is_late_or_learning_is_paused(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    until(lambda: current_step(learning) > 3)
    learning.yield_to(True)
    until(lambda: learning.progress()["waiting"])
    assert learning.pause(True) == "Learning is paused; round 1 waits."
    learning.yield_to(False)
    stands = current_step(learning)
    cpu = cpu_s(learning)
    time.sleep(0.5)
    assert current_step(learning) == stands and learning.progress()["waiting"]
    assert cpu_s(learning) - cpu < 0.1  # it sleeps
    assert learning.pause(False) == "Learning is resumed; round 1 goes on."
    until(lambda: current_step(learning) > stands)
    assert not learning.progress()["waiting"]


def cpu_s(learning: Learner) -> float:
    fields = Path(f"/proc/{learning._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_pause_stays_over_a_restart_and_whatever_is_saved(start, scene):
    learning = start()
    assert learning.pause(False) == "Learning is not paused."
    assert learning.pause(True) == "Learning is paused." and learning.pause(True) == "Learning is paused already."
    scene(3)
    assert not learning.due()
    with pytest.raises(BadInput, match="learning is paused; resume it first"):
        learning.start_round()
    learning.reset()
    learning.close()
    again = start()
    assert again.paused and not again.due()
    assert again.pause(False) == "Learning is resumed."
    again.close()
    assert not start().paused


def test_a_broken_state_file_pauses(start, config, caplog):
    start().close()
    (Path(config.folder) / "state.json").write_text("{")
    assert start().paused and "learning is paused to be safe" in caplog.text


def test_rollback_goes_back_one_version_and_ends_a_round_that_began_from_it(start, scene):
    learning = start()
    with pytest.raises(BadInput, match="no version before 0000"):
        learning.rollback()
    scene(3)
    act(learning, "promote")
    learning.start_round()
    until(learning.poll)
    (learning.folder / "act").unlink()
    scene(2)
    learning.start_round()
    until(lambda: current_step(learning) > 3)
    told = learning.rollback()
    assert told.startswith("Weights are back from version 0001 to 0000. Round 2 ended: given up: the weights")
    assert learning.versions.current().name == "0000" and learning.progress() is None
    decision = learning.poll()
    assert decision.round == 2 and not decision.promoted and learning.poll() is None
    learning.close()
    again = start()
    assert again.versions.current().name == "0000" and [d.round for d in again.decisions] == [1, 2]
    assert again.start_round() == 3 and again.progress()["round"] == 3


def test_reset_keeps_a_copy_and_says_where(start, scene):
    learning = start()
    names = scene(3)
    learning.start_round()
    told = learning.reset()
    archive = next((learning.folder / "archive").iterdir())
    assert told.startswith(f"The memory is empty; its 3 scenes are kept in {archive}. Weights stay. Round 1 ended")
    assert sorted(path.name for path in archive.iterdir()) == names and learning.store.scenes() == []
    assert learning.new_scenes() == 0 and not learning.due() and "the memory was reset" in learning.poll().why
    scene(3)
    assert learning.due()
