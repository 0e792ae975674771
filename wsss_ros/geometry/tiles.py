"""Wide clouds in parts of the size of a room."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int64

_MOST = 1 << 30  # tiles along an axis: all numbers of tiles fit into 63 bits, however far a point is from the others


def tiles(
    xy: Float32[np.ndarray, "N 2"], tile: float, margin: float
) -> Iterator[tuple[Int64[np.ndarray, "M"], Int64[np.ndarray, "S"]]]:
    """The rows of the points in each tile of a plane, and the rows of those that are at most ``margin`` outside of it.

    All tiles have one size, about ``tile``; each point is in one of them. What is no wider than a tile with its margins
    is one tile.
    """
    low = xy.min(axis=0).astype(np.float64)
    extent = xy.max(axis=0) - low
    columns, rows = counts = np.ceil((extent - 2 * margin) / tile).clip(1, _MOST).astype(np.int64)
    if columns * rows == 1:
        every = np.arange(len(xy))
        yield every, every
        return
    size = np.maximum(extent / counts, 1e-6)
    cell = np.clip(((xy - low) / size).astype(np.int64), 0, counts - 1)
    name = cell[:, 0] * rows + cell[:, 1]
    order = np.argsort(name, kind="stable")
    names, starts = np.unique(name[order], return_index=True)
    members = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
    for key, own in members.items():
        column, row = divmod(key, int(rows))
        around = [
            members[i * int(rows) + j]
            for i in range(max(column - 1, 0), min(column + 2, int(columns)))
            for j in range(max(row - 1, 0), min(row + 2, int(rows)))
            if i * int(rows) + j in members
        ]
        near = np.sort(np.concatenate(around))
        corner = low + size * (column, row)
        inside = ((xy[near] >= corner - margin) & (xy[near] <= corner + size + margin)).all(axis=1)
        inside |= np.isin(near, own, assume_unique=True)  # rounding must not lose a point of the tile itself
        yield np.sort(own), near[inside]
