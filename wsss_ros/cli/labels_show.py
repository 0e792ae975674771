"""``wsss labels show``: the classes of a label file."""

from pathlib import Path
from typing import Annotated

import typer


def labels_show(
    path: Annotated[str, typer.Argument(help="Label file, checkpoint, or scannet20, s3dis or nyu40.")],
    out: Annotated[Path | None, typer.Option(help="Draw the colours into this picture.")] = None,
) -> None:
    """Print the classes with ids, colours and synonyms."""
    from rich.console import Console
    from rich.text import Text

    from wsss_ros.cli.tables import table
    from wsss_ros.evaluation import pictures
    from wsss_ros.labels import labels_named

    console, space = Console(soft_wrap=True), labels_named(path)
    made = table(f"{space.name}: {len(space)} classes", "class", "label", "id", "color", "", "synonyms")
    for label, (name, id_, color) in enumerate(zip(space.names, space.ids, space.colors, strict=True)):
        others = ", ".join(other for other, meant in space.synonyms if space.index(meant) == label)
        red, green, blue = color
        swatch = Text("    ", style=f"on #{red:02x}{green:02x}{blue:02x}")
        made.add_row(name, str(label), str(id_), f"{red}, {green}, {blue}", swatch, others)
    console.print(made)
    if out is not None:
        pictures.save(pictures.legend(space, space.names, 600), out)
        console.print(f"picture: {out}")
