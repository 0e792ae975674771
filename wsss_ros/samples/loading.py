"""The order and the loading of training samples. Neither depends on the number of workers or processes."""

import functools
import itertools
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import DataLoader, Dataset

from wsss_ros.processes import shared_memory

_AHEAD = 2  # batches that each process loads ahead
_PLENTY_BYTES = 4 << 30  # of shared memory, with which batches are not measured
log = logging.getLogger("wsss_ros")


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
class Share:
    """The samples of one source of a mixture: their number, and the weight of the source."""

    samples: int
    weight: float


@dataclass(frozen=True)
class Step:
    """One step of a phase: its ``epoch``, its ``index`` in the epoch, from 0, and its samples.

    ``samples`` are their indices, ``passes`` how often their source was used up before.
    """

    epoch: int
    index: int
    samples: tuple[int, ...]
    passes: tuple[int, ...]


def shares_of(samples: Samples) -> list[Share]:
    """The sources of a mixture (``samples.mixture``), in the order of their samples; one for other samples."""
    return getattr(samples, "shares", None) or [Share(len(samples), 1.0)]


def plan(
    seed: int, phase: int, shares: Sequence[Share], batch: int, epochs: int, epoch: int = 0, index: int = 0
) -> Iterator[Step]:
    """The steps of a phase from step ``index`` of ``epoch`` on.

    An epoch has as many complete batches as all samples together fill. With one source, an epoch is a pass over its
    samples, in a new random order. With several, each step draws from all by weight (``turns``), and each source is
    passed through in random orders of its own: no sample comes again before its source is used up.
    """
    if len(shares) > 1:
        yield from _mixed(seed, phase, shares, batch, epochs, epoch, index)
        return
    samples = shares[0].samples
    for at in range(epoch, epochs):
        order = _order(seed, phase, at, samples, samples)
        for step in range(index if at == epoch else 0, samples // batch):
            yield Step(at, step, tuple(order[step * batch : (step + 1) * batch]), (at,) * batch)


def turns(weights: Sequence[float]) -> Iterator[int]:
    """The source of each draw, without end: the one that is furthest behind its share of the draws so far.

    So each source has had its share of any number of draws, to about one draw.
    """
    total = sum(weights)
    behind = [0.0] * len(weights)
    while True:
        behind = [value + weight / total for value, weight in zip(behind, weights, strict=True)]
        source = behind.index(max(behind))
        behind[source] -= 1
        yield source


def _mixed(
    seed: int, phase: int, shares: Sequence[Share], batch: int, epochs: int, epoch: int, index: int
) -> Iterator[Step]:
    draws = _draws(seed, phase, shares)
    total = sum(share.samples for share in shares)
    per_epoch = total // batch
    for at in range(epochs):
        for step in range(per_epoch):
            drawn = [next(draws) for _ in range(batch)]
            if (at, step) >= (epoch, index):
                samples, passes = zip(*drawn, strict=True)
                yield Step(at, step, samples, passes)


def _draws(seed: int, phase: int, shares: Sequence[Share]) -> Iterator[tuple[int, int]]:
    """The (sample, pass) of each draw of a mixture, without end."""
    total, starts = 0, []
    for share in shares:
        starts.append(total)
        total += share.samples
    orders: list[list[int]] = [[] for _ in shares]
    passes = [-1] * len(shares)
    for source in turns([share.weight for share in shares]):
        if not orders[source]:
            passes[source] += 1
            orders[source] = _order(seed, phase, passes[source], total + source, shares[source].samples)[::-1]
        yield starts[source] + orders[source].pop(), passes[source]


def _order(seed: int, phase: int, number: int, source: int, samples: int) -> list[int]:
    """A random order of samples. ``source`` is not the index of a sample: augmentations have other random numbers."""
    order: list[int] = np.random.default_rng([seed, phase, number, source]).permutation(samples).tolist()
    return order


class Augmented(Dataset[Any]):
    """The augmented samples of a phase, by (pass, index). A sample depends on these, phase and seed only."""

    def __init__(self, samples: Samples, seed: int, phase: int):
        self.samples, self.seed, self.phase = samples, seed, phase

    def __getitem__(self, key: tuple[int, int]) -> Any:
        number, index = key
        return self.samples.sample(index, np.random.default_rng([self.seed, self.phase, number, index]))


def load(
    samples: Samples, seed: int, phase: int, steps: Iterator[Step], part: slice, workers: int, pin: bool
) -> DataLoader[Any]:
    """The batches of this process: its ``part`` of the samples of each step.

    Fewer ``workers``, or none, load where shared memory is too small for more. That changes no sample.
    """
    keys: Iterator[list[tuple[int, int]]] = (
        [*zip(step.passes[part], step.samples[part], strict=True)] for step in steps
    )
    augmented = Augmented(samples, seed, phase)
    if workers:
        first = next(keys, None)
        keys = itertools.chain([] if first is None else [first], keys)
        workers = _affordable(workers, lambda: samples.collate([augmented[key] for key in first or ()]))
    return DataLoader(
        augmented,
        batch_sampler=keys,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=samples.collate,
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )


def _affordable(workers: int, first_batch: Callable[[], Any]) -> int:
    """How many of the ``workers`` shared memory has room for; a process that finds it full is killed."""
    if fault := shared_memory.fault():
        _report(
            f"{fault}; samples are loaded between the steps, which is slower: give shared memory (docker -v "
            "/dev/shm:/dev/shm, or --ipc=host), or set data.workers: 0"
        )
        return 0
    free = shared_memory.free_bytes()
    if free >= _PLENTY_BYTES:
        return workers
    needed = (_AHEAD + 1) * shared_memory.bytes_of(first_batch())
    fitting = min(workers, free // needed)
    if fitting < workers:
        _report(
            f"{shared_memory.FOLDER}: {free:,} bytes are free, {workers * needed:,} are needed for data.workers: "
            f"{workers}; {fitting} load samples: give more (docker --shm-size=2g)"
        )
    return fitting


@functools.cache
def _report(text: str) -> None:
    log.warning(text)


def _start_worker(_: int) -> None:
    """Ignore the signals to stop, which also reach the workers: the run decides when workers end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
