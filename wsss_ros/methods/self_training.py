"""A second stage for the image network: it learns from its own pseudo-labels, and from simulated images with labels.

At the start of the phase the network labels all tagged images: the class with the largest score among the tags of the
image (eq. 5), where the softmax over these is large enough. Unlabelled pixels teach nothing. The labels stay the same
for the whole phase, as a network that labels again and again drifts (docs/findings.md).
"""

import copy
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.cam import among_tags, class_weights, pseudo_labels, refined_by_color
from wsss_ros.losses import labelled_cross_entropy
from wsss_ros.methods.method import OptimiserConfig, TaggedMethod, TaggedPhase, unwrapped
from wsss_ros.networks.classifier import averaged_scores, normalise_images, upsample
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.labelled import LabelledImageBatch, LabelledImages
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, dense, mixed


class SelfTrainingPhase(TaggedPhase):
    """The image network, from its own pseudo-labels of the images and from dense labels of simulated scenes."""

    method: Literal["self_training"]
    image: OptimiserConfig = Field(description="Optimiser of the image network.")
    min_confidence: float = Field(
        0.55, ge=0, lt=1, description="A pixel whose softmax over the tags of its image is lower gets no pseudo-label."
    )
    long_sides: tuple[int, ...] = Field(
        (320, 480), description="Longer sides, pixels, at which an image is labelled; the scores are averaged."
    )
    augment: ImageAugment | None = Field(
        None, description="Augmentation of the images in this phase; without it that of the image network."
    )
    refine_steps: int = Field(
        0, ge=0, le=100, description="Steps in which the labels are refined by the colours of the image; 0: none."
    )
    class_power: float = Field(
        0.4,
        ge=0,
        le=1,
        description="The weight of a class is its share of the labelled pixels, to the power of minus this; 0: equal.",
    )
    dense_labels: bool = Field(
        False, description="Use the dense labels of the sources with 'dense: true', which are simulated."
    )
    classification: float = Field(1.0, ge=0, description="Weight of the classification loss (eq. 2).")

    def augment_of(self, given: ImageAugment) -> ImageAugment:
        """The augmentation of this phase, else the ``given`` one."""
        return self.augment or given


class SelfTraining(TaggedMethod[SelfTrainingPhase]):
    """``networks["image"]`` learns from labels that it gave itself, by softmax cross entropy balanced over classes.

    The state is the network at the start of the phase, the teacher: a run that resumes labels the images again, alike.
    """

    Phase: ClassVar = SelfTrainingPhase
    phase: SelfTrainingPhase

    @classmethod
    def needs_truth(cls, phase: SelfTrainingPhase) -> bool:
        """Whether the phase uses the dense labels of simulated scenes."""
        return phase.dense_labels

    def make_samples(self) -> Samples:
        """Images with their tags and labels. Images that are to get pseudo-labels are unlabelled at first."""
        self.parts: list[LabelledImages] = []

        def made(source: Source) -> LabelledImages:
            with_truth = self.phase.dense_labels and dense(source)
            self.parts.append(LabelledImages(source.images, self.phase.augment_of(self.data.image), with_truth))
            return self.parts[-1]

        return mixed(self.data.sources, made)

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase: keep a copy of the network as the teacher, which labels in float32."""
        super().start(networks, epoch)
        self.teacher = copy.deepcopy(unwrapped(networks["image"])).eval().requires_grad_(False)

    def prepare(self, epoch: int) -> None:
        """Label the images at the start of the phase."""
        super().prepare(epoch)
        if epoch == 0:
            self._label()

    def losses(self, batch: LabelledImageBatch) -> dict[str, Tensor]:
        """The cross entropy with the labels, and the classification loss (eq. 2)."""
        _, scores = self.networks["image"](normalise_images(batch.images))
        pixels = upsample(scores.float(), batch.image_labels.shape[1:])
        return {
            "labels_2d": labelled_cross_entropy(pixels, batch.image_labels, self.class_weight.to(scores.device)),
            "classification_2d": self.phase.classification * self.image_classification(scores, batch),
        }

    def state_dict(self) -> dict[str, Any]:
        """The weights of the teacher."""
        return {"teacher": self.teacher.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the teacher, and label the images as it did before."""
        self.teacher.load_state_dict(state["teacher"])
        self._label()

    @torch.no_grad()
    def _label(self) -> None:
        """Label the images of all sources without dense labels, and weight the classes by how common they are."""
        device = next(self.teacher.parameters()).device
        counts = []
        for samples in self.parts:
            if not samples.with_truth:
                samples.labels = [self._pseudo_labels(*samples.original(k), device) for k in range(len(samples))]
            counts.append(samples.class_counts(self.data.labels))
        self.class_weight = class_weights(counts, self.image_weights(), self.phase.class_power)

    def _pseudo_labels(
        self,
        image: UInt8[Tensor, "3 H W"],
        tags: Float[Tensor, "C"],
        known: Float[Tensor, "C"],
        device: torch.device,
    ) -> UInt8[Tensor, "h w"]:
        scores = averaged_scores(self.teacher, image.to(device), self.phase.long_sides)
        tags, known, phase = tags.to(device), known.to(device), self.phase
        probability = among_tags(scores, tags, known)
        if phase.refine_steps:
            small = F.interpolate(image[None].to(device).float() / 255, probability.shape[1:], mode="area")[0]
            probability = refined_by_color(probability, small, phase.refine_steps)
        return pseudo_labels(probability, tags, phase.min_confidence).cpu()
