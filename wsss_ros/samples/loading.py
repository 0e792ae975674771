"""The order and the loading of training samples. Neither depends on the number of workers or processes."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import DataLoader, Dataset


@runtime_checkable
class Samples(Protocol):
    """The samples of a training phase. All randomness of ``sample`` comes from the generator that it gets."""

    names: list[str]

    def __len__(self) -> int:
        """The number of samples in an epoch."""

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """One augmented sample."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """The batch of some samples: an object with ``.to(device)``, or a container of such objects."""


@dataclass(frozen=True)
class Step:
    """One step of a phase: the indices of its ``samples``, its ``epoch``, and its ``index`` in the epoch, from 0."""

    epoch: int
    index: int
    samples: tuple[int, ...]


def plan(
    seed: int, phase: int, samples: int, batch: int, epochs: int, epoch: int = 0, index: int = 0
) -> Iterator[Step]:
    """The steps of a phase from step ``index`` of ``epoch`` on. An epoch has complete batches only."""
    for at in range(epoch, epochs):
        # ``samples`` is not the index of a sample, so the order has other random numbers than any augmentation.
        order = np.random.default_rng([seed, phase, at, samples]).permutation(samples).tolist()
        for step in range(index if at == epoch else 0, samples // batch):
            yield Step(at, step, tuple(order[step * batch : (step + 1) * batch]))


class Augmented(Dataset[Any]):
    """The augmented samples of a phase, by (epoch, index). A sample depends on these, phase and seed only."""

    def __init__(self, samples: Samples, seed: int, phase: int):
        self.samples, self.seed, self.phase = samples, seed, phase

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        return self.samples.sample(index, np.random.default_rng([self.seed, self.phase, epoch, index]))


def load(
    samples: Samples, seed: int, phase: int, steps: Iterator[Step], part: slice, workers: int, pin: bool
) -> DataLoader[Any]:
    """The batches of this process: its ``part`` of the samples of each step."""
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
    """Ignore the signals to stop, which also reach the workers: the run decides when workers end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
