"""The training loop and phase one, on scenes small enough to learn in seconds."""

import json

import numpy as np
import pytest
import torch

from wsss_ros import checkpoint, config, training
from wsss_ros.config import ClassifyConfig, ImageTraining
from wsss_ros.data import scannet
from wsss_ros.data.samples import Batch, CloudSamples, ImageSamples
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.types import BadInput, Camera, Cloud, Frame

SIZE = 32
CAMERA = Camera(30, 30, 15.5, 15.5, SIZE, SIZE)


class StripedScene:
    """Left half of every image and of the cloud is one class, right half another, told apart by colour."""

    COLORS = {"wall": (220, 30, 30), "floor": (30, 220, 30), "bed": (30, 30, 220)}
    world_up = (0.0, 0.0, 1.0)

    def __init__(self, seed: int, labels):
        rng = np.random.default_rng(seed)
        self.name, self.labels = f"scene{seed}", labels
        self.pair = [list(self.COLORS)[i] for i in rng.choice(3, 2, replace=False)]
        self.rng_seed = seed

    def __len__(self) -> int:
        return 4

    @property
    def tags(self):
        return tuple(self.pair)

    def image_tags(self, index: int):
        return tuple(self.pair) if index % 2 else (self.pair[0],)

    def _paint(self, left: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        base = np.where(left[..., None], self.COLORS[self.pair[0]], self.COLORS[self.pair[1]])
        return np.clip(base + noise.normal(0, 10, base.shape), 0, 255).astype(np.uint8)

    def _left(self, index: int) -> np.ndarray:
        return np.broadcast_to(np.arange(SIZE) < (SIZE // 2 if index % 2 else SIZE), (SIZE, SIZE))

    def frame(self, index: int) -> Frame:
        rgb = self._paint(self._left(index), np.random.default_rng([self.rng_seed, index]))
        depth = np.full((SIZE, SIZE), 1.5, np.float32)
        return Frame(rgb, CAMERA, depth, np.eye(4), stamp_ns=index + 1, name=str(index))

    def frame_truth(self, index: int) -> np.ndarray:
        first, second = (self.labels.index(name) for name in self.pair)
        return np.where(self._left(index), first, second).astype(np.uint8)

    @property
    def cloud(self) -> Cloud:
        rng = np.random.default_rng([self.rng_seed, 99])
        xyz = rng.random((600, 3), np.float32)
        return Cloud(xyz, self._paint(xyz[:, 0] < 0.5, rng))

    def cloud_truth(self) -> np.ndarray:
        first, second = (self.labels.index(name) for name in self.pair)
        return np.where(self.cloud.xyz[:, 0] < 0.5, first, second).astype(np.uint8)


def written(folder, labels, seeds, spoil_truth: bool = False) -> None:
    """The scenes in ScanNet's layout with tags.csv; ``spoil_truth`` writes other dense labels, same tags."""
    for seed in seeds:
        scene = StripedScene(seed, labels)
        truths = [scene.frame_truth(i) for i in range(4)]
        points = scene.cloud_truth()
        if spoil_truth:
            truths, points = [np.full_like(t, 7) for t in truths], np.full_like(points, 7)
        scannet.write_scene(
            folder / scene.name,
            labels=labels,
            xyz=scene.cloud.xyz,
            rgb=scene.cloud.rgb,
            point_labels=points,
            instances=np.full(600, -1, np.int32),
            frames=((scene.frame(i), truths[i]) for i in range(4)),
        )
        rows = ["frame,tags", f'scene,"{", ".join(scene.tags)}"']
        rows += [f'{i},"{", ".join(scene.image_tags(i))}"' for i in range(4)]
        (folder / scene.name / "tags.csv").write_text("\n".join(rows) + "\n")


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
    assert json.loads((run / "scores.json").read_text()).keys() == {"image", "point"}
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
    scene = StripedScene(0, labels)
    scene.image_tags = lambda index: None
    with pytest.raises(BadInput, match="no tagged image in 1 scenes"):
        ImageSamples([scene], labels, 0)
    scene.pair = []
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
