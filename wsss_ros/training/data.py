"""The data of a training run: decoded sources of training data and opened validation scenes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from lightning_fabric import Fabric
from pydantic import Field, model_validator

from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.methods import METHODS, Phase
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.training.progress import Progress, Report
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.training.sources import Decoding, LeftOut, OpenedSource, SourceConfig, ValPhotosConfig, open_source
from wsss_ros.types import BadInput, Photos, Scene


class DataConfig(Config):
    """The training data, the validation scenes, and how they are decoded."""

    train: SceneSetConfig | None = Field(None, description="Training scenes, if they are the only source.")
    sources: tuple[SourceConfig, ...] = Field(
        (), description="Sources of training data, instead of 'train': each step draws from all of them by weight."
    )
    val: SceneSetConfig | None = Field(None, description="Labelled scenes that are scored after training.")
    val_photos: tuple[ValPhotosConfig, ...] = Field(
        (), description="Photographs that the image network is scored on after training: dense labels, tags, or both."
    )
    frames_per_scene: int = Field(17, ge=0, description="Frames used of each scene, spread evenly; 0 for all.")
    val_frames_per_scene: int = Field(10, ge=0, description="Frames scored of each val scene; 0 for all.")
    visibility_m: float = Field(
        0.05, gt=0, le=1, description="Largest difference between a visible point's depth and the depth image, metres."
    )
    cache: str = Field("out/cache", description="Folder of decoded scenes, shared by all runs; may be deleted.")
    workers: int = Field(0, ge=0, le=128, description="Processes that load samples; 0 loads between the steps.")

    @model_validator(mode="after")
    def _one_of_train_and_sources(self) -> "DataConfig":
        if (self.train is None) == (not self.sources):
            raise ValueError("expected either 'train', one folder of scenes, or 'sources', a list of them")
        return self

    @model_validator(mode="after")
    def _val_photos_have_their_own_names(self) -> "DataConfig":
        for name, times in Counter(given.name for given in self.val_photos).items():
            if times > 1:
                advice = "give each another 'include' ('*' takes all)"
                raise ValueError(f"val_photos: {times} are named '{name}' in scores; {advice}")
        return self

    @property
    def scene_sets(self) -> list[SceneSetConfig]:
        """The sets of scenes, for training and for validation, into which rooms can be generated."""
        trained = [given.scene_set for given in self.sources] if self.train is None else [self.train]
        return trained + ([] if self.val is None else [self.val])


@dataclass(frozen=True)
class RunData:
    """The data of a run: training sources, validation scenes, and (name, reason) of what is left out.

    ``given`` are the configurations of the sources.
    """

    sources: list[Source]
    given: list[SourceConfig]
    val: list[Scene]
    val_photos: Sequence[tuple[ValPhotosConfig, Photos]]
    left_out: LeftOut
    photos_left_out: int = 0  # photographs of ``left_out``, and of those for validation

    @property
    def names(self) -> list[str]:
        """The names of the training scenes and photographs."""
        return [name for source in self.sources for name in [*(s.name for s in source.scenes), *_photo_names(source)]]

    def summary(self, labels: LabelSpace) -> dict:
        """The content of a run's ``data.json``: scenes, number of tagged images, scenes per tag, scenes left out.

        Each of the ``sources`` lists its own, with its images per tag and its photographs.
        """
        scenes = [scene for source in self.sources for scene in source.scenes]
        described = zip(self.sources, self.given, strict=True)
        return {
            "train": [scene.name for scene in scenes],
            "images": sum(len(_image_tags(source)) for source in self.sources),
            "tags": _counts([np.asarray(scene.tags) for scene in scenes], labels),
            "sources": [
                {
                    "name": source.name,
                    "path": given.path,
                    "weight": source.weight,
                    "scenes": len(source.scenes),
                    "images": len(_image_tags(source)),
                    "image_tags": _counts(_image_tags(source), labels),
                    "photographs": _photo_names(source),
                }
                for source, given in described
            ],
            "val": [scene.name for scene in self.val],
            "val_photos": {given.name: len(photos) for given, photos in self.val_photos},
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
            "photos_left_out": self.photos_left_out,
        }


def _photo_names(source: Source) -> list[str]:
    return [] if source.photos is None else list(source.photos.names)


def _image_tags(source: Source) -> Sequence[Float32[np.ndarray, "C"]]:
    """The tags of each tagged image of a source."""
    return [row for images in source.images for row in images.image_tags if row.any()]


def _counts(rows: Sequence[Float32[np.ndarray, "C"]], labels: LabelSpace) -> dict[str, int]:
    """The number of rows with each tag, without tags that do not occur."""
    tags = Counter(name for row in rows for name in labels.tags(row))
    return {name: tags[name] for name in labels.names if tags[name]}


def long_side_of(given: ImageAugment, phases: Sequence[Phase]) -> int:
    """The longest side that an image has in a phase: images are prepared in this size."""
    return max(augment.long_side[1] for augment in [given, *(phase.augment_of(given) for phase in phases)])


def load(
    settings: DataConfig,
    long_side: int,
    phases: Sequence[Phase],
    labels: LabelSpace,
    fabric: Fabric,
    report: Report,
) -> RunData:
    """Decode the training data (in one process of each machine) and open the validation scenes.

    The longer side of a stored image has at most ``long_side`` pixels. Dense labels are decoded if the method of any
    phase needs them. Methods that need generated data, such as close-ups, generate it here. Scenes and photographs that
    cannot be used are listed in ``left_out``. Raises BadInput when nothing of a source is left.
    """
    opened = _open(settings, labels)
    val_photos = [(each, each.open(labels)) for each in settings.val_photos]
    val, val_left_out = ([], []) if settings.val is None else open_scene_set(settings.val, labels)
    truth = any(METHODS[phase.method].needs_truth(phase) for phase in phases)
    decoding = Decoding(settings.cache, settings.frames_per_scene, long_side, settings.visibility_m, truth)

    def report_task(task: str, done: int, total: int) -> None:
        report(Progress(task, done, total, {}))

    def prepare_all() -> list[tuple[Source, LeftOut]]:
        return [source.prepare(labels, decoding, report_task) for source in opened]

    if fabric.local_rank == 0:
        prepared = prepare_all()
        for phase in phases:
            METHODS[phase.method].generate(phase, report_task)
    fabric.barrier()
    if fabric.local_rank != 0:
        prepared = prepare_all()
    sources = [source for source, _ in prepared]
    left_out = [
        (f"{each.config.name}: {name}" if len(opened) > 1 else name, reason)
        for each, (_, later) in zip(opened, prepared, strict=True)
        for name, reason in [*each.left_out, *later]
    ]
    photos = sum(
        len(each.left_out) + len(later) for each, (_, later) in zip(opened, prepared, strict=True) if each.photos
    ) + sum(len(of_val.left_out) for _, of_val in val_photos)
    return RunData(sources, [each.config for each in opened], val, val_photos, [*left_out, *val_left_out], photos)


def _open(settings: DataConfig, labels: LabelSpace) -> list[OpenedSource]:
    """Open the sources. Raises BadInput, which names the source, for one that cannot be used."""
    if settings.train is not None:
        only = settings.train
        known = {"scenes": only.scenes, "complete": only.complete, "rooms": only.rooms}
        given = SourceConfig(path=only.folder, dense=True, **known)
        scenes, left_out = open_scene_set(only, labels)
        return [OpenedSource(given, scenes, None, left_out)]
    opened = []
    for number, each in enumerate(settings.sources):
        try:
            opened.append(open_source(each, labels))
        except BadInput as error:
            raise BadInput(f"data.sources.{number}: {error}") from error
    return opened
