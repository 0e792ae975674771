"""Slow, obvious twins of the joint losses: the paper's formulas, one pair or point after the other, in float64."""

import torch
import torch.nn.functional as F
from torch import Tensor


def image_to_point_loss(scores: Tensor, labels: Tensor, weight: Tensor, class_reduction: str) -> Tensor:
    """Eq. 7."""
    total = torch.zeros((), dtype=torch.float64)
    for n in range(len(labels)):
        terms = []
        for c in range(scores.shape[1]):
            p = torch.sigmoid(scores[n, c].double())
            terms.append(-torch.log(p) if c == int(labels[n]) else -torch.log(1 - p))
        entropy = sum(terms) / (len(terms) if class_reduction == "mean" else 1)
        total = total + float(weight[n]) * entropy
    return total / len(labels)


def point_to_image_loss(image_features: Tensor, point_features: Tensor, weight: Tensor) -> Tensor:
    """Eqs. 8-11, with both N x N matrices."""
    z2 = F.normalize(image_features, dim=1)
    z3 = F.normalize(point_features, dim=1)
    s2, s3 = z2 @ z2.T, z3 @ z3.T
    w = weight[:, None] * weight[None, :]
    return (w * (s2 - s3).abs()).sum() / len(weight) ** 2
