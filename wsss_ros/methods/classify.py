"""Phase one of the joint learning paper: each network alone learns to name what is there, eqs. 1 and 2."""

from collections.abc import Sequence

from torch import Tensor, nn

from wsss_ros.config import ClassifyPhase
from wsss_ros.losses import classification_loss
from wsss_ros.methods.method import tag_priors
from wsss_ros.networks.classifier import image_mean, normalise_images, point_features, point_mean
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import Batch


class Classify:
    """Image tags train ``networks["image"]``, scene tags ``networks["cloud"]``; either may be absent."""

    def __init__(self, networks: dict[str, nn.Module], point_inputs: tuple[str, ...], phase: ClassifyPhase):
        self.networks = networks
        self.point_inputs = point_inputs
        self.tag_prior = phase.tag_prior

    def prepare(self, scenes: Sequence[PreparedScene], epoch: int) -> None:
        """Counts the tags, for ``tag_prior``."""
        self.image_prior, self.cloud_prior = tag_priors(scenes, self.tag_prior)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        if "image" in self.networks and batch.images is not None:
            _, scores = self.networks["image"](normalise_images(batch.images))
            mean = image_mean(scores) + self.image_prior.to(scores.device)
            terms["classification_2d"] = classification_loss(mean, batch.image_tags)
        if "cloud" in self.networks and batch.xyz is not None:
            inputs = point_features(batch.xyz, batch.rgb, self.point_inputs)
            _, scores = self.networks["cloud"](batch.xyz, inputs)
            mean = point_mean(scores) + self.cloud_prior.to(scores.device)
            terms["classification_3d"] = classification_loss(mean, batch.cloud_tags)
        return terms

    def after_step(self) -> None:
        """Nothing: no moving averages."""
