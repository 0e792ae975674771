"""A place's mesh as a room: each object is a piece."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from wsss_ros.labels import LabelSpace
from wsss_ros.model_files.surfaces import Surface
from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.room import Placed, Room
from wsss_ros.rooms.library.folder import folder_surfaces
from wsss_ros.rooms.library.models import label_of, material_of
from wsss_ros.rooms.meshes import Mesh
from wsss_ros.types import BadInput

WHOLE = ("wall", "floor", NOTHING)  # not divided into objects
GAP_M = 0.02  # parts of one class whose boxes are not farther apart belong to one object


def read_place(folder: Path, labels: LabelSpace, kit: Kit) -> Room:
    """The place as a room: one corner of its box at the origin, z up, its floor at z = 0.

    A mesh joins all chairs; here each object is a piece of its own.

    Raises BadInput when the model cannot be read or has no surface of the class floor.
    """
    surfaces = folder_surfaces(folder)
    of_label: dict[str, list[Surface]] = {}
    for surface in surfaces:
        of_label.setdefault(label_of(surface, labels, NOTHING), []).append(surface)
    if "floor" not in of_label:
        raise BadInput(f"{folder}: no surface is floor; give each material its class in its extras (nyu40: 2)")
    points = np.concatenate([s.vertices for s in surfaces])
    corner = np.array([*points[:, :2].min(0), floor_height(of_label["floor"])])
    width, depth, height = map(float, points.max(0) - corner)
    room = Room("place", width, depth, height, kit)
    for label in sorted(of_label):
        for part in [of_label[label]] if label in WHOLE else objects_of(of_label[label]):
            room.placed.append(_placed(part, label, corner))
    return room


def floor_height(floors: list[Surface]) -> float:
    """The height at which most of the floor is; of a slab, that of its upper side."""
    heights, areas = [], []
    for floor in floors:
        corners = floor.vertices[floor.triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        heights.append(corners[..., 2].mean(1))
        areas.append(np.abs(normal[:, 2]))
    level = np.round(np.concatenate(heights), 2)
    levels, index = np.unique(level, return_inverse=True)
    area = np.bincount(index.ravel(), np.concatenate(areas))
    return float(levels[area > 0.5 * area.max()].max())


def objects_of(surfaces: list[Surface]) -> list[list[Surface]]:
    """Divide the surfaces of one class into objects: connected triangles, and what is not more than GAP_M from them."""
    counts = np.cumsum([0] + [len(s.vertices) for s in surfaces])
    points = np.round(np.concatenate([s.vertices for s in surfaces]), 3)
    _, joined = np.unique(points, axis=0, return_inverse=True)
    corners = np.concatenate([joined.ravel()[s.triangles + c] for s, c in zip(surfaces, counts, strict=False)])
    part = _connected(np.concatenate([corners[:, :2], corners[:, 1:]]), int(joined.max()) + 1)[corners[:, 0]]
    places = np.concatenate([s.vertices[s.triangles] for s in surfaces])
    number = _near_together(places.min(1), places.max(1), part)
    ends = np.cumsum([0] + [len(s.triangles) for s in surfaces])
    divided = []
    for k in range(int(number.max()) + 1):
        chosen = [_chosen(s, number[a:b] == k) for s, a, b in zip(surfaces, ends, ends[1:], strict=False)]
        divided.append([s for s in chosen if len(s.triangles)])
    return divided


def _connected(edges: Int64[np.ndarray, "E 2"], count: int) -> Int64[np.ndarray, "count"]:
    """The number of the connected part of each of ``count`` nodes."""
    graph = coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _near_together(
    low: Float64[np.ndarray, "M 3"], high: Float64[np.ndarray, "M 3"], part: Int64[np.ndarray, "M"]
) -> Int64[np.ndarray, "M"]:
    """Join parts whose boxes are GAP_M apart or less, until none are; returns the number of each triangle's object."""
    while True:
        count = int(part.max()) + 1
        lowest, highest = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        np.minimum.at(lowest, part, low)
        np.maximum.at(highest, part, high)
        near = (lowest[:, None] - GAP_M <= highest[None]).all(-1)
        joined = _connected(np.argwhere(near & near.T), count)
        if joined.max() + 1 == count:
            return part
        part = joined[part]


def _chosen(surface: Surface, chosen: Bool[np.ndarray, "M"]) -> Surface:
    """The surface with some of its triangles."""
    used, triangles = np.unique(surface.triangles[chosen], return_inverse=True)
    uv = None if surface.uv is None else surface.uv[chosen]
    vertices, triangles = surface.vertices[used], triangles.reshape(-1, 3)
    return Surface(vertices, triangles, uv, surface.color, surface.picture, surface.extras)


def _placed(surfaces: list[Surface], label: str, corner: Float64[np.ndarray, "3"]) -> Placed:
    """An object where it stands; ``corner`` is the origin of the room in the file's axes."""
    points = np.concatenate([s.vertices for s in surfaces]) - corner
    low, high = points.min(0), points.max(0)
    x, y, z = float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2, float(low[2])
    w, d, h = map(float, high - low)
    piece = Piece(label, (w, d, h))
    for number, surface in enumerate(surfaces):
        mesh = Mesh(surface.vertices - corner - (x, y, z), surface.triangles, surface.uv)
        piece.add(mesh, material_of(surface, seed=number))
    return Placed(piece, x, y, z, 0.0)
