"""Class activation maps read as labels, and how far they are to be trusted: eqs. 5, 6 and 10."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def seed_labels(scores: Float[Tensor, "N C"], tags: Float[Tensor, "C"]) -> Int64[Tensor, "N"]:
    """The best class among those that are tagged, eq. 5. A class without a tag never wins.

    Raises ValueError when no class is tagged: there is nothing to choose from.
    """
    present = tags > 0.5
    if not present.any():
        raise ValueError("seed_labels: no class is tagged; leave such an image out")
    return scores.masked_fill(~present, -torch.inf).argmax(dim=1)


def confidence(
    scores: Float[Tensor, "N C"], kind: Literal["sigmoid", "logit", "none"] = "sigmoid"
) -> Float[Tensor, "N"]:
    """How far a pixel or point is to be trusted, from its largest logit: eqs. 6 and 10.

    ``sigmoid`` is in 0..1; ``logit`` is the largest logit itself, as the paper prints it, but at least 0 (a pixel that
    denies every class must not turn the loss around); ``none`` trusts all alike.
    """
    largest = scores.amax(dim=1)
    if kind == "none":
        return torch.ones_like(largest)
    return torch.sigmoid(largest) if kind == "sigmoid" else largest.clamp(min=0)


def class_balance(labels: Int64[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Weights, 1 on average, with which each class that occurs counts alike, however many points have it."""
    if not len(labels):
        return labels.float()
    of_class = torch.bincount(labels)
    return len(labels) / (of_class.count_nonzero() * of_class[labels]).float()


def tag_log_odds(tags: Float[Tensor, "K C"]) -> Float[Tensor, "C"]:
    """How common each class is among K tagged images or scenes, as a logit (one sample more of either kind).

    A classifier of averaged scores has to express this everywhere in its activation map, where it lets walls and floors
    win over whatever stands before them. Added to the average instead, it leaves the map to what is seen where.
    """
    present = tags.sum(dim=0) + 1
    return torch.log(present / (len(tags) + 2 - present))
