"""Calibration against slow loops and known temperatures; scores of scenes against the segmenters' labels."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.photo_folders import size_of, write_photos
from support.striped_scenes import StripedScene
from test_inference import tiny
from test_offline import LabelledScene

from wsss_ros.evaluation.calibration import (
    Calibration,
    KnownClasses,
    LabelledScores,
    Reliability,
    RiskCoverage,
    fit_temperature,
    scores_of,
)
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED, s3dis
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput, Frame


def drawn(count: int, classes: int, temperature: float, seed: int = 0) -> LabelledScores:
    """Truth drawn from the softmax of logits; the scores are these logits times the temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(count, classes))
    powers = np.exp(logits)
    levels = np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)
    truth = (rng.random((count, 1)) > levels[:, :-1]).sum(axis=1)
    return LabelledScores(logits * temperature, truth.astype(np.uint8))


# --- the slow twins --------------------------------------------------------------------------------


def slow_probabilities(scores: np.ndarray, temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) if value > -math.inf else 0.0 for value in scores.tolist()]
    return [power / sum(powers) for power in powers]


def slow_likelihood(known: LabelledScores, temperature: float) -> float:
    total = 0.0
    for scores, truth in zip(known.scores, known.truth, strict=True):
        p = slow_probabilities(scores, temperature)
        total -= math.log(p[truth] if scores[truth] > -math.inf else max(1 - max(p), 1e-12))
    return total / len(known.truth)


def slow_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    error = 0.0
    for low in range(bins):
        inside = [n for n, c in enumerate(confidence) if min(int(c * bins), bins - 1) == low]
        if inside:
            mean, share = sum(confidence[inside]) / len(inside), sum(right[inside]) / len(inside)
            error += len(inside) / len(right) * abs(mean - share)
    return error


def slow_gain(confidence: np.ndarray, right: np.ndarray, threshold: float) -> int:
    return sum((1 if r else -1) for c, r in zip(confidence, right, strict=True) if c >= threshold)


def test_confidence_and_likelihood_are_those_of_the_slow_twin():
    known = drawn(60, 5, 2.0)
    known.scores[::3, 1] = -np.inf
    known.scores[1::7, 1:] = -np.inf  # one class may win
    for temperature in (0.3, 1.0, 4.0):
        slow = [max(slow_probabilities(row, temperature)) for row in known.scores]
        np.testing.assert_allclose(known.confidence(temperature), slow, rtol=1e-12)
        assert known.negative_log_likelihood(temperature) == pytest.approx(slow_likelihood(known, temperature), 1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.integers(1, 20))
def test_the_calibration_error_is_that_of_the_slow_twin(labels, bins):
    confidence, right = (np.array(values) for values in zip(*labels, strict=True))
    assert Reliability.of(confidence, right, bins).error() == pytest.approx(slow_error(confidence, right, bins))


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_the_recommended_threshold_has_the_largest_gain(labels):
    """Over all thresholds, also with equal confidences."""
    eighths, right = (np.array(values) for values in zip(*labels, strict=True))
    confidence = eighths / 8
    curve = RiskCoverage.of(confidence, right)
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        kept = confidence >= threshold
        assert (coverage, risk) == (pytest.approx(kept.mean()), pytest.approx(1 - right[kept].mean()))
    gains = [slow_gain(confidence, right, threshold) for threshold in (*(np.arange(9) / 8), 2)]
    assert slow_gain(confidence, right, curve.recommended()) == max(gains) or max(gains) == 0


# --- the fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("classes", [2, 12])
def test_a_known_temperature_is_found_again(classes, temperature):
    known = drawn(20_000, classes, temperature)
    assert fit_temperature(known) == pytest.approx(temperature, rel=0.05)
    confidence, right = known.confidence(temperature), known.right()
    assert Reliability.of(confidence, right).error() < 0.015
    assert temperature == 1.0 or Reliability.of(known.confidence(1.0), right).error() > 0.05


def test_truth_that_may_not_win_makes_the_confidence_smaller():
    known = drawn(5_000, 6, 1.0)
    known.scores[np.arange(0, 5_000, 4), known.truth[::4]] = -np.inf
    temperature = fit_temperature(known)
    assert temperature > 1.3
    errors = [Reliability.of(known.confidence(t), known.right()).error() for t in (1.0, temperature)]
    assert errors[1] < 0.7 * errors[0]


def test_one_class_alone_leaves_the_temperature_at_1():
    scores = np.full((50, 3), -np.inf)
    scores[:, 1] = np.linspace(-5, 5, 50)
    assert fit_temperature(LabelledScores(scores, np.ones(50, np.uint8))) == 1.0


def test_nothing_is_dropped_where_no_part_is_worse_than_chance_or_all_of_it_is():
    confidence = np.linspace(0, 1, 100)
    for right in (np.ones(100, bool), np.zeros(100, bool)):
        assert RiskCoverage.of(confidence, right).recommended() == 0.0
    assert RiskCoverage.of(confidence, confidence > 0.4).recommended() == pytest.approx(0.404, abs=1e-3)


def test_the_report_is_json_and_agrees_with_counts_by_hand(labels):
    known = drawn(4_000, 20, 3.0)
    calibration = Calibration.of(known, labels)
    report = json.loads(json.dumps(calibration.compute()))
    assert report["after"]["ece"] < 2 < report["before"]["ece"] and report["before"]["temperature"] == 1.0
    assert report["after"]["nll"] < report["before"]["nll"] and sum(report["after"]["bins"]["count"]) == 4_000
    kept = known.confidence(report["temperature"]) >= report["min_confidence"]
    above = report["kept"]["min_confidence"]
    assert (above["coverage"], above["risk"]) == pytest.approx((100 * kept.mean(), 100 * (~known.right()[kept]).mean()))
    assert above["coverage"] < 100 and above["risk"] < report["kept"]["all"]["risk"]
    assert len(report["risk_coverage"]["risk"]) == len(report["risk_coverage"]["threshold"]) == 200


# --- scores of scenes ------------------------------------------------------------------------------


def test_scores_of_scenes_give_the_labels_of_the_segmenters(labels):
    """All labelled pixels and points of small scenes: the labels and confidences that the segmenters return."""
    scenes = [LabelledScene(seed, labels, range(12)) for seed in range(2)]
    images = ImageSegmenter(tiny(labels, "image", presence_floor=0.5, tag_log_odds=(0.0,) * 20), "cpu")
    clouds = CloudSegmenter(tiny(labels, "cloud", inputs=("color",)), "cpu", "float32", points=300)
    classes = KnownClasses.between(labels, labels)
    expected = {images: [], clouds: []}
    for scene in scenes:
        for index in range(len(scene)):
            expected[images].append((*images(scene.frame(index)), scene.frame_truth(index)))
        expected[clouds].append((*clouds(scene.cloud), scene.cloud_truth()))
    for segmenter, results in expected.items():
        found, left_out, unread = scores_of(segmenter, scenes, classes)
        flat = [[values.ravel() for values in part] for part in zip(*results, strict=True)]
        predicted, confidence, truth = map(np.concatenate, flat)
        scored = truth != UNLABELLED
        assert left_out == unread == [] and np.array_equal(found.truth, truth[scored])
        assert np.array_equal(found.labels(), predicted[scored])
        np.testing.assert_allclose(found.confidence(1.0), confidence[scored], rtol=1e-3)


def test_classes_that_the_truth_does_not_know_neither_win_nor_count(labels):
    scene = LabelledScene(0, labels, range(12))
    images = ImageSegmenter(tiny(labels, "image"), "cpu")
    classes = KnownClasses.between(labels, labels, ["wall", labels.names[3]])
    found, *_ = scores_of(images, [scene], classes, frames=1)
    assert np.isneginf(found.scores[:, [0, 3]]).all() and np.isfinite(found.scores[:, [1, 2, 19]]).all()
    assert not set(found.truth) & {0, 3, UNLABELLED} and set(found.truth) == set(range(12)) - {0, 3}
    of_s3dis = KnownClasses.between(s3dis(), labels)
    shared = {name for _, _, name in labels.shared(s3dis())}
    assert {labels.names[i] for i in np.flatnonzero(of_s3dis.known)} == shared
    with pytest.raises(BadInput, match="share no known class"):
        KnownClasses.between(labels, labels, labels.names)


def test_photographs_with_dense_labels_calibrate_the_image_network(labels, tmp_path):
    write_photos(tmp_path)
    (tmp_path / "label").mkdir()
    width, height = size_of(3)  # of photograph d, the only one in val
    Image.fromarray(np.full((height, width), labels.ids[3], np.uint16)).save(tmp_path / "label" / "d.png")
    photos, classes = PhotoFolder(tmp_path, labels, "val"), KnownClasses.between(labels, labels)
    images = ImageSegmenter(tiny(labels, "image"), "cpu", "float32")
    found, left_out, unread = scores_of(images, [photos], classes)
    assert left_out == unread == [] and (found.truth == 3).all() and len(found.truth) == min(2000, width * height)
    predicted, confidence = images(Frame(photos.rgb(0)))
    assert set(found.labels()) <= set(predicted.ravel())
    found_range, expected = ((c.min(), c.max()) for c in (found.confidence(1.0), confidence))
    assert expected[0] - 1e-5 <= found_range[0] <= found_range[1] <= expected[1] + 1e-5
    with pytest.raises(BadInput, match="photographs have no points"):
        scores_of(CloudSegmenter(tiny(labels, "cloud", inputs=("color",)), "cpu"), [photos], classes)


def test_a_broken_photograph_does_not_leave_out_the_others(labels, tmp_path):
    write_photos(tmp_path)
    width, height = size_of(3)
    (tmp_path / "label" / "kitchen").mkdir(parents=True)
    Image.fromarray(np.full((height, width), labels.ids[3], np.uint16)).save(tmp_path / "label" / "d.png")
    Image.fromarray(np.zeros((5, 5), np.uint16)).save(tmp_path / "label" / "kitchen" / "a.png")
    images = ImageSegmenter(tiny(labels, "image"), "cpu")
    found, left_out, unread = scores_of(images, [PhotoFolder(tmp_path, labels)], KnownClasses.between(labels, labels))
    assert len(found.truth) == min(2000, width * height)
    assert left_out == [] and [name for name, _ in unread] == ["kitchen/a"] and "another size" in unread[0][1]


def test_scenes_without_truth_are_left_out_with_their_reason(labels):
    images = ImageSegmenter(tiny(labels, "image"), "cpu")
    plain, truth = StripedScene(0, labels), LabelledScene(0, labels, range(12))
    plain.frame_truth = lambda index: None
    classes = KnownClasses.between(labels, labels)
    _, left_out, unread = scores_of(images, [plain, truth], classes)
    assert unread == [] and [name for name, _ in left_out] == [plain.name] and "has truth" in left_out[0][1]
    with pytest.raises(BadInput, match="provide labelled scenes"):
        scores_of(images, [plain], classes)
