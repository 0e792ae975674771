"""``wsss rooms``: generate a data set of procedural rooms."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer


def rooms(
    out: Annotated[Path, typer.Argument(help="Folder of the scene folders; created if it is missing.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many rooms.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first room; each further one adds 1.")] = 0,
    style: Annotated[
        str, typer.Option(help="Looks: default; other, which is never trained on; plain, which is learned in minutes.")
    ] = "default",
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind, such as kitchen; repeat for several; else all.")
    ] = None,
    frames: Annotated[int, typer.Option(min=0, help="Views of a room; 0 for 60 to 120, by its seed.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of the views, pixels.")] = (320, 240),
    place: Annotated[
        Path | None,
        typer.Option(help="Walks through a furnished place instead: a folder with mesh.glb or model.glb with labels."),
    ] = None,
    furniture: Annotated[
        list[str] | None,
        typer.Option(help="Furniture models: a folder of GLB models or an .sh3f file; repeat for several; else none."),
    ] = None,
    views: Annotated[
        Literal["walk", "robot"], typer.Option(help="A camera carried by hand, or an upright one at 0.3 to 1.6 m.")
    ] = "walk",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = os.cpu_count() or 1,
) -> None:
    """Generate furnished rooms seen by a hand-held RGB-D camera, in ScanNet's layout with its 20 classes.

    The same seed gives the same room, byte for byte. Rooms that are already in OUT are kept.
    """
    libraries = tuple(path for path in furniture or () if path != "none")
    if place is not None:
        _refuse(style=style != "default", kind=kind, furniture=libraries)
        folders = _walks_through(place, out, scenes, seed, workers, frames=frames or None, size=size, views=views)
        typer.echo(f"{len(folders)} walks through {place.name} in {out}: {folders[0].name} to {folders[-1].name}")
        return
    options = dict(
        style=style, kinds=tuple(kind or ()), frames=frames or None, size=size, furniture=libraries, views=views
    )
    folders = generate_with_progress(out, scenes, seed, workers, **options)
    typer.echo(f"{len(folders)} rooms in {out}: {folders[0].name} to {folders[-1].name}")


def _refuse(**given: object) -> None:
    from wsss_ros.types import BadInput

    for name in (name for name, value in given.items() if value):
        raise BadInput(f"--{name} does not apply to --place, whose furniture stays as it is; leave it out")


def _walks_through(place: Path, out: Path, scenes: int, seed: int, workers: int, **options) -> list[Path]:
    from wsss_ros.rooms.places import generate_places

    with _progress(scenes) as report:
        return generate_places(out, place, scenes, seed, workers, report, **options)


def ensure(part, workers: int) -> None:
    """Generate the missing rooms of a ``SceneSetConfig``; nothing for None and for sets without rooms."""
    from wsss_ros.training.scene_set import generate_missing_rooms

    if part is not None and part.rooms is not None:
        with _progress(part.rooms.scenes) as report:
            generate_missing_rooms(part, workers=workers, progress=report)


def generate_with_progress(out: Path, scenes: int, seed: int, workers: int = 1, **options) -> list[Path]:
    """Generate rooms as ``generate_rooms`` does, with a progress bar."""
    from wsss_ros.rooms.generator import generate_rooms

    with _progress(scenes) as report:
        return generate_rooms(out, scenes, seed, workers, report, **options)


@contextmanager
def _progress(scenes: int) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as bar:
        task = bar.add_task("rooms", total=scenes)
        yield lambda done, _: bar.update(task, completed=done)
