"""The confusion matrix by hand and against an independent implementation."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.types import BadInput


def test_hand_counted(labels):
    matrix = ConfusionMatrix(labels)
    truth = np.array([0, 0, 0, 1, 255, 2], np.uint8)
    pred = np.array([0, 0, 1, 1, 0, 255], np.uint8)  # one miss to class 1, one unscored, one invalid
    result = matrix.update(pred, truth).compute()
    assert result["iou"]["wall"] == pytest.approx(100 * 2 / 3)
    assert result["iou"]["floor"] == pytest.approx(50)
    assert result["iou"]["cabinet"] == 0
    assert result["iou"]["bed"] is None
    assert result["miou"] == pytest.approx((200 / 3 + 50 + 0) / 3)
    assert result["accuracy"] == pytest.approx(60)
    assert result["count"] == 5
    assert result["coverage"] == pytest.approx(80)


def test_equals_torchmetrics_over_several_updates(labels):
    rng = np.random.default_rng(0)
    matrix, reference = ConfusionMatrix(labels), MulticlassJaccardIndex(20, average="none", ignore_index=255)
    for _ in range(3):
        truth = rng.choice([*range(20), 255], size=(40, 50)).astype(np.uint8)
        pred = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 20, truth.shape)).astype(np.uint8)
        pred[pred == 255] = 0
        matrix.update(pred, truth)
        reference.update(torch.from_numpy(pred.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    np.testing.assert_allclose(matrix.iou(), reference.compute().numpy(), rtol=1e-6)


def test_nothing_scored_has_no_mean(labels):
    nothing = np.full(4, 255, np.uint8)
    assert ConfusionMatrix(labels).update(nothing, nothing).compute()["miou"] is None


def test_shapes_must_agree(labels):
    with pytest.raises(BadInput, match="shape"):
        ConfusionMatrix(labels).update(np.zeros(3, np.uint8), np.zeros(4, np.uint8))
