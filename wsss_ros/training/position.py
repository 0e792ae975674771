"""Where a training run is, in numbers that are saved with it."""

from dataclasses import dataclass, field


@dataclass
class Position:
    """The phase, the epoch in it and the step in that, from 0; and the losses so far."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0  # steps of all phases
    sums: dict[str, float] = field(default_factory=dict)  # of this epoch
    curves: list[dict] = field(default_factory=list)  # of each phase: its name and the mean losses of its epochs

    def advance(self, phase: str, terms: dict[str, float], steps_per_epoch: int) -> None:
        """One step further, with these losses."""
        self.total, self.step = self.total + 1, self.step + 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        if self.step < steps_per_epoch:
            return
        if self.epoch == 0:
            self.curves.append({"phase": phase, "epochs": []})
        self.curves[-1]["epochs"].append({name: value / steps_per_epoch for name, value in self.sums.items()})
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}

    def next_phase(self) -> None:
        """On to the first step of the next phase."""
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0
