"""Real rounds in this process: what ends them without new weights, and scenes of a base set."""

import os
import re
from pathlib import Path

import pytest
import torch
from support.online_scenes import put, recipe

from wsss_ros.online import records, round, round_training
from wsss_ros.online.progress import LearnerLink, RoundProgress
from wsss_ros.online.records import PLAN, Plan
from wsss_ros.online.round_training import LossSpike, StepWatch
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.training.phase import TrainingDiverged
from wsss_ros.training.progress import Progress
from wsss_ros.types import BadInput


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
    return round.decide(config, folder, LearnerLink(RoundProgress()))


SHORT = {"steps": 3}


def test_out_of_gpu_memory_halves_the_batch_once(planned, config, monkeypatch):
    config, batches, real = config.model_copy(update=SHORT), [], round_training.train

    def train(settings, command, report):
        batches.append(settings.phases[0].batch)
        if len(batches) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(settings, command, report)

    monkeypatch.setattr(round_training, "train", train)
    decision = performed(config, planned)
    assert batches == [3, 1] and decision.judged
    assert records.read(planned, PLAN, Plan).batch == 1


def test_out_of_gpu_memory_twice_gives_the_round_up(planned, config, monkeypatch):
    def train(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nof many lines")

    monkeypatch.setattr(round_training, "train", train)
    decision = performed(config, planned)
    expected = "given up: out of GPU memory, also with 1 samples a step: CUDA out of memory. Tried to allocate 2 GiB"
    assert (decision.promoted, decision.why, decision.version) == (False, expected, "0000") and not decision.judged


@pytest.mark.parametrize(
    "error, why",
    [
        (OSError(28, "No space left on device"), "the disk or a file failed: .*No space left"),
        (TrainingDiverged("loss {'a': nan} at step 3 of 9"), "loss {'a': nan} at step 3 of 9"),
        (BadInput("s1 is gone"), "s1 is gone"),
        (RuntimeError("a kernel\nfailed"), "RuntimeError: a kernel$"),
    ],
)
def test_whatever_fails_the_round_is_given_up_with_the_reason(planned, config, monkeypatch, error, why):
    monkeypatch.setattr(round_training, "train", lambda *_: (_ for _ in ()).throw(error))
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
    watch = StepWatch(5.0, LearnerLink(RoundProgress()))
    for number in range(1, 11):
        watch(Progress("1 joint", number, 99, {"a": 30.0 if number == 2 else 0.5, "b": 0.5}))
    watch(Progress("1 joint", 11, 99, {"a": 4.5, "b": 0.4}))
    with pytest.raises(LossSpike, match="rose to 6 at step 12 of 99, more than 5 times its median so far, 1"):
        watch(Progress("1 joint", 12, 99, {"a": 5.5, "b": 0.5}))
    assert watch.link.progress.step == 11 and watch.link.progress.steps == 99


def test_scenes_let_go_since_the_plan_give_the_round_up(planned, config):
    plan = records.read(planned, PLAN, Plan)
    os.rename(Path(config.folder) / "scenes" / plan.new[0], Path(config.folder) / "gone")
    assert "is gone since the round was planned" in performed(config, planned).why


@pytest.mark.parametrize("dense", [False, True])
def test_base_scenes_are_mixed_in_and_scored_and_the_labels_of_simulated_ones_judge(
    tmp_path, labels, scene, start, config, dense
):
    (tmp_path / "base").mkdir()
    for seed in (50, 51):
        put(tmp_path / "base", labels, seed, seed)
    base = {"folder": str(tmp_path / "base" / "scenes")}
    values = {"recipe": recipe(tmp_path, base=base, base_held_out=base, base_dense=dense), **SHORT}
    config = config.model_copy(update=values)
    learning = start(config)
    scene(3)
    learning._plan()
    decision = performed(config, learning.folder / "rounds" / "0001")
    assert decision.after["base"]["clouds"] == 2 and decision.more["base"] == ["scene50", "scene51"]
    linked = {name: sorted(os.listdir(learning.folder / "rounds/0001" / name)) for name in ("scenes", "base")}
    in_base = ["base_scene50", "base_scene51"]
    assert linked == {"scenes": [*in_base * (not dense), "scene1", "scene2"], "base": in_base * dense}
    assert ("cloud_labels" in decision.networks["cloud"]["judged_by"]) == dense
    assert ("cloud_consistency" in decision.networks["cloud"]["judged_by"]) == (not dense)
    assert not any(decision.after[name]["values"]["image_labels"] for name in decision.after if name != "base")
