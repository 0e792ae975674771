"""Optimisers and their learning rates, from the configuration."""

import torch
from torch import nn

from wsss_ros.config import OptimiserConfig


def build(network: nn.Module, settings: OptimiserConfig) -> torch.optim.Optimizer:
    """Every group of parameters says by its ``factor`` how its rate compares with that of ``learning_rate``."""
    of_head = [name.startswith("head.") for name, _ in network.named_parameters()]
    learned = [(p, head) for p, head in zip(network.parameters(), of_head, strict=True) if p.requires_grad]
    factors = dict.fromkeys([1.0, settings.head_lr])
    parameters = [
        {"params": [p for p, head in learned if (settings.head_lr if head else 1.0) == factor], "factor": factor}
        for factor in factors
    ]
    if settings.name == "adam":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=True
    )


def learning_rate(settings: OptimiserConfig, done: float) -> float:
    """``done`` is the share of the phase behind us, 0..1."""
    if settings.schedule == "poly":
        return settings.lr * (1 - done) ** settings.power
    return settings.lr * 0.1 ** sum(done >= milestone for milestone in settings.milestones)
