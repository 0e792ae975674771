"""Images with a label for each pixel: dense labels of simulated scenes, or pseudo-labels that a method gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.samples import augment
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.photos import PreparedPhotos
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import ImageBatch, ImageSamples, Sample, stacked

CELL = 4  # pixels of a crop along each edge of one label: finer labels cost time, and the networks are coarser
COUNTED = 4  # every so many rows and columns of dense labels are counted


@dataclass(frozen=True, kw_only=True)
class LabelledImageBatch(ImageBatch):
    """Crops of images with labels on a grid of cells of 4x4 pixels, 255 where unlabelled."""

    image_labels: Int64[Tensor, "K s s"]


class LabelledImages(ImageSamples):
    """Tagged images and their labels: those of the scene with ``with_truth``, else ``labels``, one array each.

    An array in ``labels`` covers the image; it may be smaller. All are unlabelled until a method sets them.
    """

    def __init__(
        self, scenes: Sequence[PreparedScene | PreparedPhotos], settings: ImageAugment, with_truth: bool = False
    ):
        super().__init__(scenes, settings)
        self.with_truth = with_truth
        unlabelled = torch.full((1, 1), UNLABELLED, dtype=torch.uint8)
        self.labels: list[UInt8[Tensor, "h w"]] = [unlabelled] * (0 if with_truth else len(self))

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented image, its tags, and its labels."""
        sample, view, size = self.viewed(index, rng)
        sample["image_labels"] = torch.from_numpy(
            augment.apply_view_to_labels(self.labels_of(index), size, view, self.settings.crop, CELL)
        )
        return sample

    def collate(self, samples: Sequence[Sample]) -> LabelledImageBatch:
        """The batch of the images of a step."""
        return LabelledImageBatch(**stacked(samples))

    def labels_of(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """The labels of an image, over its whole area."""
        scene, frame = self.item(index)
        if not self.with_truth:
            return self.labels[index].numpy()
        assert isinstance(scene, PreparedScene) and scene.frame_truth is not None
        return scene.frame_truth[frame]

    def original(self, index: int) -> tuple[UInt8[Tensor, "3 H W"], Tensor, Tensor]:
        """An image without augmentation, its tags, and which classes are known in it."""
        scene, frame = self.item(index)
        tags, known = (torch.from_numpy(rows[frame].copy()) for rows in (scene.image_tags, scene.image_known))
        return torch.from_numpy(scene.image(frame).copy()), tags, known

    def class_counts(self, classes: LabelSpace) -> Int64[Tensor, "C"]:
        """The number of labelled pixels of each class; of dense labels, a sixteenth of all pixels."""
        step = COUNTED if self.with_truth else 1
        counts = np.zeros(len(classes), np.int64)
        for index in range(len(self)):
            counts += classes.counts(self.labels_of(index)[::step, ::step])
        return torch.from_numpy(counts)
