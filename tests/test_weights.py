"""The weights that ship: small, complete, and honest about where they come from."""

import json

import numpy as np
import pytest

from wsss_ros import config
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.inference import CloudSegmenter, ImageSegmenter, shipped_weights
from wsss_ros.networks import checkpoint
from wsss_ros.rooms.generator import generate_room
from wsss_ros.scenes import scannet
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import KINDS


def test_they_are_small_enough_to_ship():
    assert sum(shipped_weights(kind).stat().st_size for kind in KINDS) <= 8_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_they_say_how_they_were_made(kind, labels):
    shipped = checkpoint.load(shipped_weights(kind), kind, labels)
    training = shipped.training
    assert training["command"].startswith("wsss train config/refine_rooms.yaml")
    seeds = {part: training["config"]["data"][part]["rooms"] for part in ("train", "val")}
    ranges = [range(part["seed"], part["seed"] + part["scenes"]) for part in seeds.values()]
    assert not set(ranges[0]) & set(ranges[1])
    assert 0 < training["val"]["miou"] < 100 and training["val"]["count"] > 1_000_000
    assert training["config"]["phases"][-1]["method"] == "joint"
    recipe = config.load(TrainConfig, config.share("config/refine_rooms.yaml")).model_dump(mode="json")
    text = json.dumps(training["config"]).replace("point.safetensors", "cloud.safetensors")  # the file's previous name
    asked = config.build(TrainConfig, json.loads(text)).model_dump(mode="json")
    parts = ("image", "cloud", "phases")
    assert {name: asked[name] for name in parts} == {name: recipe[name] for name in parts}


@pytest.mark.parametrize("kind, loss", [("image", "classification_2d"), ("cloud", "image_to_point")])
def test_they_learned_and_the_joint_phase_did_not_harm(kind, loss):
    """The cloud network was next to nothing after phase one, as in the paper."""
    training = checkpoint.load(shipped_weights(kind), kind).training
    curve = [epoch[loss] for epoch in training["losses"] if loss in epoch]
    assert curve[-1] < curve[0]
    before, *_ = [val["miou"] for val in training["val_by_phase"].values() if val]
    after = training["val"]["miou"]
    assert after > 2 * before if kind == "cloud" else after > before - 0.5


@pytest.fixture(scope="module")
def unseen_room(tmp_path_factory, labels):
    folder = generate_room(tmp_path_factory.mktemp("rooms"), 424243, "bedroom", frames=8)
    return scannet.ScanNetScene(folder, labels)


@pytest.mark.slow
def test_they_see_more_than_one_class_in_an_unseen_room(unseen_room, labels):
    """One class everywhere, or labels at random (5 % right), would be a sign of weights loaded wrongly."""
    image, cloud = ImageSegmenter(device="cpu"), CloudSegmenter(device="cpu")
    matrix, found = ConfusionMatrix(labels), set()
    for index in range(len(unseen_room)):
        predicted = image(unseen_room.frame(index))[0]
        found |= set(np.unique(predicted).tolist())
        matrix.update(predicted, unseen_room.frame_truth(index))
    assert len(found) > 2
    assert matrix.compute()["accuracy"] > 20
    assert len(np.unique(cloud(unseen_room.cloud)[0])) > 1
