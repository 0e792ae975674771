"""Labels of an image or a cloud as `wsss segment` wants them: the sure ones, or pseudo-labels among the tags."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.inference import CloudSegmenter, ImageSegmenter, Segmenter
from wsss_ros.labels import RECOMMENDED, LabelSpace
from wsss_ros.types import BadInput, Cloud, Frame

Tags = tuple[str, ...] | None


@dataclass
class Labeller:
    """Labels images and clouds with one network or both. With ``threshold`` the labels are pseudo-labels.

    A pixel or point whose confidence is below ``min_confidence`` is unlabelled (-1: below what the weights recommend).
    Pseudo-labels are seeds (eq. 5): an image gets classes of its tags only (of the scene's tags, if it has none), a
    cloud classes of the scene's tags only. A pixel or point whose confidence is below ``threshold`` is unlabelled.
    ``turns`` quarter turns make images upright for the network; None takes those that the poses ask for.
    Raises BadInput when the two networks have different label spaces.
    """

    images: ImageSegmenter | None = None
    clouds: CloudSegmenter | None = None
    threshold: float | None = None
    min_confidence: float = RECOMMENDED
    turns: int | None = None

    @property
    def labels(self) -> LabelSpace:
        """The label space of the networks."""
        return (self.images or self.clouds).labels

    def __post_init__(self) -> None:
        if self.images and self.clouds and self.images.labels != self.clouds.labels:
            raise BadInput(
                f"the image network knows '{self.images.labels.name}', the cloud network '{self.clouds.labels.name}'; "
                "use weights of one label space, or segment images and clouds separately (--only)"
            )

    def image(
        self, frame: Frame, tags: Tags, turns: int = 0
    ) -> tuple[UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Labels and confidence of every pixel of an image that ``turns`` quarter turns make upright."""
        return self._sure(self.images, *self.images(frame, present=self._present(tags), turns=turns))

    def cloud(
        self, cloud: Cloud, up: tuple[float, float, float], tags: Tags
    ) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
        """Labels and confidence of every point."""
        return self._sure(self.clouds, *self.clouds(cloud, up, self._present(tags)))

    def usable(self, tags: Tags) -> bool:
        """Whether an image or cloud with these tags can be labelled: pseudo-labels need tags."""
        return self.threshold is None or bool(tags)

    def _present(self, tags: Tags) -> Float32[np.ndarray, "C"] | None:
        return None if self.threshold is None else self.labels.multi_hot(tags)

    def least_confidence(self, network: Segmenter) -> float:
        """The confidence that a label of this network needs."""
        return network.threshold(self.min_confidence if self.threshold is None else self.threshold)

    def _sure(self, network: Segmenter, labels: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return network.drop_unsure(labels, confidence, self.least_confidence(network)), confidence
