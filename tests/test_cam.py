"""Class activation maps as labels and as confidence: eqs. 5, 6 and 10."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.losses import class_balance

from wsss_ros import cam


def test_absent_classes_never_win():
    scores = torch.tensor([[9.0, -5.0, -7.0], [9.0, -8.0, -6.0]])
    assert cam.seed_labels(scores, torch.tensor([0.0, 1.0, 1.0])).tolist() == [1, 2]


def test_pixels_get_tags_of_their_image_or_else_what_their_scene_has_and_the_image_may_show():
    tags = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    known = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]])
    of_scene = torch.tensor([1.0, 1, 0, 0]).expand(3, 4)
    assert cam.pixel_tags(tags, known, of_scene).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]


def test_seed_labels_without_any_tag_is_an_error():
    with pytest.raises(ValueError, match="no class is tagged"):
        cam.seed_labels(torch.zeros(2, 3), torch.zeros(3))


def test_confidence_is_the_sigmoid_of_the_largest_logit():
    assert cam.confidence(torch.tensor([[0.0, -3.0], [-1.0, math.log(3)]])).tolist() == pytest.approx([0.5, 0.75])


def test_confidence_of_the_paper_is_the_largest_logit_but_never_negative():
    scores = torch.tensor([[2.0, -3.0], [-1.0, -4.0]])
    assert cam.confidence(scores, "logit").tolist() == [2.0, 0.0]
    assert cam.confidence(scores, "none").tolist() == [1.0, 1.0]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_balanced_classes_have_equal_weight_and_a_mean_of_one(labels):
    labels = torch.tensor(labels)
    weight = cam.class_balance(labels)
    torch.testing.assert_close(weight.double(), class_balance(labels), rtol=1e-6, atol=0)
    assert weight.mean().item() == pytest.approx(1, rel=1e-5)
    sums = [weight[labels == label].sum().item() for label in labels.unique()]
    assert max(sums) == pytest.approx(min(sums), rel=1e-5)


def test_no_labels_give_no_weights():
    assert cam.class_balance(torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_log_odds_of_tags_count_only_where_the_class_is_known():
    tags = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    known = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # two of three, one of two, none of none; and one of each added
    expected = [math.log(3 / 2), math.log(2 / 2), math.log(1 / 1)]
    assert cam.tag_log_odds(tags, known).tolist() == pytest.approx(expected)
    assert torch.equal(cam.tag_log_odds(tags, torch.ones_like(tags)), cam.tag_log_odds(tags))
    assert cam.tag_log_odds(tags)[2].item() == pytest.approx(math.log(1 / 4))


def refined_by_color_slowly(probability, rgb, steps, dilations):
    """The slow twin of ``cam.refined_by_color``: pixel by pixel, in float64."""
    probability, rgb = probability.astype(np.float64), rgb.astype(np.float64)
    height, width = rgb.shape[1:]
    for _ in range(steps):
        refined = np.zeros_like(probability)
        for v, u in np.ndindex(height, width):
            places = [
                (min(max(v + d * y, 0), height - 1), min(max(u + d * x, 0), width - 1))
                for d, y, x in itertools.product(dilations, (-1, 0, 1), (-1, 0, 1))
                if x or y
            ]
            colors = np.array([rgb[:, row, column] for row, column in places])
            closeness = (-abs(colors - rgb[:, v, u]) / (0.1 * colors.std(axis=0, ddof=1) + 1e-8)).mean(axis=1)
            weights = np.exp(closeness - closeness.max())
            around = np.array([probability[:, row, column] for row, column in places])
            refined[:, v, u] = (weights / weights.sum()) @ around
        probability = refined
    return probability


def test_refined_probabilities_are_those_of_the_slow_twin():
    rng = np.random.default_rng(0)
    probability, rgb = rng.dirichlet(np.ones(3), (7, 9)).transpose(2, 0, 1), rng.random((3, 7, 9))
    found = cam.refined_by_color(torch.from_numpy(probability), torch.from_numpy(rgb), 2, (1, 3))
    np.testing.assert_allclose(found.numpy(), refined_by_color_slowly(probability, rgb, 2, (1, 3)), rtol=1e-9)


def test_refined_probabilities_stop_at_an_edge_of_colour():
    """A seed on the left half spreads over it, and not over the edge."""
    rgb = torch.zeros(3, 16, 16)
    rgb[:, :, 8:] = 1
    rgb += 0.01 * torch.rand(rgb.shape, generator=torch.Generator().manual_seed(0))
    probability = torch.full((2, 16, 16), 0.5)
    probability[:, 4:12, 2:6] = torch.tensor([0.9, 0.1])[:, None, None]
    refined = cam.refined_by_color(probability, rgb)
    assert (refined[0, :, :7] > 0.52).all()
    assert (refined[0, :, 9:] < 0.52).all()
    torch.testing.assert_close(refined.sum(dim=0), torch.ones(16, 16))
