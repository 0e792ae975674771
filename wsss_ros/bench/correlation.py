"""The cost of the correlation loss (eqs. 8-11) next to the plain formula with complete matrices."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from wsss_ros.bench.memory import peak_mb, resident_mb
from wsss_ros.losses import point_to_image_loss

COUNT, CHANNELS = 10_000, 128  # points, and channels of their features


@dataclass(frozen=True)
class Cost:
    """Least seconds of a forward and backward pass, MB at the peak above the inputs, and the value of the loss."""

    seconds: float
    peak_mb: float
    value: float


@dataclass(frozen=True)
class Comparison:
    """Both forms on the same inputs."""

    threads: int
    plain: Cost
    ours: Cost


def compare(threads: Sequence[int] = (1, 2), runs: int = 3) -> Iterator[Comparison]:
    """Measure both forms on the CPU for each number of threads, each in a process of its own."""
    for number in threads:
        yield Comparison(number, *(_in_new_process(cost, f, COUNT, CHANNELS, number, runs) for f in ("plain", "ours")))


def cost(form: str, count: int, channels: int, threads: int, runs: int) -> Cost:
    """Measure one form, ``plain`` or ``ours``, in this process."""
    torch.set_num_threads(threads)
    loss = point_to_image_loss if form == "ours" else plain_correlation
    _run(loss, 1_200, channels)  # more than one tile: threads and kernels are set up
    inputs_mb = count * channels * 4 * 2 / 2**20
    before, times, value = resident_mb() + inputs_mb, [], 0.0
    for _ in range(runs):
        seconds, value = _run(loss, count, channels)
        times.append(seconds)
    return Cost(min(times), peak_mb() - before, value)


def plain_correlation(
    image_features: Float[Tensor, "N D"], point_features: Float[Tensor, "N E"], weight: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Eqs. 8-11 as they are written, with complete N x N matrices."""
    image, point = F.normalize(image_features, dim=1), F.normalize(point_features, dim=1)
    return (weight[:, None] * weight * (image @ image.T - point @ point.T).abs()).mean()


def _in_new_process(function: Callable, *arguments):
    """Call ``function`` in a new process, so that its memory peak is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _run(loss: Callable, count: int, channels: int) -> tuple[float, float]:
    """Seconds of one forward and backward pass, and the loss."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(count, channels, generator=generator).requires_grad_()
    point, weight = torch.randn(count, channels, generator=generator), torch.rand(count, generator=generator)
    started = time.perf_counter()
    value = loss(image, point, weight)
    value.backward()
    return time.perf_counter() - started, float(value.detach())
