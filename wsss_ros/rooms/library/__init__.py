"""Libraries of furniture models, from which rooms are furnished: folders of GLB models, Sweet Home 3D's ``.sh3f``."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from wsss_ros.labels import LabelSpace, scannet20
from wsss_ros.model_files.pictures import read_picture
from wsss_ros.model_files.surfaces import Surface
from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.library.folder import MESH, STANDARD, folder_models, folder_surfaces, folder_textures
from wsss_ros.rooms.library.models import OTHER, Model, piece_of
from wsss_ros.rooms.library.sh3f import Sh3fFile
from wsss_ros.rooms.materials import Material
from wsss_ros.types import BadInput

KEPT = 96  # loaded models and images that a library keeps in memory
# kind of surface image -> metres that one image shows, along its longer edge
_EXTENT_M = {"floor": 1.6, "wall": 1.6, "wallpaper": 1.2, "ceiling": 1.2, "door": 2.0, "wood": 1.2, "fabric": 0.5}
_UNWRAPPED = ("wall_stone_sc", "ceiling_aws")  # images of one model's surfaces side by side; they do not tile


class FurnitureLibrary:
    """Models of furniture by kind, and images for surfaces. Names are sorted; equal files give equal libraries."""

    def __init__(
        self,
        source: str,
        models: Iterable[Model],
        load: Callable[[str], list[Surface]],
        textures: Mapping[str, Path],
        labels: LabelSpace,
    ) -> None:
        self.source, self._textures = source, textures
        self.models = {m.name: m for m in sorted(models, key=lambda m: m.name)}
        self._piece = lru_cache(KEPT)(lambda name: piece_of(self.model(name), load(name), labels))
        self._picture = lru_cache(KEPT)(read_picture)

    @classmethod
    def open(cls, path: str | Path, labels: LabelSpace | None = None) -> "FurnitureLibrary":
        """Open a folder of models, a ``.sh3f`` file of Sweet Home 3D, or a folder of such files.

        Raises BadInput when there is no model, or a file cannot be read.
        """
        path, labels = Path(path), labels or scannet20()
        if not path.exists():
            raise BadInput(f"{path}: does not exist; expected a folder of models or a .sh3f file")
        archives = sorted(path.glob("*.sh3f")) if path.is_dir() else [path]
        library = cls._of_archives(path, archives, labels) if archives else cls._of_folder(path, labels)
        if not library.models:
            raise BadInput(
                f"{path}: no models; expected folders CLASS__name with {MESH} or {STANDARD} in each, or .sh3f files"
            )
        return library

    @classmethod
    def _of_folder(cls, path: Path, labels: LabelSpace) -> "FurnitureLibrary":
        textures = folder_textures(path)
        return cls(str(path), folder_models(path, labels), lambda name: folder_surfaces(path / name), textures, labels)

    @classmethod
    def _of_archives(cls, path: Path, archives: list[Path], labels: LabelSpace) -> "FurnitureLibrary":
        files = [Sh3fFile(archive) for archive in archives]
        owner = {model.name: file for file in files for model in file.models}
        models = {model.name: model for file in files for model in file.models}
        return cls(str(path), models.values(), lambda name: owner[name].surfaces(name), {}, labels)

    def model(self, name: str) -> Model:
        """What is known of a model without loading it. Raises BadInput when there is no such model."""
        if name not in self.models:
            raise BadInput(f"{self.source}: no model '{name}'")
        return self.models[name]

    def piece(self, name: str) -> Piece:
        """The model as a piece: its origin on the floor below its middle, z up, its front towards -y.

        Do not change the piece: it is kept for the next call. Raises BadInput when there is no such model, and when its
        file cannot be read.
        """
        return self._piece(name)

    def pieces(self, kind: str) -> tuple[str, ...]:
        """The names of the models of a class, or of OTHER for everything outside the first 19 classes.

        "otherfurniture" gives those of OTHER that have this label.
        """
        return tuple(name for name, m in self.models.items() if kind == m.kind or kind == m.label == "otherfurniture")

    def size(self, name: str) -> tuple[float, float, float]:
        """Width, depth and height of a model in metres, without loading it."""
        return self.model(name).size

    def elevation(self, name: str) -> float:
        """The height in metres at which a model hangs above the floor; 0 where it stands on a floor or table."""
        return self.model(name).elevation

    def textures(self, kind: str) -> tuple[str, ...]:
        """The names of the surface images of a kind, such as "floor", "floor_wood", "wall", "wood" or "metal"."""
        of_kind = re.compile(rf"{re.escape(kind)}(_|\d|$)")
        return tuple(name for name in self._textures if of_kind.match(name) and name not in _UNWRAPPED)

    def surface(self, name: str, extent_m: float | None = None) -> Material:
        """A material that shows a surface image by box projection.

        The longer edge of the image is ``extent_m`` metres; without it, a length that is usual for the kind. Change
        ``color`` of the material to tint the image, and ``seed`` to shift it.

        Raises BadInput when there is no such image.
        """
        if name not in self._textures:
            raise BadInput(f"{self.source}: no surface image '{name}'")
        kind = re.split(r"[_\d]", name)[0]
        picture = self._picture(self._textures[name])
        height, width = picture.pixels.shape[:2]
        scale = (extent_m or _EXTENT_M.get(kind, 1.0)) / max(height, width)
        gloss = {"metal": 0.5, "stone": 0.3, "floor": 0.15, "wood": 0.1}.get(kind, 0.03)
        dropout = 0.15 if kind == "metal" else 0.02
        texture = "wood" if kind == "wood" else "plain"
        tile = (width * scale, height * scale)
        return Material((1.0, 1.0, 1.0), texture=texture, gloss=gloss, dropout=dropout, picture=picture, tile=tile)


__all__ = ["OTHER", "FurnitureLibrary", "Model"]
