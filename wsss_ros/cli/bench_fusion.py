"""`wsss bench fusion`: how fast labels of frames are voted onto a cloud, and what memory it takes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsss_ros.cli.options import Device


def bench_fusion(
    place: Annotated[Literal["street", "room"], typer.Option(help="Street: 120 m; room: 10 m.")] = "street",
    points: Annotated[
        list[int] | None, typer.Option(min=100, help="Points of the cloud; may be repeated. None: up to 500,000.")
    ] = None,
    frames: Annotated[
        list[int] | None, typer.Option(min=1, help="Frames of 640x480; may be repeated. None: up to 300.")
    ] = None,
    presets: Annotated[
        list[str] | None, typer.Option(help="Settings; may be repeated. None: those of the place.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    device: Device = "auto",
    plot: Annotated[Path | None, typer.Option(help="Picture to write of the times by points and frames.")] = None,
) -> None:
    """Print seconds and memory of fusions: all points with most frames, and all frames with most points.

    "seen": points that a frame votes for, on average. Close other programs first.
    """
    from rich.console import Console

    from wsss_ros.bench import fusion_speed
    from wsss_ros.bench.clock import processor
    from wsss_ros.device import device_named, use_threads

    use_threads(threads)
    where = device_named(device)
    sizes = points or [125_000, 250_000, fusion_speed.POINTS]
    counts = frames or [75, 150, fusion_speed.FRAMES]
    pairs = [(size, max(counts)) for size in sizes] + [(max(sizes), count) for count in counts if count < max(counts)]
    found = []
    with Console(stderr=True).status("kernels") as status:
        for preset in presets or fusion_speed.PLACES[place][1]:
            for size, count in pairs:
                status.update(f"{preset}: {size:,} points, {count} frames")
                found.append(fusion_speed.measure(place, preset, size, count, where))
    title = f"fusion in a {place}, frames of 640x480, {processor(where)}"
    Console().print(_table(found, title))
    if plot is not None:
        fusion_speed.draw(found, plot, title)


def _table(speeds: list, title: str):
    from wsss_ros.cli.tables import table

    names = "settings", "points", "frames", "seconds", "processor s", "MB", "seen %"
    shown = table(title, *names)
    for speed in speeds:
        times = (f"{seconds:.1f}" for seconds in (speed.seconds, speed.busy_s))
        numbers = f"{speed.points:,}", str(speed.frames), *times, f"{speed.added_mb:,.0f}", f"{100 * speed.seen:.1f}"
        shown.add_row(speed.preset, *numbers)
    return shown
