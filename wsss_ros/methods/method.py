"""The seam between the training loop and what is learned: four members, no registry."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from wsss_ros.data.samples import Batch
from wsss_ros.types import Scene


@runtime_checkable
class Method(Protocol):
    """One phase of training. Two-phase training is a list of Methods that share networks."""

    networks: dict[str, nn.Module]

    def prepare(self, scenes: Sequence[Scene]) -> None:
        """Called before the phase and between epochs: refresh pseudo-labels and the like."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; the loop minimises their sum."""

    def after_step(self) -> None:
        """Called after each optimiser step: moving averages and the like."""
