"""``wsss select``: which frames are worth tagging."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import (
    ColorTopic,
    DepthScale,
    Device,
    Frames,
    ImageWeights,
    Intrinsics,
    Layout,
    Listed,
    reading_of,
)


def select(
    source: Annotated[Path, typer.Argument(help="A scene folder, a folder of them, a bag, or pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for select.csv and select.png.")] = Path("out/select"),
    count: Annotated[int, typer.Option(min=1, help="Frames to choose.")] = 50,
    rare: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out frames without a class that at most this share of the frames show."),
    ] = 1.0,
    image_weights: ImageWeights = "",
    listed: Listed = None,
    frames: Frames = 0,
    color: ColorTopic = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    device: Device = "auto",
) -> None:
    """Choose frames that show as many examples of every class as possible, as an image network sees them.

    Tags of frames that all show the same teach little. The list is in the order in which the frames are worth tagging.
    """
    from rich.console import Console
    from rich.progress import Progress

    from wsss_ros.cli.segment import sources_of
    from wsss_ros.cli.tables import table
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.label_files import worth_tagging

    console = Console(soft_wrap=True)
    images = ImageSegmenter(image_weights, device)
    reading = reading_of(layout, depth_scale, intrinsics)
    opened, left_out = sources_of(source, listed, frames, images.labels, {"color": color}, "auto", False, reading)
    for name, reason in left_out:
        console.print(f"[yellow]left out: {name}: [/]{reason}", highlight=False)
    with Progress(console=console, transient=True) as bar:
        tasks = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        found = worth_tagging.select(opened, count, images, rare, progress)
    worth_tagging.write(found, images.labels, out)
    shown = table("worth tagging, best first", "order", "scene", "frame", "predicted classes")
    for place, choice in enumerate(found.choices[:20], 1):
        shown.add_row(str(place), choice.source, choice.frame, ", ".join(choice.classes))
    console.print(shown)
    text = (
        f"{len(found.choices)} of {found.candidates} frames; sum of the roots of the classes' counts {found.value:.1f}"
    )
    console.print(f"{text}, of random frames {found.random_value:.1f}\nresults: {out / 'select.csv'}")
