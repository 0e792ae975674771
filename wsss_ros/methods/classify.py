"""Phase one of the joint learning paper: each network alone learns to classify from tags, eqs. 1 and 2."""

from typing import ClassVar, Literal

from torch import Tensor

from wsss_ros.methods.method import TaggedMethod, TaggedPhase
from wsss_ros.networks.classifier import input_features, normalise_images
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import mixed, posed, weights_of
from wsss_ros.samples.samples import Batch, CloudBatch, CloudSamples, ImageBatch, ImageSamples, PairSamples


class ClassifyPhase(TaggedPhase):
    """Each network alone, from class tags (eqs. 1-2)."""

    method: Literal["classify"]


class Classify(TaggedMethod[ClassifyPhase]):
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

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The classification loss (eq. 2) of each network of the phase."""
        terms = {}
        if "image" in self.networks and isinstance(batch, ImageBatch):
            _, scores = self.networks["image"](normalise_images(batch.images))
            terms["classification_2d"] = self.image_classification(scores, batch)
        if "cloud" in self.networks and isinstance(batch, CloudBatch):
            inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
            _, scores = self.networks["cloud"](batch.xyz, inputs)
            terms["classification_3d"] = self.cloud_classification(scores, batch)
        return terms

    def image_weights(self) -> list[float]:
        """As of all methods; photographs take part only where no cloud network learns."""
        return super().image_weights() if self.phase.networks == ("image",) else weights_of(self.data.sources, posed)
