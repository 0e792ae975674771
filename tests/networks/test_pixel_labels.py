"""Labels of pixels from a coarse map, compiled, against the plain way: maps at the size of the image, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.networks.classifier import image_mean, upsample, upsampled_mean
from wsss_ros.networks.pixel_labels import label_pixels

sizes = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.tuples(sizes, sizes),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    spread=st.sampled_from([0.1, 3.0, 50.0]),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    some=st.booleans(),
)
def test_against_large_maps_in_float64(seed, grid, size, spread, temperature, some):
    rng = np.random.default_rng(seed)
    maps = (spread * rng.normal(size=(6, *grid))).astype(np.float32)
    present = np.array([1, 0, 1, 1, 0, 0], np.float32) if some else None
    labels, probability = label_pixels(maps, size, present, temperature)
    large = upsample(torch.from_numpy(maps)[None].double(), size)[0]
    if some:
        large[present < 0.5] = -torch.inf
    best, expected = large.max(dim=0)
    second = large.topk(2, dim=0).values[1]
    sure = (best - second > 1e-5 * spread).numpy()
    assert np.array_equal(labels[sure], expected.numpy()[sure])
    wanted = (large / temperature).softmax(dim=0).amax(dim=0)
    np.testing.assert_allclose(probability, wanted.numpy(), atol=2e-6 * (1 + spread / temperature))


def test_a_class_that_wins_alone_is_sure():
    maps = np.full((3, 2, 2), -90.0, np.float32)
    maps[1] = 4.0
    labels, probability = label_pixels(maps, (5, 7), None, 1.0)
    assert (labels == 1).all() and np.allclose(probability, 1, atol=1e-6)
    only, certain = label_pixels(maps, (5, 7), np.array([0, 0, 1], np.float32), 1.0)
    assert (only == 2).all() and (certain == 1).all()


def test_equal_scores_go_to_the_first_class():
    labels, probability = label_pixels(np.zeros((4, 3, 3), np.float32), (6, 6), None, 1.0)
    assert (labels == 0).all() and np.allclose(probability, 0.25, atol=1e-6)


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="no class is present"):
        label_pixels(np.zeros((2, 1, 1), np.float32), (1, 1), np.zeros(2, np.float32), 1.0)


@pytest.mark.parametrize("grid, size", [((18, 24), (480, 640)), ((3, 5), (7, 4)), ((1, 1), (9, 9))])
def test_the_mean_of_the_large_map(grid, size):
    maps = torch.randn(2, 5, *grid, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(upsampled_mean(maps, size), image_mean(upsample(maps, size)))
