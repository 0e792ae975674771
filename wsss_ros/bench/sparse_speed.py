"""Sparse convolutions: milliseconds and memory of a U-Net of 8 million parameters by number of voxels."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wsss_ros.bench.memory import peak_memory, resident_mb
from wsss_ros.device import dtype_named
from wsss_ros.evaluation.pictures import save_figure
from wsss_ros.networks.minkunet import MinkUNet, voxelise
from wsss_ros.networks.sparse import SparseTensor
from wsss_ros.processes.allocator import trim_allocator

VOXELS = (25_000, 50_000, 98_000, 250_000, 500_000, 1_000_000)
ROOM_M, ROOM_VOXELS = (6.0, 5.0, 2.6), 98_000
VOXEL_M = 0.04
_COLORS = ("#3182bd", "#e6550d", "#31a354")
PARTS = ("maps", "forward", "backward", "inference")


@dataclass(frozen=True)
class SparseSpeed:
    """What was measured at one precision and number of voxels.

    Attributes:
        precision: float32, bfloat16 or float16.
        voxels: of the finest level.
        wall_ms: median of each of PARTS. The kernel maps are built once; a training step is ``forward`` and
            ``backward``, and ``inference`` is a pass without gradients.
        busy_ms: how long processors worked for it, all threads together; for a part that waits for nothing on an
            otherwise idle machine this is the wall time times the threads.
        training_mb: peak memory of a training step, above what was there before, kernel maps included.
        inference_mb: the same of a pass without gradients.
    """

    precision: str
    voxels: int
    wall_ms: dict[str, float]
    busy_ms: dict[str, float]
    training_mb: float
    inference_mb: float


def network() -> MinkUNet:
    """MinkUNet with one residual block at each level (known as MinkUNet14A): 8.0 million parameters."""
    torch.manual_seed(0)
    return MinkUNet(3, VOXEL_M, blocks=(1,) * 8)


def room_voxels(count: int, device: torch.device) -> SparseTensor:
    """``count`` voxels on walls, floors and tables; one room for each 98,000 of them, all in one batch."""
    generator, rooms = torch.Generator().manual_seed(0), max(1, -(-count // ROOM_VOXELS))
    points = 3 * ROOM_VOXELS
    xyz = torch.rand(1, points, 3, generator=generator)
    side, plane = (torch.randint(0, n, (1, points, 1), generator=generator) for n in (3, 4))
    xyz = xyz.scatter(2, side, plane / 3.0) * torch.tensor(ROOM_M)
    voxels, _ = voxelise(xyz, torch.rand(1, points, 3, generator=generator), VOXEL_M)
    coordinates, features = voxels.coordinates[:ROOM_VOXELS], voxels.features[:ROOM_VOXELS]
    batch = torch.arange(rooms, dtype=torch.int32).repeat_interleave(len(features))[:, None]
    coordinates = torch.cat([batch, coordinates[:, 1:].repeat(rooms, 1)], 1)[:count]
    return SparseTensor(features.repeat(rooms, 1)[:count].to(device), coordinates.to(device))


def measure(device: torch.device, precisions: Sequence[str], voxels: Sequence[int], runs: int) -> Iterator[SparseSpeed]:
    """Measure each precision at each number of voxels; medians of ``runs`` passes."""
    net = network().to(device)
    for precision in precisions:
        dtype = dtype_named(precision, device)
        for train in (True, False):
            _pass(net, room_voxels(2_000, device), dtype, train)  # compiles or loads the kernels
        for count in voxels:
            x = room_voxels(count, device)
            inference_mb, training_mb = (_peak_mb(net, x, dtype, train) for train in (False, True))
            taken = [{**_pass(net, x, dtype, True), **_pass(net, x, dtype, False)} for _ in range(runs)]
            wall, busy = ({part: statistics.median(run[part][i] for run in taken) for part in PARTS} for i in (0, 1))
            yield SparseSpeed(precision, len(x.features), wall, busy, training_mb, inference_mb)


def _pass(net: MinkUNet, x: SparseTensor, dtype: torch.dtype, train: bool) -> dict[str, tuple[float, float]]:
    """Wall and busy milliseconds of each part of one training step, or of one pass without gradients."""
    kind, fresh = x.features.device.type, SparseTensor(x.features, x.coordinates)
    net.train(train)
    with torch.autocast(kind, dtype, enabled=dtype != torch.float32), torch.set_grad_enabled(train):
        maps, _ = _timed(kind, lambda: _build_maps(fresh))
        forward, out = _timed(kind, lambda: net.voxel_features(fresh).features)
    if not train:
        return {"inference": forward}
    backward, _ = _timed(kind, out.float().sum().backward)
    net.zero_grad()
    return {"maps": maps, "forward": forward, "backward": backward}


def _build_maps(x: SparseTensor) -> None:
    """All kernel maps of the network."""
    x.levels.map(1, 1, 5)
    for stride in (1, 2, 4, 8, 16):
        x.levels.map(stride, stride, 3)
        if stride < 16:
            x.levels.map(stride, stride, 1)
            _ = x.levels.map(stride, 2 * stride, 2).transposed


def _peak_mb(net: MinkUNet, x: SparseTensor, dtype: torch.dtype, train: bool) -> float:
    """The peak of memory in one pass above what was there before. Later passes find the memory mapped."""
    kind = x.features.device.type
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
        there = torch.cuda.memory_allocated() / 2**20
    trim_allocator()
    before = resident_mb()
    _pass(net, x, dtype, train)
    peak = peak_memory(kind, before)
    return peak.added_mb if peak.gpu_mb is None else peak.gpu_mb - there


def _timed(kind: str, call: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Wall and busy milliseconds of a call, and its result; a GPU finishes its work first."""
    if kind == "cuda":
        torch.cuda.synchronize()
    wall, busy = time.perf_counter(), time.process_time()
    result = call()
    if kind == "cuda":
        torch.cuda.synchronize()
    return (1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - busy)), result


def draw(speeds: Sequence[SparseSpeed], path: Path, title: str, busy: bool) -> None:
    """Write a plot of a training step and of inference by number of voxels, with a line through the origin."""
    from matplotlib.figure import Figure  # slow to load

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    panels = {"training step": ("forward", "backward"), "inference": ("inference",)}
    colors = dict(zip(dict.fromkeys(speed.precision for speed in speeds), _COLORS, strict=False))
    for axes, (name, parts) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for precision, color in colors.items():
            shown = [speed for speed in speeds if speed.precision == precision]
            voxels = [speed.voxels for speed in shown]
            taken = [sum((s.busy_ms if busy else s.wall_ms)[part] for part in parts) / 1e3 for s in shown]
            slope = statistics.median(t / n for t, n in zip(taken, voxels, strict=True))
            axes.plot(voxels, taken, "o", color=color, label=f"{precision}: {1e6 * slope:.1f} s a million voxels")
            axes.plot([0, max(voxels)], [0, slope * max(voxels)], "-", color=color, linewidth=0.8)
        axes.set(title=name, xlabel="voxels", ylabel="processor seconds" if busy else "seconds", xlim=0, ylim=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(frameon=False)
    save_figure(figure, path)
