"""`wsss bench mapper`: a looped recording for the semantic mapper: rate, memory over time, drops by cause."""

from pathlib import Path
from typing import Annotated

import typer


def bench_mapper(
    minutes: Annotated[float, typer.Option(min=0.2, help="Length of the run.")] = 30.0,
    rate: Annotated[float, typer.Option(min=0.1, max=100, help="Views in a second.")] = 10.0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the images.")] = "640x480",
    voxels: Annotated[int, typer.Option(min=1, max=1_000_000, help="Voxels in the map at the start.")] = 1_000_000,
    stride: Annotated[int, typer.Option(min=1, max=16, help="Parameter pixel_stride of the mapper.")] = 1,
    segmenter: Annotated[
        bool, typer.Option("--segmenter", help="Our image segmenter makes the label images; else another publisher.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the samples to this JSON file while it runs.")] = None,
) -> None:
    """Play a room round and round to the mapper, which begins with a large map. Close other programs first."""
    from rich.console import Console

    from wsss_ros.bench import ros_speed
    from wsss_ros.cli.tables import table

    arguments = ["--minutes", str(minutes), "--rate", str(rate), "--size", size, "--voxels", str(voxels)]
    arguments += ["--stride", str(stride), *(["--segmenter"] if segmenter else [])]
    arguments += ["--out", str(out)] if out else []
    with Console(stderr=True).status(f"the mapper runs for {minutes:g} minutes"):
        report = ros_speed.measure("wsss_ros.nodes.mapper_bench", *arguments)
    shown = table(f"semantic mapper, {size} at {rate:g} Hz", "figure", "value")
    drops, problems = report.pop("drops"), report.pop("problems")
    for name, value in report.items():
        shown.add_row(name.replace("_", " "), f"{value:,}")
    for name, count in drops.items():
        shown.add_row(name, f"{count:,}")
    Console().print(shown)
    for text in problems:
        Console().print(text, soft_wrap=True, highlight=False)
