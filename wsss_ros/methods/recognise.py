"""Pretraining before phase one: the image network learns to classify close-ups of one object, as on ImageNet."""

import os
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from wsss_ros.methods.method import Method, OptimiserConfig, PhaseConfig, Report
from wsss_ros.networks.classifier import image_mean, normalise_images
from wsss_ros.rooms.closeups import CloseupsConfig, closeup_files, generate_closeups
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.closeups import CloseupSamples
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import ImageBatch


class RecognisePhase(PhaseConfig):
    """The image network learns to classify close-ups of one object; replaces the ImageNet weights of the paper."""

    method: Literal["recognise"]
    image: OptimiserConfig = Field(description="Optimiser of the image network.")
    closeups: CloseupsConfig
    augment: ImageAugment = ImageAugment(long_side=(72, 96), crop=64)


class Recognise(Method[RecognisePhase]):
    """``networks["image"]`` learns from pictures with one tag each: softmax cross entropy of the averaged scores."""

    Phase: ClassVar = RecognisePhase
    phase: RecognisePhase
    is_segmentation: ClassVar = False

    @classmethod
    def generate(cls, phase: RecognisePhase, report: Report) -> None:
        """Generate the missing close-ups of objects in procedural rooms."""
        settings = phase.closeups
        generate_closeups(
            settings.folder,
            settings.scenes,
            settings.seed,
            os.cpu_count() or 1,
            lambda done, total: report("photograph rooms", done, total),
            views=settings.views,
            size=settings.size,
            style=settings.style,
        )

    def make_samples(self) -> Samples:
        """The close-ups."""
        settings = self.phase.closeups
        files = closeup_files(settings.folder, settings.scenes, settings.seed)
        return CloseupSamples(files, self.data.labels, self.phase.augment)

    def losses(self, batch: ImageBatch) -> dict[str, Tensor]:
        """The cross entropy of the averaged scores (eq. 1)."""
        _, scores = self.networks["image"](normalise_images(batch.images))
        return {"recognition": F.cross_entropy(image_mean(scores.float()), batch.image_tags)}
