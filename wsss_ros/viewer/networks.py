"""The networks that label what was recorded without labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wsss_ros.evaluation import pictures
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import RECOMMENDED, UNLABELLED
from wsss_ros.types import Cloud, Frame
from wsss_ros.viewer.points import ShownPoints, placed

UP = (0.0, 0.0, 1.0)

Progress = Callable[[str, int, int | None], None]


@dataclass
class Networks:
    """The networks that label what has no labels; None for one that is not to be used."""

    images: ImageSegmenter | None = None
    clouds: CloudSegmenter | None = None
    min_confidence: float = RECOMMENDED

    def overlay(self, rgb: np.ndarray, turns: int = 0) -> np.ndarray:
        """The picture with the colours of its labels, or as it is without a network.

        ``turns`` quarter turns make it upright for the network.
        """
        if self.images is None:
            return rgb
        labels, confidence = self.images(Frame(rgb), turns=turns)
        sure = self.images.drop_unsure(labels, confidence, self.min_confidence)
        return pictures.overlay(rgb, sure, self.images.labels)

    def points(self, cloud: Cloud, up: tuple[float, float, float] = UP) -> ShownPoints:
        """The cloud with labels and confidence, or without a network with neither."""
        if self.clouds is None:
            unlabelled = np.full(len(cloud), UNLABELLED, np.uint8)
            return ShownPoints(**placed(cloud.xyz), labels=unlabelled, rgb=cloud.rgb)
        labels, confidence = self.clouds(cloud, up)
        sure = self.clouds.drop_unsure(labels, confidence, self.min_confidence)
        return ShownPoints(**placed(cloud.xyz), labels=sure, confidence=confidence, rgb=cloud.rgb)
