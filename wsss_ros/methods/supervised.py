"""Both networks learn from dense labels: an upper bound to compare weak supervision with in the ablation."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from wsss_ros.labels import UNLABELLED
from wsss_ros.methods.method import Method, PairedPhase
from wsss_ros.networks.classifier import input_features, normalise_images, upsample
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import dense, mixed
from wsss_ros.samples.samples import LabelledBatch, PairSamples


class SupervisedPhase(PairedPhase):
    """Both networks learn from dense labels: an upper bound to compare with, not weak supervision."""

    method: Literal["supervised"]


class Supervised(Method[SupervisedPhase]):
    """Both networks learn by softmax cross entropy on every labelled pixel and point."""

    Phase: ClassVar = SupervisedPhase
    phase: SupervisedPhase

    @classmethod
    def needs_truth(cls, phase: SupervisedPhase) -> bool:
        """Dense labels are what the phase learns from."""
        return True

    def make_samples(self) -> Samples:
        """Clouds with images of each, and the dense labels of both."""
        data, images = self.data, self.phase.images_per_cloud
        return mixed(
            data.sources,
            lambda source: PairSamples(
                source.scenes, data.image, data.cloud, data.visibility_m, truth=True, images=images
            ),
            dense,
            "dense labels",
        )

    def losses(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """The cross entropy of pixels and that of points."""
        _, image_scores = self.networks["image"](normalise_images(batch.images))
        inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
        _, cloud_scores = self.networks["cloud"](batch.xyz, inputs)
        image_scores = upsample(image_scores.float(), batch.image_truth.shape[1:])
        return {
            "supervised_2d": _cross_entropy(image_scores, batch.image_truth),
            "supervised_3d": _cross_entropy(cloud_scores.float().transpose(1, 2), batch.cloud_truth),
        }


def _cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
    """The mean cross entropy over the labelled pixels or points; 0 if none is labelled, where torch returns nan."""
    total = F.cross_entropy(scores, truth, ignore_index=UNLABELLED, reduction="sum")
    return total / (truth != UNLABELLED).sum().clamp(min=1)
