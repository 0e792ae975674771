"""The primitives of a data set, as a network sees it now."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from wsss_ros.methods.densify.matching import NONE
from wsss_ros.methods.densify.phase import PrimitiveOptions
from wsss_ros.methods.densify.primitives import kmeans, primitive_features, superpoint_features
from wsss_ros.methods.teacher_labels import cloud_outputs
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.superpoint_samples import superpoint_count


class Primitives(NamedTuple):
    """The K primitives in the space of the network's features, and the primitive of each superpoint, -1: none.

    Superpoints are numbered over all scenes, one scene after the other.
    """

    features: Float[Tensor, "K H"]
    assignment: Int64[Tensor, "S"]


@torch.no_grad()
def find_primitives(
    network: nn.Module,
    scenes: Sequence[PreparedScene],
    points: int,
    inputs: tuple[str, ...],
    options: PrimitiveOptions,
    with_hand_made: bool,
) -> Primitives:
    """Cluster the superpoints of all scenes by k-means (section 3.2.1). Random numbers are those of torch.

    A superpoint none of whose points the network sees has no primitive.

    Args:
        network: a cloud network. It is used as at inference, and is then in the mode in which it was.
        scenes: with superpoints.
        points: of a scene that the network sees.
        inputs: of the network in addition to xyz.
        options: how many primitives, and the weights of the hand-made features.
        with_hand_made: whether the hand-made features take part (warm-up).
    """
    training = network.training
    network.eval()
    rows, numbers, start, width = [], [], 0, 0
    for scene in scenes:
        _, chosen, (features, _) = cloud_outputs(network, scene, points, inputs)
        assert scene.region is not None and scene.hand_made is not None
        region = torch.from_numpy(np.asarray(scene.region)[chosen].astype(np.int64)).to(features.device)
        hand_made = torch.from_numpy(np.array(scene.hand_made)).to(features.device) if with_hand_made else None
        of_scene, number = superpoint_features(features, region, hand_made, options.color, options.shape)
        rows.append(of_scene)
        numbers.append(number + start)
        start, width = start + superpoint_count([scene]), features.shape[1]
    network.train(training)
    every = torch.cat(rows)
    count = max(1, min(options.primitives, len(every) // options.superpoints_per_primitive))
    found = kmeans(every, count)
    assignment = torch.full((start,), NONE, device=every.device)
    assignment[torch.cat(numbers)] = found.cluster
    return Primitives(primitive_features(every, found, width), assignment)


def primitive_of(superpoint: Int64[Tensor, "*places"], assignment: Int64[Tensor, "S"]) -> Int64[Tensor, "*places"]:
    """The primitive of each point from its superpoint, -1: none."""
    if not len(assignment):
        return torch.full_like(superpoint, NONE)
    return torch.where(superpoint >= 0, assignment[superpoint.clamp(min=0)], NONE)
