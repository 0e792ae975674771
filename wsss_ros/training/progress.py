"""How far a training run is: what is reported after each step."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A step of ``phase`` is done. ``terms`` are its losses by name; empty where nothing is learned."""

    phase: str
    step: int
    steps: int
    terms: dict[str, float]
    epoch: int = 0
    epochs: int = 0


Report = Callable[[Progress], None]
