"""The training loop and phase one, on scenes small enough to learn in seconds."""

import json

import pytest
import torch
from striped_scenes import SIZE, StripedScene, written

from wsss_ros import checkpoint, config, training
from wsss_ros.config import ClassifyConfig, ImageTraining
from wsss_ros.data.samples import Batch, CloudSamples, ImageSamples
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.types import BadInput


def settings_for(tmp_path, **changes) -> ClassifyConfig:
    optimiser = {"name": "adam", "lr": 0.01}
    values = {
        "output": str(tmp_path / "run"),
        "device": "cpu",
        "data": {
            "train": {"folder": str(tmp_path / "train")},
            "val": {"folder": str(tmp_path / "val")},
            "frames_per_scene": 0,
        },
        "image": {
            "options": {"width": 0.125},
            "epochs": 6,
            "batch": 8,
            "long_side": 0,
            "optimiser": optimiser,
            "augment": {"long_side": [32, 40], "crop": 32, "jitter": [0.1, 0.1, 0.1, 0]},
        },
        "point": {
            "options": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]},
            "epochs": 6,
            "batch": 4,
            "optimiser": optimiser,
            "augment": {"points": 256},
        },
        **changes,
    }
    return config.build(ClassifyConfig, values)


@pytest.fixture
def scenes(tmp_path, labels):
    written(tmp_path / "train", labels, range(12))
    written(tmp_path / "val", labels, range(100, 103))
    return tmp_path


def test_phase_one_learns_where_from_what(scenes, labels):
    """From tags alone both networks find out which colour is which class, and their files work at inference."""
    steps = []
    scores = training.train_classifiers(settings_for(scenes), "wsss train test", steps.append)
    run = scenes / "run"
    assert json.loads((run / "point_scores.json").read_text())["miou"] == scores["point"]["miou"]
    assert scores["image"]["miou"] > 60 and scores["point"]["miou"] > 60
    assert {step.phase for step in steps} == {"image", "point"} and steps[-1].step == steps[-1].steps
    loaded = checkpoint.load(run / "image.safetensors", "image", labels)
    assert loaded.training["command"] == "wsss train test"
    assert loaded.training["val"]["miou"] == pytest.approx(scores["image"]["miou"])
    losses = [epoch["classification_2d"] for epoch in loaded.training["losses"]]
    assert losses[-1] < 0.5 * losses[0]
    scene = StripedScene(100, labels)
    assert ImageSegmenter(run / "image.safetensors", "cpu")(scene.frame(1))[0].shape == (SIZE, SIZE)
    assert CloudSegmenter(run / "point.safetensors", "cpu")(scene.cloud)[0].shape == (600,)
    assert config.load(ClassifyConfig, run / "config.yaml") == settings_for(scenes)


def test_dense_labels_never_reach_training(scenes, labels, tmp_path):
    """Other dense labels under the same tags leave the trained weights as they are, bit for bit."""
    spoilt = tmp_path / "spoilt"
    written(spoilt / "train", labels, range(12), spoil_truth=True)
    written(spoilt / "val", labels, range(100, 103))
    for root in (scenes, spoilt):
        settings = settings_for(root, image={**settings_for(root).image.model_dump(), "epochs": 1})
        settings = settings.model_copy(update={"point": settings.point.model_copy(update={"epochs": 1})})
        training.train_classifiers(settings)
    for kind in ("image", "point"):
        versions = [checkpoint.load(root / "run" / f"{kind}.safetensors").version for root in (scenes, spoilt)]
        assert versions[0] == versions[1]


class Exploding:
    """A method whose loss turns NaN at its third step."""

    def __init__(self):
        self.networks = {"image": torch.nn.Linear(1, 1)}
        self.steps = 0

    def prepare(self, scenes) -> None:
        pass

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        self.steps += 1
        value = self.networks["image"].weight.sum()
        return {"loss": value * (float("nan") if self.steps == 3 else 1)}

    def after_step(self) -> None:
        pass


def test_a_loss_that_is_not_finite_stops_with_step_and_samples(labels):
    phase = config.build(ImageTraining, {"epochs": 5, "batch": 4, "optimiser": {"lr": 0.1}, "augment": {"crop": 32}})
    samples = ImageSamples([StripedScene(0, labels)], labels, 0)
    with pytest.raises(training.TrainingDiverged, match=r"step 2 of 5, samples \["):
        training.run_phase("image", Exploding(), [], samples, phase, 0, torch.device("cpu"))


def test_learning_rate_schedules():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1)
    poly = config.build(config.OptimiserConfig, {"lr": 0.01})
    steps = config.build(config.OptimiserConfig, {"lr": 0.01, "schedule": "steps"})
    rates = []
    for settings, done in ((poly, 0.0), (poly, 0.5), (steps, 0.59), (steps, 0.6), (steps, 0.95)):
        training.set_learning_rate(optimiser, settings, done)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.01 * 0.5**0.9, 0.01, 0.001, 0.00001])


def test_scenes_without_tags_are_refused(labels):
    class Untagged(StripedScene):
        tags = None

        def image_tags(self, index: int):
            return None

    scene = Untagged(0, labels)
    with pytest.raises(BadInput, match="no tagged image in 1 scenes"):
        ImageSamples([scene], labels, 0)
    with pytest.raises(BadInput, match="no tagged cloud in 1 scenes"):
        CloudSamples([scene], labels)


def test_untagged_images_are_counted(labels):
    scene = StripedScene(0, labels)
    scene.image_tags = lambda index: ("wall",) if index else ()
    samples = ImageSamples([scene], labels, 0)
    assert (len(samples), samples.untagged) == (3, 1)


def test_an_empty_folder_says_how_to_fill_it(tmp_path, labels):
    with pytest.raises(BadInput, match="wsss rooms"):
        training.open_scenes(tmp_path, labels)
