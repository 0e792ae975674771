"""Running scores by hand and against a confusion matrix of all frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros.evaluation import running_scores
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.running_scores import LatchedHistory, RunningScores, ScoreKey, count_invalid_labels
from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput

SECOND = 10**9
THREE = LabelSpace("three", ("wall", "floor", "chair"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (1, 2, 5))


def row(*labels: int) -> np.ndarray:
    return np.array([labels], np.uint8)


def test_what_can_be_computed_by_hand():
    scores = RunningScores(THREE)
    key, other = ScoreKey("new", "v1", "2d"), ScoreKey("new", "v2", "2d")
    scores.add(key, row(0, 0, 1, 255), row(0, 1, 1, 255), 10 * SECOND)
    scores.add(key, row(0, 9, 1, 1), row(0, 0, 1, 255), 12 * SECOND)
    scores.add(other, row(2, 2), row(2, 2), 13 * SECOND)
    first, second = scores.entries()
    assert {name: first[name] for name in ("set", "version", "domain", "frames")} == {**key._asdict(), "frames": 2}
    assert (first["first_ns"], first["last_ns"]) == (10 * SECOND, 12 * SECOND)
    # wall: 2 hits, 1 missed, 1 false alarm; floor: 2 hits, 1 missed; chair: nowhere
    assert first["iou"] == {"wall": 50.0, "floor": pytest.approx(200 / 3), "chair": None}
    assert first["miou"] == pytest.approx((50 + 200 / 3) / 2)
    assert (second["version"], second["miou"], second["frames"]) == ("v2", 100.0, 1)
    assert scores.entries(newest=1) == [second]
    history = scores.history("new", "2d")
    assert history.versions == ("v1", "v1", "v2") and history.at_s.tolist() == [0.5, 2.5, 3.5]
    np.testing.assert_allclose(history.iou, [[50, 50, np.nan], [50, 200 / 3, np.nan], [np.nan, np.nan, 100]])
    np.testing.assert_allclose(history.miou(), [50, (50 + 200 / 3) / 2, 100])
    assert scores.changes == {"2d": [(10 * SECOND, "v1"), (13 * SECOND, "v2")], "3d": []}


def test_shapes_must_agree_and_nothing_is_counted_where_they_do_not():
    scores = RunningScores(THREE)
    with pytest.raises(BadInput, match="must be equal"):
        scores.add(ScoreKey("", "v", "2d"), row(0, 1), row(0, 1, 2), SECOND)
    assert scores.entries() == []


FRAME = st.tuples(st.sampled_from("ab"), st.integers(0, 10**6), st.integers(0, 99))  # version, seconds, seed


@given(frames=st.lists(FRAME, min_size=1, max_size=60))
def test_at_any_time_the_bins_are_few_and_add_up(frames):
    scores, whole = RunningScores(THREE), {"a": ConfusionMatrix(THREE), "b": ConfusionMatrix(THREE)}
    for version, at_s, seed in frames:
        pred, truth = np.random.default_rng(seed).integers(0, 4, (2, 3, 5)).astype(np.uint8)
        scores.add(ScoreKey("", version, "3d"), pred, truth, at_s * SECOND)
        whole[version].update(pred, truth)
    for key, counts in scores.counts.items():
        assert min(counts.bins) >= 0 and max(counts.bins) < running_scores.MAX_BINS
        np.testing.assert_array_equal(sum(counts.bins.values()), whole[key.version].counts)
        np.testing.assert_array_equal(counts.matrix.counts, whole[key.version].counts)
    history = scores.history("", "3d")
    for version, iou in dict(zip(history.versions, history.iou, strict=True)).items():  # the last of each
        np.testing.assert_allclose(iou, 100 * whole[version].iou())


def test_memory_is_bounded_whatever_comes(monkeypatch):
    monkeypatch.setattr(running_scores, "MAX_KEYS", 10)
    monkeypatch.setattr(running_scores, "MAX_CHANGES", 7)
    scores = RunningScores(THREE)
    for number in range(300):
        scores.add(ScoreKey("s", f"v{number}", "2d"), row(0, 1), row(0, 0), number * 3600 * SECOND)
    assert len(scores.counts) == 11 and scores.counts[ScoreKey("other", "other", "2d")].frames == 290
    assert sum(len(counts.bins) for counts in scores.counts.values()) <= running_scores.MAX_BINS + 10
    assert [version for _, version in scores.changes["2d"]] == [f"v{number}" for number in range(293, 300)]
    latched = LatchedHistory("", max_values=5)
    for number in range(100):
        latched.add(number, str(number))
    assert [latched.at(at) for at in (94, 95, 99)] == ["", "95", "99"]


def test_the_value_that_was_latched_at_a_time():
    latched = LatchedHistory("nothing yet")
    assert latched.at(5) == "nothing yet"
    latched.add(20, "second")
    latched.add(10, "first")  # arrives later, was published before
    assert [latched.at(at) for at in (9, 10, 19, 20, 99)] == ["nothing yet", "first", "first", "second", "second"]


def test_invalid_labels_are_neither_class_nor_unlabelled():
    assert count_invalid_labels(row(0, 2, 3, 254, 255, 255), 3) == 2
