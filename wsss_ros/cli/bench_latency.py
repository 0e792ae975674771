"""`wsss bench latency`: what the image segmenter costs around its network, and how old its labels are."""

from pathlib import Path
from typing import Annotated

import typer

SIZES = ["640x480", "1280x720", "1920x1080"]


def bench_latency(
    size: Annotated[list[str], typer.Option(help="WIDTHxHEIGHT of the images; may be repeated.")] = SIZES,  # noqa: B006
    rate: Annotated[float, typer.Option(min=0.1, max=240, help="Images in a second.")] = 30.0,
    seconds: Annotated[float, typer.Option(min=0, help="Length of each measurement; 0: only the parts.")] = 20.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each part; the median counts.")] = 15,
    weights: Annotated[str, typer.Option(help="Image checkpoint; empty for the one that ships.")] = "",
    all_outputs: Annotated[
        bool, typer.Option("--all-outputs", help="Subscribe to confidence, colours and overlay too.")
    ] = False,
    other: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Another checkout to measure, with equal weights.")
    ] = None,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="With and without a viewer of 300,000 points at 5 Hz (extra [view]).")
    ] = False,
) -> None:
    """Print milliseconds by part, and from stamp to label, by image size. Close other programs first."""
    from rich.console import Console

    from wsss_ros.bench import ros_speed

    arguments = ["--sizes", *size, "--rate", str(rate), "--seconds", str(seconds), "--runs", str(runs)]
    arguments += ["--weights", weights] if weights else []
    arguments += ["--all-outputs"] if all_outputs else []
    arguments += ["--other", str(other)] if other else []
    arguments += ["--viewer"] if viewer else []
    with Console(stderr=True).status("parts and nodes"):
        report = ros_speed.measure("wsss_ros.nodes.latency_bench", *arguments)
    Console().print(_parts(report["parts_ms"]))
    if seconds:
        Console().print(_latencies(report["latency_ms"], rate))


def _parts(by_size: dict[str, dict[str, float]]):
    from wsss_ros.cli.tables import table

    title = "the image segmenter's parts, bgr8 in, all images out, median ms"
    shown = table(title, "part", *by_size)
    for name in next(iter(by_size.values())):
        shown.add_row(name, *(f"{parts[name]:.2f}" for parts in by_size.values()))
    return shown


def _latencies(by_size: dict[str, dict[str, dict[str, float]]], rate: float):
    from wsss_ros.cli.tables import table

    title = f"from stamp to label in another process, {rate:g} Hz, ms"
    shown = table(title, "size", "node", "p50", "p95", "p99", "labelled")
    for size, checkouts in by_size.items():
        for name, figures in checkouts.items():
            times = (f"{figures[key]:.1f}" for key in ("p50", "p95", "p99"))
            if "shown" in figures:
                name = f"{name}: {figures['shown']:.0f} of {figures['clouds']:.0f} clouds shown"
            shown.add_row(size, name, *times, f"{figures['labelled']:.0f} of {figures['sent']:.0f}")
    return shown
