"""The table of the images on a room's surfaces."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from wsss_ros.rooms.furniture.piece import Part


@dataclass(frozen=True)
class ImageTable:
    """The pictures of a room's parts, flattened for a compiled kernel.

    ``texels`` are the pixels of all pictures and of their smaller copies; a row of ``levels`` is the start, width and
    height of one copy. A part shows the picture whose largest copy is ``first[part]`` (-1: no picture), one of
    ``count[part]``. ``mapped[part]``: placed by ``uv``, else by box projection with ``tile``; ``oriented`` is 1 or 2
    for pictures of wood whose grain runs along u or v, else 0. ``density`` are texels for each metre of a mapped
    triangle.
    """

    texels: UInt8[np.ndarray, "T 3"]
    levels: Int64[np.ndarray, "L 3"]
    first: Int64[np.ndarray, "parts"]
    count: Int64[np.ndarray, "parts"]
    mapped: Bool[np.ndarray, "parts"]
    tile: Float32[np.ndarray, "parts 2"]
    oriented: Int64[np.ndarray, "parts"]
    uv: Float32[np.ndarray, "M 3 2"]
    density: Float32[np.ndarray, "M"]


def image_table(parts: list[Part]) -> ImageTable | None:
    """The table of the parts' pictures; None when no part has one. Triangles are in the order of the parts."""
    pictures = {id(p.material.picture): p.material.picture for p in parts if p.material.picture is not None}
    if not pictures:
        return None
    rows: dict[int, int] = {}
    texels: list[np.ndarray] = []
    levels: list[tuple[int, int, int]] = []
    start = 0
    for key, picture in pictures.items():
        rows[key] = len(levels)
        for copy in picture.pyramid:
            texels.append(copy.reshape(-1, 3))
            levels.append((start, copy.shape[1], copy.shape[0]))
            start += len(texels[-1])
    shown = [p.material.picture for p in parts]
    mapped = [p.mesh.uv is not None and p.material.picture is not None for p in parts]
    return ImageTable(
        np.concatenate(texels),
        np.array(levels),
        np.array([-1 if s is None else rows[id(s)] for s in shown]),
        np.array([0 if s is None else len(s.pyramid) for s in shown]),
        np.array(mapped),
        np.array([p.material.tile for p in parts], np.float32),
        np.array([_orientation(p) for p in parts]),
        np.concatenate([p.mesh.uv if m else np.zeros((len(p.mesh.triangles), 3, 2), np.float32)
                        for p, m in zip(parts, mapped, strict=True)]),
        np.concatenate([_density(p) if m else np.zeros(len(p.mesh.triangles), np.float32)
                        for p, m in zip(parts, mapped, strict=True)]),
    )  # fmt: skip


def _orientation(part: Part) -> int:
    if part.material.picture is None or part.material.texture != "wood":
        return 0
    return 2 if part.material.picture.upright else 1


def _density(part: Part) -> Float32[np.ndarray, "M"]:
    """Texels for each metre of a triangle: the square root of the ratio of its areas in the picture and in space."""
    corners, uv = part.mesh.vertices[part.mesh.triangles], part.mesh.uv.astype(np.float64)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    c, d = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    height, width = part.material.picture.pixels.shape[:2]
    texels = np.abs(c[:, 0] * d[:, 1] - c[:, 1] * d[:, 0]) * width * height
    return np.sqrt(texels / (np.linalg.norm(np.cross(a, b), axis=1) + 1e-12)).astype(np.float32)
