"""Pictures of labels against one pixel at a time."""

import numpy as np
import pytest

from wsss_ros.bags.label_images import write_colors, write_overlay
from wsss_ros.labels import UNLABELLED


def shown(labels) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    of_pixels = rng.choice(np.array([*range(len(labels)), UNLABELLED], np.uint8), (9, 7))
    return rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), of_pixels


def test_colours_are_those_of_the_classes(labels):
    _, of_pixels = shown(labels)
    pixels = np.empty((9, 7, 3), np.uint8)
    write_colors(of_pixels, labels, pixels)
    for place, label in np.ndenumerate(of_pixels):
        assert pixels[place].tolist() == ([0, 0, 0] if label == UNLABELLED else list(labels.colors[label]))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_an_overlay_is_a_mixture_of_image_and_colour(alpha, labels):
    rgb, of_pixels = shown(labels)
    pixels = np.empty_like(rgb)
    write_overlay(rgb, of_pixels, labels, alpha, pixels)
    share = round(256 * alpha) / 256
    for place, label in np.ndenumerate(of_pixels):
        color = rgb[place] if label == UNLABELLED else np.array(labels.colors[label])
        np.testing.assert_array_equal(pixels[place], np.floor(rgb[place] * (1 - share) + color * share))
