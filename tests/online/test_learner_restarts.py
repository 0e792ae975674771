"""What a learner keeps over a restart, and how it goes on after a crash or a full disk."""

import os
from pathlib import Path

import pytest
from support.online_rounds import act, current_step, log_lines
from support.waiting import until

from wsss_ros.inference import shipped_weights
from wsss_ros.types import BadInput


def test_a_round_goes_on_with_its_plan_after_a_restart(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    plan = (learning.folder / "rounds/0001/plan.json").read_bytes()
    until(lambda: current_step(learning) > 3)
    pid = learning._process.pid
    learning.close()
    assert not Path(f"/proc/{pid}").exists()
    scene(1)
    again = start()
    assert again.due() and again.progress() is None and "scene1" in again.store.pinned
    act(again, "promote")
    assert again.start_round() == 1 and until(again.poll).version == "0001"
    assert (again.folder / "rounds/0001/plan.json").read_bytes() == plan


def test_a_decision_that_nobody_saw_is_brought_into_force_at_the_start(start, scene):
    """The learner died after the round's last word and before its own."""
    learning = start()
    scene(3)
    act(learning, "promote")
    learning.start_round()
    until(lambda: learning._process.exit_code is not None)
    learning.close()
    again = start()
    assert again.versions.current().name == "0001" and again.poll().promoted and len(log_lines(again)) == 1
    again.close()
    assert start().poll() is None


def test_a_disk_that_is_full_for_a_while_delays_a_decision(start, scene, monkeypatch, caplog):
    learning = start()
    scene(3)
    act(learning, "promote")
    learning.start_round()
    until(lambda: learning._process.exit_code is not None)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert learning.poll() is None and learning.poll() is None
        with pytest.raises(BadInput, match="state.json cannot be written"):
            learning.pause(True)
        assert learning.versions.current().name == "0000"
    assert caplog.text.count("its decision cannot be kept yet") == 1 and not learning.paused
    assert learning.poll().promoted and len(log_lines(learning)) == 1
    assert learning.versions.current().name == "0001"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BadInput, match="version 0001 stays .*No space left.*make room"):
            learning.rollback()
        learning.close()
        again = start()  # nor is it a reason not to start
    assert again.versions.current().name == "0001" and again.versions.history == ["0000", "0001"]
    again.rollback()
    assert again.versions.current().name == "0000"


def test_other_weights_than_it_began_with_are_told(start, config, caplog):
    start().close()
    start().close()
    assert "other weights" not in caplog.text
    learning = start(config.model_copy(update={"image_weights": str(shipped_weights("image"))}))
    assert f"started with other weights than {shipped_weights('image')} and " in caplog.text
    learning.close()
    Path(config.image_weights).unlink()
    learning = start()  # it needs them no longer
    assert learning.versions.current().name == "0000"
