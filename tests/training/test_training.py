"""What comes out of a training run: what it learned, and the files that it leaves."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.striped_scenes import SIZE, StripedScene, written
from support.training_runs import ADAM, JOINT, PHASES, SHORT, settings_for, values_for, versions
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wsss_ros import config
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.methods.joint import Joint
from wsss_ros.networks import checkpoint
from wsss_ros.scenes import open_scene
from wsss_ros.training import run as training
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput


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


def test_a_run_calibrates_its_networks_on_its_val_scenes(root):
    plain, calibrated = (settings_for(root, output=str(root / name), phases=SHORT[:2], calibrate=name == "calibrated")
                         for name in ("plain", "calibrated"))  # fmt: skip
    assert training.train(plain) == training.train(calibrated)
    for kind in ("image", "cloud"):
        before, after = (checkpoint.load(Path(s.output) / f"{kind}.safetensors") for s in (plain, calibrated))
        report = json.loads((Path(calibrated.output) / f"calibration_{kind}.json").read_text())
        assert after.config.temperature == report["temperature"] != before.config.temperature == 1.0
        assert after.config.min_confidence == report["min_confidence"] and before.config.min_confidence == 0.0
        assert report["after"]["nll"] < report["before"]["nll"] and after.version != before.version
    assert not list(Path(plain.output).glob("calibration*"))


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


def test_a_minkunet_learns_and_labels_clouds(root, labels, tmp_path):
    options = {"planes": [8] * 8, "blocks": [1] * 8, "stem": 8, "stem_kernel": 3, "voxel_m": 0.1}
    phase = {**PHASES[1], "method": "supervised", "epochs": 25}
    values = values_for(root, output=str(tmp_path / "run"), phases=[phase])
    values["cloud"] = {"network": "minkunet", "options": options, "augment": {"points": 256}}
    values["data"]["sources"] = [{"path": values["data"].pop("train")["folder"], "dense": True}]
    assert training.train(config.build(TrainConfig, values))["cloud"]["miou"] > 60
    segmenter = CloudSegmenter(tmp_path / "run/cloud.safetensors", "cpu", labels=labels)
    assert segmenter.config.name == "minkunet" and segmenter.config.points == 256
    assert segmenter(StripedScene(100, labels).cloud)[0].shape == (600,)


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


def test_a_phase_takes_as_many_images_of_a_cloud_as_it_is_told(root, tmp_path, monkeypatch):
    seen, losses = [], Joint.losses
    monkeypatch.setattr(Joint, "losses", lambda self, batch: (seen.append(batch), losses(self, batch))[1])
    phases = [{**JOINT[0], "epochs": 1, "images_per_cloud": 3}]
    training.train(config.build(TrainConfig, values_for(root, output=str(tmp_path / "run"), phases=phases)))
    assert seen and all(len(batch.images) == 3 * len(batch.xyz) == len(batch.links_count) for batch in seen)
