"""The learner: when rounds start, what their ends change, the controls, and what survives a restart."""

import json
import os
import re
import time
from pathlib import Path

import pytest
import torch
from support import online_rounds
from support.online_scenes import put, recipe, settings

from wsss_ros.inference import shipped_weights
from wsss_ros.networks import checkpoint
from wsss_ros.online import learner, records, round
from wsss_ros.online.learner import Learner
from wsss_ros.online.records import PLAN, Plan
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.online.talk import Talk, Told
from wsss_ros.training import run as training
from wsss_ros.training.log import Progress
from wsss_ros.types import BadInput


@pytest.fixture
def config(tmp_path, labels) -> OnlineConfig:
    return settings(tmp_path, labels, round_scenes=2)


@pytest.fixture
def scene(config, labels):
    """Puts the next scenes into the store."""
    seeds = iter(range(1000))
    return lambda count=1, **how: [
        put(config.folder, labels, seed := next(seeds), seed + 1, **how) for _ in range(count)
    ]


@pytest.fixture
def start(config, monkeypatch):
    """Learners with acted rounds; all are closed at the end."""
    monkeypatch.setattr(learner, "_run", online_rounds.acted)
    monkeypatch.setattr(learner, "START", "fork")  # they compute nothing; a new process would load torch first
    opened = []

    def one(settings: OnlineConfig = config) -> Learner:
        opened.append(Learner(settings))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def act(learning: Learner, what: str) -> None:
    (learning.folder / "act").write_text(what)


def until(told, seconds: float = 60.0):
    """What ``told()`` says as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := told()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


def step(learning: Learner) -> int:
    return learning.progress()["step"]


def lines(learning: Learner) -> list[dict]:
    return [json.loads(line) for line in (learning.folder / "rounds.jsonl").read_text().splitlines()]


# --- rounds that start and end ---


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
    assert lines(learning)[0]["more"]["seen beside it"] == 7
    assert learning.decisions == [decision] and [line["round"] for line in lines(learning)] == [1]
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
    assert lines(learning)[0]["why"] == decision.why and lines(learning)[0]["version"] == "0000"
    assert not learning.due()  # no endless loop on the same scenes
    if end != "reject":  # but asked for, they are tried again
        act(learning, "promote")
        assert learning.start_round() == 2 and until(learning.poll).promoted


@pytest.mark.parametrize("end, keep, kept", [("reject", True, 2), ("reject", False, 0), ("promote", True, 0)])
def test_what_a_refused_round_proposed_is_kept_where_that_is_wanted(start, scene, config, end, keep, kept):
    learning = start(config.model_copy(update={"keep_refused": keep}))
    scene(3)
    files = records.candidate(learning.folder / "rounds/0001")
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
    with pytest.raises(BadInput, match="wanted two"):
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


# --- controls ---


def test_a_running_round_waits_while_a_segmenter_is_late_or_learning_is_paused(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    until(lambda: step(learning) > 3)
    learning.yield_to(True)
    until(lambda: learning.progress()["waiting"])
    assert learning.pause(True) == "Learning is paused; round 1 waits."
    learning.yield_to(False)
    stands = step(learning)
    cpu = cpu_s(learning)
    time.sleep(0.5)
    assert step(learning) == stands and learning.progress()["waiting"]
    assert cpu_s(learning) - cpu < 0.1  # it sleeps
    assert learning.pause(False) == "Learning is resumed; round 1 goes on."
    until(lambda: step(learning) > stands)
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
    until(lambda: step(learning) > 3)
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


def test_a_round_goes_on_with_its_plan_after_a_restart(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    plan = (learning.folder / "rounds/0001/plan.json").read_bytes()
    until(lambda: step(learning) > 3)
    process = learning._process
    learning.close()
    assert process.exitcode is not None
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
    until(lambda: learning._process.exitcode is not None)
    learning.close()
    again = start()
    assert again.versions.current().name == "0001" and again.poll().promoted and len(lines(again)) == 1
    again.close()
    assert start().poll() is None


def test_a_disk_that_is_full_for_a_while_delays_a_decision(start, scene, monkeypatch, caplog):
    learning = start()
    scene(3)
    act(learning, "promote")
    learning.start_round()
    until(lambda: learning._process.exitcode is not None)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert learning.poll() is None and learning.poll() is None
        with pytest.raises(BadInput, match="state.json cannot be written"):
            learning.pause(True)
        assert learning.versions.current().name == "0000"
    assert caplog.text.count("its decision cannot be kept yet") == 1 and not learning.paused
    assert learning.poll().promoted and len(lines(learning)) == 1
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
    assert f"began with other weights than {shipped_weights('image')} and " in caplog.text
    learning.close()
    Path(config.image_weights).unlink()
    learning = start()  # it needs them no longer
    assert learning.versions.current().name == "0000"


def test_asking_how_it_stands_is_cheap(start, scene):
    learning = start()
    scene(3)
    learning.start_round()
    began = time.process_time()
    for _ in range(100):
        learning.poll(), learning.progress(), learning.due(), learning.new_scenes()
    assert time.process_time() - began < 1


# --- real rounds, in this process ---


@pytest.fixture
def planned(start, scene):
    """The folder of a real round, planned."""
    learning = start()
    scene(3)
    scene(1, held_out=True)
    learning._plan()
    learning.close()
    return learning.folder / "rounds" / "0001"


def performed(config: OnlineConfig, folder: Path):
    return round.perform(config, folder, Talk(Told()))


SHORT = {"steps": 3}


def test_out_of_gpu_memory_halves_the_batch_once(planned, config, monkeypatch):
    config, batches, real = config.model_copy(update=SHORT), [], training.train

    def train(settings, command, report):
        batches.append(settings.phases[0].batch)
        if len(batches) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(settings, command, report)

    monkeypatch.setattr(training, "train", train)
    decision = performed(config, planned)
    assert batches == [3, 1] and decision.judged
    assert records.read(planned, PLAN, Plan).batch == 1


def test_out_of_gpu_memory_twice_gives_the_round_up(planned, config, monkeypatch):
    def train(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nof many lines")

    monkeypatch.setattr(training, "train", train)
    decision = performed(config, planned)
    wanted = "given up: out of GPU memory, also with 1 samples a step: CUDA out of memory. Tried to allocate 2 GiB"
    assert (decision.promoted, decision.why, decision.version) == (False, wanted, "0000") and not decision.judged


@pytest.mark.parametrize(
    "error, why",
    [
        (OSError(28, "No space left on device"), "the disk or a file failed: .*No space left"),
        (training.TrainingDiverged("loss {'a': nan} at step 3 of 9"), "loss {'a': nan} at step 3 of 9"),
        (BadInput("s1 is gone"), "s1 is gone"),
        (RuntimeError("a kernel\nfailed"), "RuntimeError: a kernel$"),
    ],
)
def test_whatever_fails_the_round_is_given_up_with_the_reason(planned, config, monkeypatch, error, why):
    monkeypatch.setattr(training, "train", lambda *_: (_ for _ in ()).throw(error))
    decision = performed(config, planned)
    assert not decision.promoted and not decision.judged and decision.version == "0000"
    assert re.search(f"^given up: {why}", decision.why)


def test_a_real_loss_that_is_not_finite_gives_the_round_up(planned, config, monkeypatch):
    from wsss_ros.methods.joint import Joint

    real = Joint.losses
    monkeypatch.setattr(Joint, "losses", lambda self, batch: {k: v * torch.nan for k, v in real(self, batch).items()})
    decision = performed(config, planned)
    assert decision.why.startswith("given up: 1 joint: loss {") and "nan" in decision.why


def test_a_loss_that_spikes_ends_the_round():
    watch = round._Watch(5.0, Talk(Told()))
    for number in range(1, 11):
        watch(Progress("1 joint", number, 99, {"a": 30.0 if number == 2 else 0.5, "b": 0.5}))
    watch(Progress("1 joint", 11, 99, {"a": 4.5, "b": 0.4}))
    with pytest.raises(round.LossSpike, match="rose to 6 at step 12 of 99, more than 5 times its median so far, 1"):
        watch(Progress("1 joint", 12, 99, {"a": 5.5, "b": 0.5}))
    assert watch.talk.told.step == 11 and watch.talk.told.steps == 99


def test_scenes_let_go_since_the_plan_give_the_round_up(planned, config):
    plan = records.read(planned, PLAN, Plan)
    os.rename(Path(config.folder) / "scenes" / plan.new[0], Path(config.folder) / "gone")
    assert "is gone since the round was planned" in performed(config, planned).why


def test_base_scenes_are_mixed_in_and_scored(tmp_path, labels, scene, start, config):
    (tmp_path / "base").mkdir()
    for seed in (50, 51):
        put(tmp_path / "base", labels, seed, seed)
    base = {"folder": str(tmp_path / "base" / "scenes")}
    values = {"recipe": recipe(tmp_path, base=base, base_held_out=base), **SHORT}
    config = config.model_copy(update=values)
    learning = start(config)
    scene(3)
    learning._plan()
    decision = performed(config, learning.folder / "rounds" / "0001")
    assert decision.after["base"]["clouds"] == 2 and decision.more["base"] == ["scene50", "scene51"]
    assert sorted(os.listdir(learning.folder / "rounds/0001/scenes")) == [
        "base_scene50",
        "base_scene51",
        "scene1",
        "scene2",
    ]


# --- real rounds, in processes of their own ---


@pytest.mark.timeout(1800)
def test_a_good_round_is_promoted_and_one_with_shuffled_tags_is_not(tmp_path, labels):
    """From tags alone on scenes the networks never saw; then tags are shuffled on purpose."""
    config = settings(tmp_path, labels, round_threads=1)
    for number in range(1, 9):
        put(config.folder, labels, number, number, held_out=number % 4 == 0)
    learning = Learner(config)
    try:
        learning.start_round()
        assert nice_of(learning) == min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + 10)
        good = until(learning.poll, 800)
        assert good.promoted and learning.versions.current().name == "0001", good.why
        assert good.after["new"]["image_tags"] > good.before["new"]["image_tags"] + 0.3
        weights = learning.versions.current()
        assert checkpoint.load(weights.image, "image", labels).training["command"] == "online round"
        for number in range(9, 17):
            put(config.folder, labels, number, number, held_out=number % 4 == 0, wrong=number % 4 != 0)
        learning.start_round()
        bad = until(learning.poll, 800)
        assert not bad.promoted and learning.versions.current() == weights
        assert bad.why.startswith("worse than before by more than 0.03: ") and bad.version == "0001"
        before, after = (scores["memory"]["image_tags"] for scores in (bad.before, bad.after))
        assert f"tags from images on memory {before:.3f} to {after:.3f}" in bad.why and after < before - 0.02
        assert lines(learning)[1]["why"] == bad.why
        assert (learning.folder / "rounds.png").read_bytes()[:4] == b"\x89PNG"
        assert not (learning.folder / "rounds/0002/run/image.safetensors").exists()
    finally:
        learning.close()


def nice_of(learning: Learner) -> int:
    until(lambda: learning.progress()["doing"] != "starting", 400)
    return os.getpriority(os.PRIO_PROCESS, learning._process.pid)
