"""Phase one of the joint learning paper: each network alone learns to name what is there, eqs. 1 and 2."""

from collections.abc import Sequence

from torch import Tensor, nn

from wsss_ros.data.prepared import PreparedScene
from wsss_ros.data.samples import Batch
from wsss_ros.losses import classification_loss
from wsss_ros.networks.classifier import image_mean, normalise_images, point_features, point_mean


class Classify:
    """Image tags train ``networks["image"]``, scene tags ``networks["point"]``; either may be absent."""

    def __init__(self, networks: dict[str, nn.Module], point_inputs: tuple[str, ...] = ()):
        self.networks = networks
        self.point_inputs = point_inputs

    def prepare(self, scenes: Sequence[PreparedScene], epoch: int) -> None:
        """Nothing: tags need no refreshing."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        if "image" in self.networks and batch.images is not None:
            _, scores = self.networks["image"](normalise_images(batch.images))
            terms["classification_2d"] = classification_loss(image_mean(scores), batch.image_tags)
        if "point" in self.networks and batch.xyz is not None:
            inputs = point_features(batch.xyz, batch.rgb, self.point_inputs)
            _, scores = self.networks["point"](batch.xyz, inputs)
            terms["classification_3d"] = classification_loss(point_mean(scores), batch.cloud_tags)
        return terms

    def after_step(self) -> None:
        """Nothing: no moving averages."""
