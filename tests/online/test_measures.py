"""Measures of one network on scenes that only have tags, against slow twins and by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multilabel_ranking_average_precision

from wsss_ros.labels import scannet20
from wsss_ros.online.measures import UNSEEN, beyond_chance, consistency, label_iou, tag_precision

# --- precision of tags ---


def test_precision_by_hand():
    tags = np.array([1, 0, 1, 0], np.float32)
    assert tag_precision(np.array([4.0, 1.0, 3.0, 2.0]), tags) == 1
    # the classes rank 2nd and 4th: (1/2 + 2/4) / 2
    assert tag_precision(np.array([3.0, 4.0, 1.0, 2.0]), tags) == pytest.approx(0.5)
    # equal scores count against: of 4 that score as much 2 are tagged
    assert tag_precision(np.zeros(4), tags) == pytest.approx(0.5)
    assert math.isnan(tag_precision(np.array([1.0, math.nan, 0.0, 0.0]), tags))
    assert math.isnan(tag_precision(np.array([math.inf, 0.0, 0.0, 0.0]), tags))


def test_precision_against_torchmetrics():
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores, tags = rng.normal(size=6).astype(np.float32), np.zeros(6, np.float32)
        tags[rng.choice(6, rng.integers(1, 6), replace=False)] = 1
        # Theirs counts ties and full rows its own way; scores here differ and a row is never full.
        expected = multilabel_ranking_average_precision(torch.tensor(scores)[None], torch.tensor(tags)[None].int(), 6)
        assert tag_precision(scores, tags) == pytest.approx(float(expected), abs=1e-6)


def test_unknown_classes_take_no_part():
    scores, tags = np.array([3.0, 4.0, 1.0, 2.0]), np.array([1, 0, 1, 0], np.float32)
    assert tag_precision(scores, tags, np.array([1.0, 0, 1, 1])) == pytest.approx((1 + 2 / 3) / 2)
    assert tag_precision(scores, tags, np.ones(4)) == tag_precision(scores, tags)
    with pytest.raises(ValueError, match="no class is tagged"):
        tag_precision(scores, tags, np.array([0.0, 1, 0, 1]))


# --- consistency ---

VIEWS = (
    st.integers(2, 5)
    .flatmap(
        lambda views: st.lists(
            st.lists(st.integers(UNSEEN, 3), min_size=views, max_size=views), min_size=10, max_size=60
        )
    )
    .map(lambda rows: np.array(rows).T)
)


def slow_consistency(labels: np.ndarray) -> list[float]:
    """Every pair of two views on every point, one after the other."""
    pairs = [
        (f, int(labels[f, n]), int(labels[g, n]))
        for f, g in itertools.permutations(range(len(labels)), 2)
        for n in range(labels.shape[1])
        if UNSEEN not in (labels[f, n], labels[g, n])
    ]
    shares = [sum(a == c for _, a, _ in pairs) / max(len(pairs), 1) for c in range(4)]
    chance = sum(share**2 for share in shares)
    values = []
    for view in range(len(labels)):
        own = [a == b for f, a, b in pairs if f == view]
        if len(own) >= 30:
            values.append(0.0 if chance > 1 - 1e-9 else (sum(own) / len(own) - chance) / (1 - chance))
    return values


@given(VIEWS)
def test_consistency_against_its_twin(labels):
    assert consistency(labels) == pytest.approx(slow_consistency(labels), abs=1e-12)


@given(st.integers(0, 3), st.integers(2, 4))
def test_a_network_that_says_one_class_everywhere_is_not_consistent(label, views):
    assert consistency(np.full((views, 50), label)) == [0.0] * views


def test_equal_labels_of_two_classes_are_consistent_and_random_ones_are_not():
    rng = np.random.default_rng(0)
    once = rng.integers(0, 3, 20_000)
    assert consistency(np.stack([once, once])) == [1.0, 1.0]
    other = rng.integers(0, 3, 20_000)
    assert consistency(np.stack([once, other])) == pytest.approx([0, 0], abs=0.03)
    mostly = np.where(rng.random(20_000) < 0.95, 0, once)  # 97 % equal, nearly all of it by chance
    again = np.where(rng.random(20_000) < 0.95, 0, other)
    assert np.mean(mostly == again) > 0.9 and max(consistency(np.stack([mostly, again]))) < 0.05


def test_views_that_share_no_points_have_no_value():
    apart = np.full((2, 100), UNSEEN)
    apart[0, :50] = apart[1, 50:] = 1
    assert consistency(apart) == [] and consistency(np.zeros((0, 9), int)) == []


def test_beyond_chance_by_hand():
    assert beyond_chance(0.75, 0.5) == 0.5 and beyond_chance(0.5, 0.5) == 0 and beyond_chance(1.0, 1.0) == 0


@pytest.mark.parametrize("seed", range(4))
def test_label_iou_is_that_of_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    space = scannet20()
    labels, truth = rng.integers(5, size=60, dtype=np.uint8), rng.choice(np.array([0, 1, 3, 255], np.uint8), 60)
    ious = []
    for name in range(5):
        mine, true = (labels == name) & (truth < 255), truth == name
        if true.any():
            ious.append((mine & true).sum() / (mine | true).sum())
    assert label_iou(labels, truth, space) == pytest.approx(np.mean(ious))
    assert label_iou(labels, np.full(60, 255, np.uint8), space) is None
    assert label_iou(truth[truth < 255], truth[truth < 255], space) == 1
