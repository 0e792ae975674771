"""Milliseconds from an image to its labels, for each network, output stride, size and precision."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsss_ros.bench.clock import PartClock
from wsss_ros.bench.ros_loads import HEIGHT, WIDTH, random_image
from wsss_ros.inference import ImageSegmenter
from wsss_ros.labels import scannet20
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.types import BadInput, Frame

_WARM_UP = 3  # images that compile kernels and fill caches


@dataclass(frozen=True)
class Network:
    """What is measured: a name for the table, and a checkpoint."""

    name: str
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Grid:
    """At which output strides, sizes (rows of a 640x480 image that the network sees) and precisions to measure."""

    strides: Sequence[int] = (8, 16, 32)
    rows: Sequence[int] = (240, 288, 360, 480)
    precisions: Sequence[str] = ("float32", "bfloat16")


@dataclass(frozen=True)
class ImageSpeed:
    """Milliseconds of an image; ``miou`` in percent where it was scored.

    Attributes:
        image_ms: the median.
        network_ms: the median of the network's part.
        least_ms: the least of an image, the better figure where other programs keep the machine busy.
    """

    network: str
    stride: int
    rows: int
    precision: str
    image_ms: float
    network_ms: float
    least_ms: float
    miou: float | None = None


def random_networks() -> list[Network]:
    """EfficientNet-Lite 0 to 2 with random weights, which are as fast as with trained ones."""
    labels = scannet20()
    configs = [NetworkConfig("image", "efficientnet_lite", {"version": version}) for version in (0, 1, 2)]
    return [Network(f"Lite{c.options['version']}", Checkpoint(c.build(labels), c, labels, {}, "")) for c in configs]


def trained_networks(files: Sequence[str | Path]) -> list[Network]:
    """The networks of image checkpoints, named by folder and file. Raises BadInput for a file of another kind."""
    return [Network("/".join(Path(file).parts[-2:]), checkpoint.load(file, "image")) for file in files]


def measure(
    networks: Sequence[Network],
    grid: Grid,
    runs: int,
    device: str,
    threads: int,
    score: Callable[[ImageSegmenter], float | None] = lambda segmenter: None,
) -> Iterator[ImageSpeed]:
    """Measure each network at each point of the grid, one after the other.

    Args:
        networks: with their own weights at every stride.
        grid: what is varied. A network whose stride is fixed is measured at this stride alone.
        runs: images of a measurement, after some that warm up.
        device: auto, cpu, cuda or cuda:N.
        threads: of the CPU; 0 for torch's default.
        score: gives the mIoU of each combination; nothing for speed alone.

    Raises:
        BadInput: a device, precision or stride that cannot be used.
    """
    for network in networks:
        for strided in _at_strides(network.checkpoint, grid.strides):
            for rows in grid.rows:
                for precision in grid.precisions:
                    given = replace(strided, config=replace(strided.config, long_side=round(rows * WIDTH / HEIGHT)))
                    segmenter = ImageSegmenter(given, device, precision, threads)
                    times = _times(segmenter, runs)
                    stride = segmenter.network.backbone.stride
                    yield ImageSpeed(network.name, stride, rows, precision, *times, score(segmenter))


def _at_strides(given: Checkpoint, strides: Sequence[int]) -> Iterator[Checkpoint]:
    """The same weights in networks of other output strides; the checkpoint itself where its network has one only."""
    for stride in strides:
        config = replace(given.config, options={**given.config.options, "stride": stride})
        try:
            network = config.build(given.labels)
        except BadInput:
            if hasattr(type(given.network.backbone), "stride"):  # fixed for all networks of this class
                yield given
                return
            raise
        network.load_state_dict(given.network.state_dict())
        yield replace(given, network=network, config=config)


def _times(segmenter: ImageSegmenter, runs: int) -> tuple[float, float, float]:
    """Milliseconds of a noisy image: the median, the median of the network's part, and the least."""
    frame, clock = Frame(random_image()), PartClock(segmenter.device.type)
    clock.watch(segmenter.network, "network")
    image_ms: list[float] = []
    network_ms: list[float] = []
    for _ in range(_WARM_UP + runs):
        clock.start()
        segmenter(frame)
        image_ms.append(1e3 * clock.elapsed())
        network_ms.append(1e3 * clock.seconds["network"])
    measured = image_ms[_WARM_UP:]
    return statistics.median(measured), statistics.median(network_ms[_WARM_UP:]), min(measured)
