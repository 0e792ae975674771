"""The weights that ship: small, complete, and honest about where they come from."""

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

RECIPES = {"image": "config/weights_refine.yaml", "cloud": "config/weights_cloud.yaml"}


def test_they_are_small_enough_to_ship():
    assert sum(shipped_weights(kind).stat().st_size for kind in KINDS) <= 16_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_they_say_how_they_were_made(kind, labels):
    training = checkpoint.load(shipped_weights(kind), kind, labels).training
    assert training["command"].startswith(f"wsss train {RECIPES[kind]}")
    assert 0 < training["val"]["miou"] < 100 and training["val"]["count"] > 1_000_000
    recipe = config.load(TrainConfig, config.share(RECIPES[kind])).model_dump(mode="json")
    asked = config.build(TrainConfig, training["config"]).model_dump(mode="json")
    for part in ("data", "image", "cloud", "phases"):
        assert asked[part] == recipe[part]


@pytest.mark.parametrize("kind", KINDS)
def test_they_learned_from_free_material_only_and_not_from_what_they_are_scored_on(kind):
    data = checkpoint.load(shipped_weights(kind), kind).training["config"]["data"]
    real = {source["path"]: source for source in data["sources"] if source["rooms"] is None}
    assert set(real) == ({"../shared/data/homes", "../shared/data/office"} if kind == "image" else set())
    if homes := real.get("../shared/data/homes"):
        assert (homes["include"], homes["split"]) == ("free/*", "train")
    assert not any(source["dense"] for source in real.values()), "no labelled pixel of a real picture"
    sets = [source["rooms"] for source in data["sources"] if source["rooms"]] + [data["val"]["rooms"]]
    *train, val = [range(rooms["seed"], rooms["seed"] + rooms["scenes"]) for rooms in sets]
    assert all(not set(rooms) & set(val) for rooms in train)


def test_they_see_real_pictures():
    """Scores on photographs that the training noted; weights that never saw a real picture reach 5.4."""
    training = checkpoint.load(shipped_weights("image"), "image").training
    assert training["val_photos"]["photos"]["any"]["miou"] > 20
    assert training["val_photos"]["homes"]["tags"]["map"] > 70
    phases = [val["miou"] for val in training["val_by_phase"].values() if val]
    assert training["val"]["miou"] > phases[0] + 5, "what the labels of simulated rooms and the pseudo-labels are for"


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
