"""`wsss bench image`: how fast image networks are at several strides, sizes and precisions, and how good."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Device


def bench_image(
    weights: Annotated[
        list[Path] | None, typer.Argument(help="Image checkpoints; none: EfficientNet-Lite 0 to 2, random weights.")
    ] = None,
    stride: Annotated[list[int], typer.Option(help="Stride of the network's output; may be repeated.")] = [8, 16, 32],  # noqa: B006
    rows: Annotated[
        list[int], typer.Option(min=16, help="Rows of a 640x480 image that the network sees; may be repeated.")
    ] = [240, 288, 360, 480],  # noqa: B006
    precision: Annotated[list[str], typer.Option(help="float32, bfloat16 or float16; may be repeated.")] = [  # noqa: B006
        "float32",
        "bfloat16",
    ],
    scenes: Annotated[
        list[Path] | None, typer.Option(help="Labelled scenes, or folders of them, for the column mIoU.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Images of each measurement; the median counts.")] = 9,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    device: Device = "auto",
) -> None:
    """Print milliseconds from a 640x480 image to its labels. Close other programs first: all share the processor."""
    from rich.console import Console

    from wsss_ros.bench import image_speed

    networks = image_speed.trained_networks(weights) if weights else image_speed.random_networks()
    grid, found = image_speed.Grid(stride, rows, precision), []
    opened = _opened(networks, scenes) if scenes else []
    with Console(stderr=True).status("networks") as status:
        for speed in image_speed.measure(networks, grid, runs, device, threads, opened):
            status.update(f"{speed.network}, stride {speed.stride}, {speed.rows} rows, {speed.precision}")
            found.append(speed)
    console = Console()
    console.print(_table(found, f"640x480 image to labels, {image_speed.processor(device, threads)}"))


def _opened(networks: list, folders: list[Path]) -> list:
    """The scenes, with the classes of the first network. Raises BadInput where one of the others has other classes."""
    from wsss_ros.scenes import open_all
    from wsss_ros.types import BadInput

    labels = networks[0].checkpoint.labels
    for network in networks:
        if network.checkpoint.labels.names != labels.names:
            raise BadInput(f"{network.name}: other classes than {networks[0].name}; score them one by one")
    return open_all(folders, labels)[0]


def _table(speeds: Iterable, title: str):
    """A row for each network, stride and size; for each precision milliseconds (median, least, network) and mIoU."""
    from wsss_ros.cli.tables import table
    from wsss_ros.evaluation.tables import percent

    by_row: dict[tuple, dict[str, list[str]]] = {}
    for speed in speeds:
        cells = [f"{speed.image_ms:.1f}", f"{speed.least_ms:.1f}", f"{speed.network_ms:.1f}"]
        cells += [] if speed.miou is None else [percent(speed.miou)]
        by_row.setdefault((speed.network, speed.stride, speed.rows), {})[speed.precision] = cells
    first = next(iter(by_row.values()))
    scored = [len(cells) > 3 for cells in first.values()]
    headings = [
        [f"{name}, ms", "least", "network", "mIoU"][: 3 + more] for name, more in zip(first, scored, strict=True)
    ]
    shown = table(title, "network", "stride", "rows", *(text for group in headings for text in group))
    for (network, stride, rows), of_precision in by_row.items():
        shown.add_row(network, str(stride), str(rows), *(cell for cells in of_precision.values() for cell in cells))
    return shown
