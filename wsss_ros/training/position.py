"""The position of a training run, which is saved in its state."""

from dataclasses import dataclass, field


@dataclass
class Position:
    """Phase, epoch in the phase and step in the epoch, each from 0, and the losses so far."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0  # steps of all phases
    sums: dict[str, float] = field(default_factory=dict)  # losses added up over the steps of this epoch
    curves: list[dict] = field(default_factory=list)  # for each phase: its name and the mean losses of its epochs

    def advance(self, phase: str, terms: dict[str, float], steps_per_epoch: int) -> None:
        """Count one step, whose losses are ``terms``."""
        self.total, self.step = self.total + 1, self.step + 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        if self.step < steps_per_epoch:
            return
        if self.epoch == 0:
            self.curves.append({"phase": phase, "epochs": []})
        self.curves[-1]["epochs"].append({name: value / steps_per_epoch for name, value in self.sums.items()})
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}

    def next_phase(self) -> None:
        """Move to the first step of the next phase."""
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0
