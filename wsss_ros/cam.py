"""Class activation maps read as labels: eqs. 5 and 6, and the plain argmax used at inference."""

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


def confidence(scores: Float[Tensor, "N C"]) -> Float[Tensor, "N"]:
    """Sigmoid of the largest logit: how far a pixel or point is to be trusted, eqs. 6 and 10."""
    return torch.sigmoid(scores.amax(dim=1))
