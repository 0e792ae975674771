"""Training runs on scenes small enough to learn in seconds: learning, resuming, sharing, and what goes wrong."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning_fabric import Fabric
from support import train_ranks
from support.paths import ROOT
from support.striped_scenes import SIZE, StripedScene, written
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wsss_ros import config, networks
from wsss_ros.cli.train import _Lines
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.methods.joint import Joint
from wsss_ros.methods.method import OptimiserConfig
from wsss_ros.networks import checkpoint
from wsss_ros.processes.signals import Interrupted
from wsss_ros.samples import loading
from wsss_ros.scenes import open_scene
from wsss_ros.training import run as training
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.optimisation import Optimisation, build, learning_rate
from wsss_ros.training.phase import TrainingDiverged
from wsss_ros.training.progress import Progress
from wsss_ros.types import BadInput

ADAM = {"name": "adam", "lr": 0.01}
GENTLE = {"name": "adam", "lr": 0.002}
PHASES = [
    {"method": "classify", "epochs": 4, "batch": 8, "image": ADAM},
    {"method": "classify", "epochs": 6, "batch": 4, "cloud": ADAM},
    {"method": "joint", "epochs": 2, "batch": 4, "warmup_epochs": 1, "image": GENTLE, "cloud": GENTLE},
]
SHORT = [{**phase, "epochs": 1} for phase in PHASES[:2]] + [{**PHASES[2], "warmup_epochs": 0, "epochs": 1}]
JOINT = SHORT[2:]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the processes have that tests start: steps this small are no quicker on more."""
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    os.environ.pop("OMP_NUM_THREADS") if variable is None else os.environ.update(OMP_NUM_THREADS=variable)


def values_for(root: Path, **changes) -> dict:
    return {
        "output": str(root / "run"),
        "device": "cpu",
        "data": {
            "train": {"folder": str(root / "train")},
            "val": {"folder": str(root / "val")},
            "frames_per_scene": 0,
            "cache": str(root / "cache"),
        },
        "image": {
            "options": {"width": 0.125},
            "long_side": 0,
            "augment": {"long_side": [32, 40], "crop": 32, "jitter": [0.1, 0.1, 0.1, 0]},
        },
        "cloud": {
            "options": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]},
            "augment": {"points": 256},
        },
        "phases": PHASES,
        **changes,
    }


def settings_for(root: Path, **changes) -> TrainConfig:
    return config.build(TrainConfig, values_for(root, **changes))


def versions(run: str | Path) -> list[str]:
    return [checkpoint.load(Path(run) / f"{kind}.safetensors").version for kind in ("image", "cloud")]


@pytest.fixture(scope="module")
def root(tmp_path_factory, labels) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    written(root / "train", labels, range(12))
    written(root / "val", labels, range(100, 103))
    return root


@pytest.fixture(scope="module")
def finished(root):
    """A run of all phases: its settings, scores and what it reported."""
    told, settings = [], settings_for(root, output=str(root / "finished"))
    return settings, training.train(settings, "wsss train test", told.append), told


# --- what comes out ---


def test_from_tags_alone_both_networks_learn_what_is_where(finished, labels):
    settings, scores, told = finished
    run = Path(settings.output)
    assert json.loads((run / "scores.json").read_text()) == scores
    assert scores["image"]["miou"] > 60 and scores["cloud"]["miou"] > 60
    phases = dict.fromkeys(progress.phase for progress in told)
    learning = ["1 classify image", "score image", "2 classify cloud", "score cloud", "3 joint"]
    assert list(phases) == ["prepare scenes", *learning]
    joint = [(p.step, p.steps, p.epoch) for p in told if p.phase == "3 joint"]
    assert joint == [(n, 6, (n + 2) // 3) for n in range(1, 7)]
    loaded = checkpoint.load(run / "image.safetensors", "image", labels)
    assert loaded.training["command"] == "wsss train test"
    assert loaded.training["val"]["miou"] == pytest.approx(scores["image"]["miou"])
    losses = [epoch["classification_2d"] for epoch in loaded.training["losses"]]
    assert len(losses) == 6 and losses[3] < 0.5 * losses[0]
    scene = StripedScene(100, labels)
    assert ImageSegmenter(run / "image.safetensors", "cpu")(scene.frame(1))[0].shape == (SIZE, SIZE)
    assert CloudSegmenter(run / "cloud.safetensors", "cpu")(scene.cloud)[0].shape == (600,)


def test_what_lies_beside_the_weights(finished):
    settings, _, _ = finished
    run = Path(settings.output)
    assert config.load(TrainConfig, run / "config.yaml") == settings
    curves = json.loads((run / "curves.json").read_text())
    assert [len(phase["epochs"]) for phase in curves] == [4, 6, 2]
    assert set(curves[2]["epochs"][0]) == {"classification_2d", "classification_3d", "image_to_point"}
    assert set(curves[2]["epochs"][1]) == set(curves[2]["epochs"][0]) | {"point_to_image"}
    data = json.loads((run / "data.json").read_text())
    assert len(data["train"]) == 12 and data["images"] == 48 and sum(data["tags"].values()) == 24
    assert data["left_out"] == [] and len(data["val"]) == 3
    git = json.loads((run / "git.json").read_text())
    assert git is None or (len(git["commit"]) == 40 and isinstance(git["dirty"], bool))
    assert not (run / "state.pt").exists()


def test_tensorboard_shows_curves_and_cams(finished):
    settings, scores, _ = finished
    events = EventAccumulator(str(Path(settings.output) / "log"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"1 classify image/classification_2d", "3 joint/point_to_image", "learning_rate/cloud"} <= scalars
    assert events.Scalars("val_miou/image")[0].value == pytest.approx(scores["image"]["miou"])
    assert len(events.Images("image/0")) >= 4 and events.Images("cloud/0")[0].height > 100


def test_a_finished_run_gives_its_scores_at_once(finished, tmp_path):
    settings, scores, _ = finished
    export = {"folder": str(tmp_path / "export"), "dtype": "float16"}
    values = {**settings.model_dump(), "save_every_s": 7.0, "export": export}
    values["data"] = {**values["data"], "workers": 3}
    began, told = time.monotonic(), []
    assert training.train(config.build(TrainConfig, values), report=told.append) == scores
    assert time.monotonic() - began < 3 and told == []
    assert checkpoint.load(tmp_path / "export" / "cloud.safetensors").training["val"] == scores["cloud"]


def test_a_run_from_before_an_option_is_the_same_run(finished, tmp_path):
    settings, scores, _ = finished
    shutil.copytree(settings.output, tmp_path / "run")
    told = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert told["image"].pop("presence_floor") == 0 and told["phases"][2].pop("correlated") == "image"
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(told))
    same = settings.model_copy(update={"output": str(tmp_path / "run")})
    assert training.train(same) == scores
    told["image"]["an_option_that_is_gone"] = 1
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(BadInput, match="image.an_option_that_is_gone"):
        training.train(same)


def test_an_output_of_another_run_is_refused(finished):
    settings, _, _ = finished
    phases = [PHASES[0], {**PHASES[1], "cloud": {**ADAM, "lr": 0.02}}, PHASES[2]]
    changed = {**settings.model_dump(), "phases": phases, "seed": 1}
    with pytest.raises(BadInput, match="another configuration: seed, phases.1.cloud.lr differ; choose another output"):
        training.train(config.build(TrainConfig, changed))


def test_runs_start_from_given_weights(finished, root, tmp_path):
    given = Path(finished[0].output)
    values = values_for(root, output=str(tmp_path / "run"), phases=[{**JOINT[0], "image": {**ADAM, "lr": 1e-12}}])
    values["image"] = {**values["image"], "weights": str(given / "image.safetensors")}
    values["cloud"] = {**values["cloud"], "weights": str(given / "cloud.safetensors")}
    # The cloud network teaches in this phase without learning: to the last bit it stays as it was.
    values["phases"][0]["cloud"] = None
    scores = training.train(config.build(TrainConfig, values))
    assert versions(tmp_path / "run")[1] == versions(given)[1]
    before, after = (checkpoint.load(run / "image.safetensors").network for run in (given, tmp_path / "run"))
    torch.testing.assert_close(before.head.weight, after.head.weight)
    assert scores["image"]["miou"] > 50
    # What the weights reached before goes on beside what they reach now.
    old, new = (checkpoint.load(run / "image.safetensors").training for run in (given, tmp_path / "run"))
    phases = {f"{name} of {old['command']}": val for name, val in old["val_by_phase"].items()}
    assert new["val_by_phase"] == {**phases, f"all of {old['command']}": old["val"]} and any(phases.values())
    values["cloud"]["options"] = {**values["cloud"]["options"], "width": 0.25}
    with pytest.raises(BadInput, match="does not fit cloud.network 'pointnet2': its options are .*0.125"):
        training.train(config.build(TrainConfig, {**values, "output": str(tmp_path / "other")}))


def test_frozen_norms_keep_their_statistics(finished, root, tmp_path):
    given, optimiser = Path(finished[0].output) / "image.safetensors", {**ADAM, "frozen_norm": True}
    phase = {"method": "classify", "epochs": 2, "batch": 4, "image": optimiser}  # with pictures of the log in between
    values = values_for(root, output=str(tmp_path / "run"), phases=[phase])
    values["image"] = {**values["image"], "weights": str(given)}
    training.train(config.build(TrainConfig, values))
    before, after = (checkpoint.load(file).network.state_dict() for file in (given, tmp_path / "run/image.safetensors"))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "running" in name} <= same
    assert not {name for name in before if "conv" in name or "bn1.weight" in name} & same


def test_what_was_added_to_averaged_scores_is_kept_for_inference(root, labels, tmp_path):
    phase = {"method": "classify", "epochs": 1, "batch": 8, "image": ADAM, "tag_prior": 0.5}
    values = values_for(root, output=str(tmp_path / "run"), phases=[phase])
    values["image"] = {**values["image"], "presence_floor": 0.25}
    training.train(config.build(TrainConfig, values))
    made = checkpoint.load(tmp_path / "run" / "image.safetensors").config
    scenes = [open_scene(folder, labels) for folder in sorted((root / "train").iterdir())]
    tags = [labels.multi_hot(scene.image_tags(index)) for scene in scenes for index in range(len(scene))]
    odds = (np.sum(tags, axis=0) + 1) / (len(tags) + 1 - np.sum(tags, axis=0))
    assert made.presence_floor == 0.25
    np.testing.assert_allclose(made.tag_log_odds, 0.5 * np.log(odds), rtol=1e-5)


def test_dense_labels_never_reach_training(root, labels, tmp_path):
    """Other dense labels under the same tags leave the trained weights as they are, bit for bit."""
    spoilt = tmp_path / "spoilt"
    written(spoilt / "train", labels, range(12), spoil_truth=True)
    written(spoilt / "val", labels, range(100, 103))
    for place in (root, spoilt):
        training.train(settings_for(place, output=str(tmp_path / place.name / "run"), phases=SHORT))
    assert versions(tmp_path / root.name / "run") == versions(tmp_path / "spoilt" / "run")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision(root, tmp_path, precision):
    settings = settings_for(root, output=str(tmp_path / "run"), precision=precision, phases=JOINT)
    assert training.train(settings)["cloud"]["count"] == 1800
    (losses,) = json.loads((tmp_path / "run/curves.json").read_text())[0]["epochs"]
    assert len(losses) == 4 and np.isfinite(list(losses.values())).all()


# --- resuming ---


def test_signals_stop_and_the_same_call_goes_on(root, tmp_path):
    """Stopped in each phase, at the end of an epoch and within one, with and without workers: the same weights."""
    whole, parts = (settings_for(root, output=str(tmp_path / name), phases=SHORT) for name in ("whole", "parts"))
    training.train(whole)
    steps, stops = [], {3: signal.SIGINT, 6: signal.SIGTERM, 8: signal.SIGINT, 10: signal.SIGTERM}

    def report(progress: Progress) -> None:
        if progress.terms:
            steps.append((progress.phase, progress.step))
            if len(steps) in stops:
                os.kill(os.getpid(), stops[len(steps)])

    for call, number in enumerate(stops.values()):
        again = parts.model_copy(update={"data": parts.data.model_copy(update={"workers": call % 2})})
        with pytest.raises(Interrupted, match=f"{number.name} after .*; the same command continues") as stopped:
            training.train(again, report=report)
        assert stopped.value.signal == number
    training.train(parts, report=report)
    assert len(steps) == len(set(steps)) == 12
    assert versions(tmp_path / "whole") == versions(tmp_path / "parts")
    assert (tmp_path / "whole/curves.json").read_text() == (tmp_path / "parts/curves.json").read_text()


@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_as_if_nothing_had_been(finished, root, tmp_path):
    """The real command, killed with -9 at any moment, given again, against a run that was never interrupted."""
    settings, _, _ = finished
    values = {**settings.model_dump(mode="json"), "output": str(tmp_path / "run"), "save_every_s": 0}
    values["data"] = {**values["data"], "workers": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "wsss_ros.cli.main", "train", str(tmp_path / "config.yaml")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    state, deadline = tmp_path / "run" / "state.pt", time.monotonic() + 400
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    process.kill()
    process.communicate()
    assert state.exists() and process.returncode == -signal.SIGKILL
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continuing after" in done.stderr and "classification_2d" in done.stdout
    assert versions(tmp_path / "run") == versions(settings.output)


def test_other_scenes_are_no_continuation(root, labels, tmp_path):
    written(tmp_path / "train", labels, range(6))
    written(tmp_path / "val", labels, [100])
    settings = settings_for(tmp_path, phases=SHORT[1:2])
    with pytest.raises(Interrupted):
        training.train(settings, report=lambda p: os.kill(os.getpid(), signal.SIGINT) if p.terms else None)
    (tmp_path / "train" / "scene3").rename(tmp_path / "scene3")
    with pytest.raises(BadInput, match=r"trained on 6 scenes, now there are 5; they differ in \['scene3'\]"):
        training.train(settings)


def test_one_process_at_a_time(root, tmp_path):
    settings = settings_for(root, output=str(tmp_path / "run"), phases=SHORT[1:2])
    code = "import sys, fcntl; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print('held', flush=True); input()"
    (tmp_path / "run").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run" / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match="another process trains into it"):
        training.train(settings)
    other.communicate("\n")


# --- several processes ---


@pytest.mark.timeout(600)
def test_two_processes_share_the_batches_of_one(root, tmp_path):
    """The ranks end with the same weights, and together they see in every step the samples that one would see."""
    for devices in (1, 2):
        values = values_for(root, output=str(tmp_path / f"run{devices}"), devices=devices, phases=JOINT)
        (tmp_path / f"{devices}.yaml").write_text(yaml.safe_dump(values))
    train_ranks.main(str(tmp_path / "1.yaml"), str(tmp_path))
    command = [sys.executable, "tests/support/train_ranks.py", str(tmp_path / "2.yaml"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, alone = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in ("0of2", "1of2", "0of1"))
    assert first["ended"] == second["ended"] != alone["ended"]
    assert len(alone["seen"]) == 3
    assert [a + b for a, b in zip(first["seen"], second["seen"], strict=True)] == alone["seen"]
    assert json.loads((tmp_path / "run2" / "scores.json").read_text())["image"]["miou"] > 0


class Numbers:
    """Samples that are their index and one random number."""

    names = [str(n) for n in range(7)]

    def __len__(self) -> int:
        return 7

    def sample(self, index: int, rng: np.random.Generator) -> dict:
        return {"cloud_tags": torch.tensor([index, rng.random()], dtype=torch.float32)}

    def collate(self, samples: list) -> dict:
        return {"cloud_tags": torch.stack([sample["cloud_tags"] for sample in samples])}


def drawn(workers: int, part: slice, **where) -> list[torch.Tensor]:
    steps = loading.plan(seed=5, phase=1, samples=7, batch=4, epochs=3, **where)
    return [batch["cloud_tags"] for batch in loading.load(Numbers(), 5, 1, steps, part, workers, pin=False)]


def test_samples_depend_on_seed_phase_epoch_and_index_only():
    whole = torch.stack(drawn(0, slice(0, 4)))
    assert whole.shape == (3, 4, 2)  # an epoch of 7 samples has one whole batch of 4
    assert torch.equal(whole, torch.stack(drawn(2, slice(0, 4))))
    assert torch.equal(whole[1:], torch.stack(drawn(0, slice(0, 4), epoch=1)))
    parts = [torch.stack(drawn(0, part)) for part in (slice(0, 2), slice(2, 4))]
    assert torch.equal(whole, torch.cat(parts, dim=1))
    assert len(np.unique(whole[..., 1])) == 12  # every epoch augments anew
    index, value = whole[2, 3].tolist()
    assert value == pytest.approx(np.random.default_rng([5, 1, 2, int(index)]).random())


# --- what goes wrong ---


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(root, tmp_path):
    phases = [{"method": "classify", "epochs": 1, "batch": 8, "image": {"lr": 1e25}}]
    settings = settings_for(root, output=str(tmp_path / "run"), save_every_s=0, phases=phases)
    steps = []
    told = r"1 classify image: .* at step \d of 6, epoch 1, samples \['scene"
    with pytest.raises(TrainingDiverged, match=told) as stopped:
        training.train(settings, report=lambda progress: steps.append(progress) if progress.terms else None)
    assert f"step {len(steps) + 1} of 6" in str(stopped.value)
    assert f"last good weights, after {len(steps)} steps, are in {tmp_path}/run/last_good/image" in str(stopped.value)
    # checkpoint.load refuses weights that are not finite.
    checkpoint.load(tmp_path / "run" / "last_good" / "image.safetensors", "image")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["position"]["total"] == len(steps)


def test_bad_scenes_are_left_out_and_named(root, labels, tmp_path, caplog):
    written(tmp_path / "train", labels, range(6))
    written(tmp_path / "val", labels, [100, 101])
    (tmp_path / "train" / "scene1" / "tags.csv").write_text("frame,tags\nscene,\n")
    for image in (tmp_path / "train" / "scene2" / "color").iterdir():
        image.write_bytes(b"")
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "val" / "scene101" / "scene101_vh_clean_2.labels.ply").write_bytes(b"ply\n")
    with caplog.at_level(logging.WARNING):
        scores = training.train(settings_for(tmp_path, phases=SHORT[1:]))
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["train"] == ["scene0", "scene3", "scene4", "scene5"]
    assert {entry["name"] for entry in data["left_out"]} == {"scene1", "scene2", "empty", "scene101"}
    assert all(f"left out: {entry['name']}: {entry['reason']}" in caplog.text for entry in data["left_out"])
    assert scores["cloud"]["count"] == 600


def test_nothing_usable_stops(root, labels, tmp_path):
    written(tmp_path / "train", labels, range(2))
    for scene in (tmp_path / "train").iterdir():
        (scene / "tags.csv").write_text("frame,tags\nscene,\n")
    with pytest.raises(BadInput, match="none of 2 scenes"):
        training.train(settings_for(tmp_path, data={"train": {"folder": str(tmp_path / "train")}}))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"phases": []}, "no phase to train"),
        ({"phases": [{"method": "classify", "epochs": 1}]}, "phases.0 trains nothing"),
        ({"image": None}, r"phases.0 \(classify\) needs the image network"),
        ({"image": None, "phases": [{**JOINT[0], "image": None}]}, r"phases.0 \(joint\) needs the image network"),
    ],
)
def test_phases_that_make_no_sense_are_refused(root, changes, words):
    with pytest.raises(BadInput, match=words):
        training.train(settings_for(root, output=str(root / "senseless"), **changes))


# --- learning rates, progress ---


def test_learning_rates_follow_their_formulas():
    poly = config.build(OptimiserConfig, {"lr": 0.01})
    steps = config.build(OptimiserConfig, {"lr": 0.003, "schedule": "steps"})
    for epoch in range(200):
        done = epoch / 200
        assert learning_rate(poly, done) == pytest.approx(0.01 * (1 - epoch / 200) ** 0.9)
        passed = (epoch >= 120) + (epoch >= 160) + (epoch >= 180)
        assert learning_rate(steps, done) == pytest.approx(0.003 * 0.1**passed)


def test_the_head_may_learn_faster():
    network = networks.build("image", "resnet", 20, {"depth": 18, "width": 0.125})
    plain, faster = (
        build(network, config.build(OptimiserConfig, ADAM | {"head_lr": factor})) for factor in (1, 10)
    )
    assert [group["factor"] for group in plain.param_groups] == [1]
    assert [group["factor"] for group in faster.param_groups] == [1, 10]
    assert set(faster.param_groups[1]["params"]) == set(network.head.parameters())
    assert sum(len(group["params"]) for group in faster.param_groups) == len(list(network.parameters()))
    settings = config.build(OptimiserConfig, {**ADAM, "lr": 0.02, "head_lr": 10})
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimisation = Optimisation(Fabric(accelerator="cpu"), scaler, {"image": network}, {"image": settings})
    assert optimisation.set_learning_rates(0.0) == {"image": 0.02}
    faster = optimisation.optimisers["image"]
    assert [group["lr"] for group in faster.param_groups] == [pytest.approx(0.02), pytest.approx(0.2)]


def test_a_phase_takes_as_many_images_of_a_cloud_as_it_is_told(root, tmp_path, monkeypatch):
    seen, losses = [], Joint.losses
    monkeypatch.setattr(Joint, "losses", lambda self, batch: (seen.append(batch), losses(self, batch))[1])
    phases = [{**JOINT[0], "epochs": 1, "images_per_cloud": 3}]
    training.train(config.build(TrainConfig, values_for(root, output=str(tmp_path / "run"), phases=phases)))
    assert seen and all(len(batch.images) == 3 * len(batch.xyz) == len(batch.links_count) for batch in seen)


def test_optimisers_are_what_they_are_called():
    network = torch.nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    sgd = build(network, config.build(OptimiserConfig, {"lr": 0.01, "weight_decay": 5e-4}))
    adam = build(network, config.build(OptimiserConfig, ADAM))
    assert isinstance(sgd, torch.optim.SGD) and isinstance(adam, torch.optim.AdamW)
    group = sgd.param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)
    assert [parameter is network.weight for parameter in group["params"]] == [True]


def test_progress_in_a_log_comes_now_and_then(capsys):
    from rich.console import Console

    lines = _Lines(Console(), seconds=3600)
    for step in range(1, 101):
        lines(Progress("3 joint", step, 100, {"classification_2d": 0.25}, 1 + step // 51, 2))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and told[0] == "3 joint: step 1 of 100, epoch 1 of 2 classification_2d 0.250"
    assert told[1].startswith("3 joint: step 100 of 100, epoch 2 of 2, 0:00:00 left")
