"""Primitives: clusters of the superpoints of all scenes (section 3.2.1), and their groups (supplement, A.4)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from wsss_ros.cam import region_mean
from wsss_ros.types import BadInput

_BLOCK = 2048  # rows whose distances to all centres are in memory at a time
_START_ROWS = 16_384  # most rows among which the first centres are chosen


class Clusters(NamedTuple):
    """K centres, and the one that is nearest to each of the S rows."""

    centre: Float[Tensor, "K D"]
    cluster: Int64[Tensor, "S"]


def superpoint_features(
    features: Float[Tensor, "N H"],
    region: Int64[Tensor, "N"],
    hand_made: Float[Tensor, "R E"] | None,
    color: float = 3.0,
    shape: float = 3.0,
) -> tuple[Float[Tensor, "S D"], Int64[Tensor, "S"]]:
    """The features by which the superpoints of a scene are clustered, as GrowSP computes them.

    They are the mean feature of the network, scaled to length 1, then the mean colour and the histogram of normal
    products times their weights, all together scaled to length 1 again.

    Args:
        features: of the network at the points.
        region: the superpoint of each point, from 0; -1: none.
        hand_made: of the superpoints (``PreparedScene.hand_made``): colour in the first three columns, then the
            histogram. None after the warm-up: the features of the network alone.
        color: weight of the colour.
        shape: weight of the histogram.

    Returns:
        A row of H + E numbers for each superpoint that has a point, and the numbers of these superpoints in order.
    """
    inside = region >= 0
    number, row = torch.unique(region[inside], return_inverse=True)
    if not len(number):
        extra = 0 if hand_made is None else hand_made.shape[1]
        return features.new_zeros(0, features.shape[1] + extra), number
    means = F.normalize(region_mean(features[inside], row), dim=1)
    if hand_made is None:
        return means, number
    weight = hand_made.new_full((hand_made.shape[1],), shape)
    weight[:3] = color
    return F.normalize(torch.cat([means, (hand_made * weight)[number].to(means)], dim=1), dim=1), number


def kmeans(
    rows: Float[Tensor, "S D"],
    count: int,
    generator: torch.Generator | None = None,
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> Clusters:
    """Cluster rows by k-means: Lloyd's algorithm over all rows, from the centres of k-means++.

    A cluster that loses all rows starts again at a row that is the farthest from its own centre. The iterations end
    when the squared shifts of all centres add up to at most ``tolerance`` times the mean variance of the columns, as
    in scikit-learn. On one device with the same number of threads, the same random numbers give the same clusters.

    Args:
        rows: finite numbers.
        count: number K of clusters; there are fewer if fewer rows differ.
        generator: random numbers on the CPU; None: those of torch, which a run seeds before ``Method.prepare``.
        iterations: most iterations.
        tolerance: when the centres count as still.

    Raises:
        BadInput: no rows, a number that is not finite, ``count`` < 1.
    """
    if not len(rows) or count < 1:
        raise BadInput(
            f"{len(rows)} superpoints for {count} primitives; expected at least one of each; where scenes consist of "
            "small pieces, choose superpoints with a smaller drop_below"
        )
    if not bool(rows.isfinite().all()):
        raise BadInput("the features of superpoints are not finite: the network has diverged; lower its learning rate")
    centre = first_centres(rows, count, generator)
    still = tolerance * float(rows.var(dim=0, unbiased=False).mean())
    for _ in range(iterations):
        moved = _step(rows, centre)
        shift = float((moved - centre).square().sum())
        centre = moved
        if shift <= still:
            break
    return Clusters(centre, torch.cat([_nearest(block, centre)[0] for block in rows.split(_BLOCK)]))


def first_centres(
    rows: Float[Tensor, "S D"], count: int, generator: torch.Generator | None = None
) -> Float[Tensor, "K D"]:
    """The centres of k-means++: rows, drawn with a probability in proportion to the squared distance to those before.

    Of more than 16,384 rows, a random part takes part. There are fewer centres than ``count`` if fewer rows differ.
    """
    drawn = torch.randperm(len(rows), generator=generator)[:_START_ROWS]
    part = rows[drawn.to(rows.device)]
    chosen, squared = [part[0]], (part - part[0]).square().sum(dim=1)
    while len(chosen) < count:
        sums = squared.double().cumsum(dim=0)
        if not float(sums[-1]) > 0:
            break
        level = torch.rand((), generator=generator, dtype=torch.float64).to(sums) * sums[-1]
        index = torch.searchsorted(sums, level, right=True).clamp(max=len(part) - 1)
        chosen.append(part[index])
        squared = torch.minimum(squared, (part - chosen[-1]).square().sum(dim=1))
    return torch.stack(chosen)


def _step(rows: Float[Tensor, "S D"], centre: Float[Tensor, "K D"]) -> Float[Tensor, "K D"]:
    """The means of the rows that are nearest to each centre; see ``kmeans`` for centres without rows."""
    sums = torch.zeros(centre.shape, dtype=torch.float64, device=centre.device)
    members, far = torch.zeros(len(centre), dtype=torch.int64, device=centre.device), []
    for block in rows.split(_BLOCK):
        nearest, squared = _nearest(block, centre)
        if rows.is_cuda:  # where the order of the sums of index_add is random
            sums += cluster_sums(block, nearest, len(centre))
        else:
            sums.index_add_(0, nearest, block.double())
        members += torch.bincount(nearest, minlength=len(centre))
        far.append(squared)
    moved = (sums / members.clamp(min=1)[:, None]).to(centre)
    empty = (members == 0).nonzero()[:, 0]
    if len(empty):
        moved[empty] = rows[torch.cat(far).topk(min(len(empty), len(rows))).indices]
    return moved


def cluster_sums(block: Float[Tensor, "M D"], cluster: Int64[Tensor, "M"], count: int) -> Float64[Tensor, "K D"]:
    """The sums of the rows of each cluster as a matrix product, which adds in the same order each time."""
    return F.one_hot(cluster, count).double().T @ block.double()


def _nearest(block: Float[Tensor, "M D"], centre: Float[Tensor, "K D"]) -> tuple[Int64[Tensor, "M"], Tensor]:
    """The centre nearest to each row, and the squared distance to it."""
    scores = torch.addmm(centre.square().sum(dim=1), block, centre.T, alpha=-2)
    least, nearest = scores.min(dim=1)
    return nearest, least + block.square().sum(dim=1)


def primitive_features(rows: Float[Tensor, "S D"], found: Clusters, width: int) -> Float[Tensor, "K H"]:
    """The primitives as points in the space of the network: f_prim of eq. 5.

    Each is the mean of the first ``width`` columns of its superpoints, scaled to length 1, as GrowSP has it. A
    primitive without superpoints has that of its centre.

    Args:
        rows: ``superpoint_features`` of all scenes.
        found: the clusters of these rows.
        width: number H of features of the network.
    """
    own = region_mean(rows[:, :width], found.cluster)
    means = found.centre[:, :width].clone()
    used = torch.bincount(found.cluster, minlength=len(means)) > 0
    means[used] = own[used[: len(own)]].to(means)
    return F.normalize(means, dim=1)


def grouped(
    features: Float[Tensor, "K H"], count: int = 120, generator: torch.Generator | None = None
) -> Int64[Tensor, "K"]:
    """The group of each primitive: k-means of the primitives themselves, after the warm-up (supplement, A.4)."""
    return kmeans(features, count, generator).cluster


def propagated(label: Int64[Tensor, "K"], group: Int64[Tensor, "K"]) -> Int64[Tensor, "K"]:
    """The labels of the primitives of a scene after a look at their groups (supplement, A.4).

    If the labels in a group differ, none of its primitives keeps one. Else all of them get it.

    The paper says "more than two primitives with different assigned labels", but names no label for a group where
    just two differ; here they are in conflict, too.

    Args:
        label: class of each primitive that ``match`` gives, -1: none.
        group: of each primitive, from 0.
    """
    groups = int(group.max()) + 1 if len(group) else 0
    highest = label.new_full((groups,), -1).scatter_reduce(0, group, label, "amax")
    unlabelled = torch.iinfo(label.dtype).max
    lowest = label.new_full((groups,), unlabelled).scatter_reduce(
        0, group, label.masked_fill(label < 0, unlabelled), "amin"
    )
    return torch.where(highest == lowest, highest, -1)[group]
