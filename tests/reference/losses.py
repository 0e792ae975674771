"""Slow, obvious twins of the joint losses: the paper's formulas, one pair or point after the other, in float64."""

import torch
import torch.nn.functional as F
from torch import Tensor


def classification_loss(mean_scores: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Eq. 2: the cross entropies of the known pairs, over the number of all pairs."""
    total = torch.zeros((), dtype=torch.float64)
    for b in range(len(tags)):
        for c in range(tags.shape[1]):
            if known[b, c]:
                p = torch.sigmoid(mean_scores[b, c].double())
                total = total - torch.log(p if tags[b, c] else 1 - p)
    return total / tags.numel()


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


def point_to_image_loss(
    image_features: Tensor, point_features: Tensor, weight: Tensor, centred: bool = False
) -> Tensor:
    """Eqs. 8-11, with both N x N matrices; ``centred`` as in the fast one."""
    if centred:
        mean2, mean3 = torch.zeros_like(image_features[0]), torch.zeros_like(point_features[0])
        for n in range(len(weight)):
            mean2 = mean2 + weight[n] / weight.sum() * image_features[n]
            mean3 = mean3 + weight[n] / weight.sum() * point_features[n]
        image_features, point_features = image_features - mean2, point_features - mean3
    z2 = F.normalize(image_features, dim=1)
    z3 = F.normalize(point_features, dim=1)
    s2, s3 = z2 @ z2.T, z3 @ z3.T
    w = weight[:, None] * weight[None, :]
    return (w * (s2 - s3).abs()).sum() / len(weight) ** 2


def class_balance(labels: Tensor) -> Tensor:
    """A weight for each point: its class's even share of all the weight, over how many points have it."""
    present = set(labels.tolist())
    counts = [sum(int(other) == int(label) for other in labels) for label in labels]
    return torch.tensor([len(labels) / len(present) / count for count in counts], dtype=torch.float64)
