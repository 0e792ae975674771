"""Triangle meshes of simple bodies, from which furniture is built: boxes, lofts, cushions, bowls, cloth; in metres."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64


@dataclass(frozen=True)
class Mesh:
    """Vertices in metres, and triangles as indices of vertices.

    ``uv`` are the places of the triangles' corners in the picture of the material: (0, 0) is its top left corner,
    (1, 1) its bottom right corner, and beyond them it repeats.
    """

    vertices: Float64[np.ndarray, "N 3"]
    triangles: Int64[np.ndarray, "M 3"]
    uv: Float32[np.ndarray, "M 3 2"] | None = None


def turn(yaw: float) -> Float64[np.ndarray, "3 3"]:
    """The rotation matrix of ``yaw`` (radians) about z."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


_CUBE = np.array([[x, y, z] for z in (0, 1) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
_CUBE_FACES = np.array(
    [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6]]
    + [[1, 3, 5], [3, 7, 5]]
)


def box(x: float, y: float, z: float, w: float, d: float, h: float) -> Mesh:
    """A box of width w, depth d and height h, with the centre of its bottom at (x, y, z)."""
    return Mesh(_CUBE * (w, d, h) + (x, y, z), _CUBE_FACES.copy())


def loft(rings: Iterable[tuple], power: float = 2.0, sides: int = 14) -> Mesh:
    """A closed surface through horizontal rings (x, y, z, radius x, radius y); ``power`` > 2 makes rings squarer."""
    rings = np.array(list(rings), np.float64)
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    c, s = np.cos(angle), np.sin(angle)
    c, s = np.sign(c) * np.abs(c) ** (2 / power), np.sign(s) * np.abs(s) ** (2 / power)
    skin = np.stack(
        [rings[:, :1] + rings[:, 3:4] * c, rings[:, 1:2] + rings[:, 4:5] * s, np.repeat(rings[:, 2:3], sides, 1)], -1
    ).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(len(rings) - 1), np.arange(sides), indexing="ij")
    a, b = (i * sides + j).ravel(), (i * sides + (j + 1) % sides).ravel()
    quads = np.concatenate([np.stack([a, b, a + sides], 1), np.stack([b, b + sides, a + sides], 1)])
    bottom, top = len(skin), len(skin) + 1
    k, after = np.arange(sides), (np.arange(sides) + 1) % sides
    last = (len(rings) - 1) * sides
    caps = np.concatenate(
        [np.stack([after, k, np.full(sides, bottom)], 1), np.stack([last + k, last + after, np.full(sides, top)], 1)]
    )
    return Mesh(np.concatenate([skin, rings[[0, -1], :3]]), np.concatenate([quads, caps]))


def cylinder(x: float, y: float, z: float, radius: float, h: float, top: float | None = None) -> Mesh:
    """An upright cylinder with the centre of its bottom at (x, y, z); a cone, if the radius ``top`` is different."""
    return loft([(x, y, z, radius, radius), (x, y, z + h, top or radius, top or radius)])


def leg(x: float, y: float, z: float, h: float, radius: float, lean: tuple[float, float] = (0.0, 0.0)) -> Mesh:
    """A round leg whose lower end is shifted by ``lean`` from its upper end."""
    return loft([(x + lean[0], y + lean[1], z, radius * 0.8, radius * 0.8), (x, y, z + h, radius, radius)], sides=8)


def cushion(x: float, y: float, z: float, w: float, d: float, h: float, edge: float = 0.04) -> Mesh:
    """A box with rounded edges."""
    edge = min(edge, 0.45 * h, 0.4 * w, 0.4 * d)
    a, b = w / 2, d / 2
    steps = [(0, 1.0), (0.3, 0.3), (1.0, 0.0)]
    rings = [(x, y, z + edge * t, a - edge * r, b - edge * r) for t, r in steps]
    rings += [(x, y, z + h - edge * t, a - edge * r, b - edge * r) for t, r in reversed(steps)]
    return loft(rings, power=7.0, sides=24)


def bowl(x: float, y: float, z: float, w: float, d: float, h: float, wall: float, power: float = 2.6) -> Mesh:
    """A hollow vessel, open at the top: basins, tubs, bins."""
    a, b = w / 2, d / 2
    outside = [(0, 0.72), (0.5, 0.93), (1.0, 1.0)]
    rings = [(x, y, z + h * t, a * r, b * r) for t, r in outside]
    inside = [(1.0, 1.0), (0.55, 0.9), (0.3, 0.7), (0.22, 0.4)]
    rings += [(x, y, z + h * t, (a - wall) * r, (b - wall) * r) for t, r in inside]
    return loft(rings, power=power, sides=22)


def pleats(x: float, y: float, z: float, w: float, h: float, amplitude: float, count: int, flare: float = 1.0) -> Mesh:
    """A hanging cloth in folds along x; ``flare`` widens the lower end."""
    columns = 6 * count + 1
    t = np.linspace(-0.5, 0.5, columns)
    wave = amplitude * np.sin(2 * np.pi * count * t)
    rows = []
    for height, width, depth in ((0.0, flare, 1.0), (0.5, 0.5 + flare / 2, 1.0), (1.0, 1.0, 0.6)):
        rows.append(np.stack([x + t * w * width, y + wave * depth, np.full(columns, z + h * height)], 1))
    j = np.arange(columns - 1)
    faces = [
        np.concatenate([np.stack([a + j, a + j + 1, b + j], 1), np.stack([a + j + 1, b + j + 1, b + j], 1)])
        for a, b in ((0, columns), (columns, 2 * columns))
    ]
    return Mesh(np.concatenate(rows), np.concatenate(faces))


def lean_back(mesh: Mesh, angle: float, y: float, z: float) -> Mesh:
    """Tilt a mesh about the axis through (y, z) parallel to x; a positive angle (radians) moves its top towards +y."""
    c, s = np.cos(angle), np.sin(angle)
    v = mesh.vertices.copy()
    v[:, 1], v[:, 2] = (
        y + c * (mesh.vertices[:, 1] - y) + s * (mesh.vertices[:, 2] - z),
        z - s * (mesh.vertices[:, 1] - y) + c * (mesh.vertices[:, 2] - z),
    )
    return Mesh(v, mesh.triangles)
