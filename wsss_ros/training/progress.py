"""The progress that a training run reports after each step."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """``step`` of ``steps`` are done in ``phase``, which may also be a task such as "prepare scenes".

    ``terms`` are the losses of the step by name; empty for a task that trains nothing.
    """

    phase: str
    step: int
    steps: int
    terms: dict[str, float]
    epoch: int = 0
    epochs: int = 0


Report = Callable[[Progress], None]
