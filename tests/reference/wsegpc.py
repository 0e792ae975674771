"""Slow, obvious float64 twins of the losses of the second paper (WSegPC): one pair, point or region after the other."""

import math

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt())


def contrastive_loss(features: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Eq. 1, with the mean over the pairs in place of the sum."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(features)):
        near = [torch.exp(cosine(features[i], target[j]) / temperature) for j in range(len(target))]
        total = total - torch.log(near[i] / sum(near))
    return total / len(features)


def mse_loss(features: Tensor, target: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(features)):
        for d in range(features.shape[1]):
            total = total + (features[i, d] - target[i, d]) ** 2
    return total / features.numel()


def region_means(scores: Tensor, region: list[int]) -> dict[int, Tensor]:
    """Eq. 2: the mean of each region that has points, and of each point without a region, by the number -1 - n."""
    points: dict[int, list[int]] = {}
    for n, number in enumerate(region):
        points.setdefault(number if number >= 0 else -1 - n, []).append(n)
    return {number: sum(scores[n] for n in members) / len(members) for number, members in points.items()}


def softmax_among(scores: Tensor, possible: list[bool]) -> Tensor:
    total = sum(math.exp(score) for score, allowed in zip(scores.tolist(), possible, strict=True) if allowed)
    return torch.tensor(
        [math.exp(score) / total if allowed else 0.0 for score, allowed in zip(scores.tolist(), possible, strict=True)],
        dtype=torch.float64,
    )


def regional_probabilities(scores: Tensor, possible: list[bool], region: list[int]) -> Tensor:
    """Eqs. 2-3: the probabilities of each point's region."""
    own = torch.stack([softmax_among(row, possible) for row in scores])
    means = region_means(own, region)
    return torch.stack([means[number if number >= 0 else -1 - n] for n, number in enumerate(region)])


def likeliest(probabilities: Tensor) -> int:
    values = probabilities.tolist()
    return values.index(max(values))


def class_counts(probabilities: Tensor) -> list[int]:
    """Eq. 5."""
    counts = [0] * probabilities.shape[1]
    for row in probabilities:
        counts[likeliest(row)] += 1
    return counts


def thresholds(counts: list[int], base: float) -> list[float]:
    """Eq. 6."""
    return [base * count / max(counts) for count in counts]


def region_consistency_loss(student: Tensor, probabilities: Tensor, threshold: list[float]) -> Tensor:
    """Eqs. 4, 7 and 8."""
    total = torch.zeros((), dtype=torch.float64)
    for p in range(len(student)):
        c = likeliest(probabilities[p])
        if float(probabilities[p, c]) > threshold[c]:
            total = total - torch.log(torch.exp(student[p, c]) / torch.exp(student[p]).sum())
    return total / len(student)


class FreeMatch:
    """The thresholds of the authors' code: a counter of the selected points of all steps, which starts with zeros."""

    def __init__(self, classes: int, base: float):
        self.base, self.counter = base, [0] * classes

    def step(self, student: Tensor, probabilities: Tensor) -> Tensor:
        largest = max(self.counter)
        threshold = [self.base * count / largest if largest else 0.0 for count in self.counter]
        for row in probabilities:
            c = likeliest(row)
            self.counter[c] += float(row[c]) > threshold[c]
        return region_consistency_loss(student, probabilities, threshold)
