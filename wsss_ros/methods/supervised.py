"""Networks learn from dense labels, which simulated rooms have: pre-training, and an upper bound in the ablation."""

from typing import ClassVar, Literal

from torch import Tensor

from wsss_ros.losses import labelled_cross_entropy
from wsss_ros.methods.method import Method, PairedPhase
from wsss_ros.networks.classifier import input_features, normalise_images, upsample
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, dense, mixed
from wsss_ros.samples.samples import CloudSamples, LabelledBatch, LabelledCloudBatch, PairSamples
from wsss_ros.types import KINDS


class SupervisedPhase(PairedPhase):
    """Dense labels: for simulated rooms, whose labels cost nothing, and as an upper bound of weak supervision.

    A phase with an optimiser of the cloud network alone needs no image network and no tagged image.
    """

    method: Literal["supervised"]

    @property
    def networks(self) -> tuple[str, ...]:
        """Both kinds, or the cloud network alone if only it learns."""
        return ("cloud",) if tuple(self.optimisers) == ("cloud",) else KINDS


class Supervised(Method[SupervisedPhase]):
    """The networks learn by softmax cross entropy on every labelled pixel and point."""

    Phase: ClassVar = SupervisedPhase
    phase: SupervisedPhase

    @classmethod
    def needs_truth(cls, phase: SupervisedPhase) -> bool:
        """Dense labels are what the phase learns from."""
        return True

    def make_samples(self) -> Samples:
        """Clouds with their dense labels, and with labelled images of each if the image network learns, too."""
        data, images = self.data, self.phase.images_per_cloud

        def samples_of(source: Source) -> Samples:
            if self.phase.networks == ("cloud",):
                return CloudSamples(source.scenes, data.cloud, truth=True)
            return PairSamples(source.scenes, data.image, data.cloud, data.visibility_m, truth=True, images=images)

        return mixed(data.sources, samples_of, dense, "'dense: true' and dense labels")

    def losses(self, batch: LabelledCloudBatch) -> dict[str, Tensor]:
        """The cross entropy of points, and that of pixels if the batch has images."""
        terms = {}
        if isinstance(batch, LabelledBatch):
            _, image_scores = self.networks["image"](normalise_images(batch.images))
            image_scores = upsample(image_scores.float(), batch.image_truth.shape[1:])
            terms["supervised_2d"] = labelled_cross_entropy(image_scores, batch.image_truth)
        inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
        _, cloud_scores = self.networks["cloud"](batch.xyz, inputs)
        terms["supervised_3d"] = labelled_cross_entropy(cloud_scores.float().transpose(1, 2), batch.cloud_truth)
        return terms
