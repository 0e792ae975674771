"""Mixtures: the samples of several sources of training data, from which each step draws by weight."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from wsss_ros.samples.loading import Samples, Share, shares_of
from wsss_ros.samples.photos import PreparedPhotos
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import Batch, PairBatch, Sample
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


def posed(source: Source) -> bool:
    """Whether a source has posed scenes."""
    return len(source.scenes) > 0


def photographs(source: Source) -> bool:
    """Whether a source has photographs without poses."""
    return source.photos is not None


def dense(source: Source) -> bool:
    """Whether a source has scenes with dense labels."""
    return any(scene.cloud_truth is not None for scene in source.scenes)


def weights_of(sources: Sequence[Source], fits: Callable[[Source], bool] = lambda source: True) -> list[float]:
    """The share of each source in a mixture of those that fit; 0 for the others."""
    weights = [source.weight if fits(source) else 0.0 for source in sources]
    return [weight / (sum(weights) or 1.0) for weight in weights]


def mixed(
    sources: Sequence[Source],
    make: Callable[[Source], Samples],
    fits: Callable[[Source], bool] = lambda source: True,
    needed: str = "",
) -> Samples:
    """The samples that ``make`` returns for each source that fits. A single source has its samples as they are.

    Raises BadInput, which names the source, when a source has no samples. When no source fits, the message says that
    a source with ``needed`` is missing.
    """
    if not any(map(fits, sources)):
        names = ", ".join(source.name for source in sources)
        raise BadInput(f"none of the sources {names} has {needed}; add such a source to data.sources")
    if len(sources) == 1:
        return make(sources[0])
    parts = []
    for number, source in enumerate(sources):
        try:
            if fits(source):
                parts.append((number, source, make(source)))
        except BadInput as error:
            raise BadInput(f"source '{source.name}': {error}") from error
    return Mixture(parts)


class Mixture:
    """The samples of several sources, one source after the other; ``shares`` are their numbers and weights.

    Each sample also has the number of its source: ``image_source``, one for each image, and ``cloud_source``.
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

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented sample of the source to which ``index`` belongs."""
        part = int(np.searchsorted(self.ends, index, side="right"))
        number, samples = self.parts[part]
        sample: Sample = samples.sample(index - int(self.ends[part]) + len(samples), rng)
        for kind in ("image", "cloud"):
            if f"{kind}_tags" in sample:
                sample[f"{kind}_source"] = torch.full(sample[f"{kind}_tags"].shape[:-1], number)
        return sample

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """The batch of samples of any of the sources."""
        batch: Batch = self.parts[0][1].collate(samples)
        return batch


class PairsWithPhotos:
    """Samples of clouds and images (``PairSamples``), each with ``count`` photographs drawn at random by weight."""

    def __init__(self, pairs: Samples, photos: Samples, count: int):
        self.pairs, self.photos, self.count = pairs, photos, count
        self.names, self.shares = pairs.names, shares_of(pairs)
        self.left_out = getattr(pairs, "left_out", [])
        shares = shares_of(photos)
        total = sum(share.weight for share in shares)
        self.chances = np.concatenate([np.full(each.samples, each.weight / each.samples / total) for each in shares])

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Sample, list[Sample]]:
        """An augmented cloud with images, and augmented photographs."""
        pair = self.pairs.sample(index, rng)
        chosen = rng.choice(len(self.photos), self.count, p=self.chances)
        return pair, [self.photos.sample(int(photo), rng) for photo in chosen]

    def collate(self, samples: Sequence[tuple[Sample, list[Sample]]]) -> PairBatch:
        """The batch of a step; its ``photos`` are those of all samples."""
        pairs, photos = zip(*samples, strict=True)
        batch: PairBatch = self.pairs.collate(pairs)
        return replace(batch, photos=self.photos.collate([photo for some in photos for photo in some]))
