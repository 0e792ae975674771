import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.samples import augment


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(40, 200), height=st.integers(40, 200))
def test_links_follow_the_view(seed, width, height):
    """An image whose colours are its own pixel coordinates shows, at each view pixel, where it came from."""
    rng = np.random.default_rng(seed)
    view = augment.random_view(rng, width, height, (64, 160), 64)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    image = torch.from_numpy(np.stack([u, v, np.full_like(u, 255)]).astype(np.uint8))[None]
    seen = (augment.apply_views(image, [view], 64)[0] * 255).numpy()
    uv = np.stack([u.ravel(), v.ravel()], 1).astype(np.float64)
    moved = view.uv_from_source(uv)
    near = np.rint(moved).astype(int)
    # Bilinear reading is exact on a ramp away from the border; compare where a source pixel lands close to a view's.
    inner = (uv > 1).all(1) & (uv < [width - 2, height - 2]).all(1) & (near >= 0).all(1) & (near < 64).all(1)
    at = near[inner]
    offset = (at - moved[inner]) / np.array(view.scale)
    np.testing.assert_allclose(seen[0, at[:, 1], at[:, 0]], uv[inner, 0] + offset[:, 0], atol=0.1)
    np.testing.assert_allclose(seen[1, at[:, 1], at[:, 0]], uv[inner, 1] + offset[:, 1], atol=0.1)


def test_views_vary_in_scale_place_and_mirror():
    rng = np.random.default_rng(0)
    views = [augment.random_view(rng, 320, 240, (256, 512), 256) for _ in range(200)]
    scales = np.array([view.scale for view in views])
    assert 0.3 < (scales[:, 0] < 0).mean() < 0.7
    assert 0.8 <= np.abs(scales).min() < 0.83 and 1.57 < np.abs(scales).max() <= 1.6
    assert (scales[:, 1] > 0).all()


def test_no_jitter_changes_nothing():
    rng = np.random.default_rng(0)
    matrix = torch.from_numpy(augment.random_color_matrix(rng, 0, 0, 0, 0))[None]
    rgb = torch.rand(1, 3, 5, 7)
    torch.testing.assert_close(augment.apply_color_matrices(rgb, matrix), rgb, atol=1e-5, rtol=0)


def test_jitter_turns_hue_but_keeps_grey_grey():
    rng = np.random.default_rng(0)
    matrix = torch.from_numpy(augment.random_color_matrix(rng, 0, 0, 0.3, 0.1))[None]
    grey = torch.full((1, 3, 2, 2), 0.4)
    torch.testing.assert_close(augment.apply_color_matrices(grey, matrix), grey, atol=2e-3, rtol=0)
    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1)
    assert (augment.apply_color_matrices(red, matrix) - red).abs().max() > 0.01


def test_contrast_stretches_about_the_mean():
    matrix = torch.from_numpy(augment.random_color_matrix(np.random.default_rng(3), 0, 0.5, 0, 0))[None]
    factor = matrix[0, 0, :3].sum()
    rgb = torch.tensor([0.4, 0.6]).view(1, 1, 1, 2).expand(1, 3, 1, 2).contiguous()
    expected = 0.5 + factor * torch.tensor([-0.1, 0.1])
    assert abs(factor - 1) > 0.05
    torch.testing.assert_close(augment.apply_color_matrices(rgb, matrix)[0, 0, 0], expected, atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cloud_matrices_keep_distances_and_the_upright_axis(seed):
    matrix = augment.random_cloud_matrix(np.random.default_rng(seed), 5, True)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(matrix @ [0, 0, 1], [0, 0, 1], atol=1e-7)
    assert np.abs(matrix[0, 1]) <= np.sin(np.radians(5)) + 1e-6


@pytest.mark.parametrize(("available", "wanted"), [(10, 4), (4, 4), (3, 10)])
def test_points_repeat_only_when_there_are_too_few(available, wanted):
    kept = augment.sample_points(np.random.default_rng(0), available, wanted)
    assert len(kept) == wanted and len(set(kept)) == min(available, wanted)
