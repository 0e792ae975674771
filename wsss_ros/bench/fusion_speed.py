"""Fusion: seconds and memory by the number of points and of frames, in a street and in a room."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from wsss_ros.bench.clock import PartClock
from wsss_ros.bench.memory import peak_memory, resident_mb
from wsss_ros.evaluation.pictures import save_figure
from wsss_ros.fusion import PRESETS, Fusion
from wsss_ros.processes.allocator import trim_allocator
from wsss_ros.types import Camera, Frame

POINTS, FRAMES = 500_000, 300
CAMERA = Camera(525.0, 525.0, 319.5, 239.5, 640, 480)
CLASSES = 20
_COLORS = ("#3182bd", "#e6550d")
# Length, width and height of a place, metres, and the presets that fit it.
PLACES: dict[str, tuple[tuple[float, float, float], tuple[str, str]]] = {
    "street": ((120.0, 16.0, 8.0), ("features", "pseudo_truth")),
    "room": ((10.0, 8.0, 2.6), ("room_features", "room_pseudo_truth")),
}


@dataclass(frozen=True)
class FusionSpeed:
    """What was measured of one fusion.

    Attributes:
        place: of PLACES.
        preset: the settings.
        points: of the cloud.
        frames: of 640x480.
        seconds: for the surfels, all frames and the labels, by the clock.
        busy_s: seconds that all processors worked together.
        added_mb: peak of memory above what was there before.
        seen: share of the points that a frame votes for, on average.
    """

    place: str
    preset: str
    points: int
    frames: int
    seconds: float
    busy_s: float
    added_mb: float
    seen: float


def surfaces(size: tuple[float, float, float], count: int) -> Float64[np.ndarray, "N 3"]:
    """Points on the floor, on the two long walls, and on boxes on the floor, by their areas."""
    random, (length, width, height) = np.random.default_rng(0), size
    points = random.random((count, 3)) * size
    side = random.choice(3, count, p=np.array([width, height, height]) / (width + 2 * height))
    points[side == 0, 2] = 0
    points[side == 1, 1], points[side == 2, 1] = 0, width
    boxes = np.flatnonzero(np.arange(count) % 5 == 0)
    pitch = width / 4
    corner = np.minimum(np.floor(points[boxes, :2] / pitch), (length / pitch - 1, 3))
    local = random.random((len(boxes), 3))
    local[np.arange(len(boxes)), random.integers(0, 3, len(boxes))] = random.integers(0, 2, len(boxes))
    points[boxes, :2] = (corner + 0.3 + 0.4 * local[:, :2]) * pitch
    points[boxes, 2] = local[:, 2] * height / 4
    return points + random.normal(size=points.shape) * 0.004


def views(size: tuple[float, float, float], count: int) -> Iterator[Frame]:
    """Frames of a camera that moves along the middle and looks ahead, to the left and to the right."""
    length, width, height = size
    rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for number in range(count):
        angle = np.deg2rad(60 * np.sin(number / 5))
        pose = np.eye(4)
        pose[:3, 0] = np.sin(angle), -np.cos(angle), 0
        pose[:3, 1] = 0, 0, -1
        pose[:3, 2] = np.cos(angle), np.sin(angle), 0
        pose[:3, 3] = 0.8 * length * number / max(count - 1, 1), width / 2, 0.65 * min(height, 2.6)
        yield Frame(rgb, CAMERA, None, pose, number * 100_000_000, str(number))


def measure(place: str, preset: str, points: int, frames: int, device: torch.device) -> FusionSpeed:
    """Measure one fusion of random labels, without times of the points: every frame may vote for every point."""
    size = PLACES[place][0]
    cloud, labels = surfaces(size, points), np.random.default_rng(1).integers(0, CLASSES, (480, 640), np.uint8)
    _compile(cloud, labels, preset, device)
    trim_allocator()
    before, clock, busy = resident_mb(), PartClock(device.type), time.process_time()
    started = clock.now()
    fusion = Fusion(cloud, PRESETS[preset], CLASSES, device=str(device))
    seen = sum(fusion.add(frame, labels) for frame in views(size, frames))
    fusion.result()
    ended, busy = clock.now(), time.process_time() - busy
    added_mb = peak_memory(device.type, before).added_mb
    share = seen / max(points * frames, 1)
    return FusionSpeed(place, preset, points, frames, ended - started, busy, added_mb, share)


def _compile(cloud: np.ndarray, labels: np.ndarray, preset: str, device: torch.device) -> None:
    fusion = Fusion(cloud[:100], PRESETS[preset], CLASSES, device=str(device))
    fusion.add(next(views((10.0, 8.0, 2.6), 1)), labels)
    fusion.result()


def draw(speeds: Sequence[FusionSpeed], path: Path, title: str) -> None:
    """Write a plot of the processor seconds by points and by frames, with lines fitted to them."""
    from matplotlib.figure import Figure  # slow to load

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    most = {name: max(getattr(speed, name) for speed in speeds) for name in ("points", "frames")}
    presets = dict(zip(dict.fromkeys(speed.preset for speed in speeds), _COLORS, strict=False))
    for axes, (name, other) in zip(figure.subplots(1, 2), (("points", "frames"), ("frames", "points")), strict=True):
        for preset, color in presets.items():
            shown = [s for s in speeds if s.preset == preset and getattr(s, other) == most[other]]
            at, taken = [getattr(s, name) for s in shown], [s.busy_s for s in shown]
            axes.plot(at, taken, "o", color=color, label=preset)
            if len(set(at)) > 1:
                slope, base = np.polyfit(at, taken, 1)
                axes.plot([0, max(at)], [base, base + slope * max(at)], "-", color=color, linewidth=0.8)
        axes.set(title=f"{most[other]:,} {other}", xlabel=name, ylabel="processor seconds", xlim=0, ylim=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(frameon=False)
    save_figure(figure, path)
