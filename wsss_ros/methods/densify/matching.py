"""Primitives and classes: the losses of Densify, eqs. 5-9, and the assignment of the classes of a scene to primitives.

A primitive is a cluster of superpoints of the whole training set; there are many more of them than classes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wsss_ros.losses import exact

NONE = -1  # number of the primitive of a point, or of the class of a primitive, without one


def primitive_loss(
    features: Float[Tensor, "M H"], primitives: Float[Tensor, "K H"], assignment: Int64[Tensor, "M"]
) -> Float[Tensor, ""]:
    """Points learn to be nearest to the primitive of their superpoint, eq. 5 (L_us).

    Softmax cross entropy of the products of features and primitives, averaged over the assigned points; 0 without any.

    Args:
        features: of the points.
        primitives: centroids of k-means. They carry no gradient.
        assignment: the primitive of each point, -1: none.
    """
    with torch.autocast(features.device.type, enabled=False):
        scores = exact(features) @ primitives.detach().to(exact(features)).T
    return _assigned_cross_entropy(scores, assignment)


def primitive_means(
    values: Float[Tensor, "M H"], primitive: Int64[Tensor, "M"]
) -> tuple[Float[Tensor, "P H"], Int64[Tensor, "P"]]:
    """The mean of the features, or scores, of the points of each primitive in a scene, eq. 7.

    Args:
        values: of the points of the scene.
        primitive: of each point, -1: none.

    Returns:
        One row for each primitive that occurs, and the sorted numbers of these primitives.
    """
    assigned = primitive != NONE
    number, of_point, count = torch.unique(primitive[assigned], return_inverse=True, return_counts=True)
    total = values.new_zeros(len(number), values.shape[1]).index_add(0, of_point, values[assigned])
    return total / count[:, None], number


def match(
    primitive_means: Float[Tensor, "K H"], head_weight: Float[Tensor, "C H"], tags: Float[Tensor, "C"]
) -> Int64[Tensor, "K"]:
    """Assign each class of a scene to a different primitive, so that the sum of their scores is largest, eqs. 6-7.

    The score is the product of a primitive's mean feature and the weight of a class. The bias of the head has no part
    in it, as in the paper. It would add the same number to any assignment of all classes, so it could only change which
    classes go without a primitive in a scene that has fewer primitives than tags.

    Args:
        primitive_means: of the primitives in the scene.
        head_weight: of the linear head.
        tags: of the scene, multi-hot 0 / 1.

    Returns:
        The class of each primitive, -1: none.
    """
    with torch.autocast(primitive_means.device.type, enabled=False):
        scores = exact(primitive_means.detach()) @ exact(head_weight.detach()).T
    present = torch.nonzero(tags > 0)[:, 0]
    rows, columns = linear_sum_assignment(scores[:, present].cpu().numpy(), maximize=True)
    found = torch.full((len(scores),), NONE, device=scores.device)
    found[torch.from_numpy(rows).to(found.device)] = present[torch.from_numpy(columns).to(found.device)]
    return found


def naive_match(scores: Float[Tensor, "K C"], tags: Float[Tensor, "C"]) -> Int64[Tensor, "K"]:
    """Each primitive takes its best class, and of the primitives of one class the best one keeps it (section 4.4).

    So a class may go without a primitive. This is what the bipartite matching is compared with (table 4).

    Args:
        scores: of the head for the mean feature of each primitive in the scene.
        tags: of the scene, multi-hot 0 / 1.

    Returns:
        The class of each primitive, -1: none.
    """
    found = torch.full((len(scores),), NONE, device=scores.device)
    if not len(scores) or not bool((tags > 0).any()):
        return found
    score, best = scores.detach().masked_fill(tags <= 0, -torch.inf).max(dim=1)
    for label in best.unique():
        rows = torch.nonzero(best == label)[:, 0]
        found[rows[score[rows].argmax()]] = label
    return found


def match_loss(scores: Float[Tensor, "K C"], matched: Int64[Tensor, "K"]) -> Float[Tensor, ""]:
    """Primitives learn the classes that they are matched with, eqs. 8-9 (L_match).

    Softmax cross entropy, averaged over the matched primitives; 0 without any.

    Args:
        scores: of the head for the mean feature of each primitive of each scene, which is the mean of its points'
            scores. The gradient reaches the points through this mean.
        matched: class of each primitive, -1: none.
    """
    return _assigned_cross_entropy(exact(scores), matched)


def _assigned_cross_entropy(scores: Float[Tensor, "M K"], assigned: Int64[Tensor, "M"]) -> Float[Tensor, ""]:
    total = F.cross_entropy(scores, assigned, ignore_index=NONE, reduction="sum")
    return total / (assigned != NONE).sum().clamp(min=1)
