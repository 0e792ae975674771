"""Furniture models: what a library knows of each, and a loaded model as a piece of furniture."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wsss_ros.labels import LabelSpace
from wsss_ros.model_files.surfaces import Surface
from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import Mesh

OTHER = "other"  # the kind of models outside the label space: clutter, lamps, plants, machines


@dataclass(frozen=True)
class Model:
    """What is known of a model before it is loaded.

    ``kind`` is a class name, or OTHER; ``label`` a class name, or NOTHING. ``size`` is width, depth and height in
    metres; ``elevation`` the height above the floor at which the model hangs, 0 where it stands. ``title`` are a few
    words for people.
    """

    name: str
    title: str
    kind: str
    label: str
    size: tuple[float, float, float]
    elevation: float


def piece_of(model: Model, surfaces: Iterable[Surface], labels: LabelSpace) -> Piece:
    """The model as a piece: its origin on the floor below its middle, z up, its front towards -y.

    The surfaces are in metres with z up and the front towards +y. ``nyu40`` in a surface's extras is its class.
    """
    surfaces = list(surfaces)
    corners = np.concatenate([s.vertices for s in surfaces])
    low, high = corners.min(0), corners.max(0)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    w, d, h = map(float, high - low)
    piece = Piece(model.label, (w, d, h))
    for number, surface in enumerate(surfaces):
        vertices = (surface.vertices - middle) * (-1, -1, 1)
        material = material_of(surface, seed=zlib.crc32(f"{model.name} {number}".encode()) % (1 << 16))
        piece.add(Mesh(vertices, surface.triangles, surface.uv), material, label_of(surface, labels, model.label))
    return piece


def label_of(surface: Surface, labels: LabelSpace, otherwise: str) -> str:
    """The class name of a surface by its ``nyu40``; NOTHING for ids outside the label space."""
    return label_named(surface.extras["nyu40"], labels) if "nyu40" in surface.extras else otherwise


def label_named(nyu40: int, labels: LabelSpace) -> str:
    """The class name of an id; NOTHING for ids outside the label space."""
    return labels.names[labels.ids.index(nyu40)] if nyu40 in labels.ids else NOTHING


def material_of(surface: Surface, seed: int) -> Material:
    """The look of a surface. Depth cameras see glass (alpha below 1) and black things badly."""
    r, g, b, alpha = surface.color
    if alpha < 1:
        dropout = 0.35 + 0.4 * (1 - alpha)
        return Material((r, g, b), gloss=0.6, dropout=dropout, seed=seed, alpha=alpha, picture=surface.picture)
    black = surface.picture is None and max(r, g, b) < 0.2
    gloss, dropout = (0.25, 0.2) if black else (0.08, 0.02)
    return Material((r, g, b), gloss=gloss, dropout=dropout, seed=seed, picture=surface.picture)
