"""Both networks learn the labels that they give together: each knows classes that the other does not.

At the start of the phase both networks score all tagged images and clouds; where only scenes have tags, all images are
labelled among those of their scene. The probabilities of a point, among the tags (eq. 5), are the mean of what the
cloud network says and of what the image network says in all views that show the point (eqs. 3-4). They label the points
and, projected back, the pixels of each view, so that all views agree. Labels that are not sure are left out. The labels
stay the same for the whole phase, as a network that labels again and again drifts.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from wsss_ros.cam import among_tags, pixel_tags, pseudo_labels
from wsss_ros.geometry import project, visible
from wsss_ros.labels import UNLABELLED
from wsss_ros.methods.teacher_labels import (
    SceneLabels,
    TeacherLabels,
    TeacherLabelsPhase,
    cloud_scores,
    on_device,
    resized,
)
from wsss_ros.networks.classifier import averaged_scores
from wsss_ros.samples.prepared import PreparedScene

_LEAST = 1e-6  # probability of all classes of a view together, below which its points say nothing


class SharedLabelsPhase(TeacherLabelsPhase):
    """Both networks, from the pseudo-labels that they give together; one of them may teach only."""

    method: Literal["shared_labels"]
    min_confidence: float = Field(
        0.5, ge=0, lt=1, description="A pixel or point whose mean probability is lower gets no pseudo-label."
    )


class SharedLabels(TeacherLabels[SharedLabelsPhase]):
    """The networks learn from labels that both gave at the start of the phase."""

    Phase: ClassVar = SharedLabelsPhase
    phase: SharedLabelsPhase

    def labels_of(self, scene: PreparedScene, frames: Int64[np.ndarray, "K"]) -> SceneLabels:
        """The labels of the points of a scene, and of the pixels of some frames; the other frames are unlabelled."""
        device = next(self.teachers["image"].parameters()).device
        views = [self._view(scene, int(frame), device) for frame in frames]
        tags, known = on_device(device, scene.tags, scene.known)
        scores = cloud_scores(self.teachers["cloud"], scene, self.data.cloud.points, self.data.cloud_inputs)
        of_cloud = among_tags(scores.T, tags, known).T
        shared = shared_probabilities(of_cloud, views)
        points = pseudo_labels(shared.T, tags, self.phase.min_confidence).cpu().numpy()
        pixels = np.full(scene.depth_mm.shape, UNLABELLED, np.uint8)
        of_images, judged = on_device(device, scene.image_tags[frames], scene.image_known[frames])
        allowed = pixel_tags(of_images, judged, tags.expand_as(of_images))
        for frame, view, own in zip(frames, views, allowed, strict=True):
            labels = pseudo_labels(projected(shared, view), own, self.phase.min_confidence)
            pixels[frame] = resized(labels.cpu().numpy(), *np.shape(pixels)[1:])
        return SceneLabels(points, pixels)

    def _view(self, scene: PreparedScene, frame: int, device: torch.device) -> "View":
        """What the image network says in a frame, and the points that the frame shows."""
        image, tags, known = on_device(device, scene.image(frame), scene.image_tags[frame], scene.image_known[frame])
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
