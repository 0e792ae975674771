"""Class activation maps as labels and as confidence: eqs. 5, 6 and 10."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.losses import class_balance

from wsss_ros import cam


def test_absent_classes_never_win():
    scores = torch.tensor([[9.0, -5.0, -7.0], [9.0, -8.0, -6.0]])
    assert cam.seed_labels(scores, torch.tensor([0.0, 1.0, 1.0])).tolist() == [1, 2]


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
