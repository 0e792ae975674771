"""Mixtures: the samples of several sources of training data, from which each step draws by weight."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wsss_ros.samples.loading import Samples, Share
from wsss_ros.samples.photos import PreparedPhotos
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.types import BadInput


@dataclass(frozen=True)
class Source:
    """One source of training data: posed scenes, or photographs. ``weight`` is its share of the samples of each step.

    Weights are relative to those of the other sources.
    """

    scenes: Sequence[PreparedScene] = ()
    photos: PreparedPhotos | None = None
    name: str = ""
    weight: float = 1.0

    @property
    def images(self) -> Sequence[PreparedScene | PreparedPhotos]:
        """What has images: the scenes, or the photographs."""
        return self.scenes if self.photos is None else [self.photos]


def mixed(sources: Sequence[Source], make: Callable[[Source], Samples], posed: bool = False) -> Samples:
    """The samples that ``make`` returns for each source; with ``posed``, only for sources of scenes.

    If there is one source in all, these are its samples as they are. Raises BadInput, which names the source, when a
    source has no samples, and when there is no source of scenes.
    """
    chosen = [(number, source) for number, source in enumerate(sources) if source.scenes or not posed]
    if not chosen:
        raise BadInput("no source has posed scenes, which the cloud network needs; add one to data.sources")
    if len(sources) == 1:
        return make(sources[0])
    parts = []
    for number, source in chosen:
        try:
            parts.append((number, source, make(source)))
        except BadInput as error:
            raise BadInput(f"source '{source.name}': {error}") from error
    return Mixture(parts)


class Mixture:
    """The samples of several sources, one source after the other; ``shares`` are their numbers and weights.

    Each sample also has the index of its source: ``image_source``, one for each image, and ``cloud_source``.
    """

    def __init__(self, parts: Sequence[tuple[int, Source, Samples]]):
        self.parts = [(number, samples) for number, _, samples in parts]
        self.names = [f"{source.name}: {name}" for _, source, samples in parts for name in samples.names]
        self.shares = [Share(len(samples), source.weight) for _, source, samples in parts]
        self.left_out = [
            (f"{source.name}: {name}", reason)
            for _, source, samples in parts
            for name, reason in getattr(samples, "left_out", [])
        ]
        self.ends = np.cumsum([share.samples for share in self.shares])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """An augmented sample of the source to which ``index`` belongs."""
        part = int(np.searchsorted(self.ends, index, side="right"))
        number, samples = self.parts[part]
        sample = samples.sample(index - int(self.ends[part]) + len(samples), rng)
        for kind in ("image", "cloud"):
            if f"{kind}_tags" in sample:
                sample[f"{kind}_source"] = torch.full(sample[f"{kind}_tags"].shape[:-1], number)
        return sample

    def collate(self, samples: Sequence[Any]) -> Any:
        """The batch of samples of any of the sources."""
        return self.parts[0][1].collate(samples)
