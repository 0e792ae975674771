"""Stage two of WSegPC: segmentation networks from the pseudo-labels that the networks of stage one give."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int64, UInt8
from pydantic import Field
from torch import Tensor, nn

from wsss_ros import cam
from wsss_ros.methods.teacher_labels import (
    GivenTeachers,
    GivenTeachersPhase,
    SceneLabels,
    centred,
    cloud_scores,
    of_all_frames,
    on_device,
    resized,
)
from wsss_ros.networks.classifier import averaged_scores
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.scene_regions import RegionChoice, with_regions


class WsegpcLabelsPhase(GivenTeachersPhase):
    """Both networks from pseudo-labels of regions, by cross entropy."""

    method: Literal["wsegpc_labels"]
    image_tags: Literal["scene", "image"] = Field(
        "scene", description="The classes that a pixel may get: the tags of its scene, or those of its image."
    )
    regions: RegionChoice = Field("wypr", description="Regions of points and pixels, as of stage one.")
    centring: float = Field(
        0.0, ge=0, le=1, description="Share of the mean score of each class that is subtracted, as in stage one."
    )
    classification: float = Field(0.0, ge=0, description="Weight of the classification loss (eq. 2) of images.")


class WsegpcLabels(GivenTeachers[WsegpcLabelsPhase]):
    """The networks learn the labels that the networks of stage one give to the regions of each scene.

    A label is the class with the largest mean probability in the region, among the tags of the scene. None is left out.
    """

    Phase: ClassVar = WsegpcLabelsPhase
    phase: WsegpcLabelsPhase

    @classmethod
    def needs_truth(cls, phase: WsegpcLabelsPhase) -> bool:
        """Whether the phase uses the dense labels of simulated scenes, or regions of dense labels."""
        return phase.dense_labels or phase.regions == "truth"

    def scenes_of(self, source: Source) -> Sequence[PreparedScene]:
        """The scenes of a source with their regions."""
        return with_regions(source.scenes, self.phase.regions)

    def labels_of(self, scene: PreparedScene, frames: Int64[np.ndarray, "K"]) -> SceneLabels:
        """The labels of the points of a scene, and of the pixels of some frames; the other frames are unlabelled."""
        points, inputs = self.cloud_input()
        of_points = point_labels(self.teachers["cloud"], scene, points, inputs, self.phase.centring)
        return SceneLabels(of_points, of_all_frames(scene, frames, self._frame_labels))

    def _frame_labels(self, scene: PreparedScene, frame: int) -> UInt8[np.ndarray, "h w"]:
        by_scene = self.phase.image_tags == "scene" or not scene.image_tags[frame].any()
        tags, known = (scene.tags, scene.known) if by_scene else (scene.image_tags[frame], scene.image_known[frame])
        sides, centring = self.phase.long_sides, self.phase.centring
        return frame_labels(self.teachers["image"], scene, frame, tags, known, sides, centring)


def point_labels(
    network: nn.Module, scene: PreparedScene, points: int, inputs: tuple[str, ...], centring: float = 0.0
) -> UInt8[np.ndarray, "N"]:
    """The pseudo-labels of the points of a scene: scores, softmax among the tags, mean of the region, largest class.

    Args:
        network: of stage one, for clouds.
        scene: with regions.
        points: how many of them the network takes; the others get interpolated scores.
        inputs: of the network in addition to xyz.
        centring: share of the mean score of each class that is subtracted first.
    """
    scores = centred(cloud_scores(network, scene, points, inputs), centring)
    region = on_device(scores.device, scene.region.astype(np.int64))[0]
    return _labels(scores, region, *on_device(scores.device, scene.tags, scene.known))


def frame_labels(
    network: nn.Module,
    scene: PreparedScene,
    frame: int,
    tags: Float[np.ndarray, "C"],
    known: Float[np.ndarray, "C"],
    long_sides: tuple[int, ...],
    centring: float = 0.0,
) -> UInt8[np.ndarray, "h w"]:
    """The pseudo-labels of the pixels of a frame, on a grid of a quarter of the size of its image.

    Args:
        network: of stage one, for images.
        scene: with regions.
        frame: number of the frame in the scene.
        tags: the classes that a pixel may get, multi-hot.
        known: 1 where a class was judged, 0 where it is unknown.
        long_sides: of the images that the network sees; the scores are averaged.
        centring: share of the mean score of each class that is subtracted first.
    """
    device = next(network.parameters()).device
    image = on_device(device, scene.image(frame))[0]
    scores = averaged_scores(network, image, long_sides)
    region = on_device(device, resized(scene.frame_region[frame], *scores.shape[1:]).astype(np.int64))[0]
    labels = _labels(centred(scores.flatten(1).T, centring), region.flatten(), *on_device(device, tags, known))
    return labels.reshape(scores.shape[1:])


def _labels(scores: Float[Tensor, "M C"], region: Int64[Tensor, "M"], *tags: Tensor) -> UInt8[np.ndarray, "M"]:
    probability = cam.regional_probabilities(scores, tags[0], region, tags[1])
    return cam.pseudo_labels(probability.T, tags[0], 0.0).cpu().numpy()
