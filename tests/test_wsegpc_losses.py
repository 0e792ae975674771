"""The losses of the second paper and the thresholds of their pseudo-labels: by hand, and against their slow twins."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import wsegpc as slow
from reference.losses import point_to_image_loss

from wsss_ros import cam, losses

EMPTY = torch.zeros(0, dtype=torch.int64)
few = settings(max_examples=25, deadline=None)  # the twins are loops in Python


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(seed: int, count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    features, target = torch.randn(2, count, width, dtype=torch.float64, generator=seeded(seed))
    return features.requires_grad_(), target.requires_grad_()


def regions(seed: int, count: int, most: int) -> torch.Tensor:
    """Numbers of regions, some of them without points, and points without a region."""
    return torch.randint(-1, most, (count,), generator=seeded(seed))


def test_the_classification_loss_is_the_soft_margin_loss_of_the_second_paper():
    scores = torch.randn(4, 6, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    tags = (torch.rand(4, 6, generator=seeded(1)) > 0.5).double()
    ours, theirs = losses.classification_loss(scores, tags), F.multilabel_soft_margin_loss(scores, tags)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, scores)[0] for loss in (ours, theirs)))


# Distillation between the networks (table 3).


def test_contrastive_loss_of_hand_computed_pairs():
    # each feature has cosine 1 with its own target and 0 with the other one
    features, target = torch.eye(2) * torch.tensor([[3.0], [0.5]]), 2 * torch.eye(2)
    expected = math.log(1 + math.exp(-1 / 0.5))
    assert losses.contrastive_loss(features, target, 0.5).item() == pytest.approx(expected)
    swapped = losses.contrastive_loss(features, target.flip(0), 0.5)
    assert swapped.item() == pytest.approx(math.log(1 + math.exp(1 / 0.5)))
    assert losses.contrastive_loss(features[:1], target[:1]).item() == 0, "one pair has nothing to be told from"


@few
@given(count=st.integers(1, 6), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_contrastive_loss_is_its_twin(count, width, seed):
    features, target = pairs(seed, count, width)
    fast, twin = losses.contrastive_loss(features, target), slow.contrastive_loss(features, target.detach(), 0.07)
    torch.testing.assert_close(fast, twin)
    torch.testing.assert_close(torch.autograd.grad(fast, features), torch.autograd.grad(twin, features))


@few
@given(count=st.integers(1, 6), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_mse_loss_is_its_twin(count, width, seed):
    features, target = pairs(seed, count, width)
    fast, twin = losses.mse_loss(features, target), slow.mse_loss(features, target.detach())
    torch.testing.assert_close(fast, twin)
    torch.testing.assert_close(torch.autograd.grad(fast, features), torch.autograd.grad(twin, features))


@pytest.mark.parametrize("seed", range(3))
def test_affinity_loss_is_its_twin_when_images_teach_points(seed):
    points, image = pairs(seed, 9, 4)
    weight = torch.rand(9, dtype=torch.float64, generator=seeded(seed))
    fast = losses.affinity_loss(points, image, weight)
    twin = point_to_image_loss(points, image.detach(), weight)
    torch.testing.assert_close(fast, twin)
    torch.testing.assert_close(torch.autograd.grad(fast, points), torch.autograd.grad(twin, points))


DISTILLATION = {
    "contrastive": lambda features, target: losses.contrastive_loss(features, target),
    "mse": lambda features, target: losses.mse_loss(features, target),
    "affinity": lambda features, target: losses.affinity_loss(features, target, torch.ones_like(features[:, 0])),
    "cam": lambda features, target: losses.pseudo_label_loss(features, target.argmax(dim=1), cam.confidence(target)),
}


@pytest.mark.parametrize("name", DISTILLATION)
def test_only_the_side_that_learns_gets_a_gradient(name):
    features, target = pairs(0, 7, 4)
    got = torch.autograd.grad(DISTILLATION[name](features, target), (features, target), allow_unused=True)
    assert got[0].abs().sum() > 0 and got[1] is None


@pytest.mark.parametrize("name", DISTILLATION)
def test_a_projection_learns_and_so_does_the_network_below_it(name):
    """Figure 2: features pass a linear layer to the dimension of the other network, and both get the gradient."""
    features, target = torch.randn(9, 3, requires_grad=True), torch.randn(9, 5)
    projection = torch.nn.Linear(3, 5)
    got = torch.autograd.grad(DISTILLATION[name](projection(features), target), (features, projection.weight))
    assert all(gradient.abs().sum() > 0 for gradient in got)


@pytest.mark.parametrize("name", DISTILLATION)
def test_no_pairs_cost_nothing_and_keep_the_graph(name):
    features = torch.zeros(0, 4, requires_grad=True)
    loss = DISTILLATION[name](features, torch.zeros(0, 4))
    assert loss.item() == 0
    assert torch.equal(torch.autograd.grad(loss, features)[0], features)


@pytest.mark.parametrize("name", ["contrastive", "mse", "affinity"])
def test_half_precision_features_are_compared_in_float32(name):
    features, target = (torch.randn(64, 96, generator=seeded(seed)).bfloat16() for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        loss = DISTILLATION[name](features, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(DISTILLATION[name](features.double(), target.double()).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["contrastive", "affinity"])
def test_features_of_zeros_have_a_finite_gradient(name):
    features = torch.zeros(5, 4, requires_grad=True)
    assert torch.autograd.grad(DISTILLATION[name](features, torch.randn(5, 4)), features)[0].isfinite().all()


# Means of regions (eqs. 2-3).


def test_region_mean_of_hand_computed_scores():
    scores = torch.tensor([[1.0, 0.0], [3.0, 4.0], [7.0, 7.0], [5.0, 1.0], [9.0, 9.0]])
    # regions 0 (one point), 1 (none) and 2 (two points); two points for themselves
    region = torch.tensor([2, 2, -1, 0, -1])
    assert cam.region_mean(scores, region).tolist() == [[5, 1], [0, 0], [2, 2], [7, 7], [9, 9]]
    assert cam.region_rows(region).tolist() == [2, 2, 3, 0, 4]


@few
@given(count=st.integers(1, 15), most=st.integers(0, 9), seed=st.integers(0, 99))
def test_region_mean_is_its_twin(count, most, seed):
    region = regions(seed, count, most)
    scores = torch.randn(count, 3, dtype=torch.float64, generator=seeded(seed), requires_grad=True)
    fast, twin = cam.region_mean(scores, region), slow.region_means(scores, region.tolist())
    rows = cam.region_rows(region).tolist()
    for n, number in enumerate(region.tolist()):
        torch.testing.assert_close(fast[rows[n]], twin[number if number >= 0 else -1 - n])
    without_points = sorted(set(range(len(fast))) - set(rows))
    assert not fast[without_points].any()
    of_loops = torch.autograd.grad(sum((mean**2).sum() for mean in twin.values()), scores)
    torch.testing.assert_close(torch.autograd.grad((fast**2).sum(), scores), of_loops)


def test_region_means_of_no_points_or_regions():
    assert cam.region_mean(torch.zeros(0, 4), EMPTY).shape == (0, 4)
    scores = torch.randn(6, 2, generator=seeded(0))
    assert torch.equal(cam.region_mean(scores, torch.full((6,), -1)), scores)


def test_a_large_region_has_an_exact_mean_in_half_precision_too():
    scores = torch.full((300_000, 1), 0.9999)
    region = torch.zeros(300_000, dtype=torch.int64)
    assert cam.region_mean(scores, region).item() == pytest.approx(0.9999, abs=1e-7)
    rounded = scores[:50_000].bfloat16()
    mean = cam.region_mean(rounded, region[:50_000])
    assert mean.dtype == torch.float32 and mean.item() == rounded[0].item()


@few
@given(count=st.integers(1, 12), seed=st.integers(0, 99))
def test_regional_probabilities_are_their_twin(count, seed):
    scores = 3 * torch.randn(count, 4, dtype=torch.float64, generator=seeded(seed))
    tags = torch.tensor([1.0, 0, 1, 0], dtype=torch.float64)
    region = regions(seed, count, 3)
    twin = slow.regional_probabilities(scores, [True, False, True, False], region.tolist())
    torch.testing.assert_close(cam.regional_probabilities(scores, tags, region), twin)
    known = torch.tensor([1.0, 0, 1, 1], dtype=torch.float64)
    twin = slow.regional_probabilities(scores, [True, True, True, False], region.tolist())
    torch.testing.assert_close(cam.regional_probabilities(scores, tags, region, known), twin)


def test_an_absent_class_has_no_probability_whatever_its_score():
    scores = torch.tensor([[50.0, 1.0, 1.0], [90.0, 1.0, 3.0]])
    tags = torch.tensor([0.0, 1.0, 1.0])
    probability = cam.regional_probabilities(scores, tags, torch.tensor([0, 0]))
    assert probability[:, 0].tolist() == [0, 0] and torch.equal(probability[0], probability[1])
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(2))


def test_a_scene_without_a_possible_class_teaches_nothing():
    student = torch.randn(3, 2, requires_grad=True)
    probability = cam.regional_probabilities(torch.randn(3, 2), torch.zeros(2), torch.tensor([0, 0, -1]))
    counts = cam.class_counts(probability)
    assert not probability.any() and counts.tolist() == [0, 0]
    loss = losses.region_consistency_loss(student, probability, cam.adaptive_threshold(counts))
    assert loss.item() == 0 and not torch.autograd.grad(loss, student)[0].any()


def test_half_precision_scores_become_float32_probabilities():
    scores, region = torch.randn(40, 5, generator=seeded(0)).bfloat16(), regions(0, 40, 4)
    with torch.autocast("cpu", torch.bfloat16):
        probability = cam.regional_probabilities(scores, torch.ones(5), region)
    assert probability.dtype == torch.float32
    exact = cam.regional_probabilities(scores.double(), torch.ones(5), region)
    torch.testing.assert_close(probability.double(), exact, rtol=1e-6, atol=1e-7)


# Thresholds and the consistency loss (eqs. 4-8).


def test_thresholds_of_hand_computed_counts():
    threshold = cam.adaptive_threshold(torch.tensor([100, 25, 0]))
    assert threshold.tolist() == pytest.approx([0.8, 0.2, 0])
    assert cam.adaptive_threshold(torch.tensor([4.0, 8.0]), base=0.5).tolist() == pytest.approx([0.25, 0.5])
    assert cam.adaptive_threshold(torch.zeros(3, dtype=torch.int64)).tolist() == [0, 0, 0]
    many = torch.tensor([2**40, 2**40 + 1])
    assert cam.adaptive_threshold(many).tolist() == pytest.approx([0.8, 0.8])


def test_region_consistency_loss_of_hand_computed_points():
    teacher = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    student, threshold = torch.zeros(4, 2), torch.tensor([0.8, 0.6])
    # only the first point is surer than the threshold of its class (0.6 is not more than 0.6); the mean is over all
    assert losses.region_consistency_loss(student, teacher, threshold).item() == pytest.approx(math.log(2) / 4)
    assert losses.region_consistency_loss(student, teacher, torch.zeros(2)).item() == pytest.approx(math.log(2))


@few
@given(count=st.integers(1, 15), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_region_consistency_loss_is_its_twin(count, classes, seed):
    student = torch.randn(count, classes, dtype=torch.float64, generator=seeded(seed), requires_grad=True)
    teacher = (2 * torch.randn(count, classes, dtype=torch.float64, generator=seeded(seed + 1))).softmax(dim=1)
    counts = cam.class_counts(teacher)
    assert counts.tolist() == slow.class_counts(teacher)
    threshold = cam.adaptive_threshold(counts, 0.5)
    assert threshold.tolist() == pytest.approx(slow.thresholds(counts.tolist(), 0.5))
    fast = losses.region_consistency_loss(student, teacher, threshold)
    twin = slow.region_consistency_loss(student, teacher, threshold.tolist())
    torch.testing.assert_close(fast, twin)
    of_twin = torch.autograd.grad(twin, student)[0] if twin.requires_grad else torch.zeros_like(student)
    torch.testing.assert_close(torch.autograd.grad(fast, student)[0], of_twin)


def test_the_counter_of_the_authors_code_is_their_steps():
    theirs, counter = slow.FreeMatch(4, 0.8), torch.zeros(4, dtype=torch.int64)
    for step in range(6):
        student = torch.randn(50, 4, dtype=torch.float64, generator=seeded(step))
        teacher = (2 * torch.randn(50, 4, dtype=torch.float64, generator=seeded(100 + step))).softmax(dim=1)
        threshold = cam.adaptive_threshold(counter, 0.8)
        loss = losses.region_consistency_loss(student, teacher, threshold)
        counter = counter + cam.class_counts(teacher, threshold)
        torch.testing.assert_close(loss, theirs.step(student, teacher))
        assert counter.tolist() == theirs.counter
    assert counter.sum() < 300, "some points were below their threshold"


def test_only_the_student_learns_from_regions():
    scores = [torch.randn(8, 3, requires_grad=True) for _ in range(2)]
    teacher = cam.regional_probabilities(scores[1], torch.ones(3), regions(0, 8, 3))
    threshold = cam.adaptive_threshold(cam.class_counts(teacher))
    loss = losses.region_consistency_loss(scores[0], teacher, threshold)
    got = torch.autograd.grad(loss, scores, allow_unused=True)
    assert got[0].abs().sum() > 0 and got[1] is None


def test_the_loss_of_regions_teaches_all_classes_of_the_student():
    """The teacher's classes are among the tags; the student's softmax is over all classes (absent ones go down)."""
    student = torch.zeros(1, 3, requires_grad=True)
    loss = losses.region_consistency_loss(student, torch.tensor([[0.0, 0.95, 0.05]]), torch.zeros(3))
    gradient = torch.autograd.grad(loss, student)[0][0]
    assert gradient[0] > 0 and gradient[2] > 0 and gradient[1] < 0


@pytest.mark.parametrize("shape", [(0, 4), (5, 1)])
def test_no_points_or_one_class_cost_nothing_and_keep_the_graph(shape):
    student = torch.randn(shape, requires_grad=True)
    region = torch.full(shape[:1], -1)
    teacher = cam.regional_probabilities(torch.randn(shape), torch.ones(shape[1]), region)
    threshold = cam.adaptive_threshold(cam.class_counts(teacher))
    loss = losses.region_consistency_loss(student, teacher, threshold)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, student)[0].any()


def test_the_consistency_loss_of_half_precision_is_computed_in_float32():
    student, teacher = torch.randn(500, 20, generator=seeded(0)).bfloat16(), torch.rand(500, 20, generator=seeded(1))
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.region_consistency_loss(student, teacher, torch.full((20,), 0.9))
    exact = losses.region_consistency_loss(student.double(), teacher, torch.full((20,), 0.9))
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=1e-5)
