"""The losses, as pure functions of tensors. Equation numbers are those of the joint learning paper."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def classification_loss(mean_scores: Float[Tensor, "B C"], tags: Float[Tensor, "B C"]) -> Float[Tensor, ""]:
    """Multi-label classification of averaged class scores, eq. 2.

    ``mean_scores`` are the logits averaged over pixels or points (eq. 1), ``tags`` multi-hot 0 / 1.
    Binary cross entropy, averaged over batch and classes.
    """
    return F.binary_cross_entropy_with_logits(mean_scores, tags)
