"""Both networks from dense labels: the ceiling that the weakly supervised rows of an ablation are held against."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsss_ros.labels import UNLABELLED
from wsss_ros.networks.classifier import normalise_images, point_features, upsample
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import Batch


class Supervised:
    """Softmax cross entropy on every labelled pixel and point; batches carry the truth."""

    def __init__(self, networks: dict[str, nn.Module], point_inputs: tuple[str, ...] = ()):
        self.networks = networks
        self.point_inputs = point_inputs

    def prepare(self, scenes: Sequence[PreparedScene], epoch: int) -> None:
        """Nothing: the truth stays as it is."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        _, image_scores = self.networks["image"](normalise_images(batch.images))
        inputs = point_features(batch.xyz, batch.rgb, self.point_inputs)
        _, cloud_scores = self.networks["cloud"](batch.xyz, inputs)
        image_scores = upsample(image_scores.float(), batch.image_truth.shape[1:])
        return {
            "supervised_2d": _cross_entropy(image_scores, batch.image_truth),
            "supervised_3d": _cross_entropy(cloud_scores.float().transpose(1, 2), batch.cloud_truth),
        }

    def after_step(self) -> None:
        """Nothing: no moving averages."""


def _cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
    """Zero where nothing is labelled, instead of the 0 / 0 of the plain mean."""
    total = F.cross_entropy(scores, truth, ignore_index=UNLABELLED, reduction="sum")
    return total / (truth != UNLABELLED).sum().clamp(min=1)
