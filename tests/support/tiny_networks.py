"""Small networks with random weights, as checkpoints."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint

POINT_OPTIONS = {"width": 0.125, "centres": (256, 128, 64, 32), "neighbours": (16, 8, 8, 8)}
CONFIGS = {
    "image": checkpoint.NetworkConfig("image", "resnet", {"width": 0.25}),
    "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", POINT_OPTIONS, inputs=("color",)),
}
ON_ONE_THREAD = {"device": "cpu", "precision": "float32", "threads": 1}  # parameters of a segmenter


def save_network(
    path: Path, kind: str, labels: LabelSpace, seed: int, spoil: Callable[[nn.Module], object] = lambda network: None
) -> str:
    """Write a network whose labels depend on its seed. Returns the version."""
    torch.manual_seed(seed)
    network = CONFIGS[kind].build(labels)
    with torch.no_grad():
        for value in network.parameters():  # a fresh head gives much the same labels with every seed
            if value.dim() > 1 and len(value) == len(labels):
                value.mul_(30)
        spoil(network)
    return checkpoint.save(path, network, CONFIGS[kind], labels)
