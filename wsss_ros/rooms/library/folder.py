"""A folder of models: one folder ``CLASS__name`` for each, with a GLB file and its images. Lengths are in metres.

``mesh.glb`` has z up, its front towards +y, and colours as they are shown. ``model.glb`` is what other programs export:
glTF's own axes (y up, front towards +z) and linear colours.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsss_ros.labels import LabelSpace
from wsss_ros.model_files.glb import read_bounds, read_glb
from wsss_ros.model_files.surfaces import Y_UP, Surface
from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.library.models import OTHER, Model, label_named
from wsss_ros.types import BadInput

MESH, STANDARD, MANIFEST, TEXTURES = "mesh.glb", "model.glb", "manifest.json", "textures"
_IMAGES = (".jpg", ".jpeg", ".png")


def folder_models(folder: Path, labels: LabelSpace) -> Iterator[Model]:
    """The models of a folder, sorted by name. What ``manifest.json`` says of a model, if it is there, goes first.

    Raises BadInput when a folder's class is not in the label space, and when a model or the manifest cannot be read.
    """
    rows = _manifest(folder / MANIFEST)
    classes = {name.replace(" ", ""): name for name in labels.names} | {OTHER: OTHER}
    for path in sorted(folder.glob("*__*")):
        if not ((path / MESH).exists() or (path / STANDARD).exists()):
            continue
        plain = path.name.split("__")[0].replace(" ", "").lower()
        if plain not in classes:
            raise BadInput(
                f"{path}: '{plain}' is not a class; name the folder CLASS__name, with a class of: {', '.join(classes)}"
            )
        row, kind = rows.get(path.name, {}), classes[plain]
        label = label_named(row["nyu40"], labels) if "nyu40" in row else NOTHING if kind == OTHER else kind
        width, depth, height = _size(path)
        title = row.get("title") or path.name.split("__")[-1]
        yield Model(path.name, title, kind, label, (width, depth, height), float(row.get("elevation_m", 0)))


def folder_surfaces(folder: Path) -> list[Surface]:
    """The surfaces of one model or place, with z up and the front towards +y. Raises BadInput as ``read_glb`` does."""
    if (folder / MESH).exists() or not (folder / STANDARD).exists():
        return read_glb(folder / MESH)
    return [
        replace(s, vertices=s.vertices @ Y_UP.T, color=(*(c ** (1 / 2.2) for c in s.color[:3]), s.color[3]))
        for s in read_glb(folder / STANDARD)
    ]


def _size(folder: Path) -> tuple[float, float, float]:
    if (folder / MESH).exists():
        w, d, h = map(float, np.ptp(read_bounds(folder / MESH), axis=0))
    else:
        w, h, d = map(float, np.ptp(read_bounds(folder / STANDARD), axis=0))
    return w, d, h


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
