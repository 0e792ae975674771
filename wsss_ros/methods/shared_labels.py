"""Both networks learn the labels that they give together: each knows classes that the other does not.

At the start of the phase both networks score all tagged images and clouds; where only scenes have tags, all images are
labelled among those of their scene. The probabilities of a point, among the tags (eq. 5), are the mean of what the
cloud network says and of what the image network says in all views that show the point (eqs. 3-4). They label the points
and, projected back, the pixels of each view, so that all views agree. Labels that are not sure are left out. The labels
stay the same for the whole phase, as a network that labels again and again drifts.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.cam import among_tags, class_weights, pixel_tags, pseudo_labels
from wsss_ros.geometry import neighbors, project, transform, visible
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.losses import labelled_cross_entropy
from wsss_ros.methods.method import PairedPhase, TaggedMethod, TaggedPhase, unwrapped
from wsss_ros.networks.classifier import averaged_scores, input_features, normalise_images, upsample
from wsss_ros.samples.labelled import CELL, COUNTED
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, dense, mixed, posed, weights_of
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import LabelledBatch, PairSamples
from wsss_ros.types import KINDS

_LEAST = 1e-6  # probability of all classes of a view together, below which its points say nothing


class SharedLabelsPhase(PairedPhase, TaggedPhase):
    """Both networks, from the pseudo-labels that they give together; one of them may teach only."""

    method: Literal["shared_labels"]
    min_confidence: float = Field(
        0.5, ge=0, lt=1, description="A pixel or point whose mean probability is lower gets no pseudo-label."
    )
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


class SharedLabels(TaggedMethod[SharedLabelsPhase]):
    """The networks learn from labels that both gave, by softmax cross entropy balanced over classes.

    The state is both networks at the start of the phase, the teachers: a run that resumes labels again, alike.
    """

    Phase: ClassVar = SharedLabelsPhase
    phase: SharedLabelsPhase

    @classmethod
    def needs_truth(cls, phase: SharedLabelsPhase) -> bool:
        """Whether the phase uses the dense labels of simulated scenes."""
        return phase.dense_labels

    def make_samples(self) -> Samples:
        """Clouds with images of each. Those without dense labels get their labels when the phase starts."""
        self.parts: list[tuple[PairSamples, bool]] = []  # and whether they have dense labels
        data, images = self.data, self.phase.images_per_cloud

        def made(source: Source) -> PairSamples:
            tolerance_m = data.visibility_m
            known = self.phase.dense_labels and dense(source)
            scenes = source.scenes if known else [_unlabelled(scene) for scene in source.scenes]
            samples = PairSamples(scenes, data.image, data.cloud, tolerance_m, 1, truth=True, images=images)
            self.parts.append((samples, known))
            return samples

        return mixed(data.sources, made, posed, "posed scenes")

    def image_weights(self) -> list[float]:
        """As of all methods; photographs take no part."""
        return weights_of(self.data.sources, posed)

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase: keep copies of both networks as the teachers, which label in float32."""
        super().start(networks, epoch)
        self.teachers = {kind: copy.deepcopy(unwrapped(networks[kind])).eval().requires_grad_(False) for kind in KINDS}

    def prepare(self, epoch: int) -> None:
        """Label the images and clouds at the start of the phase."""
        super().prepare(epoch)
        if epoch == 0:
            self._label()

    def losses(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """The cross entropy of each network that learns with its labels, and the classification loss of images."""
        terms, learns = {}, self.phase.optimisers
        if "image" in learns:
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
                for place, (scene, frames) in enumerate(zip(samples.scenes, samples.frames, strict=True)):
                    of_points, of_pixels = self._labels(scene, frames)
                    samples.scenes[place] = replace(scene, cloud_truth=of_points, frame_truth=of_pixels)
            for kind, found in _class_counts(samples, self.data.labels).items():
                counts[kind].append(found)
        shares = [share for share in self.image_weights() if share]  # as ``parts``, of posed sources only
        self.class_weight = {
            kind: class_weights(of_kind, shares, self.phase.class_power) for kind, of_kind in counts.items()
        }

    def _labels(
        self, scene: PreparedScene, frames: Int64[np.ndarray, "K"]
    ) -> tuple[UInt8[np.ndarray, "N"], UInt8[np.ndarray, "F H W"]]:
        """The labels of the points of a scene, and of the pixels of some frames; the other frames are unlabelled."""
        device = next(self.teachers["image"].parameters()).device
        views = [self._view(scene, int(frame), device) for frame in frames]
        tags, known = _on(device, scene.tags, scene.known)
        of_cloud = among_tags(self._cloud_scores(scene, device).T, tags, known).T
        shared = shared_probabilities(of_cloud, views)
        points = pseudo_labels(shared.T, tags, self.phase.min_confidence).cpu().numpy()
        pixels = np.full(scene.depth_mm.shape, UNLABELLED, np.uint8)
        of_images, judged = _on(device, scene.image_tags[frames], scene.image_known[frames])
        allowed = pixel_tags(of_images, judged, tags.expand_as(of_images))
        for frame, view, own in zip(frames, views, allowed, strict=True):
            labels = pseudo_labels(projected(shared, view), own, self.phase.min_confidence)
            pixels[frame] = _resized(labels.cpu().numpy(), *np.shape(pixels)[1:])
        return points, pixels

    def _view(self, scene: PreparedScene, frame: int, device: torch.device) -> "View":
        """What the image network says in a frame, and the points that the frame shows."""
        image, tags, known = _on(device, scene.image(frame), scene.image_tags[frame], scene.image_known[frame])
        scores = averaged_scores(self.teachers["image"], image, self.phase.long_sides)
        probability = among_tags(scores, tags, known)
        uv, depth = project(scene.xyz, scene.camera(frame), scene.poses[frame])
        depth_m = scene.depth_mm[frame].astype(np.float32) / 1000
        points = np.flatnonzero(visible(uv, depth, depth_m, self.data.visibility_m))
        height, width = probability.shape[1:]
        size = np.array([width, height]) / scene.cameras[frame, 4:]
        column, row = np.rint((uv[points] + 0.5) * size - 0.5).astype(np.int64).clip(0, [width - 1, height - 1]).T
        cell = torch.from_numpy(row * width + column).to(device)
        return View(probability, torch.from_numpy(points).to(device), cell)

    def _cloud_scores(self, scene: PreparedScene, device: torch.device) -> Float[Tensor, "N C"]:
        """The scores of all points, from as many of them as a training cloud has."""
        upright = transform(scene.upright_from_world, np.asarray(scene.xyz, np.float64))
        xyz = torch.from_numpy((upright - upright.mean(axis=0)).astype(np.float32)).to(device)
        count = min(len(xyz), self.data.cloud.points)
        chosen = np.sort(np.random.default_rng(0).choice(len(xyz), count, replace=False))
        colors = torch.from_numpy(scene.rgb[chosen]).float().to(device)[None] / 255 if len(scene.rgb) else None
        drawn = xyz[chosen][None]
        scores = self.teachers["cloud"](drawn, input_features(drawn, colors, self.data.cloud_inputs))[1][0].float()
        if count == len(xyz):
            return scores
        index, squared_distance = neighbors.knn(drawn[0], xyz, 3)
        return neighbors.interpolate(scores, index, neighbors.interpolation_weights(squared_distance))


class View(NamedTuple):
    """The probabilities of a frame, and the points that it shows, with the cell (row * w + column) of each."""

    probability: Float[Tensor, "C h w"]
    points: Int64[Tensor, "M"]
    cell: Int64[Tensor, "M"]


def shared_probabilities(of_cloud: Float[Tensor, "N C"], views: Sequence[View]) -> Float[Tensor, "N C"]:
    """The mean of the cloud network's probabilities and of the views' mean; a point without a view keeps the first."""
    if not views:
        return of_cloud
    told = torch.cat([view.probability.flatten(1).T[view.cell] for view in views])
    of_views, count = _group_means(told, torch.cat([view.points for view in views]), len(of_cloud))
    return torch.where(count > 0, (of_views + of_cloud) / 2, of_cloud)


def projected(shared: Float[Tensor, "N C"], view: View) -> Float[Tensor, "C h w"]:
    """The mean probabilities of the points in each cell, among the classes of the view; those of the view elsewhere."""
    own = view.probability.flatten(1).T
    of_points, count = _group_means(shared[view.points], view.cell, len(own))
    of_points = of_points * (own > 0).any(dim=0)
    share = of_points.sum(dim=1, keepdim=True)
    known = (count > 0) & (share > _LEAST)
    return torch.where(known, of_points / share.clamp(min=_LEAST), own).T.reshape(view.probability.shape)


def _group_means(
    values: Float[Tensor, "M C"], group: Int64[Tensor, "M"], groups: int
) -> tuple[Float[Tensor, "G C"], Float[Tensor, "G 1"]]:
    """The mean of the rows of each group, 0 without any, and their number."""
    total, count = values.new_zeros(groups, values.shape[1]), values.new_zeros(groups, 1)
    total.index_add_(0, group, values)
    count.index_add_(0, group, torch.ones_like(values[:, :1]))
    return total / count.clamp(min=1), count


def _class_counts(samples: PairSamples, classes: LabelSpace) -> dict[str, Int64[Tensor, "C"]]:
    """The labelled pixels of the frames, of which a sixteenth is counted, and the labelled points of each class."""
    counts = {kind: np.zeros(len(classes), np.int64) for kind in KINDS}
    for scene, frames in zip(samples.scenes, samples.frames, strict=True):
        counts["image"] += classes.counts(scene.frame_truth[frames, ::COUNTED, ::COUNTED])
        counts["cloud"] += classes.counts(scene.cloud_truth)
    return {kind: torch.from_numpy(found) for kind, found in counts.items()}


def _unlabelled(scene: PreparedScene) -> PreparedScene:
    """The scene with unlabelled points and pixels, as the curves show samples before the phase labels them."""
    nothing = np.uint8(UNLABELLED)
    of_points, of_pixels = (np.broadcast_to(nothing, shape) for shape in (len(scene.xyz), scene.depth_mm.shape))
    return replace(scene, cloud_truth=of_points, frame_truth=of_pixels)


def _on(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    """Copies of arrays, which may be mapped files, on a device."""
    return [torch.from_numpy(np.array(array)).to(device) for array in arrays]


def _resized(labels: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "H W"]:
    row, column = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[np.ix_(row, column)]
