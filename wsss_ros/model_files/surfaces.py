"""The surfaces of a model file, and how transparent parts of their pictures are cut out of the mesh."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from wsss_ros.model_files.pictures import Picture

LEVELS = 4  # so many times a triangle is divided into four at the edge of what is transparent
MOST = 40_000  # triangles into which a surface may be divided
# The axes of glTF and Sweet Home 3D (x right, y up, z to the front) in those of pieces' files (z up, front towards +y).
Y_UP = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
_STEPS = 4  # a triangle is looked at in (steps + 1) (steps + 2) / 2 points


@dataclass(frozen=True)
class Surface:
    """The triangles of one material, in the file's own axes.

    ``color`` is RGBA as written in the file. ``extras`` are free values of the material, such as ``nyu40``.
    """

    vertices: Float64[np.ndarray, "N 3"]
    triangles: Int64[np.ndarray, "M 3"]
    uv: Float32[np.ndarray, "M 3 2"] | None
    color: tuple[float, float, float, float]
    picture: Picture | None
    extras: dict[str, Any]


def without_holes(surface: Surface) -> Surface | None:
    """The surface without what its picture shows as transparent, such as the space between leaves; None if all is.

    Triangles at the edge are divided into four, again and again; of the smallest those stay that are mostly opaque.
    """
    if surface.uv is None or surface.picture is None or surface.picture.alpha is None:
        return surface
    left = np.concatenate([surface.vertices[surface.triangles], surface.uv], 2)  # corners: x y z u v
    kept = []
    for level in range(LEVELS + 1):
        share = _opaque_share(surface.picture.alpha, left[..., 3:])
        last = level == LEVELS or 4 * (mixed := (share > 0) & (share < 1)).sum() > MOST
        kept.append(left[share >= (0.5 if last else 1)])
        if last:
            break
        left = _divided(left[mixed])
    corners = np.concatenate(kept)
    if len(corners) == 0:
        return None
    vertices, triangles = np.unique(corners[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    uv = corners[..., 3:].astype(np.float32)
    return replace(surface, vertices=vertices, triangles=triangles.reshape(-1, 3), uv=uv)


def _opaque_share(alpha: UInt8[np.ndarray, "H W"], uv: Float64[np.ndarray, "M 3 2"]) -> Float64[np.ndarray, "M"]:
    """The share of each triangle that is opaque in the picture, from points spread over it."""
    a, b = (k.ravel() for k in np.meshgrid(np.arange(_STEPS + 1), np.arange(_STEPS + 1)))
    a, b = a[a + b <= _STEPS], b[a + b <= _STEPS]
    weights = (np.stack([a, b, _STEPS - a - b], 1) + 0.2) / (_STEPS + 0.6)  # a little inside the edges
    points = np.einsum("pk,mkc->mpc", weights, uv) % 1
    height, width = alpha.shape
    column = np.minimum((points[..., 0] * width).astype(int), width - 1)
    row = np.minimum((points[..., 1] * height).astype(int), height - 1)
    opaque: Bool[np.ndarray, "M P"] = alpha[row, column] >= 128
    return opaque.mean(1)


def _divided(corners: Float64[np.ndarray, "M 3 5"]) -> Float64[np.ndarray, "K 3 5"]:
    """Each triangle as four, by the middles of its edges."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
