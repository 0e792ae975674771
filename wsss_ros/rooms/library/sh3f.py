"""Furniture libraries of Sweet Home 3D (``.sh3f``): an archive with a catalog and OBJ models."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from wsss_ros.model_files.obj import read_obj
from wsss_ros.model_files.surfaces import Y_UP, Surface
from wsss_ros.rooms.library.models import Model
from wsss_ros.rooms.library.titles import class_of_title
from wsss_ros.types import BadInput

CATALOG = "PluginFurnitureCatalog.properties"
_MODELS = (".obj", ".zip")  # forms that are read; an archive in the archive has one OBJ model in it


class Sh3fFile:
    """One ``.sh3f`` file: its models by name, and the surfaces of each.

    Raises BadInput when the file is not an archive with a catalog.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, dict[str, str]] = {}
        self.models: list[Model] = []
        with self._opened() as archive:
            if CATALOG not in archive.namelist():
                raise BadInput(f"{path}: has no {CATALOG}; expected a .sh3f library of furniture")
            catalog = archive.read(CATALOG).decode("latin1")
        for row in _rows(_properties(catalog)):
            model = self._model(row)
            if model is not None:
                self._rows[model.name] = row
                self.models.append(model)

    def _model(self, row: dict[str, str]) -> Model | None:
        """What the catalog says of a model; None for forms that cannot be read and for what rooms do not have."""
        found = class_of_title(row.get("name", ""), row.get("category", ""))
        if found is None or not row.get("model", "").lower().endswith(_MODELS):
            return None
        try:
            w, d, h = (float(row[key]) / 100 for key in ("width", "depth", "height"))
            elevation = float(row.get("elevation", 0)) / 100
            _rotation(row)
        except (KeyError, ValueError) as error:
            raise BadInput(
                f"{self.path}: the size or rotation of '{row.get('name')}' in {CATALOG} cannot be read ({error!r})"
            ) from error
        words = [found.group, _slug(row["name"]), _slug(row.get("id", row["model"]).split("#")[-1])]
        name = f"{found.kind.replace(' ', '')}__{'_'.join(word for word in words if word)}"
        while name in self._rows:
            name += "-2"
        return Model(name, row["name"], found.kind, found.label, (w, d, h), elevation)

    def surfaces(self, name: str) -> list[Surface]:
        """The surfaces of a model in metres, with z up and the front towards +y, in the size that the catalog says."""
        row = self._rows[name]
        with self._opened() as archive:
            path, inner = row["model"].lstrip("/"), archive
            if path.lower().endswith(".zip"):
                inner, path = self._nested(archive, path)
            surfaces = read_obj(inner.read, path, str(self.path))
        rotated = [s.vertices @ _rotation(row).T @ Y_UP.T for s in surfaces]
        low = np.min([v.min(0) for v in rotated], axis=0)
        extent = np.max([v.max(0) for v in rotated], axis=0) - low
        scale = np.array([float(row[key]) / 100 for key in ("width", "depth", "height")]) / np.maximum(extent, 1e-9)
        return [
            Surface((v - low) * scale, s.triangles, s.uv, s.color, s.picture, s.extras)
            for v, s in zip(rotated, surfaces, strict=True)
        ]

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise BadInput(f"{self.path}: cannot be read ({error}); expected a .sh3f library of furniture") from error

    def _nested(self, archive: zipfile.ZipFile, path: str) -> tuple[zipfile.ZipFile, str]:
        """The archive in the archive, and the path of the OBJ model in it."""
        try:
            inner = zipfile.ZipFile(io.BytesIO(archive.read(path)))
            return inner, next(n for n in sorted(inner.namelist()) if n.lower().endswith(".obj"))
        except (zipfile.BadZipFile, StopIteration, KeyError) as error:
            raise BadInput(f"{self.path}: {path} is not an archive with an OBJ model ({error!r})") from error


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _rotation(row: dict[str, str]) -> Float64[np.ndarray, "3 3"]:
    """``modelRotation``: a matrix by rows that turns the model into Sweet Home 3D's axes."""
    if "modelRotation" not in row:
        return np.eye(3)
    return np.array(row["modelRotation"].split(), np.float64).reshape(3, 3)


def _rows(properties: dict[str, str]) -> Iterator[dict[str, str]]:
    """The models of a catalog, whose keys are ``name#1``, ``width#1``, ``name#2``, ..."""
    rows: dict[int, dict[str, str]] = {}
    for key, value in properties.items():
        name, _, number = key.partition("#")
        if number.isdigit():
            rows.setdefault(int(number), {})[name] = value
    return (rows[number] for number in sorted(rows))


def _properties(text: str) -> dict[str, str]:
    r"""A Java properties file: ``key=value`` lines, comments after # or !, lines continued by \, letters as \u00e9."""
    found = {}
    for line in re.sub(r"\\\r?\n[ \t]*", "", text).splitlines():
        line = line.strip()
        if line and line[0] not in "#!":
            key, value = (re.split(r"\s*[=:]\s*|\s+", line, maxsplit=1) + [""])[:2]
            found[key] = re.sub(r"\\u([0-9a-fA-F]{4})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], value)
    return found
