"""`wsss bench sparse`: how fast sparse convolutions are by number of voxels, and what memory they take."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Device


def bench_sparse(
    voxels: Annotated[
        list[int] | None, typer.Option(min=1, help="Voxels of the batch; may be repeated. None: 25,000 to 1 million.")
    ] = None,
    precision: Annotated[list[str], typer.Option(help="float32, bfloat16 or float16; may be repeated.")] = [  # noqa: B006
        "float32",
        "bfloat16",
    ],
    runs: Annotated[int, typer.Option(min=1, help="Passes of each measurement; the median counts.")] = 5,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    device: Device = "auto",
    plot: Annotated[Path | None, typer.Option(help="Picture to write of the times by number of voxels.")] = None,
) -> None:
    """Print times and memory of a MinkUNet of 8 million parameters. Close other programs first.

    "wall / processor": milliseconds that pass, and milliseconds that all threads compute together.
    """
    from rich.console import Console

    from wsss_ros.bench import sparse_speed
    from wsss_ros.bench.clock import processor
    from wsss_ros.device import device_named, use_threads
    from wsss_ros.processes.allocator import tune_allocator

    tune_allocator()
    use_threads(threads)
    where, found = device_named(device), []
    with Console(stderr=True).status("kernels") as status:
        for speed in sparse_speed.measure(where, precision, voxels or sparse_speed.VOXELS, runs):
            status.update(f"{speed.voxels:,} voxels, {speed.precision}")
            found.append(speed)
    title = f"MinkUNet, 8.0 M parameters, voxels of 4 cm in rooms, {processor(where)}"
    Console().print(_table(found, f"{title}; ms: wall / processor"))
    if plot is not None:
        sparse_speed.draw(found, plot, title, busy=where.type == "cpu")


def _table(speeds: list, title: str):
    from wsss_ros.bench.sparse_speed import PARTS
    from wsss_ros.cli.tables import table

    shown = table(title, "voxels", "precision", *PARTS, "MB training", "MB inference")
    for speed in speeds:
        times = (f"{speed.wall_ms[part]:,.0f} / {speed.busy_ms[part]:,.0f}" for part in PARTS)
        memory = f"{speed.training_mb:,.0f}", f"{speed.inference_mb:,.0f}"
        shown.add_row(f"{speed.voxels:,}", speed.precision, *times, *memory)
    return shown
