"""Clouds, alone or with images of them, whose points have the number of their superpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.clouds import DrawnCloud
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import CloudBatch, CloudSamples, PairBatch, PairSamples, Sample


@dataclass(frozen=True, kw_only=True)
class SuperpointBatch(CloudBatch):
    """A ``CloudBatch`` with the superpoint of each point, numbered over all training scenes; -1: none."""

    superpoint: Int64[Tensor, "B N"]


@dataclass(frozen=True, kw_only=True)
class SuperpointPairBatch(PairBatch, SuperpointBatch):
    """A ``PairBatch`` with superpoints."""


class SuperpointClouds(CloudSamples):
    """``CloudSamples`` with superpoints.

    Attributes:
        first: number of the first superpoint of each scene, by its name.

    Args:
        scenes: with superpoints (``superpoints.with_superpoints``).
        settings: augmentation.
        start: number of the first superpoint.
    """

    def __init__(self, scenes: Sequence[PreparedScene], settings: CloudAugment, start: int):
        super().__init__(scenes, settings)
        self.first = _first(self.scenes, start)

    @property
    def _batch(self) -> type[CloudBatch]:
        return SuperpointBatch

    def _cloud_view(self, scene: PreparedScene, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
        sample, cloud = super()._cloud_view(scene, rng)
        return {**sample, "superpoint": _numbered(cloud, self.first[scene.name])}, cloud


class SuperpointPairs(PairSamples):
    """``PairSamples`` with superpoints; ``start`` and ``first`` as of ``SuperpointClouds``."""

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        image: ImageAugment,
        cloud: CloudAugment,
        start: int,
        tolerance_m: float = 0.05,
        max_links: int = 0,
        images: int = 1,
    ):
        super().__init__(scenes, image, cloud, tolerance_m, max_links, images=images)
        self.first = _first(self.scenes, start)

    @property
    def _batch(self) -> type[PairBatch]:
        return SuperpointPairBatch

    def _cloud_view(self, scene: PreparedScene, rng: np.random.Generator) -> tuple[Sample, DrawnCloud]:
        sample, cloud = super()._cloud_view(scene, rng)
        return {**sample, "superpoint": _numbered(cloud, self.first[scene.name])}, cloud


def superpoint_count(scenes: Sequence[PreparedScene]) -> int:
    """The number of superpoints of all these scenes."""
    return sum(0 if scene.hand_made is None else len(scene.hand_made) for scene in scenes)


def _first(scenes: Sequence[PreparedScene], start: int) -> dict[str, int]:
    counts = [superpoint_count([scene]) for scene in scenes]
    firsts = start + np.cumsum([0, *counts])[:-1]
    return {scene.name: int(first) for scene, first in zip(scenes, firsts, strict=True)}


def _numbered(cloud: DrawnCloud, first: int) -> Int64[Tensor, "N"]:
    """The superpoints of a cloud over all scenes; those of a cloud that is not the scene's own have none."""
    if cloud.region is None:
        return torch.full((len(cloud.xyz),), -1)
    region = cloud.region.astype(np.int64)
    return torch.from_numpy(np.where(region >= 0, region + first, -1))
