"""A folder of models: one folder ``CLASS__name`` for each, with ``mesh.glb`` and its images."""

import json
from collections.abc import Iterator
from pathlib import Path

from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.library.glb import read_bounds
from wsss_ros.rooms.library.models import OTHER, Model, label_named
from wsss_ros.types import BadInput

MESH, MANIFEST, TEXTURES = "mesh.glb", "manifest.json", "textures"
_IMAGES = (".jpg", ".jpeg", ".png")


def folder_models(folder: Path, labels: LabelSpace) -> Iterator[Model]:
    """The models of a folder, sorted by name. What ``manifest.json`` says of a model, if it is there, goes first.

    Raises BadInput when a folder's class is not in the label space, and when a model or the manifest cannot be read.
    """
    rows = _manifest(folder / MANIFEST)
    classes = {name.replace(" ", ""): name for name in labels.names} | {OTHER: OTHER}
    for path in sorted(folder.glob("*__*")):
        if not (path / MESH).exists():
            continue
        plain = path.name.split("__")[0].replace(" ", "").lower()
        if plain not in classes:
            raise BadInput(
                f"{path}: '{plain}' is not a class; name the folder CLASS__name, with a class of: {', '.join(classes)}"
            )
        row, kind = rows.get(path.name, {}), classes[plain]
        label = label_named(row["nyu40"], labels) if "nyu40" in row else NOTHING if kind == OTHER else kind
        low, high = read_bounds(path / MESH)
        width, depth, height = map(float, high - low)
        title = row.get("title") or path.name.split("__")[-1]
        yield Model(path.name, title, kind, label, (width, depth, height), float(row.get("elevation_m", 0)))


def folder_textures(folder: Path) -> dict[str, Path]:
    """The surface images of the folder by their names without ending; the name begins with the kind."""
    return {p.stem: p for p in sorted((folder / TEXTURES).glob("*")) if p.suffix.lower() in _IMAGES}


def _manifest(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    try:
        return {row["dir"]: row for row in json.loads(path.read_text())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: cannot be read ({error!r}); expected a list of models, each with 'dir'") from error
