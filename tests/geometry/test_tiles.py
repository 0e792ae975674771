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


def near_a_border(x, extent, tile, margin):
    """Whether rounding may decide in which tile a coordinate is, or whether it is in the margin of a tile."""
    count = max(1, int(np.ceil((extent - 2 * margin) / tile)))
    borders = extent / count * np.arange(1, count)
    return (np.abs(x[:, None] - np.concatenate([borders - margin, borders, borders + margin])) < 1e-3).any(1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 400), st.integers(0, 60 * 64), st.integers(0, 60 * 64))
def test_tiles_are_those_of_the_slow_twin(seed, count, width, depth):
    extent = np.float32([width, depth]) / 64  # exact, and so is the number of tiles
    corners = np.float32([[0, 0], extent])
    xy = np.concatenate([corners, np.random.default_rng(seed).random((count, 2), np.float32) * extent])
    xy = xy[~np.any([near_a_border(xy[:, axis], extent[axis], 8.0, 1.0) for axis in (0, 1)], axis=0)]
    xy = np.random.default_rng(seed).permutation(xy) - np.float32([30, 7])
    found, expected = list(geometry.tiles(xy, 8.0, 1.0)), list(slow(xy, 8.0, 1.0))
    for (own, seen), (slow_own, slow_seen) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, slow_own)
        np.testing.assert_array_equal(seen, slow_seen)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60 * 3), st.integers(1, 60 * 3), st.sampled_from([1 / 3, 0.1, 1.0]))
def test_points_on_borders_are_in_one_tile_each(columns, rows, step):
    xy = np.float32(step) * np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
    found = list(geometry.tiles(xy.astype(np.float32), 8.0, 1.0))
    assert np.array_equal(np.sort(np.concatenate([own for own, _ in found])), np.arange(len(xy)))
    assert all(np.isin(own, seen).all() for own, seen in found)


@pytest.mark.parametrize("far", [1e6, 1e12, 1e30, 3e38])
def test_absurd_points_are_tiles_of_their_own(far):
    xy = np.random.default_rng(0).random((100, 2), np.float32) * 5
    xy[3], xy[7] = far, -far
    found = [own.tolist() for own, _ in geometry.tiles(xy, 8.0, 1.0)]
    assert [7] in found and [3] in found
    assert sorted(sum(found, [])) == list(range(100))


@pytest.mark.parametrize("width, tiles", [(0.0, 1), (10.0, 1), (10.5, 2), (18.0, 2), (18.5, 3)])
def test_a_room_is_one_tile(width, tiles):
    xy = np.random.default_rng(0).uniform(0, 1, (5000, 2)).astype(np.float32) * np.float32([width, 3])
    xy[:2] = [0, 0], [width, 3]
    found = list(geometry.tiles(xy, 8.0, 1.0))
    assert len(found) == tiles
    assert all(np.ptp(xy[seen, 0]) <= 11.1 for _, seen in found)
