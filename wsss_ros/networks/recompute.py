"""Activation checkpointing: parts of a network run again in the backward pass. This saves memory and costs time."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Tensor], *inputs: nn.Module | Tensor | float) -> Tensor:
    """Call ``function(*inputs)`` without keeping its intermediate results; the backward pass calls it again.

    Values and gradients are those of the plain call. Dropout draws the same numbers both times, and batch normalisation
    in ``function`` or ``inputs`` updates its statistics once.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    modules = [part for part in (function, *inputs) if isinstance(part, nn.Module)]
    contexts = contextlib.nullcontext(), _StatisticsKept(modules)
    return checkpoint(function, *inputs, use_reentrant=False, context_fn=lambda: contexts)


class _StatisticsKept:
    """A context in which batch normalisation keeps its running statistics. It may be entered several times."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._norms = [part for module in modules for part in module.modules() if isinstance(part, _BatchNorm)]

    def __enter__(self) -> None:
        self._before = [(norm.momentum, norm.num_batches_tracked) for norm in self._norms]
        for norm in self._norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None

    def __exit__(self, *error: object) -> None:
        for norm, before in zip(self._norms, self._before, strict=True):
            norm.momentum, norm.num_batches_tracked = before
