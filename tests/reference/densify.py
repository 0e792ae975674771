"""Slow, obvious float64 twins of the losses and the matching of the third paper (Densify)."""

from itertools import permutations

import torch
from torch import Tensor


def primitive_loss(features: Tensor, primitives: Tensor, assignment: list[int]) -> Tensor:
    """Eq. 5, the mean over the assigned points."""
    each = [
        -torch.log(torch.exp(features[m] @ primitives[k]) / sum(torch.exp(features[m] @ p) for p in primitives))
        for m, k in enumerate(assignment)
        if k >= 0
    ]
    return sum(each) / len(each)


def primitive_means(values: Tensor, primitive: list[int]) -> dict[int, Tensor]:
    """Eq. 7: the mean of each primitive that occurs."""
    found = {}
    for number in sorted({k for k in primitive if k >= 0}):
        rows = [m for m, k in enumerate(primitive) if k == number]
        found[number] = sum(values[m] for m in rows) / len(rows)
    return found


def total_score(assigned: list[int], scores: Tensor) -> float:
    return sum(float(scores[k, c]) for k, c in enumerate(assigned) if c >= 0)


def assignments(count: int, present: list[int]) -> list[list[int]]:
    """All assignments of classes to different primitives, as many as possible: the class of each primitive, or -1."""
    if count <= len(present):
        return [list(chosen) for chosen in permutations(present, count)]
    found = []
    for rows in permutations(range(count), len(present)):
        assigned = [-1] * count
        for row, label in zip(rows, present, strict=True):
            assigned[row] = label
        found.append(assigned)
    return found


def match(means: Tensor, weight: Tensor, tags: list[int]) -> list[int]:
    """Eqs. 6-7 by trying all assignments."""
    scores = means @ weight.T
    present = [c for c, tag in enumerate(tags) if tag]
    return max(assignments(len(means), present), key=lambda assigned: total_score(assigned, scores))


def naive_match(scores: Tensor, tags: list[int]) -> list[int]:
    present = [c for c, tag in enumerate(tags) if tag]
    best = [max(present, key=lambda c, row=row: float(row[c])) for row in scores]
    kept = {max((k for k in range(len(best)) if best[k] == c), key=lambda k: float(scores[k, best[k]])) for c in best}
    return [c if k in kept else -1 for k, c in enumerate(best)]


def match_loss(scores: Tensor, matched: list[int]) -> Tensor:
    """Eq. 9 with one-hot targets, the mean over the matched primitives."""
    each = [-torch.log(torch.exp(scores[k, c]) / torch.exp(scores[k]).sum()) for k, c in enumerate(matched) if c >= 0]
    return sum(each) / len(each)
