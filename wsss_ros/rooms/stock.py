"""The models and pictures of furniture libraries that a room may have."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.library import FurnitureLibrary
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import Mesh
from wsss_ros.rooms.uses import LOOSE, USES, Use

SHARE = 0.85  # of the pieces that are models, where a library has one for the place
SCALE = (0.95, 1.06)  # range by which a model is enlarged
# class of a plain grey or white model -> what its largest part is made of, by chance
REDONE = {
    "chair": "chair", "sofa": "sofa", "table": "table", "desk": "desk", "cabinet": "cabinet", "bookshelf": "bookshelf",
    "door": "door", "bed": "bedding",
}  # fmt: skip
REDONE_CHANCE = 0.5
Fits = Callable[[tuple[float, float, float]], bool]  # of width, depth and height


def _any_size(size: tuple[float, float, float]) -> bool:
    return True


class Stock:
    """The models of several furniture libraries, by their uses; ``share`` of the pieces of a room are models."""

    def __init__(self, libraries: Sequence[FurnitureLibrary], share: float = SHARE) -> None:
        self.libraries, self.share = libraries, share
        self._names: dict[Use, list[tuple[int, str]]] = {}

    def names(self, use: Use) -> list[tuple[int, str]]:
        """The models that serve a use: index of the library, and name in it."""
        if use not in self._names:
            self._names[use] = [
                (k, name)
                for k, library in enumerate(self.libraries)
                for kind in use.kinds
                for name in library.pieces(kind)
                if use.serves(name, library.size(name))
            ]
        return self._names[use]

    def names_for(self, use: str) -> list[tuple[int, str]]:
        """The models that serve a use of ``USES`` or ``LOOSE``, by its name."""
        return self.names(USES.get(use) or LOOSE[use])

    def draw_named(self, kit: Kit, use: str, words: frozenset[str], fits: Fits = _any_size) -> Piece | None:
        """A model in its own size whose size ``fits``; one with one of the ``words`` in its name, if there is any."""
        fitting = self._fitting(use, fits)
        names = [n for n in fitting if any(word in n[1].lower() for word in words)] or fitting
        if not names:
            return None
        k, name = names[int(kit.rng.integers(len(names)))]
        return self.libraries[k].piece(name)

    def draw(self, kit: Kit, use: str, fits: Fits = _any_size, hung: bool = True) -> Piece | None:
        """A model for a use of ``USES`` or ``LOOSE`` whose size ``fits``, made a little larger or smaller.

        A model that its library hangs above the floor, such as a sink, has its parts at that height; without ``hung``,
        for a caller that decides on the height, its lowest point is at 0. None when the libraries have no such model.
        """
        found = self.draw_hung(kit, use, fits)
        if found is None:
            return None
        piece, elevation = found
        return raised(piece, elevation) if hung and elevation else piece

    def draw_hung(self, kit: Kit, use: str, fits: Fits = _any_size) -> tuple[Piece, float] | None:
        """A model as of ``draw`` with its lowest point at 0, and the height at which its library hangs it, metres."""
        names = self._fitting(use, fits)
        if not names:
            return None
        k, name = names[int(kit.rng.integers(len(names)))]
        library = self.libraries[k]
        return _redone(kit, enlarged(library.piece(name), kit.between(*SCALE))), library.elevation(name)

    def _fitting(self, use: str, fits: Fits) -> list[tuple[int, str]]:
        return [(k, name) for k, name in self.names_for(use) if fits(self.libraries[k].size(name))]

    def surface(self, rng: np.random.Generator, kind: str, extent_m: float) -> Material | None:
        """A material that shows a picture of a kind, such as "wood" or "floor_tile"; None without such a picture."""
        names = [(library, name) for library in self.libraries for name in library.textures(kind)]
        if not names:
            return None
        library, name = names[int(rng.integers(len(names)))]
        return library.surface(name, extent_m)


@cache
def open_stock(furniture: tuple[str, ...]) -> Stock | None:
    """The stock of the furniture libraries at these paths; None without paths.

    Raises BadInput for a path that is not a furniture library.
    """
    return Stock([FurnitureLibrary.open(Path(path)) for path in furniture]) if furniture else None


def _redone(kit: Kit, piece: Piece) -> Piece:
    """The piece, by chance with another material of its class where most of it is plain and grey or white."""
    if piece.kind not in REDONE or not kit.chance(REDONE_CHANCE):
        return piece
    areas: dict[Material, float] = {}
    for part in piece.parts:
        areas[part.material] = areas.get(part.material, 0.0) + _area(part.mesh)
    most = max(areas, key=lambda material: areas[material])
    if most.picture is not None or most.alpha < 1 or max(most.color) - min(most.color) > 0.15:
        return piece
    new = kit.material(REDONE[piece.kind])
    return replace(piece, parts=[replace(p, material=new) if p.material == most else p for p in piece.parts])


def _area(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def enlarged(piece: Piece, factor: float) -> Piece:
    """The piece, multiplied in size by ``factor``."""
    parts = [replace(p, mesh=replace(p.mesh, vertices=p.mesh.vertices * factor)) for p in piece.parts]
    w, d, h = (float(x) for x in np.multiply(piece.size, factor))
    return replace(piece, size=(w, d, h), parts=parts)


def raised(piece: Piece, z: float) -> Piece:
    """The piece with its parts ``z`` metres higher; its box still begins at the floor."""
    parts = [replace(p, mesh=replace(p.mesh, vertices=p.mesh.vertices + (0, 0, z))) for p in piece.parts]
    w, d, h = piece.size
    return replace(piece, size=(w, d, h + z), parts=parts)
