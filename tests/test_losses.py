import math

import pytest
import torch

from wsss_ros import cam, losses


def test_classification_loss_of_hand_computed_logits():
    # logit 0 costs ln 2 either way; logit 2 on a present class costs ln(1 + e^-2)
    loss = losses.classification_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)


def test_classification_loss_gradient():
    scores = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tags = (torch.rand(3, 5, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    assert torch.autograd.gradcheck(lambda s: losses.classification_loss(s, tags), scores)
    (gradient,) = torch.autograd.grad(losses.classification_loss(scores, tags), scores)
    torch.testing.assert_close(gradient, (torch.sigmoid(scores.detach()) - tags) / scores.numel())


def test_absent_classes_never_win():
    scores = torch.tensor([[9.0, -5.0, -7.0], [9.0, -8.0, -6.0]])
    assert cam.seed_labels(scores, torch.tensor([0.0, 1.0, 1.0])).tolist() == [1, 2]


def test_seed_labels_without_any_tag_is_an_error():
    with pytest.raises(ValueError, match="no class is tagged"):
        cam.seed_labels(torch.zeros(2, 3), torch.zeros(3))


def test_confidence_is_the_sigmoid_of_the_largest_logit():
    assert cam.confidence(torch.tensor([[0.0, -3.0], [-1.0, math.log(3)]])).tolist() == pytest.approx([0.5, 0.75])
