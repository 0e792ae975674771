"""The losses, as pure functions of tensors.

Equation numbers are those of the joint paper; those of the second paper (Duan et al., weak labels of scenes) are marked
WSegPC. One network teaches the other by one of four losses (WSegPC, table 3): ``pseudo_label_loss`` (there CAM),
``affinity_loss``, ``contrastive_loss`` and ``mse_loss``. Each takes the side that learns first; the other side gets no
gradient.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros.labels import UNLABELLED

# Rows and columns of the correlation matrices that are held at once: 4 MiB each, small enough for a CPU's cache.
_TILE = 1024


def classification_loss(
    mean_scores: Float[Tensor, "B C"], tags: Float[Tensor, "B C"], known: Float[Tensor, "B C"] | None = None
) -> Float[Tensor, ""]:
    """Multi-label classification of averaged class scores, eq. 2.

    Binary cross entropy, summed over the known (sample, class) pairs and divided by B C, the number of all pairs. So
    each judgement has the same weight, whatever else is unknown in its sample or batch: a sample with one known class
    does not teach this class C times as much as a sample with C known classes. A sample without a known class adds 0.
    Where all classes are known it is the multi-label soft margin loss that WSegPC uses.

    Args:
        mean_scores: logits averaged over pixels or points (eq. 1).
        tags: multi-hot 0 / 1.
        known: 1 where the class was judged (present or absent), 0 where it is unknown. None: all are known.
    """
    return F.binary_cross_entropy_with_logits(mean_scores, tags, weight=known)


def labelled_cross_entropy(
    scores: Float[Tensor, "B C *places"],
    labels: Int64[Tensor, "B *places"],
    class_weight: Float[Tensor, "C"] | None = None,
) -> Float[Tensor, ""]:
    """Mean softmax cross entropy of the labelled pixels or points; 0 if none is labelled, where torch returns nan.

    Args:
        scores: logits.
        labels: classes, 255 where unlabelled.
        class_weight: the weight of each pixel or point by its class. None: all have the same.
    """
    total = F.cross_entropy(scores, labels, class_weight, ignore_index=UNLABELLED, reduction="sum")
    labelled = labels != UNLABELLED
    weight = labelled if class_weight is None else class_weight[torch.where(labelled, labels, 0)] * labelled
    return total / weight.sum().clamp(min=1e-6)


def image_to_point_loss(
    point_scores: Float[Tensor, "N C"],
    labels: Int64[Tensor, "N"],
    weight: Float[Tensor, "N"],
    class_reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """Linked points learn the classes that the image network gives to their pixels, eq. 7: ``pseudo_label_loss``.

    Args:
        point_scores: logits of the linked points.
        labels: pseudo-labels of their pixels (eq. 5).
        weight: confidence of their pixels (eq. 6).
        class_reduction: mean or sum over the C classes.
    """
    return pseudo_label_loss(point_scores, labels, weight, class_reduction)


def point_to_image_loss(
    image_features: Float[Tensor, "N D"],
    point_features: Float[Tensor, "N E"],
    weight: Float[Tensor, "N"],
    centred: bool = False,
) -> Float[Tensor, ""]:
    """Image features of linked pixels learn the similarities of the point features, eqs. 8-11: ``affinity_loss``.

    Args:
        image_features: of the linked pixels.
        point_features: of the linked points.
        weight: confidence of the points (eq. 10).
        centred: as in ``affinity_loss``.
    """
    return affinity_loss(image_features, point_features, weight, centred)


def pseudo_label_loss(
    scores: Float[Tensor, "N C"],
    labels: Int64[Tensor, "N"],
    weight: Float[Tensor, "N"],
    class_reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """One network learns the classes that the other one gives to linked places (CAM in table 3 of WSegPC).

    Binary cross entropy of the logits of each point or pixel against its pseudo-label, one class against all others. It
    is reduced over classes, weighted, and averaged over the N links. It is 0 without links.

    Args:
        scores: logits of the network that learns. Only these carry a gradient.
        labels: pseudo-labels from the other network.
        weight: its confidence.
        class_reduction: mean or sum over the C classes.
    """
    if not len(labels):
        return scores.sum()
    target = F.one_hot(labels, scores.shape[1]).to(scores.dtype)
    entropy = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
    of_link = entropy.mean(dim=1) if class_reduction == "mean" else entropy.sum(dim=1)
    return (weight.detach() * of_link).mean()


def affinity_loss(
    features: Float[Tensor, "N D"],
    target: Float[Tensor, "N E"],
    weight: Float[Tensor, "N"],
    centred: bool = False,
) -> Float[Tensor, ""]:
    """Features of linked places learn the similarities that the features of the other network have there.

    All features are scaled to unit length. The loss is the mean over all pairs (a, b) of
    ``weight_a weight_b |f_a . f_b - t_a . t_b|``. It is 0 without links. No N x N matrix is kept: memory grows
    with N (D + E), time with N^2.

    Args:
        features: of the network that learns. Only these carry a gradient.
        target: features of the other network.
        weight: confidence of the other network.
        centred: subtract the weighted mean over the N links from the features of each side first. The similarities
            are then correlations and not cosines. Features after a ReLU are never negative, so all their cosines are
            large, and learning them makes all features alike, whatever is there.
    """
    if not len(weight):
        return features.sum()
    weight = exact(weight.detach())
    sides = [exact(side) for side in (features, target.detach())]
    if centred:
        share = weight / weight.sum().clamp(min=1e-12)
        # No matrix product: autocast would round it.
        sides = [side - (share[:, None].to(side.dtype) * side).sum(dim=0) for side in sides]
    unit, unit_target = (F.normalize(side, dim=1) for side in sides)
    return _CorrelationLoss.apply(unit, unit_target, weight)


def contrastive_loss(
    features: Float[Tensor, "M D"], target: Float[Tensor, "M D"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """Each feature learns to be nearer to the target of its own pair than to those of all other pairs, WSegPC eq. 1.

    The mean over the M pairs of the softmax cross entropy of ``cosine / temperature``, whose classes are the M targets.
    The paper sums over the pairs; it always has 512. The loss is 0 without pairs, and with one pair.

    Args:
        features: of the network that learns, projected to the dimension of the target. Only these carry a gradient.
        target: features of the other network at the same places.
        temperature: divisor of the cosines, > 0.
    """
    unit, unit_target = (F.normalize(exact(side), dim=1) for side in (features, target.detach()))
    with torch.autocast(unit.device.type, enabled=False):
        similarity = unit @ unit_target.T / temperature
    own = torch.arange(len(unit), device=unit.device)
    return F.cross_entropy(similarity, own, reduction="sum") / max(len(unit), 1)


def mse_loss(features: Float[Tensor, "M D"], target: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Features become equal to the target of their pair: the mean squared difference (MSE in table 3 of WSegPC).

    It is 0 without pairs.

    Args:
        features: of the network that learns, projected to the dimension of the target. Only these carry a gradient.
        target: features of the other network at the same places.
    """
    difference = exact(features) - exact(target.detach())
    return difference.square().sum() / max(difference.numel(), 1)


def region_consistency_loss(
    student_scores: Float[Tensor, "N C"],
    teacher_probabilities: Float[Tensor, "N C"],
    threshold: Float[Tensor, "C"],
) -> Float[Tensor, ""]:
    """Points or pixels learn the likeliest class of their region, where the teacher is sure, WSegPC eqs. 4, 7, 8.

    Softmax cross entropy, averaged over all N places; those that eq. 7 does not select add 0. It is 0 without places.

    Args:
        student_scores: logits. Only these carry a gradient.
        teacher_probabilities: of the region of each place (eq. 3), from ``cam.regional_probabilities``.
        threshold: of each class: the probability of the class must be larger. From ``cam.adaptive_threshold`` (eq. 6);
            zeros select every place that has a probability (eq. 4).
    """
    probability, label = teacher_probabilities.detach().max(dim=1)
    selected = probability > threshold[label]
    entropy = F.cross_entropy(exact(student_scores), label, reduction="none")
    return (selected * entropy).sum() / max(len(label), 1)


def exact(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The values in float32; those in float64 stay so. Half precision loses the differences of products."""
    return values if values.dtype == torch.float64 else values.float()


class _CorrelationLoss(torch.autograd.Function):
    """Eq. 11, tile by tile over the upper triangle, value and gradient in one pass.

    With the rows ``[A, -B]`` and ``[A, B]``, one product gives the difference of both correlation matrices. It is
    symmetric, so dL/dA_a = 2/N^2 w_a sum_b w_b sign_ab A_b.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(unit.device.type, enabled=False):
            loss, gradient = _correlation(unit, target, weight, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None


def _correlation(unit: Tensor, target: Tensor, weight: Tensor, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
    count = len(weight)
    left, right = torch.cat([unit, -target], dim=1), torch.cat([unit, target], dim=1).T
    weighted = weight[:, None] * unit
    gradient = torch.zeros_like(unit) if wants_gradient else None
    total = torch.zeros((), dtype=torch.float64, device=unit.device)
    tiles = [slice(start, start + _TILE) for start in range(0, count, _TILE)]
    for position, rows in enumerate(tiles):
        for columns in tiles[position:]:
            difference = left[rows] @ right[:, columns]
            if gradient is not None:
                sign = difference.sign()
                gradient[rows].addmm_(sign, weighted[columns])
                if rows != columns:
                    gradient[columns].addmm_(sign.T, weighted[rows])
            twice = 1 if rows == columns else 2
            total += twice * (weight[rows] @ (difference.abs_() @ weight[columns])).double()
    if gradient is not None:
        gradient *= (2 / count**2) * weight[:, None]
    return (total / count**2).to(unit.dtype), gradient
