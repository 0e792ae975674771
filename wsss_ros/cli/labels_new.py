"""``wsss labels new``: a label file with own classes."""

from pathlib import Path
from typing import Annotated

import typer


def labels_new(
    path: Annotated[Path, typer.Argument(help="Label file to write, which must not exist yet.")],
    names: Annotated[list[str], typer.Argument(help="Names of the classes, such as pallet 'fork lift' shelf.")],
) -> None:
    """Write a label file: ids from 1, colours that are far from each other. Edit it to change them or add synonyms.

    Example: wsss labels new warehouse.yaml pallet forklift shelf person wall floor
    """
    from wsss_ros import files
    from wsss_ros.labels import LabelSpace
    from wsss_ros.labels.colors import palette
    from wsss_ros.labels.label_file import as_yaml
    from wsss_ros.types import BadInput

    if path.exists():
        raise BadInput(f"{path} exists already; remove it or choose another name")
    names = [name.strip() for name in names]
    space = LabelSpace(path.stem, tuple(names), tuple(palette(len(names))), tuple(range(1, len(names) + 1)))
    files.write_text(path, as_yaml(space))
    typer.echo(
        f"{path}: {len(space)} classes; 'wsss labels show {path}' draws them, --labels {path} or labels: uses them"
    )
