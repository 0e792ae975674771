"""Colour and labels on the depth camera's pixels."""

import dataclasses

import numpy as np
import pytest
from reference.scannet import labels_on_depth as labels_on_depth_twin
from support.scannet_room import (
    CAMERA,
)

from wsss_ros.scenes.rig import color_on_depth, labels_on_depth
from wsss_ros.types import Camera


@pytest.mark.parametrize("size", [(20, 15), (40, 33), (81, 60)])
def test_labels_follow_the_rays_of_the_slow_twin(size):
    color, depth = Camera(42.0, 40.0, 20.3, 14.1, 40, 30), Camera(19.0, 21.0, 9.9, 8.2, 20, 16)
    seen = np.random.default_rng(1).integers(0, 20, size[::-1], dtype=np.uint8)
    result = labels_on_depth(seen, color, depth)
    np.testing.assert_array_equal(result, labels_on_depth_twin(seen, color, depth))
    assert (result == 255).any() and (result != 255).any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.1])
def test_colour_is_averaged_not_shifted(scale):
    """A ramp stays the same ramp along the rays whatever the sizes; fine stripes become their mean."""
    depth = Camera(50.0, 50.0, 31.5, 23.5, 64, 48)
    color = Camera(80.0, 80.0, 49.5, 39.5, 100, 80).resized(round(100 * scale), round(80 * scale))
    ramp = np.broadcast_to(np.linspace(0, 255, color.width)[None, :, None], (color.height, color.width, 3))
    rgb, seen = color_on_depth(ramp.astype(np.uint8), color, depth)
    u = (np.arange(64) - depth.cx) * color.fx / depth.fx + color.cx
    inside = seen.all(0) & (u > 4) & (u < color.width - 5)
    assert inside.sum() > 40
    np.testing.assert_allclose(rgb[20, inside, 0], u[inside] * 255 / (color.width - 1) - 0.5, atol=2)
    if scale > 3:
        stripes = np.broadcast_to((np.arange(color.width) % 2 * 200)[None, :, None], ramp.shape).astype(np.uint8)
        assert np.abs(color_on_depth(stripes, color, depth)[0][:, 5:-5].astype(int) - 100).max() < 25


def test_registered_images_are_not_changed():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    result, seen = color_on_depth(rgb, dataclasses.replace(CAMERA, cx=15.8), CAMERA)
    assert result is rgb and seen.all()
