"""The final network of Densify, by bootstrapping (section 4.1), and labels from primitives alone (table 6)."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.labels import UNLABELLED
from wsss_ros.methods.densify.clustering import Primitives, find_primitives, primitive_of
from wsss_ros.methods.densify.matching import NONE, match, primitive_means
from wsss_ros.methods.densify.phase import PrimitiveOptions
from wsss_ros.methods.method import PhaseData
from wsss_ros.methods.teacher_labels import (
    GivenTeachers,
    GivenTeachersPhase,
    SceneLabels,
    cloud_outputs,
    cloud_scores,
    of_all_frames,
    of_all_points,
    on_device,
)
from wsss_ros.networks.classifier import averaged_scores
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.superpoint_samples import superpoint_count
from wsss_ros.samples.superpoints import with_superpoints
from wsss_ros.types import KINDS


class DensifyLabelsPhase(GivenTeachersPhase, PrimitiveOptions):
    """The cloud network, and the image network if it has an optimiser, from predictions that agree with the tags."""

    method: Literal["densify_labels"]
    labels_from: Literal["classifier", "primitives"] = Field(
        "classifier",
        description="What labels a point: the head of the teacher, or the nearest primitive with a class (table 6).",
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that learn; the cloud network always takes part."""
        return tuple(kind for kind in KINDS if kind == "cloud" or kind in self.optimisers)


class DensifyLabels(GivenTeachers[DensifyLabelsPhase]):
    """The networks learn what their teachers predict, where the prediction is among the tags of the scene or image.

    The other points and pixels are unlabelled.
    """

    Phase: ClassVar = DensifyLabelsPhase
    phase: DensifyLabelsPhase

    def __init__(self, phase: DensifyLabelsPhase, data: PhaseData):
        super().__init__(phase, data)
        self.classes: PrimitiveClasses | None = None

    @classmethod
    def needs_truth(cls, phase: DensifyLabelsPhase) -> bool:
        """Whether the phase uses the dense labels of simulated scenes, or superpoints of dense labels."""
        of_truth = phase.superpoints == "truth" and phase.labels_from == "primitives"
        return phase.dense_labels or of_truth

    def scenes_of(self, source: Source) -> Sequence[PreparedScene]:
        """The scenes of a source; with superpoints, if primitives label them."""
        if self.phase.labels_from == "classifier":
            return source.scenes
        return with_superpoints(source.scenes, self.phase.superpoints, self.phase.hand_made)

    def labels_of(self, scene: PreparedScene, frames: Int64[np.ndarray, "K"]) -> SceneLabels:
        """The predicted classes of the points, and of the pixels of some frames, that are among the tags."""
        teacher, (points, inputs) = self.teachers["cloud"], self.cloud_input()
        if self.phase.labels_from == "primitives":
            found = labels_by_primitives(teacher, scene, points, inputs, self._primitive_classes())
        else:
            found = cloud_scores(teacher, scene, points, inputs).argmax(dim=1)
        return SceneLabels(_among(found, scene.tags), of_all_frames(scene, frames, self._frame_labels))

    def _frame_labels(self, scene: PreparedScene, frame: int) -> UInt8[np.ndarray, "h w"]:
        image = on_device(next(self.teachers["image"].parameters()).device, scene.image(frame))[0]
        scores = averaged_scores(self.teachers["image"], image, self.phase.long_sides)
        tags = scene.image_tags[frame] if scene.image_tags[frame].any() else scene.tags
        return _among(scores.argmax(dim=0), tags)

    def _primitive_classes(self) -> "PrimitiveClasses":
        """The primitives of the teacher and their classes, found once."""
        if self.classes is None:
            scenes = [scene for samples, _ in self.parts for scene in samples.scenes]
            self.classes = primitive_classes(self.teachers["cloud"], scenes, *self.cloud_input(), self.phase)
        return self.classes


class PrimitiveClasses(NamedTuple):
    """Primitives, and in how many scenes each was matched with each class."""

    primitives: Primitives
    votes: Float[Tensor, "K C"]

    @property
    def classes(self) -> Int64[Tensor, "K"]:
        """The class that each primitive was matched with most often, -1: never with any."""
        most, best = self.votes.max(dim=1)
        return torch.where(most > 0, best, NONE)

    def label(self, features: Float[Tensor, "N H"], tags: Float[Tensor, "C"] | None = None) -> Int64[Tensor, "N"]:
        """The class of the nearest primitive that has one, -1 if none has; with ``tags`` only one of these."""
        usable = self.classes != NONE
        if tags is not None:
            usable &= tags.to(usable.device)[self.classes.clamp(min=0)] > 0
        if not bool(usable.any()):
            return torch.full((len(features),), NONE, device=features.device)
        return self.classes[usable][(F.normalize(features, dim=1) @ self.primitives.features[usable].T).argmax(dim=1)]


@torch.no_grad()
def primitive_classes(
    network: nn.Module, scenes: Sequence[PreparedScene], points: int, inputs: tuple[str, ...], options: PrimitiveOptions
) -> PrimitiveClasses:
    """Cluster the superpoints of tagged scenes, and match the primitives in each scene with its tags.

    Always the same random numbers are used, and those of torch stay as they are.

    Args:
        network: a cloud network that the method has trained.
        scenes: with superpoints and tags.
        points: of a scene that the network sees.
        inputs: of the network in addition to xyz.
        options: how many primitives.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = find_primitives(network, scenes, points, inputs, options, with_hand_made=False)
    weight = network.get_parameter("head.weight")
    votes, start = weight.new_zeros(len(found.features), len(weight)), 0
    for scene in scenes:
        _, chosen, (features, _) = cloud_outputs(network, scene, points, inputs)
        assert scene.region is not None
        region, tags = on_device(features.device, np.asarray(scene.region)[chosen].astype(np.int64), scene.tags)
        own = found.assignment[start : start + superpoint_count([scene])]
        means, number = primitive_means(features, primitive_of(region, own))
        matched = match(means, weight, tags)
        won = matched != NONE
        votes[number[won], matched[won]] += 1
        start += len(own)
    return PrimitiveClasses(found, votes)


@torch.no_grad()
def labels_by_primitives(
    network: nn.Module,
    scene: PreparedScene,
    points: int,
    inputs: tuple[str, ...],
    classes: PrimitiveClasses,
    tags: Float[Tensor, "C"] | None = None,
) -> Int64[Tensor, "N"]:
    """The label of each point of a scene from primitives alone (table 6), -1 where none has a class.

    Args:
        network: a cloud network.
        scene: with a cloud.
        points: that the network sees; the others have interpolated features.
        inputs: of the network in addition to xyz.
        classes: the primitives.
        tags: if given, the only classes that are possible, multi-hot.
    """
    xyz, chosen, (features, _) = cloud_outputs(network, scene, points, inputs)
    return classes.label(of_all_points(features, xyz, chosen), tags)


def _among(labels: Int64[Tensor, "*places"], tags: Float[np.ndarray, "C"]) -> UInt8[np.ndarray, "*places"]:
    """The labels that are among the tags; the others are unlabelled."""
    found = labels.cpu().numpy()
    return np.where((found >= 0) & (tags[np.maximum(found, 0)] > 0), found, UNLABELLED).astype(np.uint8)
