"""Pictures of clouds, sheets and confusion matrices."""

import numpy as np
import pytest

from wsss_ros.evaluation import pictures


def test_a_cloud_is_seen_from_above_with_what_is_near_in_front():
    """A red plate over a green floor: the plate hides the floor below it; what is too high is left out."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 120), np.linspace(-1, 1, 120)), -1).reshape(-1, 2)
    floor = np.c_[grid, np.zeros(len(grid))]
    plate = np.c_[grid * 0.4, np.full(len(grid), 0.5)]
    lamp = np.c_[grid * 0.4, np.full(len(grid), 2.5)]
    xyz = np.concatenate([floor, plate, lamp])
    rgb = np.repeat(np.array([[0, 255, 0], [255, 0, 0], [0, 0, 255]], np.uint8), len(grid), axis=0)
    picture = pictures.render_cloud(xyz, rgb, size=(200, 160), azimuth_deg=0, elevation_deg=89)
    assert picture[80, 100].tolist() == [255, 0, 0]
    assert (picture == [0, 255, 0]).all(-1).mean() > 0.3
    assert not (picture == [0, 0, 255]).all(-1).any()
    assert picture[0, 0].tolist() == [255, 255, 255]


def test_right_is_right_and_far_is_up():
    xyz = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float).repeat(50, axis=0)
    rgb = np.array([[1, 1, 1], [255, 0, 0], [0, 0, 255]], np.uint8).repeat(50, axis=0)
    picture = pictures.render_cloud(xyz, rgb, size=(100, 100), azimuth_deg=0)
    where = {color: np.argwhere((picture == color).all(-1)).mean(0) for color in ((1, 1, 1), (255, 0, 0), (0, 0, 255))}
    assert where[255, 0, 0][1] > where[1, 1, 1][1] + 20  # +x to the right
    assert where[0, 0, 255][0] < where[1, 1, 1][0] - 20  # +y away from us, up in the picture


def _slow_splat(uv, depth, rgb, width, height, dot):
    """Every pixel of every dot, far points first."""
    picture, nearest = np.full((height, width, 3), 255, np.uint8), np.full((height, width), np.inf)
    for dv in range(dot):
        for du in range(dot):
            layer = np.full((height, width), -1)
            for point in np.argsort(-depth, kind="stable"):
                u, v = uv[point] + (du, dv) - dot // 2
                if 0 <= u < width and 0 <= v < height:
                    layer[v, u] = point
            for v, u in np.argwhere(layer >= 0):
                if depth[layer[v, u]] < nearest[v, u]:
                    nearest[v, u], picture[v, u] = depth[layer[v, u]], rgb[layer[v, u]]
    return picture


@pytest.mark.parametrize("count, dot", [(0, 2), (1, 5), (60, 1), (60, 4)])
def test_points_are_drawn_as_the_slow_way_draws_them(count, dot):
    draw = np.random.default_rng(count + dot)
    uv = draw.integers(-3, (18, 13), (count, 2))  # several at a place, some of one depth, some outside
    depth, rgb = np.round(draw.uniform(1, 2, count), 1), draw.integers(0, 256, (count, 3)).astype(np.uint8)
    expected = _slow_splat(uv, depth, rgb, 16, 11, dot)
    np.testing.assert_array_equal(pictures._splat(uv, depth, rgb, 16, 11, dot), expected)


def test_heat_runs_from_black_to_white():
    colors = pictures.heat(np.array([[0, 1 / 3, 1]], np.float32))[0]
    assert colors.tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 255]]


def test_a_sheet_holds_its_pictures_and_the_legend_its_colours(labels):
    cell = np.full((20, 330, 3), 7, np.uint8)
    legend = pictures.legend(labels, ["wall", "sink"], 700)
    page = np.asarray(pictures.sheet(["a", "b"], [[cell, cell]] * 3, legend))
    assert (page == 7).all(-1).sum() == 6 * 20 * 330
    drawn = {tuple(color) for color in page[-legend.height :].reshape(-1, 3)}
    assert {labels.colors[0], labels.colors[17], (0, 0, 0)} <= drawn
    assert labels.colors[1] not in drawn


def test_the_confusion_matrix_is_drawn_dark_where_it_is_high(labels):
    counts = np.zeros((3, 4), np.int64)
    counts[0, 0], counts[1, 0], counts[1, 1] = 10, 5, 5  # the third class never occurs
    picture = np.asarray(pictures.confusion(counts, labels.names[:3], "title")).astype(int)
    blue = (picture[..., 2] - picture[..., 0] > 60) & (picture[..., 2] > 80)
    dark = blue & (picture.sum(-1) < 250)
    grey = (np.ptp(picture, axis=-1) == 0) & (picture[..., 0] == 224)
    assert dark.sum() > 500 and blue.sum() > 2 * dark.sum() and grey.sum() > 2000


def test_pictures_of_different_heights_get_white_below():
    low, high = np.zeros((4, 6, 3), np.uint8), np.zeros((7, 6, 3), np.uint8)
    (first,), (second,) = pictures.padded([[low], [high]])
    assert first.shape == second.shape == (7, 6, 3)
    assert not first[:4].any() and (first[4:] == 255).all() and not second.any()


def test_neighbouring_regions_have_different_colours():
    colors = pictures.region_colors(np.array([*range(40), -1])).astype(int)
    assert len(np.unique(colors, axis=0)) == 41
    assert (np.abs(np.diff(colors[:40], axis=0)).sum(axis=1) > 100).all()
    assert colors[40].tolist() == [60, 60, 60]
