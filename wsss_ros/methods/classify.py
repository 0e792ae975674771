"""Phase one of the joint learning paper: each network alone learns to classify from tags, eqs. 1 and 2."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from wsss_ros.losses import classification_loss
from wsss_ros.methods.method import Method, TaggedPhase, TagPriors, tag_priors
from wsss_ros.networks.classifier import image_mean, input_features, normalise_images, point_mean
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import Batch, CloudBatch, CloudSamples, ImageBatch, ImageSamples, PairSamples


class ClassifyPhase(TaggedPhase):
    """Each network alone, from class tags (eqs. 1-2)."""

    method: Literal["classify"]


class Classify(Method[ClassifyPhase]):
    """Image tags train ``networks["image"]``, scene tags train ``networks["cloud"]``. Either network may be absent."""

    Phase: ClassVar = ClassifyPhase
    phase: ClassifyPhase

    def make_samples(self) -> Samples:
        """Images for the image network, clouds for the cloud network, clouds with one image each for both."""
        data = self.data
        if self.phase.networks == ("image",):
            return ImageSamples(data.scenes, data.image)
        if self.phase.networks == ("cloud",):
            return CloudSamples(data.scenes, data.cloud)
        return PairSamples(data.scenes, data.image, data.cloud, data.visibility_m)

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase, and compute the tag priors from the data."""
        super().start(networks, epoch)
        self.image_prior, self.cloud_prior = self.tag_priors()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The classification loss (eq. 2) of each network of the phase."""
        terms = {}
        if "image" in self.networks and isinstance(batch, ImageBatch):
            _, scores = self.networks["image"](normalise_images(batch.images))
            mean = image_mean(scores) + self.image_prior.to(scores.device)
            terms["classification_2d"] = classification_loss(mean, batch.image_tags, batch.image_known)
        if "cloud" in self.networks and isinstance(batch, CloudBatch):
            inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
            _, scores = self.networks["cloud"](batch.xyz, inputs)
            mean = point_mean(scores) + self.cloud_prior.to(scores.device)
            terms["classification_3d"] = classification_loss(mean, batch.cloud_tags, batch.cloud_known)
        return terms

    def tag_priors(self) -> TagPriors:
        """The log-odds of the tags of images and of scenes, times ``tag_prior`` of the phase."""
        return tag_priors(self.data.scenes, self.phase.tag_prior)
