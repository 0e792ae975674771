"""Runs that draw from several sources by weight: scenes, one posed scene, photographs."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from support.photo_folders import write_photos
from support.striped_scenes import written
from support.training_runs import ADAM, GENTLE, values_for

from wsss_ros import config
from wsss_ros.methods.classify import Classify
from wsss_ros.methods.joint import Joint
from wsss_ros.networks import checkpoint
from wsss_ros.processes.signals import Interrupted
from wsss_ros.training import run as training
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import DataConfig
from wsss_ros.types import BadInput

IMAGES = {"method": "classify", "epochs": 3, "batch": 8, "image": ADAM, "tag_prior": 0.75}
JOINT = {"method": "joint", "epochs": 2, "batch": 2, "image": GENTLE, "cloud": GENTLE, "photos_per_cloud": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory, labels) -> Path:
    place = tmp_path_factory.mktemp("sources")
    written(place / "rooms", labels, range(3))
    written(place / "alone", labels, [7])
    write_photos(place / "pictures")
    return place


def sources(place: Path) -> list[dict]:
    return [
        {"path": str(place / "rooms"), "weight": 2},
        {"path": str(place / "pictures"), "split": "train", "squeezed": "kitchen/*"},
        {"path": str(place / "alone/scene7"), "frames_per_scene": 2},
    ]


def settings_on(place: Path, output: Path, given: list[dict] | None = None, **changes) -> TrainConfig:
    values = values_for(place, output=str(output), phases=[IMAGES], **changes)
    values["data"] = {"sources": given or sources(place), "frames_per_scene": 0, "cache": str(place / "cache")}
    return config.build(TrainConfig, values)


def test_steps_draw_from_all_sources_and_data_json_names_them(place, labels, tmp_path, monkeypatch):
    drawn, losses = [], Classify.losses
    monkeypatch.setattr(Classify, "losses", lambda self, batch: (drawn.append(batch), losses(self, batch))[1])
    training.train(settings_on(place, tmp_path / "run"))
    assert len(drawn) == 6  # 12 + 3 + 2 images: two batches of 8 in each of three epochs
    assert all(torch.bincount(batch.image_source).tolist() == [4, 2, 2] for batch in drawn)
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["train"] == ["scene0", "scene1", "scene2", "scene7"] and data["images"] == 17
    about = [(source["name"], source["weight"], source["scenes"], source["images"]) for source in data["sources"]]
    assert about == [("rooms", 2, 3, 12), ("pictures", 1, 0, 3), ("scene7", 1, 1, 2)]
    assert data["sources"][1]["image_tags"] == {"wall": 2, "floor": 1, "sofa": 1, "counter": 1}
    assert data["sources"][1]["photographs"] == ["kitchen/a", "kitchen/b", "living/c"]
    assert Path(data["sources"][2]["path"]) == place / "alone/scene7" and data["left_out"] == []


def test_photographs_join_the_joint_phase(place, tmp_path, monkeypatch):
    seen, losses = [], Joint.losses
    monkeypatch.setattr(Joint, "losses", lambda self, batch: (seen.append(batch), losses(self, batch))[1])
    run = settings_on(place, tmp_path / "run")
    phases = config.build(TrainConfig, {**run.model_dump(), "phases": [JOINT]}).phases
    training.train(run.model_copy(update={"phases": phases}))
    assert len(seen) == 4 and all(len(batch.images) == 2 and len(batch.photos.images) == 4 for batch in seen)
    assert Counter(int(source) for batch in seen for source in batch.cloud_source).keys() == {0, 2}
    assert {int(source) for batch in seen for source in batch.photos.image_source} == {1}
    (curve,) = json.loads((tmp_path / "run" / "curves.json").read_text())
    assert set(curve["epochs"][0]) == {"classification_2d", "classification_3d", "image_to_point", "point_to_image"}


def test_an_interrupted_run_reaches_the_same_weights(place, tmp_path):
    whole = settings_on(place, tmp_path / "whole", save_every_s=0)
    training.train(whole)
    parts = whole.model_copy(update={"output": str(tmp_path / "parts")})
    counted = Counter()

    def stop(progress) -> None:
        counted["steps"] += bool(progress.terms)
        if progress.terms and counted["steps"] == 3:  # in the second epoch
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        training.train(parts, report=stop)
    training.train(parts)
    ended = [checkpoint.load(tmp_path / name / "image.safetensors").version for name in ("whole", "parts")]
    assert ended[0] == ended[1]


def test_one_source_is_the_same_run_as_train(place, tmp_path):
    one = settings_on(place, tmp_path / "one", [{"path": str(place / "rooms"), "weight": 5}])
    train = {**one.data.model_dump(), "sources": [], "train": {"folder": str(place / "rooms")}}
    other = one.model_copy(update={"data": config.build(DataConfig, train), "output": str(tmp_path / "other")})
    training.train(one)
    training.train(other)
    ended = [checkpoint.load(tmp_path / name / "image.safetensors").version for name in ("one", "other")]
    assert ended[0] == ended[1]


def test_the_mixed_tag_prior_goes_with_the_weights(place, labels, tmp_path):
    settings = settings_on(place, tmp_path / "run")
    settings = settings.model_copy(update={"image": settings.image.model_copy(update={"presence_floor": 0.1})})
    training.train(settings)
    odds = checkpoint.load(tmp_path / "run" / "image.safetensors").config.tag_log_odds
    counter, striped = labels.index("counter"), [(0 + 1) / 14, (0 + 1) / 4]  # of 12 and of 2 images, none has a counter
    frequency = 0.5 * striped[0] + 0.25 * (1 + 1) / (3 + 2) + 0.25 * striped[1]
    assert odds[counter] == pytest.approx(0.75 * np.log(frequency / (1 - frequency)), rel=1e-5)


def test_what_is_left_out_is_listed_with_its_source(place, labels, tmp_path):
    pictures = write_photos(tmp_path / "broken")
    (pictures / "d.png").write_bytes(b"no picture")
    (pictures / "living" / "c.PNG").unlink()
    training.train(settings_on(place, tmp_path / "run", [{"path": str(place / "rooms")}, {"path": str(pictures)}]))
    left_out = json.loads((tmp_path / "run" / "data.json").read_text())["left_out"]
    assert [entry["name"] for entry in left_out] == ["broken: living/c", "broken: d"]
    assert "no picture 'living/c'" in left_out[0]["reason"] and "cannot be decoded" in left_out[1]["reason"]


@pytest.mark.parametrize(
    "source, fault",
    [
        ({"path": "nowhere"}, "data.sources.1: .*nowhere"),
        ({"path": "pictures", "split": "test"}, "data.sources.1: .* no row with split 'test'"),
        ({"path": "pictures", "frames_per_scene": 3}, "photographs, to which 'frames_per_scene' does not apply"),
        ({"path": "rooms", "squeezed": "a*"}, "scenes, to which 'squeezed' does not apply; remove this key"),
        ({"path": "rooms", "include": "kitchen*"}, "none of 3 scenes has a name like 'kitchen\\*'"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(place, tmp_path, source, fault):
    given = [sources(place)[0], {**source, "path": str(place / source["path"])}]
    with pytest.raises(BadInput, match=fault):
        training.train(settings_on(place, tmp_path / "run", given))


def test_scenes_can_be_chosen_by_name(place, tmp_path):
    training.train(settings_on(place, tmp_path / "run", [{"path": str(place / "rooms"), "include": "scene[02]"}]))
    assert json.loads((tmp_path / "run" / "data.json").read_text())["train"] == ["scene0", "scene2"]


def test_a_phase_without_its_kind_of_source_is_refused(place, tmp_path):
    alone = settings_on(place, tmp_path / "run", [sources(place)[1], {**sources(place)[1], "split": "val"}])
    joint = config.build(TrainConfig, {**alone.model_dump(), "phases": [JOINT]})
    with pytest.raises(BadInput, match="none of the sources pictures, pictures has posed scenes; add such a source"):
        training.train(joint)
    clouds = {"method": "classify", "epochs": 1, "batch": 2, "cloud": ADAM}
    only = settings_on(place, tmp_path / "run", [sources(place)[1]])
    with pytest.raises(BadInput, match="none of the sources pictures has posed scenes"):
        training.train(config.build(TrainConfig, {**only.model_dump(), "phases": [clouds]}))
    weak = settings_on(place, tmp_path / "run", [sources(place)[0]])
    with pytest.raises(BadInput, match="none of the sources rooms has 'dense: true' and dense labels"):
        training.train(config.build(TrainConfig, {**weak.model_dump(), "phases": [{**clouds, "method": "supervised"}]}))
    posed = settings_on(place, tmp_path / "run", [sources(place)[0], sources(place)[2]])
    with pytest.raises(BadInput, match="photos_per_cloud: no source has photographs"):
        training.train(config.build(TrainConfig, {**posed.model_dump(), "phases": [JOINT]}))


@pytest.mark.parametrize("values", [{}, {"train": {"folder": "a"}, "sources": [{"path": "b"}]}])
def test_either_train_or_sources(values):
    with pytest.raises(BadInput, match="expected either 'train', one folder of scenes, or 'sources', a list of them"):
        config.build(DataConfig, values)


def test_photographs_are_scored_after_training(place, labels, tmp_path):
    settings = settings_on(place, tmp_path / "run")
    given = [{"path": str(place / "pictures"), "include": "kitchen/*", "split": "", "ignore": ["sink"]}]
    values = {**settings.data.model_dump(), "val_photos": given}
    settings = settings.model_copy(update={"data": config.build(DataConfig, values)})
    reported = []
    training.train(settings, report=reported.append)
    scores = json.loads((tmp_path / "run" / "photos.json").read_text())
    assert scores.keys() == {"pictures/kitchen/*"} and scores["pictures/kitchen/*"]["photographs"] == 2
    tags = scores["pictures/kitchen/*"]["tags"]
    assert tags["ap"]["wall"] is None and 50 <= tags["ap"]["floor"] <= 100 and "sink" not in tags["ap"]
    assert checkpoint.load(tmp_path / "run" / "image.safetensors").training["val_photos"] == scores
    assert [(p.step, p.steps) for p in reported if p.phase == "score pictures/kitchen/*"] == [(1, 2), (2, 2)]
    assert json.loads((tmp_path / "run" / "data.json").read_text())["val_photos"] == {"pictures/kitchen/*": 2}
    wrong = config.build(DataConfig, {**values, "val_photos": [{**given[0], "ignore": ["bench"]}]})
    other = settings.model_copy(update={"data": wrong, "output": str(tmp_path / "other")})
    with pytest.raises(BadInput, match="'bench' is not a class"):
        training.train(other)
    twice = [given[0], {**given[0], "split": "val"}]
    with pytest.raises(BadInput, match="2 are named 'pictures/kitchen/\\*' in scores; give each another 'include'"):
        config.build(DataConfig, {**values, "val_photos": twice})
