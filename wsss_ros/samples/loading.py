"""The order of training samples and their way to the networks: the same for any number of workers and processes."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import DataLoader, Dataset


@runtime_checkable
class Samples(Protocol):
    """What a phase of training draws from. All chance of ``sample`` comes from the generator that it is given."""

    names: list[str]

    def __len__(self) -> int:
        """How many samples an epoch has."""

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """One augmented sample."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples to a batch: anything that moves with ``.to(device)``, or containers of such things."""


@dataclass(frozen=True)
class Step:
    """One step of a phase: which samples it takes. ``index`` counts within the epoch."""

    epoch: int
    index: int
    samples: tuple[int, ...]


def plan(
    seed: int, phase: int, samples: int, batch: int, epochs: int, epoch: int = 0, index: int = 0
) -> Iterator[Step]:
    """The steps of a phase from (``epoch``, ``index``) on; an epoch has whole batches only."""
    for at in range(epoch, epochs):
        # An index that no sample has: the order shares its numbers with no augmentation.
        order = np.random.default_rng([seed, phase, at, samples]).permutation(samples).tolist()
        for step in range(index if at == epoch else 0, samples // batch):
            yield Step(at, step, tuple(order[step * batch : (step + 1) * batch]))


class Augmented(Dataset[Any]):
    """Sample ``index`` as epoch ``epoch`` of phase ``phase`` sees it, from these numbers and the seed alone."""

    def __init__(self, samples: Samples, seed: int, phase: int):
        self.samples, self.seed, self.phase = samples, seed, phase

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        return self.samples.sample(index, np.random.default_rng([self.seed, self.phase, epoch, index]))


def load(
    samples: Samples, seed: int, phase: int, steps: Iterator[Step], part: slice, workers: int, pin: bool
) -> DataLoader[Any]:
    """Batches of this process's ``part`` of every step."""
    keys = ([(step.epoch, index) for index in step.samples[part]] for step in steps)
    return DataLoader(
        Augmented(samples, seed, phase),
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=samples.collate,
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )


def _start_worker(_: int) -> None:
    """Ctrl-C reaches workers too; the run decides when they end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
