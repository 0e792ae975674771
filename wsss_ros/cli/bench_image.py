"""`wsss bench image`: how fast image networks are at several strides, sizes and precisions, and how good."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Device, Split


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
        list[Path] | None, typer.Option(help="Labelled scenes, folders of them, or photographs, for the column mIoU.")
    ] = None,
    split: Split = "val",
    runs: Annotated[int, typer.Option(min=1, help="Images of each measurement; the median counts.")] = 9,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    device: Device = "auto",
) -> None:
    """Print milliseconds from a 640x480 image to its labels. Close other programs first: all share the processor."""
    from rich.console import Console

    from wsss_ros.bench import image_speed
    from wsss_ros.bench.clock import processor
    from wsss_ros.device import device_named

    networks = image_speed.trained_networks(weights) if weights else image_speed.random_networks()
    grid, found = image_speed.Grid(stride, rows, precision), []
    score = {"score": _scorer(scenes, split)} if scenes else {}
    with Console(stderr=True).status("networks") as status:
        for speed in image_speed.measure(networks, grid, runs, device, threads, **score):
            status.update(f"{speed.network}, stride {speed.stride}, {speed.rows} rows, {speed.precision}")
            found.append(speed)
    Console().print(_table(found, f"640x480 image to labels, {processor(device_named(device))}"))


def _scorer(folders: list[Path], split: str):
    """The function that gives the mIoU of a segmenter on photographs (any class may win) or on all frames of scenes."""
    from wsss_ros.evaluation.offline import score_images
    from wsss_ros.evaluation.photos import evaluate_photos
    from wsss_ros.scenes import is_photo_folder, open_all
    from wsss_ros.scenes.photos import PhotoFolder

    def score(segmenter) -> float | None:
        labels = segmenter.labels
        if not all(map(is_photo_folder, folders)):
            return score_images(segmenter, open_all(folders, labels)[0], labels, 0).compute()["miou"]
        photos = [PhotoFolder(folder, labels, split) for folder in folders]
        dense = evaluate_photos(segmenter, photos, labels).compute()["any"]
        return dense["miou"] if dense else None

    return score


def _table(speeds: list, title: str):
    """A row for each measurement: median and least milliseconds, the network's part, and mIoU where it was scored."""
    from wsss_ros.cli.tables import table
    from wsss_ros.evaluation.tables import percent

    scored = any(speed.miou is not None for speed in speeds)
    headings = ["network", "stride", "rows", "precision", "ms", "least", "of it network", "mIoU"]
    shown = table(title, *headings[: 7 + scored])
    for speed in speeds:
        times = (f"{value:.1f}" for value in (speed.image_ms, speed.least_ms, speed.network_ms))
        where = speed.network, str(speed.stride), str(speed.rows), speed.precision
        shown.add_row(*where, *times, *([percent(speed.miou)] if scored else []))
    return shown
