import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros import geometry


def slow(xy, tile, margin):
    """Each tile of the grid against each point, in float64; empty tiles are left out."""
    xy = xy.astype(np.float64)
    low, extent = xy.min(0), np.ptp(xy, 0)
    counts = [max(1, int(np.ceil((width - 2 * margin) / tile))) for width in extent]
    size = extent / counts
    for column in range(counts[0]):
        for row in range(counts[1]):
            corner = low + size * (column, row)
            last = np.array([column == counts[0] - 1, row == counts[1] - 1])
            own = ((xy >= corner) & ((xy < corner + size) | last)).all(1)
            near = ((xy >= corner - margin) & (xy <= corner + size + margin)).all(1)
            if own.any():
                yield np.flatnonzero(own), np.flatnonzero(own | near)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.floats(0.0, 60.0), st.floats(0.0, 60.0))
def test_tiles_are_those_of_the_slow_twin(seed, count, width, depth):
    # Steps of 1/64 m: all borders and differences are exact in float32.
    xy = (
        np.round(np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 2)) * (width, depth) * 64).astype(np.float32)
        / 64
    )
    found, expected = list(geometry.tiles(xy, 8.0, 1.0)), list(slow(xy, 8.0, 1.0))
    assert np.array_equal(np.sort(np.concatenate([own for own, _ in found])), np.arange(count))
    if len(expected) == len(found):  # else rounding has put a point on the border into the tile next to it
        same = [np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(found, expected, strict=True)]
        assert np.mean(same) > 0.9


@pytest.mark.parametrize("width, tiles", [(0.0, 1), (10.0, 1), (10.5, 2), (18.0, 2), (18.5, 3)])
def test_a_room_is_one_tile(width, tiles):
    xy = np.random.default_rng(0).uniform(0, 1, (5000, 2)).astype(np.float32) * np.float32([width, 3])
    xy[:2] = [0, 0], [width, 3]
    found = list(geometry.tiles(xy, 8.0, 1.0))
    assert len(found) == tiles
    assert all(np.ptp(xy[seen, 0]) <= 11.1 for _, seen in found)
