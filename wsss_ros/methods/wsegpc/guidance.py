"""Cross-modal guidance, section 3.2 of WSegPC: one network teaches the other at pairs of a point and a pixel."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros import cam
from wsss_ros.losses import affinity_loss, contrastive_loss, exact, mse_loss, pseudo_label_loss
from wsss_ros.networks.classifier import sample_bilinear
from wsss_ros.samples.teachers import TeacherBatch

Distillation = Literal["contrastive", "affinity", "mse", "cam"]
PROJECTED = ("contrastive", "mse")  # the losses that compare features of one dimension


class Side(NamedTuple):
    """Features and scores of one network at the M pairs of a scene."""

    features: Float[Tensor, "M D"]
    scores: Float[Tensor, "M C"]


class Pairs(NamedTuple):
    """What both networks say at the pairs of a scene, and the scene's tags."""

    image: Side
    cloud: Side
    tags: Float[Tensor, "C"]


def scene_pairs(
    batch: TeacherBatch, of_images: Sequence[Tensor], of_points: Sequence[Tensor], min_links: int, most: int
) -> Iterator[Pairs]:
    """At most ``most`` random pairs of each scene, from all of its views that show at least ``min_links`` points.

    Args:
        batch: clouds with several images of each, and their links.
        of_images: features and scores of the images, [K D h w] and [K C h w].
        of_points: features and scores of the points, [B N E] and [B N C].
        min_links: a view with fewer links gives no pairs.
        most: pairs of a scene.
    """
    crop, per_cloud = batch.images.shape[-1], len(batch.images) // len(batch.xyz)
    points, pixels = batch.links_point.split(batch.links_count), batch.links_uv.split(batch.links_count)
    for scene, tags in enumerate(batch.scene_tags):
        views = range(scene * per_cloud, (scene + 1) * per_cloud)
        usable = [view for view in views if batch.links_count[view] >= min_links]
        chosen = [rows.to(batch.links_point.device) for rows in drawn([batch.links_count[v] for v in usable], most)]
        point = torch.cat([batch.links_point[:0], *(points[v][rows] for v, rows in zip(usable, chosen, strict=True))])
        at = [(view, pixels[view][rows]) for view, rows in zip(usable, chosen, strict=True)]
        image = (_at_pixels(maps, at, crop) for maps in of_images)
        yield Pairs(Side(*image), Side(*(exact(values[scene, point]) for values in of_points)), tags)


def _at_pixels(
    maps: Float[Tensor, "K D h w"], at: Sequence[tuple[int, Float[Tensor, "_ 2"]]], crop: int
) -> Float[Tensor, "M D"]:
    nothing = maps.new_zeros(0, maps.shape[1])
    return exact(torch.cat([nothing, *(sample_bilinear(maps[view], uv, crop) for view, uv in at)]))


def drawn(counts: Sequence[int], most: int) -> list[Int64[Tensor, "_"]]:
    """At most ``most`` random rows of several tables with these numbers of rows: the sorted rows of each table."""
    chosen = torch.randperm(sum(counts))[:most].sort().values
    rows = []
    for count in counts:
        rows.append(chosen[(chosen >= 0) & (chosen < count)])
        chosen = chosen - count
    return rows


def distillation_loss(
    name: Distillation, learner: Side, teacher: Side, tags: Float[Tensor, "C"], temperature: float
) -> Float[Tensor, ""]:
    """The loss of table 3 by its name: contrastive (eq. 1), mse, affinity or cam. The teacher gets no gradient.

    Affinity and cam have the confidence of the teacher as weight: they are the losses of the joint paper.

    Args:
        name: of the loss.
        learner: for contrastive and mse its features are projected to the dimension of the teacher's.
        teacher: the other network.
        tags: of the scene, for cam.
        temperature: for contrastive.
    """
    if name == "contrastive":
        return contrastive_loss(learner.features, teacher.features, temperature)
    if name == "mse":
        return mse_loss(learner.features, teacher.features)
    weight = cam.confidence(teacher.scores.detach()) if len(teacher.scores) else teacher.scores[:, 0]
    if name == "affinity":
        return affinity_loss(learner.features, teacher.features, weight)
    return pseudo_label_loss(learner.scores, cam.seed_labels(teacher.scores.detach(), tags), weight)
