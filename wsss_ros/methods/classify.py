"""Phase one of the joint learning paper: each network alone learns to classify from tags, eqs. 1 and 2."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from wsss_ros.losses import classification_loss
from wsss_ros.methods.method import Method, TaggedPhase
from wsss_ros.networks.classifier import image_mean, input_features, normalise_images, point_mean
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import mixed, posed, weights_of
from wsss_ros.samples.priors import SourcePriors, TagPriors
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
            return mixed(data.sources, lambda source: ImageSamples(source.images, data.image))
        if self.phase.networks == ("cloud",):
            return mixed(data.sources, lambda source: CloudSamples(source.scenes, data.cloud), posed, "posed scenes")
        return mixed(
            data.sources,
            lambda source: PairSamples(source.scenes, data.image, data.cloud, data.visibility_m),
            posed,
            "posed scenes",
        )

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase, and compute the tag priors from the data."""
        super().start(networks, epoch)
        self.priors = self.source_priors()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The classification loss (eq. 2) of each network of the phase."""
        terms = {}
        if "image" in self.networks and isinstance(batch, ImageBatch):
            _, scores = self.networks["image"](normalise_images(batch.images))
            mean = image_mean(scores) + self.priors.of_images(batch.image_source, scores.device)
            terms["classification_2d"] = classification_loss(mean, batch.image_tags, batch.image_known)
        if "cloud" in self.networks and isinstance(batch, CloudBatch):
            inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
            _, scores = self.networks["cloud"](batch.xyz, inputs)
            mean = point_mean(scores) + self.priors.of_clouds(batch.cloud_source, scores.device)
            terms["classification_3d"] = classification_loss(mean, batch.cloud_tags, batch.cloud_known)
        return terms

    def tag_priors(self) -> TagPriors:
        """The log-odds of the tags of images and of scenes of all sources, times ``tag_prior`` of the phase."""
        return self.source_priors().mixed()

    def source_priors(self) -> SourcePriors:
        """The tag priors of each source."""
        sources = self.data.sources
        images = weights_of(sources) if self.phase.networks == ("image",) else weights_of(sources, posed)
        return SourcePriors(sources, self.phase.tag_prior, images)
