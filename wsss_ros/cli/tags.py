"""``wsss tags``: what is understood of the class tags of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Labels, classes_named

_SHOWN = 10  # names and faults of a kind


def tags(
    folder: Annotated[Path, typer.Argument(help="A scene folder, a folder of photographs, or one file of tags.")],
    labels: Labels = "",
    complete: Annotated[
        bool, typer.Option("--complete/--incomplete", help="A class that is not listed is absent, or unknown.")
    ] = True,
    write: Annotated[Path | None, typer.Option(help="Also write them as this tags.csv, which must not exist.")] = None,
) -> None:
    """Print the classes with their counts, rows without an image, images without a row, and faults.

    Read are tags.csv (comma, semicolon, tab; lists, a row a tag, a column a class), tags.json, COCO, Pascal VOC,
    LabelMe, CVAT, YOLO, and masks in label/. The status is 1 if a row is not understood.
    """
    from rich.console import Console

    from wsss_ros import files
    from wsss_ros.cli.tables import table
    from wsss_ros.scenes.tag_report import read_report
    from wsss_ros.types import BadInput

    console = Console(soft_wrap=True)
    space = classes_named(labels)
    report = read_report(folder, space, complete)
    console.print(f"{report.source}: {report.kind}", markup=False)
    console.print(f"{len(report.lists)} images with tags, of the classes of '{space.name}'")
    made = table("", "class", "present", "absent", "unknown")
    for name, counts in report.counts.items():
        made.add_row(name, *map(str, counts))
    console.print(made)
    if report.scene is not None:
        console.print(f"the scene: {', '.join(report.scene.written) or 'no class'}", markup=False)
    for note in report.notes:
        console.print(note, markup=False)
    _print_names(console, "rows that match no image", report.unmatched)
    _print_names(console, "images without a row", report.without or [])
    _print_names(console, "rows that are not understood", report.faults, "\n  ")
    if write is not None:
        if write.exists():
            raise BadInput(f"{write} exists already; choose another --write")
        files.write_text(write, report.as_csv())
        console.print(f"written: {write}")
    if not report.usable:
        if not report.faults:
            console.print(f"not usable: {report.why_not}", markup=False)
        raise typer.Exit(1)


def _print_names(console, what: str, names: list[str], between: str = ", ") -> None:
    from wsss_ros.types import few_of

    if names:
        console.print(f"[yellow]{what}: {len(names)}")
        console.print(f"  {few_of(names, _SHOWN, between)}", markup=False)
