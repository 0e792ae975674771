"""What a step of training costs, most often of the joint phase: seconds by part, samples a second, links, memory."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsss_ros.bench.box_scene import BoxScene
from wsss_ros.bench.clock import PartClock, processor
from wsss_ros.bench.memory import PeakMemory, peak_memory, resident_mb
from wsss_ros.device import device_named
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import PhaseData
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import PairBatch
from wsss_ros.training import network_files, processes
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.optimisation import Optimisation
from wsss_ros.training.scene_set import open_scene_set
from wsss_ros.types import KINDS

_WARM_UP = 2  # steps that compile kernels and fill caches


@dataclass(frozen=True)
class StepCost:
    """What was measured of ``steps`` steps.

    ``links`` is their mean number in a sample, 0 without images. ``prepare_seconds`` passed before the first epoch, in
    ``Method.prepare``, which clusters or labels in some methods.
    """

    scenes: str
    processor: str
    steps: int
    batch: int
    links: float
    seconds: float
    part_seconds: dict[str, float]
    memory: PeakMemory
    prepare_seconds: float

    @property
    def samples(self) -> int:
        """Samples of all steps."""
        return self.steps * self.batch

    @property
    def samples_per_second(self) -> float:
        """The rate of training."""
        return self.samples / self.seconds


def measure(settings: TrainConfig, steps: int, made_up: bool = False) -> StepCost:
    """Take ``steps`` steps of the phase, after two that warm up.

    ``made_up`` scenes need no data set; they also stand in where the configuration's folder is missing.
    """
    labels, batch = labels_named(settings.labels), settings.phases[0].batch
    scenes, name = _scenes(settings, labels, made_up)
    trainer = _Trainer(settings, scenes, labels)
    before_mb = resident_mb()
    for step in range(_WARM_UP):
        trainer.step(step)
    trainer.clock.start()
    links = [trainer.step(step) / batch for step in range(_WARM_UP, _WARM_UP + steps)]
    seconds = trainer.clock.elapsed()
    device = device_named(settings.device)
    memory = peak_memory(device.type, before_mb)
    networks = [f"{kind} network" for kind in KINDS if kind in trainer.method.networks]
    parts = {part: trainer.clock.seconds[part] for part in ("data", *networks, "losses", "backward and optimisers")}
    mean_links, where = statistics.fmean(links), processor(device)
    return StepCost(name, where, steps, batch, mean_links, seconds, parts, memory, trainer.prepare_seconds)


class _Trainer:
    """Networks, optimisers and samples of the phase, and one step as training takes it, past all warm-ups."""

    def __init__(self, settings: TrainConfig, scenes: list, labels: LabelSpace):
        phase, device_type = settings.phases[0], device_named(settings.device).type
        self.batch_size, self.clock = phase.batch, PartClock(device_type)
        image = settings.image.augment if settings.image else ImageAugment()
        cloud = settings.cloud or network_files.CloudNetworkConfig()
        sources, visibility_m = [Source(scenes)], settings.data.visibility_m
        data = PhaseData(sources, labels, image, cloud.augment, cloud.inputs, visibility_m, cloud.fusion)
        self.method = METHODS[phase.method](phase, data)
        self.scaler = torch.amp.GradScaler(device_type, enabled=settings.precision == "float16")
        self.fabric = processes.start(settings, self.scaler)
        networks, ready = {}, {}
        for kind in phase.networks:
            networks[kind] = network_files.create(kind, getattr(settings, kind), labels, settings.seed)
            self.clock.watch(networks[kind], f"{kind} network")
            ready[kind] = processes.wrap(self.fabric, networks[kind], getattr(phase, kind))
        self.optimisation = Optimisation(self.fabric, self.scaler, networks, phase.optimisers)
        self.method.start(ready, 0)
        started = self.clock.now()
        self.method.prepare(0)
        self.prepare_seconds = self.clock.now() - started
        self.method.epoch = max(phase.epochs - 1, getattr(phase, "warmup_epochs", 0))

    def step(self, number: int) -> int:
        """One step; returns the links of its samples."""
        with self.clock.of("data"):
            batch = self._batch(number)
        with self.clock.of("losses"):
            losses = self.method.losses(batch)
        with self.clock.of("backward and optimisers"):
            self.optimisation.step(losses, stop=False)
            self.method.after_step()
        return sum(batch.links_count) if isinstance(batch, PairBatch) else 0

    def _batch(self, number: int) -> Any:
        samples = self.method.samples
        chosen = ((number * self.batch_size + k) % len(samples) for k in range(self.batch_size))
        drawn = [samples.sample(index, np.random.default_rng([number, index])) for index in chosen]
        return samples.collate(drawn).to(self.fabric.device)


def _scenes(settings: TrainConfig, labels: LabelSpace, made_up: bool) -> tuple[list, str]:
    """Prepared scenes and what they are called."""
    data, long_side = settings.data, settings.image.augment.long_side[1] if settings.image else 512
    if not made_up and data.train is not None and Path(data.train.folder).is_dir():
        scenes, name = open_scene_set(data.train, labels)[0], data.train.folder
    else:
        points = settings.cloud.augment.points if settings.cloud else CloudAugment().points
        scenes, name = [BoxScene(seed, long_side, points) for seed in range(4)], "made-up rooms"
    ready = prepare(scenes, labels, data.cache, data.frames_per_scene, long_side, data.visibility_m)
    return ready.scenes, name
