"""The scenes of a training run, and what each phase draws from them."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from lightning_fabric import Fabric

from wsss_ros.config import JointPhase, PhaseConfig, RecognisePhase, SupervisedPhase, TrainConfig
from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.closeups import closeup_files, generate_closeups
from wsss_ros.samples.closeups import CloseupSamples
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.prepared import Prepared, prepare
from wsss_ros.samples.samples import CloudSamples, ImageSamples, PairSamples
from wsss_ros.scenes import open_scenes
from wsss_ros.training.log import Progress
from wsss_ros.types import Scene


@dataclass(frozen=True)
class RunData:
    """What a run trains on, what it scores, and (name, reason) of what neither can use."""

    train: Prepared
    val: list[Scene]
    left_out: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        return [scene.name for scene in self.train.scenes]

    def described(self, labels: LabelSpace) -> dict:
        tags = Counter(name for scene in self.train.scenes for name in labels.tags(np.asarray(scene.tags)))
        return {
            "train": self.names,
            "images": sum(int(scene.image_tags.any(axis=1).sum()) for scene in self.train.scenes),
            "tags": {name: tags[name] for name in labels.names if tags[name]},
            "val": [scene.name for scene in self.val],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }


def load(settings: TrainConfig, labels: LabelSpace, fabric: Fabric, report: Callable[[Progress], None]) -> RunData:
    """Training scenes decoded (by one process of each machine) and val scenes opened; what cannot be used is named."""
    scenes, left_out = open_scenes(settings.data.train, labels)
    val, val_left_out = ([], []) if settings.data.val is None else open_scenes(settings.data.val, labels)
    image = settings.image

    def prepared() -> Prepared:
        return prepare(
            scenes,
            labels,
            settings.data.cache,
            settings.data.frames_per_scene,
            image.augment.long_side[1] if image else 256,
            settings.data.visibility_m,
            any(isinstance(phase, SupervisedPhase) for phase in settings.phases),
            lambda done, total: report(Progress("prepare scenes", done, total, {})),
        )

    if fabric.local_rank == 0:
        ready = prepared()
        for phase in settings.phases:
            if isinstance(phase, RecognisePhase):
                _photograph(phase, report)
    fabric.barrier()
    if fabric.local_rank != 0:
        ready = prepared()
    return RunData(ready, val, [*left_out, *ready.left_out, *val_left_out])


def _photograph(phase: RecognisePhase, report: Callable[[Progress], None]) -> None:
    wanted = phase.closeups
    generate_closeups(
        wanted.folder,
        wanted.scenes,
        wanted.seed,
        os.cpu_count() or 1,
        lambda done, total: report(Progress("photograph rooms", done, total, {})),
        views=wanted.views,
        size=wanted.size,
        style=wanted.style,
    )


def samples(settings: TrainConfig, phase: PhaseConfig, data: Prepared, labels: LabelSpace) -> Samples:
    if isinstance(phase, RecognisePhase):
        files = closeup_files(phase.closeups.folder, phase.closeups.scenes, phase.closeups.seed)
        return CloseupSamples(files, labels, phase.augment)
    if phase.networks == ("image",):
        return ImageSamples(data.scenes, settings.image.augment)
    if phase.networks == ("cloud",):
        return CloudSamples(data.scenes, settings.cloud.augment)
    return PairSamples(
        data.scenes,
        settings.image.augment,
        settings.cloud.augment,
        settings.data.visibility_m,
        phase.max_links if isinstance(phase, JointPhase) else 0,
        isinstance(phase, SupervisedPhase),
        phase.images_per_cloud,
    )
