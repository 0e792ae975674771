"""What goes wrong in a run: losses that are not finite, bad scenes, phases that make no sense."""

import json
import logging

import pytest
import torch
from support.striped_scenes import written
from support.training_runs import JOINT, SHORT, settings_for

from wsss_ros.networks import checkpoint
from wsss_ros.training import run as training
from wsss_ros.training.phase import TrainingDiverged
from wsss_ros.types import BadInput


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
