"""Phase two of the joint learning paper: both networks learn from each other at pixel-point links, eqs. 3-12."""

from typing import ClassVar, Literal

from torch import Tensor

from wsss_ros.methods.linked import LinkedMethod, LinkedPhase
from wsss_ros.networks.classifier import input_features, normalise_images
from wsss_ros.samples.samples import PairBatch


class JointPhase(LinkedPhase):
    """Both networks with the losses between them (eqs. 3-12)."""

    method: Literal["joint"]

    def continued(self, epochs: int, batch: int) -> "JointPhase":
        """The phase for trained networks, without warm-up: a trained cloud network can teach from the first step."""
        return self.model_copy(update={"epochs": epochs, "batch": batch, "warmup_epochs": 0})


class Joint(LinkedMethod[JointPhase]):
    """``networks["image"]`` and ``networks["cloud"]`` learn from tags of images and scenes, and from each other."""

    Phase: ClassVar = JointPhase
    phase: JointPhase

    def losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """The terms of eq. 12: the classification loss (eq. 2) of both networks and the two joint losses.

        Photographs take part in the classification loss of the image network only.
        """
        shown = batch.all_images()
        images = self.networks["image"](normalise_images(shown.images))
        points = self.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, self.data.cloud_inputs))
        return {
            "classification_2d": self.image_classification(images[1], shown),
            "classification_3d": self.cloud_classification(points[1], batch),
            **self.link_losses(batch, images, points),
        }
