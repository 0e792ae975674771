"""``wsss rooms``: a data set of procedural rooms."""

import os
from pathlib import Path
from typing import Annotated

import typer


def rooms(
    out: Annotated[Path, typer.Argument(help="Folder for the scene folders; made where it is missing.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many rooms.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first room; the others count on from it.")] = 0,
    style: Annotated[
        str, typer.Option(help="Looks: default; other, which no training sees; plain, which is learned in minutes.")
    ] = "default",
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind, such as kitchen; repeat for several. All of the style's.")
    ] = None,
    frames: Annotated[int, typer.Option(min=0, help="Views of a room; 0 for 60 to 120, by its seed.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of the views, pixels.")] = (320, 240),
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = os.cpu_count() or 1,
) -> None:
    """Make furnished rooms seen by a hand-held RGB-D camera, in ScanNet's layout with its 20 classes.

    The same seed makes the same room, byte for byte. Rooms that are in OUT already are kept.
    """
    options = dict(style=style, kinds=tuple(kind or ()), frames=frames or None, size=size)
    folders = generate_with_progress(out, scenes, seed, workers, **options)
    typer.echo(f"{len(folders)} rooms in {out}: {folders[0].name} to {folders[-1].name}")


def ensure(part, workers: int) -> None:
    """The rooms that a ``SceneSetConfig`` asks for, where they are missing; of None, none."""
    if part is not None and (rooms := part.rooms) is not None:
        generate_with_progress(Path(part.folder), rooms.scenes, rooms.seed, workers, **rooms.options)


def generate_with_progress(out: Path, scenes: int, seed: int, workers: int = 1, **options) -> list[Path]:
    """``generate_rooms`` under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from wsss_ros.rooms.generator import generate_rooms

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as bar:
        task = bar.add_task("rooms", total=scenes)
        return generate_rooms(out, scenes, seed, workers, lambda done, _: bar.update(task, completed=done), **options)
