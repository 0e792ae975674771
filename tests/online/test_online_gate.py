"""The gate and the scores it compares."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.striped_scenes import StripedScene
from torchmetrics.functional.classification import multilabel_ranking_average_precision

from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.online.gate import MEASURES, best_so_far, judge
from wsss_ros.online.records import SETS, Decision
from wsss_ros.online.scores import Judge, agreed, tag_precision
from wsss_ros.types import BadInput, Cloud

VALUE = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1))
SCORES = st.dictionaries(st.sampled_from(SETS), st.fixed_dictionaries(dict.fromkeys(MEASURES, VALUE)))
TOLERANCE = st.floats(0, 1)
ALL = dict.fromkeys(MEASURES, 0.5)


def every(value: float | None) -> dict:
    return {name: dict.fromkeys(MEASURES, value) for name in SETS}


# --- the gate ---


def test_a_fall_within_the_tolerance_passes_and_the_numbers_are_reported():
    before, after = ({"new": {"image_tags": value, "cloud_tags": 0.5}} for value in (0.8, 0.78))
    promoted, why = judge(before, after, 0.02)
    assert promoted
    assert "tags from images on new 0.800 to 0.780" in why and "nothing held out of memory scenes" in why


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SETS)
def test_any_fall_beyond_it_rejects_and_is_named(name, measure):
    after = every(0.9)
    after[name][measure] = 0.77
    promoted, why = judge(every(0.8), after, 0.02)
    assert not promoted
    assert why == f"worse than before by more than 0.02: {MEASURES[measure]} on {name} 0.800 to 0.770"


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_score_that_is_lost_rejects(value):
    after = every(0.9)
    after["memory"]["agreement"] = value
    assert not judge(every(0.1), after, 1.0)[0]


@pytest.mark.parametrize("scores", [{}, {"new": {"image_tags": None, "clouds": 0}}])
def test_without_anything_measured_nothing_is_promoted(scores):
    promoted, why = judge(scores, scores, 1.0)
    assert not promoted and why.startswith("nothing held out could be scored")


def decided(number: int, value: float, to: float, promoted: bool, scenes: list[str]) -> Decision:
    more = {"held_out": {"new": [], "memory": [], "base": scenes}}
    return Decision(number, promoted, "", {"base": {**ALL, "image_tags": value}}, {"base": {**ALL, "image_tags": to}},
                    "0001", more)  # fmt: skip


def test_small_falls_do_not_add_up():
    """On the same scenes; of those no longer held out, and of what was refused, nothing is known."""
    past = [decided(1, 0.8, 0.9, True, ["a", "b"]), decided(2, 0.9, 0.99, False, ["a", "b"])]
    past += [decided(3, 0.95, 0.97, True, ["a"])]
    best = best_so_far({"new": [], "base": ["a", "b"]}, past)
    assert best == {"base": {**ALL, "image_tags": 0.9}}
    before, after = ({"base": {**ALL, "image_tags": value}} for value in (0.86, 0.84))
    assert judge(before, after, 0.03)[0] and judge(before, after, 0.03, best)[0]
    after["base"]["image_tags"] = 0.835
    promoted, why = judge(before, after, 0.03, best)
    assert judge(before, after, 0.03)[0] and not promoted
    assert why == "worse than the best so far by more than 0.06: tags from images on base 0.900 to 0.835"


@pytest.mark.parametrize("measure", ["image_tags", "cloud_tags"])
def test_a_network_that_nothing_was_scored_of_is_not_promoted(measure):
    scores = {"new": {"image_tags": 0.8, "cloud_tags": 0.9, "agreement": 0.5} | {measure: None}}
    promoted, why = judge(scores, scores, 1.0)
    assert not promoted and why.startswith(f"no {MEASURES[measure]} could be scored")


@given(SCORES, SCORES, TOLERANCE)
def test_never_past_a_fall_or_nan(before, after, tolerance):
    promoted, why = judge(before, after, tolerance)
    pairs = [(before.get(n, {}).get(m), after.get(n, {}).get(m)) for n in SETS for m in MEASURES]
    bad = [
        (old is None) != (new is None) or old is not None and not old - new <= tolerance + 1e-9 for old, new in pairs
    ]
    seen = [any(before.get(n, {}).get(m) is not None for n in SETS) for m in ("image_tags", "cloud_tags")]
    assert promoted == (not any(bad) and all(seen))
    assert why


@given(st.data(), SCORES, SCORES, TOLERANCE, st.floats(0, 1), st.floats(0, 1))
def test_a_better_candidate_or_more_tolerance_never_does_worse(data, before, after, tolerance, gain, more):
    promoted, _ = judge(before, after, tolerance)
    better = {
        name: {m: None if v is None else v + gain * data.draw(st.booleans()) for m, v in scores.items()}
        for name, scores in after.items()
    }
    assert not promoted or judge(before, better, tolerance + more)[0]


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
        wanted = multilabel_ranking_average_precision(torch.tensor(scores)[None], torch.tensor(tags)[None].int(), 6)
        assert tag_precision(scores, tags) == pytest.approx(float(wanted), abs=1e-6)


# --- agreement ---


def test_agreement_is_among_the_tagged_classes():
    tags = np.array([1, 1, 0], np.float32)
    image = torch.tensor([[2.0, 1, 9], [1, 2, 9], [2, 1, 0]])
    point = torch.tensor([[3.0, 0, 0], [3, 0, 0], [1, 0, 5]])
    assert agreed(image, point, tags) == 2
    assert math.isnan(agreed(image, point * math.nan, tags))


class ByColour:
    """Stands for both networks: a class scores as much as the colour is like its own."""

    needs_color, points = True, 400

    def __init__(self, labels, swapped: bool = False):
        self.rows = np.full((len(labels), 3), -1e3)
        for name, color in StripedScene.COLORS.items():
            self.rows[labels.index(name)] = color
        if swapped:
            a, b = labels.index("wall"), labels.index("floor")
            self.rows[[a, b]] = self.rows[[b, a]]

    def _scores(self, rgb: np.ndarray) -> torch.Tensor:
        off = np.abs(rgb[:, None].astype(np.float64) - self.rows).sum(axis=2)
        return torch.from_numpy(-off / 255).float()


class Pixels(ByColour, ImageSegmenter):
    def scores(self, rgb):
        return self._scores(rgb.reshape(-1, 3)).T.reshape(1, -1, *rgb.shape[:2])


class Points(ByColour, CloudSegmenter):
    def scores(self, xyz, rgb):
        return self._scores(rgb)


def judged(labels, scenes, **changes) -> dict:
    zeros = torch.zeros(len(labels))
    parts = {"images": Pixels(labels), "clouds": Points(labels), "priors": (zeros, zeros), "frames": 8, **changes}
    return Judge(labels=labels, visibility_m=0.05, **parts).score(scenes)


@pytest.fixture
def scene(labels):
    """One of wall and floor."""
    return next(s for s in map(lambda n: StripedScene(n, labels), range(20)) if set(s.pair) == {"wall", "floor"})


def test_perfect_networks_score_perfectly(labels, scene):
    scores = judged(labels, [scene])
    assert scores["image_tags"] == scores["cloud_tags"] == 1
    assert scores["agreement"] > 0.9  # pixels at the border see the other half
    assert (scores["images"], scores["clouds"]) == (4, 1)
    assert 100 < scores["links"] <= 2 * 400  # frames with one tag are passed over


def test_networks_that_contradict_each_other_do_not_agree(labels, scene):
    scores = judged(labels, [scene], clouds=Points(labels, swapped=True))
    assert scores["agreement"] < 0.1 and scores["cloud_tags"] == 1


def test_the_prior_counts_and_frames_are_bounded(labels, scene):
    prior = torch.zeros(len(labels))
    prior[labels.index("bed")] = 1e6
    scores = judged(labels, [scene], priors=(prior, torch.zeros(len(labels))), frames=2)
    assert scores["image_tags"] < 0.7 and scores["cloud_tags"] == 1 and scores["images"] == 2


def test_weights_that_are_not_finite_score_nan(labels, scene):
    pixels = Pixels(labels)
    pixels.rows[0] = np.nan
    scores = judged(labels, [scene], images=pixels)
    assert math.isnan(scores["image_tags"]) and math.isnan(scores["agreement"]) and scores["cloud_tags"] == 1


def test_a_scene_that_cannot_be_read_is_left_out_and_no_scene_scores_nothing(labels, scene, caplog):
    class Broken(StripedScene):
        def frame(self, index):
            raise BadInput(f"frame {index} is cut short")

    broken = Broken(3, labels)
    assert judged(labels, [broken, scene]) == judged(labels, [scene])
    assert "frame 0 is cut short" in caplog.text
    nothing = {"image_tags": None, "cloud_tags": None, "agreement": None, "images": 0, "clouds": 0, "links": 0}
    assert judged(labels, []) == nothing


def test_a_cloud_without_colours_or_points_is_left_out(labels, scene, caplog):
    class Other(StripedScene):
        @property
        def cloud(self):
            whole = super().cloud
            return Cloud(whole.xyz) if self.rng_seed == 1 else Cloud(whole.xyz * np.nan, whole.rgb)

    assert judged(labels, [Other(1, labels), Other(2, labels)])["clouds"] == 0
    assert "has no colours" in caplog.text and "no finite point" in caplog.text
