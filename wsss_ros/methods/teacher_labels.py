"""Both networks learn, by cross entropy, labels that copies of them give once at the start of the phase.

A method of this kind is a subclass that says which labels the copies, the teachers, give to a scene. The labels stay
the same for the whole phase, as a network that labels again and again drifts.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.cam import class_weights
from wsss_ros.geometry import neighbors, transform
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.losses import labelled_cross_entropy
from wsss_ros.methods.method import PairedPhase, PhaseData, TaggedMethod, TaggedPhase, unwrapped
from wsss_ros.networks import checkpoint
from wsss_ros.networks.classifier import input_features, normalise_images, upsample
from wsss_ros.samples.augment import CloudAugment
from wsss_ros.samples.labelled import CELL, COUNTED
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, dense, mixed, posed, weights_of
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import CloudSamples, LabelledBatch, LabelledCloudBatch, PairSamples
from wsss_ros.types import KINDS


class TeacherLabelsPhase(PairedPhase, TaggedPhase):
    """The options of a phase that learns from labels of teachers; one of the networks may teach only."""

    long_sides: tuple[int, ...] = Field(
        (480,), description="Longer sides, pixels, at which an image is labelled; the scores are averaged."
    )
    class_power: float = Field(
        0.4,
        ge=0,
        le=1,
        description="The weight of a class is its share of the labelled pixels or points, to the power of minus this; "
        "0: equal.",
    )
    dense_labels: bool = Field(
        False, description="Use the dense labels of the sources with 'dense: true', which are simulated."
    )
    classification: float = Field(1.0, ge=0, description="Weight of the classification loss (eq. 2) of images.")


class SceneLabels(NamedTuple):
    """The labels of the points of a scene, and of the pixels of its frames, 255 where unlabelled.

    Those of the pixels cover the images; they may be of another resolution.
    """

    of_points: UInt8[np.ndarray, "N"]
    of_pixels: UInt8[np.ndarray, "F h w"]


class GivenTeachersPhase(TeacherLabelsPhase):
    """The options of a phase whose teachers may be checkpoints of another run."""

    class_power: float = Field(
        0.0, ge=0, le=1, description="As of shared_labels; 0, all classes have the same weight, is the paper's."
    )
    image_teacher: str = Field(
        "", description="Checkpoint of stage one that labels images; without it the run's network labels, as it is."
    )
    cloud_teacher: str = Field("", description="Checkpoint of stage one that labels clouds.")
    cloud_augment: CloudAugment | None = Field(
        None, description="Augmentation of the clouds in this phase; without it that of the cloud network."
    )


Q = TypeVar("Q", bound=TeacherLabelsPhase)
G = TypeVar("G", bound=GivenTeachersPhase)


class TeacherLabels(TaggedMethod[Q]):
    """The networks learn labels of their teachers, by softmax cross entropy balanced over classes.

    The state is the teachers: a run that resumes labels again, alike.
    """

    Phase: ClassVar = TeacherLabelsPhase

    @classmethod
    def needs_truth(cls, phase: Q) -> bool:
        """Whether the phase uses the dense labels of simulated scenes."""
        return phase.dense_labels

    def labels_of(self, scene: PreparedScene, frames: Int64[np.ndarray, "K"]) -> SceneLabels:
        """The labels that the teachers give to the points of a scene and to these frames; others are unlabelled."""
        raise NotImplementedError

    def make_teachers(self) -> dict[str, nn.Module]:
        """The teachers: copies of the networks at the start of the phase, which label in float32."""
        return {kind: copy.deepcopy(unwrapped(self.networks[kind])) for kind in self.phase.networks}

    def scenes_of(self, source: Source) -> Sequence[PreparedScene]:
        """The scenes of a source, as ``labels_of`` needs them."""
        return source.scenes

    def cloud_augment(self) -> CloudAugment:
        """The augmentation of the clouds that the networks learn from."""
        return self.data.cloud

    def make_samples(self) -> Samples:
        """Clouds with images of each, or clouds alone if the phase has no image network.

        Those without dense labels get their labels when the phase starts.
        """
        self.parts: list[tuple[PairSamples | CloudSamples, bool]] = []  # and whether they have dense labels

        def made(source: Source) -> PairSamples | CloudSamples:
            known = self.phase.dense_labels and dense(source)
            scenes = list(source.scenes) if known else [_unlabelled(scene) for scene in self.scenes_of(source)]
            samples = self._samples_of(scenes)
            self.parts.append((samples, known))
            return samples

        return mixed(self.data.sources, made, posed, "posed scenes")

    def _samples_of(self, scenes: list[PreparedScene]) -> PairSamples | CloudSamples:
        data, cloud = self.data, self.cloud_augment()
        if "image" not in self.phase.networks:
            return CloudSamples(scenes, cloud, truth=True)
        images = self.phase.images_per_cloud
        return PairSamples(scenes, data.image, cloud, data.visibility_m, 1, truth=True, images=images)

    def image_weights(self) -> list[float]:
        """As of all methods; photographs take no part."""
        return weights_of(self.data.sources, posed)

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase: make the teachers."""
        super().start(networks, epoch)
        self.teachers = {kind: teacher.eval().requires_grad_(False) for kind, teacher in self.make_teachers().items()}

    def prepare(self, epoch: int) -> None:
        """Label the images and clouds at the start of the phase."""
        super().prepare(epoch)
        if epoch == 0:
            self._label()

    def losses(self, batch: LabelledCloudBatch) -> dict[str, Tensor]:
        """The cross entropy of each network that learns with its labels, and the classification loss of images."""
        terms, learns = {}, self.phase.optimisers
        if "image" in learns and isinstance(batch, LabelledBatch):
            _, scores = self.networks["image"](normalise_images(batch.images))
            labels = batch.image_truth[:, CELL // 2 :: CELL, CELL // 2 :: CELL]
            pixels = upsample(scores.float(), labels.shape[1:])
            terms["labels_2d"] = self._cross_entropy("image", pixels, labels)
            if self.phase.classification:
                terms["classification_2d"] = self.phase.classification * self.image_classification(scores, batch)
        if "cloud" in learns:
            inputs = input_features(batch.xyz, batch.rgb, self.data.cloud_inputs)
            points = self.networks["cloud"](batch.xyz, inputs)[1].float().transpose(1, 2)
            terms["labels_3d"] = self._cross_entropy("cloud", points, batch.cloud_truth)
        return terms

    def _cross_entropy(self, kind: str, scores: Float[Tensor, "B C *places"], labels: Tensor) -> Float[Tensor, ""]:
        """The cross entropy among the classes that occur in the labels: of the others the scenes show nothing."""
        weight = self.class_weight[kind].to(scores.device)
        unseen = (weight == 0).view(1, -1, *[1] * (scores.ndim - 2))
        return labelled_cross_entropy(scores.masked_fill(unseen, -1e4), labels, weight)

    def state_dict(self) -> dict[str, Any]:
        """The weights of the teachers."""
        return {kind: network.state_dict() for kind, network in self.teachers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the teachers, and label as they did before."""
        for kind, network in self.teachers.items():
            network.load_state_dict(state[kind])
        self._label()

    @torch.no_grad()
    def _label(self) -> None:
        """Label all scenes without dense labels, and weight the classes of each network by how common they are."""
        counts: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        for samples, known in self.parts:
            if not known:
                labelled = []
                for scene, frames in zip(samples.scenes, _frames(samples), strict=True):
                    of_points, of_pixels = self.labels_of(scene, frames)
                    labelled.append(replace(scene, cloud_truth=of_points, frame_truth=of_pixels))
                samples.scenes = labelled
            for kind, found in _class_counts(samples, self.data.labels).items():
                counts[kind].append(found)
        shares = [share for share in self.image_weights() if share]  # as ``parts``, of posed sources only
        self.class_weight = {
            kind: class_weights(of_kind, shares, self.phase.class_power) for kind, of_kind in counts.items()
        }


class GivenTeachers(TeacherLabels[G]):
    """A second stage: the networks learn, among all classes, labels of networks that may come from another run."""

    Phase: ClassVar = GivenTeachersPhase

    def __init__(self, phase: G, data: PhaseData):
        given = {"image": phase.image_teacher, "cloud": phase.cloud_teacher}
        self.given = {kind: checkpoint.load(path, kind, data.labels) for kind, path in given.items() if path}
        super().__init__(phase, data)

    def cloud_augment(self) -> CloudAugment:
        """The augmentation of this phase, else that of the cloud network."""
        return self.phase.cloud_augment or self.data.cloud

    def make_teachers(self) -> dict[str, nn.Module]:
        """The networks of the given checkpoints, or copies of the run's networks."""
        device = {kind: next(network.parameters()).device for kind, network in self.networks.items()}
        given = {kind: each.network.to(device[kind]) for kind, each in self.given.items() if kind in device}
        return {**super().make_teachers(), **given}

    def cloud_input(self) -> tuple[int, tuple[str, ...]]:
        """How many points the teacher of clouds takes, and its inputs in addition to xyz."""
        given = self.given.get("cloud")
        if given is None:
            return self.data.cloud.points, self.data.cloud_inputs
        return given.config.points or self.data.cloud.points, given.config.inputs

    def _cross_entropy(self, kind: str, scores: Float[Tensor, "B C *places"], labels: Tensor) -> Float[Tensor, ""]:
        """The cross entropy among all classes, so that new networks learn that a class without labels is absent."""
        return labelled_cross_entropy(scores, labels, self.class_weight[kind].to(scores.device))


def cloud_scores(
    network: nn.Module, scene: PreparedScene, points: int, inputs: tuple[str, ...]
) -> Float[Tensor, "N C"]:
    """The scores of all points of a scene, which the network computes for at most ``points`` of them.

    The other points get the scores of the nearest three, interpolated. The points are always the same.

    Args:
        network: a cloud network.
        scene: with a cloud, whose colours are used if it has any.
        points: a network should see as many as in training.
        inputs: of the network in addition to xyz.
    """
    xyz, chosen, (_, scores) = cloud_outputs(network, scene, points, inputs)
    return of_all_points(scores, xyz, chosen)


def cloud_outputs(
    network: nn.Module, scene: PreparedScene, points: int, inputs: tuple[str, ...]
) -> tuple[Float[Tensor, "N 3"], Int64[np.ndarray, "M"], tuple[Float[Tensor, "M D"], Float[Tensor, "M C"]]]:
    """Features and scores of at most ``points`` points of a scene, always the same ones; arguments as ``cloud_scores``.

    Returns:
        All points as the network takes them, upright and centred; the rows of those it saw; its features and scores.
    """
    device = next(network.parameters()).device
    upright = transform(scene.upright_from_world, np.asarray(scene.xyz, np.float64))
    xyz = torch.from_numpy((upright - upright.mean(axis=0)).astype(np.float32)).to(device)
    chosen = np.sort(np.random.default_rng(0).choice(len(xyz), min(len(xyz), points), replace=False))
    colors = torch.from_numpy(scene.rgb[chosen]).float().to(device)[None] / 255 if len(scene.rgb) else None
    drawn = xyz[chosen][None]
    features, scores = network(drawn, input_features(drawn, colors, inputs))
    return xyz, chosen, (features[0].float(), scores[0].float())


def of_all_points(
    values: Float[Tensor, "M C"], xyz: Float[Tensor, "N 3"], chosen: Int64[np.ndarray, "M"]
) -> Float[Tensor, "N C"]:
    """The values of all points from those of the ``chosen`` ones: each other point has the mean of the nearest three.

    It is weighted by the inverse distances.
    """
    if len(chosen) == len(xyz):
        return values
    return neighbors.interpolate_at(xyz, xyz[chosen], values)


def of_all_frames(
    scene: PreparedScene,
    frames: Int64[np.ndarray, "K"],
    label: Callable[[PreparedScene, int], UInt8[np.ndarray, "h w"]],
) -> UInt8[np.ndarray, "F h w"]:
    """The labels that ``label`` gives to the pixels of some frames of a scene; the other frames are unlabelled."""
    labels = [label(scene, int(frame)) for frame in frames]
    shape = labels[0].shape if labels else (1, 1)
    of_pixels = np.full((len(scene.poses), *shape), UNLABELLED, np.uint8)
    for frame, found in zip(frames, labels, strict=True):
        of_pixels[frame] = found
    return of_pixels


def centred(scores: Float[Tensor, "N C"], share: float) -> Float[Tensor, "N C"]:
    """The scores of points or pixels without a share of the mean score of each class."""
    return scores - share * scores.mean(dim=0) if share else scores


def on_device(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    """Copies of arrays, which may be mapped files, on a device."""
    return [torch.from_numpy(np.array(array)).to(device) for array in arrays]


def resized(labels: Integer[np.ndarray, "h w"], height: int, width: int) -> Integer[np.ndarray, "H W"]:
    """Labels, or other numbers, on a grid of another size, by nearest neighbour."""
    row, column = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[np.ix_(row, column)]


def _frames(samples: PairSamples | CloudSamples) -> Sequence[Int64[np.ndarray, "K"]]:
    """The frames of each scene that images are taken of; none for clouds alone."""
    return samples.frames if isinstance(samples, PairSamples) else [np.zeros(0, np.int64)] * len(samples.scenes)


def _class_counts(samples: PairSamples | CloudSamples, classes: LabelSpace) -> dict[str, Int64[Tensor, "C"]]:
    """The labelled pixels of the frames, of which a sixteenth is counted, and the labelled points of each class."""
    counts = {kind: np.zeros(len(classes), np.int64) for kind in KINDS}
    for scene, frames in zip(samples.scenes, _frames(samples), strict=True):
        counts["image"] += classes.counts(scene.frame_truth[frames, ::COUNTED, ::COUNTED])
        counts["cloud"] += classes.counts(scene.cloud_truth)
    return {kind: torch.from_numpy(found) for kind, found in counts.items()}


def _unlabelled(scene: PreparedScene) -> PreparedScene:
    """The scene with unlabelled points and pixels, as the curves show samples before the phase labels them."""
    nothing = np.uint8(UNLABELLED)
    of_points, of_pixels = (np.broadcast_to(nothing, shape) for shape in (len(scene.xyz), scene.depth_mm.shape))
    return replace(scene, cloud_truth=of_points, frame_truth=of_pixels)
