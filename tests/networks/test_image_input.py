"""The input of an image network in one pass, against torch in float64: normalised at full size, then interpolated."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.networks.classifier import normalise_images
from wsss_ros.networks.image_input import network_input


def by_torch(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    images = normalise_images(torch.from_numpy(rgb).permute(2, 0, 1)[None].double() / 255)
    smaller = size[0] < rgb.shape[0] or size[1] < rgb.shape[1]
    resized = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=smaller)
    return resized[0].permute(1, 2, 0).numpy()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "before, after", [((480, 640), (168, 224)), ((108, 192), (13, 22)), ((48, 64), (168, 224)), ((30, 41), (30, 41))]
)
def test_sizes_of_cameras(before, after):
    rgb = noise(*before)
    np.testing.assert_allclose(network_input(rgb, after), by_torch(rgb, after), atol=3e-6)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(2, 40),
    scale=st.floats(0.1, 3.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(height, width, scale, seed):
    rgb = noise(height, width, seed)
    size = max(1, round(height * scale)), max(2, round(width * scale))
    if (size[0] < height) != (size[1] < width):  # rounded: one side smaller, the other one not
        size = (height, width)
    np.testing.assert_allclose(network_input(rgb, size), by_torch(rgb, size), atol=3e-6)


def test_a_plain_image_stays_plain_and_memory_of_a_message_is_read():
    plain = np.full((9, 13, 3), (124, 116, 104), np.uint8)
    plain.flags.writeable = False
    assert np.abs(network_input(plain, (4, 6))).max() < 0.01, "ImageNet's mean"
    np.testing.assert_array_equal(
        network_input(noise(20, 30)[:, ::2], (5, 6)), network_input(noise(20, 30)[:, ::2].copy(), (5, 6))
    )
