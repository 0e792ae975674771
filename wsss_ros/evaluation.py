"""How good trained networks are on labelled scenes, by ScanNet's rules."""

from collections.abc import Sequence

import numpy as np

from wsss_ros.data.samples import spread
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.metrics import ConfusionMatrix
from wsss_ros.types import BadInput, Scene


def score_images(
    segmenter: ImageSegmenter, scenes: Sequence[Scene], labels: LabelSpace, frames_per_scene: int
) -> ConfusionMatrix:
    """One confusion matrix over frames spread evenly over each scene. Raises BadInput for a scene without truth."""
    matrix = ConfusionMatrix(labels)
    for scene in scenes:
        for index in spread(len(scene), frames_per_scene):
            matrix.update(segmenter(scene.frame(index))[0], _truth(scene, scene.frame_truth(index)))
    return matrix


def score_clouds(segmenter: CloudSegmenter, scenes: Sequence[Scene], labels: LabelSpace) -> ConfusionMatrix:
    """One confusion matrix over every point of every scene. Raises BadInput for a scene without cloud or truth."""
    matrix = ConfusionMatrix(labels)
    for scene in scenes:
        if scene.cloud is None:
            raise BadInput(f"{scene.name}: has no cloud to score; give scenes in ScanNet's layout")
        matrix.update(segmenter(scene.cloud)[0], _truth(scene, scene.cloud_truth()))
    return matrix


def _truth(scene: Scene, truth: np.ndarray | None) -> np.ndarray:
    if truth is None:
        raise BadInput(f"{scene.name}: has no dense truth to score against; give labelled scenes for 'val'")
    return truth
