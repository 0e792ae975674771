"""Before phase one: the image network learns to name the one thing that a picture shows, as on ImageNet."""

import os
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from wsss_ros.methods.method import Method, PhaseConfig, Report
from wsss_ros.networks.classifier import image_mean, normalise_images
from wsss_ros.rooms.closeups import CloseupsConfig, closeup_files, generate_closeups
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.closeups import CloseupSamples
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import ImageBatch


class RecognisePhase(PhaseConfig):
    """The image network learns to name single things, as ImageNet's weights do in the paper."""

    method: Literal["recognise"]
    closeups: CloseupsConfig
    augment: ImageAugment = ImageAugment(long_side=(72, 96), crop=64)


class Recognise(Method[RecognisePhase]):
    """``networks["image"]`` from pictures with one tag each: softmax cross entropy of the averaged scores."""

    Phase: ClassVar = RecognisePhase
    phase: RecognisePhase
    is_segmentation: ClassVar = False

    @classmethod
    def generate(cls, phase: RecognisePhase, report: Report) -> None:
        """Photograph the things of procedural rooms."""
        asked = phase.closeups
        generate_closeups(
            asked.folder,
            asked.scenes,
            asked.seed,
            os.cpu_count() or 1,
            lambda done, total: report("photograph rooms", done, total),
            views=asked.views,
            size=asked.size,
            style=asked.style,
        )

    def make_samples(self) -> Samples:
        """The pictures."""
        asked = self.phase.closeups
        files = closeup_files(asked.folder, asked.scenes, asked.seed)
        return CloseupSamples(files, self.data.labels, self.phase.augment)

    def losses(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Cross entropy of eq. 1's averaged scores."""
        _, scores = self.networks["image"](normalise_images(batch.images))
        return {"recognition": F.cross_entropy(image_mean(scores.float()), batch.image_tags)}
