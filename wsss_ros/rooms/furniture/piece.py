"""A piece of furniture: meshes with materials and labels, and the register of its builders."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import Mesh, cylinder, turn

NOTHING = ""  # the label of objects outside the label space: books, boxes, lamps, screens


@dataclass(frozen=True)
class Part:
    """One mesh with one material and label; wood grain is along the axis ``grain`` (0, 1 or 2)."""

    mesh: Mesh
    material: Material
    label: str
    grain: int


@dataclass
class Piece:
    """A piece of furniture: its class, the box (width, depth, height) around it, and its parts.

    A part may stick out of the box by a few centimetres.
    """

    kind: str
    size: tuple[float, float, float]
    parts: list[Part] = field(default_factory=list)

    def add(self, mesh: Mesh, material: Material, label: str | None = None) -> "Piece":
        """Add a mesh; without a ``label`` it has the piece's class."""
        extent = np.ptp(mesh.vertices, axis=0)
        self.parts.append(Part(mesh, material, self.kind if label is None else label, int(np.argmax(extent))))
        return self

    def put(self, other: "Piece", x: float, y: float, z: float, yaw: float = 0.0) -> "Piece":
        """Set another piece onto this one, turned by ``yaw``; its parts keep their labels."""
        for part in other.parts:
            vertices = part.mesh.vertices @ turn(yaw).T + (x, y, z)
            self.parts.append(replace(part, mesh=replace(part.mesh, vertices=vertices)))
        return self


BUILDERS: dict[str, Callable[[Kit], Piece]] = {}  # name of a shape -> the function that builds it


def builder(function: Callable[[Kit], Piece]) -> Callable[[Kit], Piece]:
    """Register a function in ``BUILDERS`` under its name (a decorator)."""
    BUILDERS[function.__name__] = function
    return function


def corners(w: float, d: float, inset: float) -> list[tuple[float, float]]:
    """The centres of four legs below a rectangle w x d, each ``inset`` away from two of its edges."""
    a, b = w / 2 - inset, d / 2 - inset
    return [(-a, -b), (a, -b), (-a, b), (a, b)]


def add_feet(kit: Kit, piece: Piece, w: float, d: float) -> Piece:
    """Set four short round feet, 7 cm high, below a piece."""
    feet = kit.material("chair legs")
    for x, y in corners(w, d, 0.07):
        piece.add(cylinder(x, y, 0, 0.022, 0.07), feet)
    return piece
