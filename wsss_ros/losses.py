"""The losses, as pure functions of tensors. Equation numbers are those of the joint paper."""

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
    """Linked points learn the classes that the image network gives to their pixels, eq. 7.

    Binary cross entropy of each point's logits against its pseudo-label, one class against all others. It is reduced
    over classes, weighted, and averaged over the N points. It is 0 without points.

    Args:
        point_scores: logits of the linked points. Only these carry a gradient.
        labels: pseudo-labels of their pixels (eq. 5).
        weight: confidence of their pixels (eq. 6).
        class_reduction: mean or sum over the C classes.
    """
    if not len(labels):
        return point_scores.sum()
    target = F.one_hot(labels, point_scores.shape[1]).to(point_scores.dtype)
    entropy = F.binary_cross_entropy_with_logits(point_scores, target, reduction="none")
    of_point = entropy.mean(dim=1) if class_reduction == "mean" else entropy.sum(dim=1)
    return (weight.detach() * of_point).mean()


def point_to_image_loss(
    image_features: Float[Tensor, "N D"],
    point_features: Float[Tensor, "N E"],
    weight: Float[Tensor, "N"],
    centred: bool = False,
) -> Float[Tensor, ""]:
    """Image features of linked pixels learn the similarities of the point features, eqs. 8-11.

    All features are scaled to unit length. The loss is the mean over all pairs (a, b) of
    ``weight_a weight_b |z2_a . z2_b - z3_a . z3_b|``. It is 0 without points. No N x N matrix is kept: memory grows
    with N (D + E), time with N^2.

    Args:
        image_features: of the linked pixels. Only these carry a gradient.
        point_features: of the linked points.
        weight: confidence of the points (eq. 10).
        centred: subtract the weighted mean over the N points from the features of each side first. The similarities
            are then correlations and not cosines. Features after a ReLU are never negative, so all their cosines are
            large, and learning them makes all image features alike, whatever the pixels show.
    """
    if not len(weight):
        return image_features.sum()
    weight = _exact(weight.detach())
    sides = [_exact(features) for features in (image_features, point_features.detach())]
    if centred:
        share = weight / weight.sum().clamp(min=1e-12)
        # No matrix product: autocast would round it.
        sides = [features - (share[:, None].to(features.dtype) * features).sum(dim=0) for features in sides]
    unit, target = (F.normalize(features, dim=1) for features in sides)
    return _CorrelationLoss.apply(unit, target, weight)


def _exact(values: Tensor) -> Tensor:
    """The values in float32 or float64: half precision loses the differences of products."""
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
