"""The data of a training run: decoded training scenes and opened validation scenes."""

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
    """The training scenes, the validation scenes, and how they are decoded."""

    train: SceneSetConfig
    val: SceneSetConfig | None = Field(None, description="Labelled scenes that are scored after training.")
    frames_per_scene: int = Field(17, ge=0, description="Frames used of each scene, spread evenly; 0 for all.")
    val_frames_per_scene: int = Field(10, ge=0, description="Frames scored of each val scene; 0 for all.")
    visibility_m: float = Field(
        0.05, gt=0, le=1, description="Largest difference between a visible point's depth and the depth image, metres."
    )
    cache: str = Field("out/cache", description="Folder of decoded scenes, shared by all runs; may be deleted.")
    workers: int = Field(0, ge=0, le=128, description="Processes that load samples; 0 loads between the steps.")


@dataclass(frozen=True)
class RunData:
    """The data of a run: training scenes, validation scenes, and (name, reason) of each scene that is left out."""

    train: Prepared
    val: list[Scene]
    left_out: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """The names of the training scenes."""
        return [scene.name for scene in self.train.scenes]

    def summary(self, labels: LabelSpace) -> dict:
        """The content of a run's ``data.json``: scenes, number of tagged images, scenes per tag, scenes left out."""
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
    """Decode the training scenes (in one process of each machine) and open the validation scenes.

    The longer side of a stored image has at most ``long_side`` pixels. Dense labels are decoded if the method of any
    phase needs them. Methods that need generated data, such as close-ups, generate it here. Scenes that cannot be used
    are listed in ``left_out``. Raises BadInput when no training scene is left.
    """
    scenes, left_out = open_scene_set(settings.train, labels)
    val, val_left_out = ([], []) if settings.val is None else open_scene_set(settings.val, labels)
    decoding = settings.frames_per_scene, long_side, settings.visibility_m
    truth = any(METHODS[phase.method].needs_truth for phase in phases)

    def report_task(task: str, done: int, total: int) -> None:
        report(Progress(task, done, total, {}))

    def prepare_scenes() -> Prepared:
        def progress(done: int, total: int) -> None:
            report_task("prepare scenes", done, total)

        return prepare(scenes, labels, settings.cache, *decoding, truth, progress)

    if fabric.local_rank == 0:
        prepared = prepare_scenes()
        for phase in phases:
            METHODS[phase.method].generate(phase, report_task)
    fabric.barrier()
    if fabric.local_rank != 0:
        prepared = prepare_scenes()
    return RunData(prepared, val, [*left_out, *prepared.left_out, *val_left_out])
