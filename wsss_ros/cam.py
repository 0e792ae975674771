"""Class activation maps (CAM) as pseudo-labels, and their confidence: eqs. 5, 6 and 10 of the joint paper.

Also the labels of regions that a teacher network gives, and the thresholds of their classes: eqs. 2, 3 and 5-7 of the
second paper (Duan et al., weak labels of scenes), marked WSegPC.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Num, UInt8
from torch import Tensor

from wsss_ros.labels import UNLABELLED


def seed_labels(scores: Float[Tensor, "N C"], tags: Float[Tensor, "C"]) -> Int64[Tensor, "N"]:
    """The class with the largest score among the tagged classes, eq. 5.

    Args:
        scores: logits of pixels or points of one image or cloud.
        tags: multi-hot 0 / 1.

    Raises:
        ValueError: no class is tagged.
    """
    present = tags > 0.5
    if not present.any():
        raise ValueError("seed_labels: no class is tagged; leave such an image out")
    return scores.masked_fill(~present, -torch.inf).argmax(dim=1)


def pixel_tags(
    tags: Float[Tensor, "K C"], known: Float[Tensor, "K C"], scene_tags: Float[Tensor, "K C"]
) -> Float[Tensor, "K C"]:
    """The classes that the pixels of each image may get (multi-hot): its tags, without any those of its scene.

    Of the scene's tags only those count that are not absent from the image: it shows some of them.

    Args:
        tags: of the images, multi-hot 0 / 1.
        known: 1 where a class was judged in the image (present or absent), 0 where it is unknown.
        scene_tags: of the scene of each image, multi-hot 0 / 1.
    """
    return torch.where(tags.any(dim=1, keepdim=True), tags, scene_tags * (known == 0))


def confidence(
    scores: Float[Tensor, "N C"], kind: Literal["sigmoid", "logit", "none"] = "sigmoid"
) -> Float[Tensor, "N"]:
    """The confidence of each pixel or point, from its largest logit: eqs. 6 and 10.

    Args:
        scores: logits.
        kind: ``sigmoid``: the sigmoid of the largest logit, in 0..1. ``logit``: the largest logit, as the paper prints
            it, but at least 0: a negative weight would reverse the loss. ``none``: 1 for all.
    """
    largest = scores.amax(dim=1)
    if kind == "none":
        return torch.ones_like(largest)
    return torch.sigmoid(largest) if kind == "sigmoid" else largest.clamp(min=0)


def class_balance(labels: Int64[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Weights with which each class that occurs has the same total weight, however many points have it.

    Their mean is 1.
    """
    if not len(labels):
        return labels.float()
    of_class = torch.bincount(labels)
    return len(labels) / (of_class.count_nonzero() * of_class[labels]).float()


def tag_log_odds(tags: Float[Tensor, "K C"], known: Float[Tensor, "K C"] | None = None) -> Float[Tensor, "C"]:
    """The frequency of each class among K tagged images or scenes, as a logit.

    Only the images or scenes where the class is known count. One sample with the class and one without it are added,
    so the result is finite.

    A classifier of averaged scores expresses this frequency everywhere in its activation map, so walls and floors win
    over the things in front of them. When the frequency is added to the average score, the map only has to express what
    is visible where.

    Args:
        tags: multi-hot 0 / 1.
        known: 1 where the class was judged (present or absent), 0 where it is unknown. None: all are known.
    """
    known = torch.ones_like(tags) if known is None else known
    present = (tags * known).sum(dim=0) + 1
    return torch.log(present / (known.sum(dim=0) + 2 - present))


def refined_by_color(
    probability: Float[Tensor, "C H W"],
    rgb: Float[Tensor, "3 H W"],
    steps: int = 10,
    dilations: Sequence[int] = (1, 2, 4, 8),
) -> Float[Tensor, "C H W"]:
    """Class probabilities that follow the colours of the image: each step averages a pixel with similar neighbours.

    The neighbours are the eight around a pixel at each distance in ``dilations``; the border is repeated. Their weights
    are the softmax of the mean over the colours of ``-|difference| / (0.1 deviation)``, where the deviation is that of
    the colours of all these neighbours. (Pixel-adaptive mask refinement, Araslanov and Roth 2020, sec. 3.3.)
    """
    border, (height, width) = max(dilations), rgb.shape[1:]
    shifts = [(d * y, d * x) for d in dilations for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y]

    def neighbours(maps: Tensor) -> list[Tensor]:
        wide = F.pad(maps[None], (border,) * 4, mode="replicate")[0]
        return [wide[:, border + y : border + y + height, border + x : border + x + width] for y, x in shifts]

    around = torch.stack(neighbours(rgb))
    closeness = -(around - rgb).abs() / (0.1 * around.std(dim=0) + 1e-8)
    weights = closeness.mean(dim=1).softmax(dim=0)
    for _ in range(steps):
        probability = sum(weight * shifted for weight, shifted in zip(weights, neighbours(probability), strict=True))
    return probability


def among_tags(
    scores: Float[Tensor, "C *places"], tags: Float[Tensor, "C"], known: Float[Tensor, "C"]
) -> Float[Tensor, "C *places"]:
    """The softmax of the scores over the tags and the classes that nobody could judge (0 in ``known``), else 0."""
    possible = (tags > 0) | (known == 0)
    return scores.masked_fill(~possible.view(-1, *[1] * (scores.ndim - 1)), -torch.inf).softmax(dim=0)


def pseudo_labels(
    probability: Float[Tensor, "C *places"], tags: Float[Tensor, "C"], min_confidence: float
) -> UInt8[Tensor, "*places"]:
    """The likeliest class of each pixel (eq. 5); unlabelled if its probability is below ``min_confidence``.

    A pixel that looks most like a class that nobody could judge, which may be in the image, is unlabelled, too.
    """
    confidence, labels = probability.max(dim=0)
    sure = (confidence >= min_confidence) & (tags > 0)[labels]
    return torch.where(sure, labels, UNLABELLED).to(torch.uint8)


def class_weights(counts: Sequence[Int64[Tensor, "C"]], shares: Sequence[float], power: float) -> Float[Tensor, "C"]:
    """The weight of each class in the cross entropy: its share of the labelled pixels, to the power of ``-power``.

    ``counts`` are the labelled pixels of each class in each source, ``shares`` the shares of the sources in a step. A
    class without a pixel has weight 0.
    """
    each = [share * count.double() / count.sum().clamp(min=1) for count, share in zip(counts, shares, strict=True)]
    frequency = torch.stack(each).sum(dim=0)
    return torch.where(frequency > 0, frequency.clamp(min=1e-6) ** -power, 0.0).float()


def region_rows(region: Int64[Tensor, "N"]) -> Int64[Tensor, "N"]:
    """The row of ``region_mean`` that belongs to each point.

    Regions keep their numbers, and each point without a region (-1) gets one for itself after them.
    """
    alone = region < 0
    regions = int(region.max()) + 1 if len(region) else 0
    return torch.where(alone, alone.cumsum(dim=0) - 1 + regions, region)


def region_mean(scores: Float[Tensor, "N C"], region: Int64[Tensor, "N"]) -> Float[Tensor, "R C"]:
    """The mean of the scores over the points of each region, WSegPC eq. 2.

    Args:
        scores: logits or probabilities of points or pixels. Half precision is averaged in float32.
        region: numbers from 0; -1: a point for itself.

    Returns:
        Row r is region r, and is 0 if no point has it. The points for themselves follow in their order
        (``region_rows`` has the row of each point).
    """
    rows = region_rows(region)
    count = torch.bincount(rows)
    # Sums in float64: in float32 those of 100,000 points lose four digits.
    total = torch.zeros(len(count), scores.shape[1], dtype=torch.float64, device=scores.device)
    mean = total.index_add(0, rows, scores.double()) / count.clamp(min=1)[:, None]
    return mean.to(torch.promote_types(scores.dtype, torch.float32))


def regional_probabilities(
    scores: Float[Tensor, "N C"],
    tags: Float[Tensor, "C"],
    region: Int64[Tensor, "N"],
    known: Float[Tensor, "C"] | None = None,
) -> Float[Tensor, "N C"]:
    """The class probabilities that a teacher network gives to the region of each point, WSegPC eqs. 2-3.

    The softmax among the possible classes, averaged over the region. All are 0 if no class is possible.

    Args:
        scores: logits of the points or pixels of one scene.
        tags: of the scene, multi-hot 0 / 1. Absent classes get probability 0.
        region: numbers from 0; -1: a point keeps its own probabilities.
        known: 1 where the class was judged, 0 where it is unknown and therefore possible. None: all are known.
    """
    known = torch.ones_like(tags) if known is None else known
    exact = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if not ((tags > 0) | (known == 0)).any():
        return torch.zeros_like(exact)
    return region_mean(among_tags(exact.T, tags, known).T, region)[region_rows(region)]


def class_counts(
    probabilities: Float[Tensor, "N C"], threshold: Float[Tensor, "C"] | None = None
) -> Int64[Tensor, "C"]:
    """How many points have each class as their likeliest one, WSegPC eq. 5.

    A point whose probabilities are all 0 is not counted.

    This counts the points of one step, as the paper does. The authors' code adds up the points that were selected in
    all steps so far::

        threshold = adaptive_threshold(counter, base)
        loss = region_consistency_loss(student_scores, probabilities, threshold)
        counter = counter + class_counts(probabilities, threshold)

    ``counter`` starts with zeros; it is a state to save.

    Args:
        probabilities: of the region of each point (eq. 3).
        threshold: count only the points that are selected with these thresholds (eq. 7). None: count all points.
    """
    probability, label = probabilities.max(dim=1)
    least = 0 if threshold is None else threshold[label]
    return torch.bincount(label[probability > least], minlength=probabilities.shape[1])


def adaptive_threshold(counts: Num[Tensor, "C"], base: float = 0.8) -> Float[Tensor, "C"]:
    """The threshold of each class: ``base`` for the class with most points, less for rarer ones, WSegPC eq. 6.

    All are 0 where nothing is counted.

    Args:
        counts: points of each class (``class_counts``).
        base: threshold of the most frequent class, eta in the paper.
    """
    exact = counts.double()
    return (base * exact / exact.max().clamp(min=1e-12)).float()
