"""The training loop, and phase one of the paper from a configuration to two checkpoints."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import yaml

from wsss_ros import checkpoint, networks
from wsss_ros.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.config import ClassifyConfig, ImageTraining, OptimiserConfig, PointTraining
from wsss_ros.data import open_scene
from wsss_ros.data.samples import Batch, CloudSamples, ImageSamples, spread
from wsss_ros.inference import CloudSegmenter, ImageSegmenter, device_named
from wsss_ros.labels import LabelSpace, named
from wsss_ros.methods.classify import Classify
from wsss_ros.methods.method import Method
from wsss_ros.metrics import ConfusionMatrix
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")


class TrainingDiverged(RuntimeError):
    """A loss that is not finite. The message names the step and the samples of its batch."""


@runtime_checkable
class Samples(Protocol):
    def __len__(self) -> int: ...

    def batch(self, chosen: Sequence[int] | np.ndarray, rng: np.random.Generator, settings) -> Batch: ...


@dataclass(frozen=True)
class Progress:
    """One step done. ``terms`` are the losses by name."""

    phase: str
    step: int
    steps: int
    terms: dict[str, float]


def run_phase(
    name: str,
    method: Method,
    scenes: Sequence[Scene],
    samples: Samples,
    phase: ImageTraining | PointTraining,
    seed: int,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
) -> list[dict[str, float]]:
    """Train ``method`` for ``phase.epochs`` passes over ``samples`` of ``scenes``; the mean losses of each epoch.

    Order and augmentation depend on ``seed`` alone. Raises TrainingDiverged on a loss that is not finite.
    """
    rng = np.random.default_rng(seed)
    batch_size = min(phase.batch, len(samples))
    steps_per_epoch = len(samples) // batch_size
    steps = phase.epochs * steps_per_epoch
    optimiser = build_optimiser(method, phase.optimiser)
    step, curve = 0, []
    for network in method.networks.values():
        network.to(device).train()
    for _ in range(phase.epochs):
        method.prepare(scenes)
        order = rng.permutation(len(samples))
        sums: dict[str, float] = {}
        for start in range(0, steps_per_epoch * batch_size, batch_size):
            chosen = order[start : start + batch_size]
            set_learning_rate(optimiser, phase.optimiser, step / steps)
            losses = method.losses(samples.batch(chosen, rng, phase.augment).to(device))
            total = sum(losses.values())
            if not torch.isfinite(total):
                raise TrainingDiverged(f"{name}: loss {losses} at step {step} of {steps}, samples {chosen.tolist()}")
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            optimiser.step()
            method.after_step()
            step += 1
            terms = {key: float(value.detach()) for key, value in losses.items()}
            sums = {key: sums.get(key, 0.0) + value for key, value in terms.items()}
            report(Progress(name, step, steps, terms))
        curve.append({key: value / steps_per_epoch for key, value in sums.items()})
    return curve


def build_optimiser(method: Method, settings: OptimiserConfig) -> torch.optim.Optimizer:
    parameters = [p for network in method.networks.values() for p in network.parameters() if p.requires_grad]
    if settings.name == "adam":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=True
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, settings: OptimiserConfig, done: float) -> None:
    """``done`` is the share of training behind us, 0..1."""
    if settings.schedule == "poly":
        factor = (1 - done) ** settings.power
    else:
        factor = 0.1 ** sum(done >= milestone for milestone in settings.milestones)
    for group in optimiser.param_groups:
        group["lr"] = settings.lr * factor


def score_images(
    segmenter: ImageSegmenter, scenes: Sequence[Scene], labels: LabelSpace, frames_per_scene: int
) -> ConfusionMatrix:
    """One confusion matrix over frames spread evenly over each scene."""
    matrix = ConfusionMatrix(labels)
    for scene in scenes:
        for index in spread(len(scene), frames_per_scene):
            matrix.update(segmenter(scene.frame(index))[0], _truth(scene, scene.frame_truth(index)))
    return matrix


def score_clouds(segmenter: CloudSegmenter, scenes: Sequence[Scene], labels: LabelSpace) -> ConfusionMatrix:
    """One confusion matrix over every point of every scene."""
    matrix = ConfusionMatrix(labels)
    for scene in scenes:
        if scene.cloud is None:
            raise BadInput(f"{scene.name}: has no cloud to score; give scenes in ScanNet's layout")
        matrix.update(segmenter(scene.cloud)[0], _truth(scene, scene.cloud_truth()))
    return matrix


def _truth(scene: Scene, truth: np.ndarray | None) -> np.ndarray:
    if truth is None:
        raise BadInput(f"{scene.name}: has no dense truth to score against; give labelled scenes for 'val'")
    return truth


def open_scenes(folder: str | Path, labels: LabelSpace) -> list[Scene]:
    """Every scene folder below ``folder``, sorted by name. Raises BadInput when there is none."""
    folder = Path(folder)
    scenes = [open_scene(path, labels) for path in sorted(folder.glob("*")) if path.is_dir() and path.name[0] != "."]
    if not scenes:
        raise BadInput(f"{folder}: holds no scene folder; generate some with 'wsss rooms {folder} --scenes 100'")
    return scenes


def train_classifiers(
    settings: ClassifyConfig,
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict:
    """Phase one of the paper: image and point network, each alone, and their scores on the val scenes.

    Writes ``image.safetensors`` and ``point.safetensors``, the resolved configuration and the scores to
    ``settings.output`` and, where asked for, the weights to ``settings.export``. Returns the scores by network.
    """
    labels = named(settings.labels)
    train = open_scenes(settings.data.train.folder, labels)
    val = open_scenes(settings.data.val.folder, labels)
    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    scores = {}
    if settings.image is not None:
        scores["image"] = _train_images(settings, settings.image, labels, train, val, command, report)
    if settings.point is not None:
        scores["point"] = _train_clouds(settings, settings.point, labels, train, val, command, report)
    for kind, score in scores.items():
        (output / f"{kind}_scores.json").write_text(json.dumps(score, indent=1))
    return scores


def _train_images(
    settings: ClassifyConfig,
    image: ImageTraining,
    labels: LabelSpace,
    train: Sequence[Scene],
    val: Sequence[Scene],
    command: str,
    report: Callable[[Progress], None],
) -> dict:
    torch.manual_seed(settings.seed)
    network = networks.build("image", image.network, len(labels), image.options)
    network = network.to(memory_format=torch.channels_last)
    samples = ImageSamples(train, labels, settings.data.frames_per_scene, image.augment.long_side[1])
    method = Classify({"image": network})
    curve = run_phase("image", method, train, samples, image, settings.seed, device_named(settings.device), report)
    config = NetworkConfig("image", image.network, {**image.options, **image.inference_options}, (), image.long_side)
    trained = _rebuilt(network, config, labels)
    segmenter = ImageSegmenter(trained, settings.device)
    matrix = score_images(segmenter, val, labels, settings.data.val_frames_per_scene)
    return _finish(settings, "image", trained, matrix, curve, len(samples), command)


def _train_clouds(
    settings: ClassifyConfig,
    point: PointTraining,
    labels: LabelSpace,
    train: Sequence[Scene],
    val: Sequence[Scene],
    command: str,
    report: Callable[[Progress], None],
) -> dict:
    torch.manual_seed(settings.seed)
    network = networks.build("point", point.network, len(labels), point.options, point.inputs)
    samples = CloudSamples(train, labels)
    method = Classify({"point": network}, point.inputs)
    curve = run_phase("point", method, train, samples, point, settings.seed, device_named(settings.device), report)
    trained = _rebuilt(network, NetworkConfig("point", point.network, dict(point.options), point.inputs), labels)
    segmenter = CloudSegmenter(trained, settings.device, points=point.augment.points)
    return _finish(settings, "point", trained, score_clouds(segmenter, val, labels), curve, len(samples), command)


def _rebuilt(network: torch.nn.Module, config: NetworkConfig, labels: LabelSpace) -> Checkpoint:
    """The trained weights in the network that inference uses (the same one, perhaps of another stride)."""
    twin = config.build(labels)
    twin.load_state_dict(network.cpu().state_dict())
    return Checkpoint(twin.eval(), config, labels, {}, "")


def _finish(
    settings: ClassifyConfig,
    kind: str,
    trained: Checkpoint,
    matrix: ConfusionMatrix,
    curve: list[dict[str, float]],
    samples: int,
    command: str,
) -> dict:
    """Save the network with its provenance; returns its scores."""
    scores = matrix.compute()
    training = {
        "command": command,
        "config": settings.model_dump(mode="json"),
        "samples": samples,
        "val": scores,
        "losses": curve,
    }
    arguments = (trained.network, trained.config, trained.labels)
    checkpoint.save(Path(settings.output) / f"{kind}.safetensors", *arguments, training)
    if settings.export is not None:
        dtype = getattr(torch, settings.export.dtype)
        checkpoint.save(Path(settings.export.folder) / f"{kind}.safetensors", *arguments, training, dtype)
    return {**scores, "final_loss": {k: v for k, v in curve[-1].items() if math.isfinite(v)}}
