"""Densify: primitives, the matching of classes with them, and their losses, against slow twins in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import densify as slow

from wsss_ros.methods.densify import match, primitive_loss
from wsss_ros.methods.densify.matching import match_loss, naive_match, primitive_means


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_primitive_loss_is_the_formula(seed):
    features, primitives = random(seed, 9, 5).requires_grad_(), random(seed + 50, 4, 5)
    assignment = [0, 3, -1, 1, 2, 2, -1, 0, 3]
    found = primitive_loss(features, primitives, torch.tensor(assignment))
    expected = slow.primitive_loss(features, primitives, assignment)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, features), torch.autograd.grad(expected, features))


def test_points_without_a_primitive_teach_nothing():
    features, none = random(0, 3, 5).requires_grad_(), torch.full((3,), -1)
    loss = primitive_loss(features, random(1, 4, 5), none)
    assert loss == 0 and torch.autograd.grad(loss, features)[0].abs().sum() == 0
    scores = random(2, 3, 4).requires_grad_()
    assert match_loss(scores, none) == 0 and match_loss(scores[:0], none[:0]) == 0
    means, number = primitive_means(features, none)
    assert means.shape == (0, 5) and not len(number)
    assert not len(match(means, random(3, 4, 5), torch.ones(4))) and not len(naive_match(scores[:0], torch.ones(4)))


@pytest.mark.parametrize("seed", range(3))
def test_means_of_primitives_and_their_gradients_are_those_of_the_twin(seed):
    values = random(seed, 12, 3).requires_grad_()
    primitive = torch.randint(-1, 5, (12,), generator=torch.Generator().manual_seed(seed))
    means, number = primitive_means(values, primitive)
    expected = slow.primitive_means(values, primitive.tolist())
    assert number.tolist() == list(expected)
    torch.testing.assert_close(means, torch.stack(list(expected.values())))
    factor = random(9, *means.shape)
    grads = [torch.autograd.grad((m * factor).sum(), values)[0] for m in (means, torch.stack(list(expected.values())))]
    torch.testing.assert_close(*grads)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5), st.data())
def test_match_is_the_best_of_all_assignments(seed, primitives, classes, data):
    """Also with fewer primitives than tags. A class never wins a primitive in a scene without its tag."""
    tags = data.draw(st.lists(st.integers(0, 1), min_size=classes, max_size=classes))
    means, weight = random(seed, primitives, 3), random(seed + 1, classes, 3)
    found = match(means, weight, torch.tensor(tags, dtype=torch.float64)).tolist()
    won = [c for c in found if c >= 0]
    assert len(won) == len(set(won)) == min(primitives, sum(tags)) and all(tags[c] for c in won)
    assert found == slow.match(means, weight, tags)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5), st.data())
def test_naive_match_takes_the_best_class_of_each_primitive(seed, primitives, classes, data):
    tags = data.draw(st.lists(st.integers(0, 1), min_size=classes, max_size=classes))
    scores = random(seed, primitives, classes)
    found = naive_match(scores, torch.tensor(tags, dtype=torch.float64)).tolist()
    assert found == (slow.naive_match(scores, tags) if any(tags) else [-1] * primitives)
    assert all(tags[c] for c in found if c >= 0)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 6))
def test_a_bias_would_not_change_a_matching_of_all_tags(seed, primitives):
    means, weight, bias = random(seed, primitives, 3), random(seed + 1, 3, 3), 5 * random(seed + 2, 3, 1)
    with_bias = match(torch.cat([means, means.new_ones(primitives, 1)], 1), torch.cat([weight, bias], 1), torch.ones(3))
    assert torch.equal(with_bias, match(means, weight, torch.ones(3)))


@pytest.mark.parametrize("seed", range(3))
def test_match_loss_is_the_formula(seed):
    scores, matched = random(seed, 5, 4).requires_grad_(), [2, -1, 0, -1, 3]
    found, expected = match_loss(scores, torch.tensor(matched)), slow.match_loss(scores, matched)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, scores), torch.autograd.grad(expected, scores))


def test_the_score_of_a_mean_feature_is_the_mean_of_the_scores():
    """So L_match needs the scores of the points alone."""
    head, features = torch.nn.Linear(3, 4).double(), random(0, 8, 3)
    primitive = torch.tensor([0, 0, 1, 2, 2, 2, -1, 1])
    torch.testing.assert_close(
        head(primitive_means(features, primitive)[0]), primitive_means(head(features), primitive)[0]
    )
