"""Images that are worth a tag: by hand, against all choices of few images, the greedy guarantee, rare classes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.samples.selection import diverse, objective, presence, with_rare_class
from wsss_ros.types import BadInput


def test_a_class_is_present_from_two_percent_of_the_pixels_on():
    labels = np.full((10, 10), 255, np.uint8)
    labels[0, :2], labels[1, 0], labels[2:, :] = 3, 1, 0
    assert presence(labels, 5).tolist() == [True, False, False, True, False]
    assert presence(labels, 5, 0.01).tolist() == [True, True, False, True, False]
    assert presence(labels, 5, 0.0).tolist() == [True, True, False, True, False]


def test_the_order_by_hand():
    shown = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
    assert diverse(shown, 5).tolist() == [2, 3, 0, 1, 4]
    assert objective(shown) == pytest.approx(math.sqrt(4) + 1 + 1)


def test_images_without_classes_come_last():
    assert diverse(np.array([[0, 0], [0, 0], [1, 0]], bool), 3).tolist() == [2, 0, 1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 8), classes=st.integers(1, 6), share=st.floats(0.1, 0.9))
def test_near_the_best_of_all_choices(seed, images, classes, share):
    shown = np.random.default_rng(seed).random((images, classes)) < share
    order = diverse(shown, images)
    assert sorted(order) == list(range(images))
    for count in range(1, images + 1):
        best = max(objective(shown[list(chosen)]) for chosen in itertools.combinations(range(images), count))
        reached = objective(shown[order[:count]])
        assert reached >= (1 - 1 / math.e) * best - 1e-9
        assert diverse(shown, count).tolist() == order[:count].tolist()
        if count == 1 or (shown.sum(axis=1) <= 1).all():  # one class each: greedy is exact
            assert reached == pytest.approx(best)


def test_each_step_is_the_best_step():
    shown = np.random.default_rng(3).random((40, 7)) < 0.3
    order = diverse(shown, 40).tolist()
    for count in range(40):
        values = [objective(shown[[*order[:count], other]]) for other in order[count:]]
        assert values[0] == pytest.approx(max(values))


def test_images_with_a_rare_class():
    shown = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    assert with_rare_class(shown, 0.25).tolist() == [3]
    assert with_rare_class(shown, 0.5).tolist() == [1, 3]
    assert with_rare_class(shown, 1.0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [-1, 4])
def test_more_images_than_there_are(count):
    with pytest.raises(BadInput, match=f"{count} images to choose from 3"):
        diverse(np.ones((3, 2), bool), count)
