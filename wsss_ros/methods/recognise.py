"""Before phase one: the image network learns to name the one thing that a picture shows, as on ImageNet."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsss_ros.networks.classifier import image_mean, normalise_images
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import Batch


class Recognise:
    """``networks["image"]`` from pictures with one tag each: softmax cross entropy of the averaged scores."""

    def __init__(self, networks: dict[str, nn.Module]):
        self.networks = networks

    def prepare(self, scenes: Sequence[PreparedScene], epoch: int) -> None:
        """Nothing: tags need no refreshing."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        _, scores = self.networks["image"](normalise_images(batch.images))
        return {"recognition": F.cross_entropy(image_mean(scores.float()), batch.image_tags)}

    def after_step(self) -> None:
        """Nothing: no moving averages."""
