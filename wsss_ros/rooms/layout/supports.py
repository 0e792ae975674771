"""Where things can lie on a piece of furniture: the heights of its surfaces, and the free space above them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.rays import ray_caster, tensor

CELL_M = 0.03  # distance of the samples on a piece
LEVELS = 8  # largest number of surfaces above each other
FLAT_M = 0.012  # largest difference in height below one thing


@dataclass(frozen=True)
class Supports:
    """The surfaces of a piece that point up, sampled every CELL_M from its corner (-width / 2, -depth / 2).

    ``height`` are metres in the piece's frame, ``clear`` the metres up to the next surface above; nan where none is.
    """

    width: float
    depth: float
    height: Float64[np.ndarray, "Y X L"]
    clear: Float64[np.ndarray, "Y X L"]

    def places(
        self, rng: np.random.Generator, size: tuple[float, float, float], low: float, high: float, tries: int = 12,
        flat: float = FLAT_M,
    ) -> Iterator[tuple[float, float, float]]:  # fmt: skip
        """Random places (x, y, z) at which a thing of width, depth and height stands on the piece.

        Its surface is ``low`` to ``high`` metres above the floor, flat within ``flat`` metres, and reaches below all
        of the thing.
        """
        w, d, h = size
        usable = (self.height >= low) & (self.height <= high) & (self.clear >= h + 0.01)
        rows, columns, levels = np.nonzero(usable)
        if not len(rows):
            return
        across, along = max(1, round(w / CELL_M)), max(1, round(d / CELL_M))
        for k in rng.integers(len(rows), size=tries):
            top = self.height[rows[k], columns[k], levels[k]]
            j, i = rows[k] - along // 2, columns[k] - across // 2
            if j < 0 or i < 0 or j + along > usable.shape[0] or i + across > usable.shape[1]:
                continue
            part = np.s_[j : j + along, i : i + across]
            same = usable[part] & (np.abs(self.height[part] - top) <= flat)
            if same.any(-1).mean() > 0.97:
                x = (i + across / 2) * CELL_M - self.width / 2
                y = (j + along / 2) * CELL_M - self.depth / 2
                under = self.height[part][same]
                yield float(x), float(y), float(under.max() if flat <= FLAT_M else np.median(under))


def supports(piece: Piece, inside: bool) -> Supports:
    """The surfaces of a piece; those below its highest one only with ``inside``, as in open shelves."""
    caster = ray_caster([part.mesh.vertices for part in piece.parts], [part.mesh.triangles for part in piece.parts])
    w, d, h = piece.size
    ny, nx = max(1, int(d / CELL_M)), max(1, int(w / CELL_M))
    y, x = np.meshgrid((np.arange(ny) + 0.5) * CELL_M - d / 2, (np.arange(nx) + 0.5) * CELL_M - w / 2, indexing="ij")
    top = h + 1.0
    rays = np.zeros((ny * nx, 6), np.float32)
    rays[:, 0], rays[:, 1], rays[:, 2], rays[:, 5] = x.ravel(), y.ravel(), top, -1
    hits = caster.list_intersections(tensor(rays), nthreads=1)
    return Supports(w, d, *_levels(hits["ray_ids"].numpy(), top - hits["t_hit"].numpy(), (ny, nx), inside))


def _levels(ray: np.ndarray, height: np.ndarray, shape: tuple[int, int], inside: bool):
    """Heights and clear space [Y X L] of the surfaces that vertical rays hit, the highest first."""
    order = np.lexsort((-height, ray))
    ray, height = ray[order].astype(np.int64), height[order].astype(np.float64)
    first = np.append(True, np.diff(ray) > 0) if len(ray) else np.zeros(0, bool)
    number = np.arange(len(ray)) - np.maximum.accumulate(np.where(first, np.arange(len(ray)), 0))
    clear = np.where(first, np.inf, np.roll(height, 1) - height)
    heights, spaces = (np.full((shape[0] * shape[1], LEVELS), np.nan) for _ in range(2))
    kept = number < (LEVELS if inside else 1)
    heights[ray[kept], number[kept]] = height[kept]
    spaces[ray[kept], number[kept]] = clear[kept]
    return heights.reshape(*shape, LEVELS), spaces.reshape(*shape, LEVELS)
