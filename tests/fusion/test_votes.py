"""Votes: their weight, the class that wins, how sure it is."""

import numpy as np
import pytest

from wsss_ros.fusion import entropy, share_of_winner, vote_weight, winners


def test_near_and_recent_views_count_more():
    distance_m, dt_s = np.array([0.0, 5.0, 10.0, 20.0, 0.0, 5.0]), np.array([0.0, 0.0, 0.0, 0.0, -0.5, 0.5])
    assert vote_weight(distance_m, dt_s, 10.0, 1.0).tolist() == [1.0, 0.5, 0.0, 0.0, 0.5, 0.25]


def test_without_a_limit_all_views_count_alike():
    assert vote_weight(np.array([3.0]), np.array([1e9]), np.inf, np.inf).tolist() == [1.0]


def test_the_winner_its_share_and_the_disagreement():
    votes = np.array([[0, 0, 0, 0], [2, 0, 0, 0], [1, 3, 0, 0], [1, 1, 1, 1], [0, 2, 2, 0]], np.float32)
    assert winners(votes).tolist() == [255, 0, 1, 0, 1]
    assert share_of_winner(votes).tolist() == [0.0, 1.0, 0.75, 0.25, 0.5]
    assert entropy(votes) == pytest.approx([2.0, 0.0, 0.811278, 2.0, 1.0], abs=1e-6)


def test_the_disagreement_of_many_points_is_that_of_each():
    tables = np.random.default_rng(0).random((200_000, 3), np.float32).round()
    several = entropy(tables)
    for at in (0, 65_535, 65_536, 199_999):
        assert several[at] == entropy(tables[at : at + 1])[0]


def test_no_points_and_no_classes():
    assert winners(np.zeros((3, 0), np.float32)).tolist() == [255, 255, 255]
    assert len(winners(np.zeros((0, 5), np.float32))) == len(entropy(np.zeros((0, 5), np.float32))) == 0
    assert share_of_winner(np.zeros((2, 0), np.float32)).tolist() == [0, 0]
    assert entropy(np.zeros((2, 0), np.float32)).tolist() == [0, 0]
