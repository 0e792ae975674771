"""The learner: when rounds start, and what their ends change."""

import json
import time

import pytest
from support.online_rounds import act, log_lines
from support.online_scenes import recipe
from support.waiting import until

from wsss_ros.online import records
from wsss_ros.types import BadInput


def test_a_round_starts_when_enough_new_scenes_are_in(start, scene):
    learning = start()
    assert (learning.new_scenes(), learning.due()) == (0, False)
    with pytest.raises(BadInput, match="no new tagged scene"):
        learning.start_round()
    scene(held_out=True)
    scene()
    assert (learning.new_scenes(), learning.due()) == (1, False)
    scene()
    assert learning.due() and learning.start_round() == 1
    assert not learning.due() and learning.new_scenes() == 0 and learning.poll() is None
    with pytest.raises(BadInput, match="round 1 is running"):
        learning.start_round()
    progress = until(lambda: (told := learning.progress())["step"] > 5 and told)
    assert progress["round"] == 1 and progress["steps"] == 1000 and progress["loss"] == 1.0
    assert 0 < progress["left_s"] < 10 and not progress["waiting"]
    assert learning.store.pinned == {"scene0", "scene1", "scene2"}
    learning.observe = lambda: {"seen beside it": 7}
    act(learning, "promote")
    decision = until(learning.poll)
    assert decision.promoted and decision.version == learning.versions.current().name == "0001"
    assert log_lines(learning)[0]["more"]["seen beside it"] == 7
    assert learning.decisions == [decision] and [line["round"] for line in log_lines(learning)] == [1]
    assert learning.progress() is None and learning.poll() is None and not learning.store.pinned
    scene(1)
    assert learning.start_round() == 2  # asked for, though too few are in
    assert json.loads((learning.folder / "rounds/0002/plan.json").read_text())["begins_from"] == "0001"
    decision = until(learning.poll)
    assert decision.version == "0002"


@pytest.mark.parametrize("end, why", [("crash", "signal 9"), ("fail", "code 3"), ("reject", "reject")])
def test_a_round_that_fails_leaves_the_weights(start, scene, end, why):
    learning = start()
    scene(3)
    act(learning, end)
    learning.start_round()
    decision = until(learning.poll)
    assert not decision.promoted and why in decision.why and learning.versions.current().name == "0000"
    assert log_lines(learning)[0]["why"] == decision.why and log_lines(learning)[0]["version"] == "0000"
    assert not learning.due()  # no endless loop on the same scenes
    if end != "reject":  # but asked for, they are tried again
        act(learning, "promote")
        assert learning.start_round() == 2 and until(learning.poll).promoted


@pytest.mark.parametrize("end, keep, kept", [("reject", True, 2), ("reject", False, 0), ("promote", True, 0)])
def test_what_a_refused_round_proposed_is_kept_where_that_is_expected(start, scene, config, end, keep, kept):
    learning = start(config.model_copy(update={"keep_refused": keep}))
    scene(3)
    files = records.candidate_files(learning.folder / "rounds/0001")
    learning.start_round()
    files[0].parent.mkdir()
    for file in files:
        file.write_text("weights")
    act(learning, end)
    until(learning.poll)
    assert sum(file.exists() for file in files) == kept


def test_the_first_scenes_wait_for_a_second_one(start, scene, config):
    learning = start(config.model_copy(update={"round_scenes": 1}))
    scene()
    assert learning.new_scenes() == 1 and not learning.due()
    with pytest.raises(BadInput, match="expected two"):
        learning.start_round()
    scene()
    assert learning.due()


def test_a_second_learner_is_refused(start, config):
    first = start()
    with pytest.raises(BadInput, match="online: another learner has it"):
        start()
    first.close()
    start()


def test_weights_and_recipes_that_do_not_fit_are_refused_at_once(start, config, tmp_path, labels):
    swapped = {"image_weights": config.cloud_weights}
    with pytest.raises(BadInput, match="a network for 'cloud', expected one for 'image'"):
        start(config.model_copy(update=swapped))
    with pytest.raises(BadInput, match="unknown key 'jiont'"):
        start(config.model_copy(update={"recipe": recipe(tmp_path, jiont={})}))
    start(config.model_copy(update={"recipe": recipe(tmp_path)}))  # and nothing was left behind


def test_asking_how_it_stands_is_cheap(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    before_s = time.process_time()
    for _ in range(100):
        learning.poll(), learning.progress(), learning.due(), learning.new_scenes()
    assert time.process_time() - before_s < 1
