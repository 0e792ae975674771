"""The scenes of a training run: decoded for training, opened for scoring."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from lightning_fabric import Fabric
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.methods import METHODS, Phase
from wsss_ros.samples.prepared import Prepared, prepare
from wsss_ros.training.progress import Progress, Report
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.types import Scene


class DataConfig(Config):
    """Which scenes train, which are scored, and how they are decoded."""

    train: SceneSetConfig
    val: SceneSetConfig | None = Field(None, description="Labelled scenes that are scored after training.")
    frames_per_scene: int = Field(17, ge=0, description="Frames used of each scene, spread evenly; 0 for all.")
    val_frames_per_scene: int = Field(10, ge=0, description="Frames scored of each val scene; 0 for all.")
    visibility_m: float = Field(0.05, gt=0, le=1, description="A point is seen where depth differs by no more.")
    cache: str = Field("out/cache", description="Folder of decoded scenes, shared by all runs; may be deleted.")
    workers: int = Field(0, ge=0, le=128, description="Processes that load samples; 0 loads between the steps.")


@dataclass(frozen=True)
class RunData:
    """What a run trains on, what it scores, and (name, reason) of what neither can use."""

    train: Prepared
    val: list[Scene]
    left_out: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """Of the training scenes."""
        return [scene.name for scene in self.train.scenes]

    def described(self, labels: LabelSpace) -> dict:
        """What ``data.json`` of a run holds."""
        tags = Counter(name for scene in self.train.scenes for name in labels.tags(np.asarray(scene.tags)))
        return {
            "train": self.names,
            "images": sum(int(scene.image_tags.any(axis=1).sum()) for scene in self.train.scenes),
            "tags": {name: tags[name] for name in labels.names if tags[name]},
            "val": [scene.name for scene in self.val],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }


def load(
    settings: DataConfig,
    long_side: int,
    phases: Sequence[Phase],
    labels: LabelSpace,
    fabric: Fabric,
    report: Report,
) -> RunData:
    """Decode the training scenes (one process of each machine does) and open the val scenes.

    Images are stored at most ``long_side`` pixels wide. What cannot be used is in ``left_out``; raises BadInput when
    nothing is left. The ``phases`` say whether dense labels are decoded, and generate data of their own.
    """
    scenes, left_out = open_scene_set(settings.train, labels)
    val, val_left_out = ([], []) if settings.val is None else open_scene_set(settings.val, labels)
    chosen = settings.frames_per_scene, long_side, settings.visibility_m
    truth = any(METHODS[phase.method].needs_truth for phase in phases)

    def step(name: str, done: int, total: int) -> None:
        report(Progress(name, done, total, {}))

    def prepared() -> Prepared:
        return prepare(
            scenes, labels, settings.cache, *chosen, truth, lambda done, total: step("prepare scenes", done, total)
        )

    if fabric.local_rank == 0:
        ready = prepared()
        for phase in phases:
            METHODS[phase.method].generate(phase, step)
    fabric.barrier()
    if fabric.local_rank != 0:
        ready = prepared()
    return RunData(ready, val, [*left_out, *ready.left_out, *val_left_out])
