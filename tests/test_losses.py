"""The losses against hand-computed values and their slow twins, values and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from reference.losses import classification_loss, image_to_point_loss, point_to_image_loss

from wsss_ros import losses
from wsss_ros.labels import UNLABELLED


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_classification_loss_of_hand_computed_logits():
    # logit 0 costs ln 2 either way; logit 2 on a present class costs ln(1 + e^-2)
    loss = losses.classification_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)


def test_classification_loss_gradient():
    scores = torch.randn(3, 5, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    tags = (torch.rand(3, 5, generator=seeded(1)) > 0.5).double()
    assert torch.autograd.gradcheck(lambda s: losses.classification_loss(s, tags), scores)
    (gradient,) = torch.autograd.grad(losses.classification_loss(scores, tags), scores)
    torch.testing.assert_close(gradient, (torch.sigmoid(scores.detach()) - tags) / scores.numel())


def test_labelled_cross_entropy_is_the_weighted_mean_over_labelled_pixels():
    scores = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=seeded(0))
    labels = torch.tensor([0, 1, 2, UNLABELLED])[torch.randint(0, 4, (2, 4, 5), generator=seeded(1))]
    for weight in (None, torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)):
        expected = F.cross_entropy(scores, labels, weight, ignore_index=UNLABELLED)
        torch.testing.assert_close(losses.labelled_cross_entropy(scores, labels, weight), expected)
        nothing = torch.full_like(labels, UNLABELLED)
        assert losses.labelled_cross_entropy(scores, nothing, weight) == 0


def test_unknown_classes_are_left_out_of_the_classification_loss():
    scores = torch.tensor([[0.0, 2.0, 50.0], [50.0, -50.0, 50.0]], requires_grad=True)
    tags = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    known = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    loss = losses.classification_loss(scores, tags, known)
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 6)
    (gradient,) = torch.autograd.grad(loss, scores)
    of_all = torch.autograd.grad(losses.classification_loss(scores, tags), scores)[0]
    assert torch.equal(gradient, of_all * known), "a judgement has the same weight, whatever else is unknown"
    assert losses.classification_loss(scores, tags, torch.zeros_like(tags)) == 0
    all_known = losses.classification_loss(scores, tags, torch.ones_like(tags))
    assert torch.equal(all_known, losses.classification_loss(scores, tags))


@pytest.mark.parametrize("seed", range(3))
def test_classification_loss_is_the_slow_one(seed):
    scores = torch.randn(4, 6, dtype=torch.float64, generator=seeded(seed), requires_grad=True)
    tags, known = ((torch.rand(4, 6, generator=seeded(seed + k)) > 0.5).double() for k in (10, 20))
    fast, slow = losses.classification_loss(scores, tags, known), classification_loss(scores, tags, known)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(*(torch.autograd.grad(loss, scores)[0] for loss in (fast, slow)))


def test_image_to_point_loss_of_hand_computed_logits():
    # two points of two classes; all logits 0 cost ln 2 a class; the second point weighs half
    scores, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    weight = torch.tensor([1.0, 0.5])
    assert losses.image_to_point_loss(scores, labels, weight).item() == pytest.approx(0.75 * math.log(2))
    assert losses.image_to_point_loss(scores, labels, weight, "sum").item() == pytest.approx(1.5 * math.log(2))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@given(count=st.integers(1, 12), classes=st.integers(1, 6), seed=st.integers(0, 99))
def test_image_to_point_loss_is_its_twin(reduction, count, classes, seed):
    rng = seeded(seed)
    scores = (3 * torch.randn(count, classes, dtype=torch.float64, generator=rng)).requires_grad_()
    labels = torch.randint(classes, (count,), generator=rng)
    weight = torch.rand(count, dtype=torch.float64, generator=rng)
    fast = losses.image_to_point_loss(scores, labels, weight, reduction)
    slow = image_to_point_loss(scores, labels, weight, reduction)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(torch.autograd.grad(fast, scores), torch.autograd.grad(slow, scores))


def test_the_weight_of_a_pseudo_label_gets_no_gradient():
    weight = torch.ones(3, requires_grad=True)
    loss = losses.image_to_point_loss(torch.zeros(3, 2, requires_grad=True), torch.tensor([0, 1, 1]), weight)
    assert torch.autograd.grad(loss, weight, allow_unused=True) == (None,)


def test_point_to_image_loss_of_hand_computed_features():
    # image features alike (correlation 1), point features at right angles (0): two of four pairs differ by 1
    image, point = torch.tensor([[2.0, 0.0], [0.5, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    assert losses.point_to_image_loss(image, point, torch.ones(2)).item() == pytest.approx(0.5)
    # weights 1 and 1/2 make each differing pair count 1/2
    assert losses.point_to_image_loss(image, point, torch.tensor([1.0, 0.5])).item() == pytest.approx(0.25)


@given(count=st.integers(1, 40), tile=st.integers(1, 17), seed=st.integers(0, 99), centred=st.booleans())
def test_point_to_image_loss_is_its_twin_for_any_tiling(count, tile, seed, centred):
    rng = seeded(seed)
    image = torch.randn(count, 5, dtype=torch.float64, generator=rng, requires_grad=True)
    point = torch.randn(count, 3, dtype=torch.float64, generator=rng)
    weight = torch.rand(count, dtype=torch.float64, generator=rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "_TILE", tile)
        fast = losses.point_to_image_loss(image, point, weight, centred)
    slow = point_to_image_loss(image, point, weight, centred)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(torch.autograd.grad(3 * fast, image), torch.autograd.grad(3 * slow, image))


def test_centred_features_may_have_any_constant_in_common():
    generator = torch.Generator().manual_seed(0)
    image, point, weight = (torch.rand(*shape, generator=generator) for shape in ((50, 4), (50, 4), (50,)))
    plain = losses.point_to_image_loss(image, point, weight, centred=True)
    moved = losses.point_to_image_loss(image + 3, point + torch.arange(4.0), weight, centred=True)
    assert moved.item() == pytest.approx(plain.item(), rel=1e-4)


def test_point_to_image_loss_in_float32_over_several_tiles():
    rng = seeded(3)
    image = torch.randn(2500, 64, generator=rng, requires_grad=True)
    point, weight = torch.randn(2500, 32, generator=rng), torch.rand(2500, generator=rng)
    fast = losses.point_to_image_loss(image, point, weight)
    exact = image.detach().double().requires_grad_()
    slow = point_to_image_loss(exact, point.double(), weight.double())
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    (gradient,), (expected,) = torch.autograd.grad(fast, image), torch.autograd.grad(slow, exact)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_point_to_image_loss_moves_the_image_features_alone():
    image, point, weight = (torch.rand(4, 3, requires_grad=True) for _ in range(3))
    loss = losses.point_to_image_loss(image, point, weight[:, 0])
    got = torch.autograd.grad(loss, (image, point, weight), allow_unused=True)
    assert got[0].abs().sum() > 0 and got[1:] == (None, None)


@pytest.mark.parametrize("centred", [False, True])
def test_half_precision_features_are_compared_in_float32(centred):
    image, point = torch.randn(300, 16, generator=seeded(1)), torch.randn(300, 16, generator=seeded(2))
    rounded = [features.bfloat16() for features in (image, point)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.point_to_image_loss(*rounded, torch.ones(300), centred)
    exact = [features.double() for features in rounded]
    if centred:
        exact = [features - features.mean(dim=0) for features in exact]
    expected = point_to_image_loss(*exact, torch.ones(300).double())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_no_links_cost_nothing_and_keep_the_graph():
    scores = torch.zeros(0, 4, requires_grad=True)
    nothing = torch.zeros(0)
    for loss in (
        losses.image_to_point_loss(scores, nothing.long(), nothing),
        losses.point_to_image_loss(scores, torch.zeros(0, 2), nothing),
    ):
        assert loss.item() == 0 and loss.requires_grad


def test_memory_grows_with_points_not_with_pairs():
    """At 6,000 points one dense N x N matrix is 144 MB; what the backward pass keeps is one N x D gradient."""
    image, kept = torch.randn(6000, 8, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        losses.point_to_image_loss(image, torch.randn(6000, 8), torch.ones(6000))
    assert sum(kept) < 100 * image.numel()
