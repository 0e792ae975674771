"""Procedural furniture: several shapes for each class, built of meshes with materials.

A piece is in its own frame: the origin on the floor below its middle, z up, its back towards +y, its front towards
-y; metres. Proportions and materials come from the style's tables (``rooms.styles``) through a ``Kit``. The sizes in
the builders' docstrings are those of the default style.
"""

from wsss_ros.rooms.furniture import (  # noqa: F401  (their builders enter BUILDERS when they are imported)
    bath,
    beds,
    cabinets,
    chairs,
    kitchen,
    loose,
    shelves,
    sofas,
    tables,
)
from wsss_ros.rooms.furniture.piece import BUILDERS, Piece
from wsss_ros.rooms.kit import Kit


def build(kit: Kit, what: str) -> Piece:
    """A piece of a class (or group of shapes) in one of the shapes that the style allows."""
    return BUILDERS[kit.shape(what)](kit)
