"""The gate: when each network of a candidate is promoted, and the reason."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.online.gate import Limits, best_so_far, judge
from wsss_ros.online.records import SETS, Decision
from wsss_ros.online.scores import MEASURES, network_of
from wsss_ros.types import KINDS

LIMITS = Limits(tolerance=0.1, significance=0.02)
LAX = Limits(tolerance=1.0, significance=0.0, label_tolerance=1.0)
SCENES = ("a", "b", "c")
LABELS = ("image_labels", "cloud_labels")
REAL = tuple(measure for measure in MEASURES if measure not in LABELS)  # without simulated scenes


def scored(
    level: float = 0.7, seed: int = 0, count: int = 6, noise: float = 0.02, measures=REAL, **shifts: float
) -> dict:
    """Scores of a set of three scenes, each measure at ``level`` plus its shift and noise whose mean is 0."""
    rng = np.random.default_rng(seed)
    scores: dict = {"values": {}}
    for measure in measures:
        drawn = {name: rng.normal(0, noise, count) for name in SCENES}
        mean = level + shifts.get(measure, 0.0)
        values = {name: (mean + own - own.mean()).tolist() for name, own in drawn.items()}
        scores["values"][measure] = values
        scores[measure] = float(np.mean(list(values.values())))
    return scores


def every(**shifts: float) -> dict:
    return {name: scored(**shifts) for name in SETS}


def simulated(**shifts: float) -> dict:
    """Scores of the base, whose scenes have dense labels."""
    return scored(measures=MEASURES, **shifts)


def taken(verdicts: dict) -> set[str]:
    return {kind for kind, verdict in verdicts.items() if verdict.promoted}


def test_no_fall_beyond_noise_passes_and_the_numbers_are_reported():
    before, after = ({"new": scored(seed=seed)} for seed in (0, 1))
    verdicts = judge(before, after, LIMITS)
    assert taken(verdicts) == set(KINDS)
    numbers = " to ".join(f"{scores['new']['image_tags']:.3f}" for scores in (before, after))
    assert f"tags from images on new {numbers}" in verdicts["image"].why
    assert "clouds" not in verdicts["image"].why and "images" not in verdicts["cloud"].why
    assert verdicts["cloud"].why.endswith("nothing held out of memory scenes")


@pytest.mark.parametrize("measure", REAL)
@pytest.mark.parametrize("fall", [0.03, 0.15])
def test_a_fall_refuses_its_own_network_only_and_is_named(measure, fall):
    """A small one on many images is beyond noise."""
    verdicts = judge(every(), every() | {"memory": scored(seed=1, **{measure: -fall})}, LIMITS)
    assert taken(verdicts) == set(KINDS) - {network_of(measure)}
    why = verdicts[network_of(measure)].why
    assert why.startswith("worse than before: ") and f"{MEASURES[measure]} on memory 0.7" in why


def test_the_same_fall_within_noise_passes_and_a_large_one_does_not():
    def clouds(*values: float) -> dict:
        known = {"cloud_tags": dict(zip(SCENES, ([value] for value in values), strict=True))}
        return {"new": {"cloud_tags": float(np.mean(values)), "values": known}}

    before = clouds(0.9, 0.8, 0.7)
    assert taken(judge(before, clouds(0.85, 0.75, 0.65), LIMITS)) == {"cloud"}  # three clouds show nothing
    assert not taken(judge(before, clouds(0.9, 0.8, 0.3), LIMITS))
    assert taken(judge(before, clouds(0.9, 0.8, 0.3), Limits(0.2, 0.02))) == {"cloud"}


@pytest.mark.parametrize("name", [*SETS, "all held-out scenes"])
def test_every_set_counts_and_all_together(name):
    """Falls of two images in each set are within noise, and beyond it together."""
    sets = SETS if name not in SETS else (name,)
    before = {each: scored(count=2) for each in SETS}
    fall = 0.02 if name not in SETS else 0.2
    after = before | {each: scored(count=2, image_tags=-fall) for each in sets}
    limits = Limits(0.1, 2.0**-6) if name not in SETS else LIMITS
    verdicts = judge(before, after, limits)
    assert taken(verdicts) == {"cloud"} and f"tags from images on {name} " in verdicts["image"].why


@pytest.mark.parametrize("value", [math.nan, None])
@pytest.mark.parametrize("measure", REAL)
def test_a_score_that_is_lost_or_not_finite_refuses(value, measure):
    after = every()
    after["memory"]["values"][measure]["b"][0] = value
    assert taken(judge(every(), after, LAX)) == set(KINDS) - {network_of(measure)}
    after["memory"]["values"][measure] = {}
    assert taken(judge(every(), after, LAX)) == set(KINDS) - {network_of(measure)}
    assert taken(judge(after, every(), LAX)) == set(KINDS) - {network_of(measure)}


@pytest.mark.parametrize("scores", [{}, {"new": {"image_tags": None, "clouds": 0, "values": {}}}])
def test_without_anything_measured_nothing_is_promoted(scores):
    verdicts = judge(scores, scores, LAX)
    assert not taken(verdicts) and verdicts["image"].why.startswith("no tags from images could be scored")


@pytest.mark.parametrize("kind", KINDS)
def test_consistency_alone_promotes_nothing(kind):
    scores = scored()
    scores["values"][f"{kind}_tags"] = {}
    verdicts = judge({"new": scores}, {"new": scores}, LAX)
    assert taken(verdicts) == set(KINDS) - {kind}
    assert verdicts[kind].why.startswith(f"no {MEASURES[f'{kind}_tags']} could be scored; tag images")


@pytest.mark.parametrize("measure, kinds", [("image_consistency", set(KINDS)), ("image_tags", {"cloud"})])
def test_a_large_fall_within_noise_is_allowed_of_consistency_only(measure, kinds):
    before, after = (scored(count=1), scored(count=1, **{measure: -0.3}))
    assert taken(judge({"new": before}, {"new": after}, LIMITS)) == kinds


# --- simulated scenes ---


@pytest.mark.parametrize("measure", LABELS)
@pytest.mark.parametrize("fall, refused", [(0.015, False), (0.025, True), (math.nan, True)])
def test_labels_of_simulated_scenes_refuse_by_their_tolerance_only(measure, fall, refused):
    """However sure a small fall is: here each value falls."""
    before, after = every() | {"base": simulated()}, every() | {"base": simulated(**{measure: -fall})}
    verdicts = judge(before, after, LIMITS)
    assert taken(verdicts) == set(KINDS) - ({network_of(measure)} if refused else set())
    assert f"{MEASURES[measure]} on base 0.700 to " in verdicts[network_of(measure)].why
    assert taken(judge(before, after, Limits(0.1, 0.02, 0.01))) == set(KINDS) - {network_of(measure)}


def test_consistency_of_clouds_judges_only_where_no_labels_of_clouds_are_known():
    fallen = every(cloud_consistency=-0.1, image_consistency=-0.1)
    before, after = every(), fallen | {"base": simulated(cloud_consistency=-0.1, image_consistency=-0.1)}
    verdicts = judge(before | {"base": simulated()}, after, LIMITS)
    assert taken(verdicts) == {"cloud"} and "consistency" not in verdicts["cloud"].why
    assert verdicts["cloud"].judged_by == ("cloud_tags", "cloud_parts", "cloud_labels")
    assert verdicts["image"].judged_by == ("image_tags", "image_labels", "image_consistency")
    verdicts = judge(before, fallen, LIMITS)
    assert not taken(verdicts) and verdicts["cloud"].judged_by == ("cloud_tags", "cloud_parts", "cloud_consistency")


def test_small_falls_of_labels_do_not_add_up():
    falls = ({name: -fall for name in LABELS} for fall in (0.0, 0.015, 0.03))
    best, before, after = ({"base": simulated(**fall)} for fall in falls)
    assert taken(judge(before, after, LIMITS)) == set(KINDS)
    verdicts = judge(before, after, LIMITS, best)
    assert not taken(verdicts)
    assert verdicts["image"].why.startswith("worse than the best so far: labels of images on base 0.700 to 0.670")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_those_in_use_are_not_promoted(kind):
    verdicts = judge(every(), every(), LIMITS, unchanged=[kind])
    assert taken(verdicts) == set(KINDS) - {kind}
    assert verdicts[kind].why.startswith("nothing learned")


def test_agreement_decides_nothing():
    before, after = every(), every()
    for scores, value in ((before, 0.9), (after, 0.1)):
        scores["new"]["agreement"] = value
    assert taken(judge(before, after, LIMITS)) == set(KINDS)


# --- the best so far ---


def decided(number: int, before: dict, after: dict, took: tuple[str, ...], scenes=("a", "b", "c")) -> Decision:
    more = {"held_out": {"new": [], "memory": [], "base": list(scenes)}}
    networks = {kind: {"promoted": kind in took, "why": ""} for kind in KINDS}
    return Decision(number, bool(took), "", {"base": before}, {"base": after}, "0001", more, networks)


def test_the_best_are_scores_that_were_in_use_on_the_same_scenes():
    low, high, refused, elsewhere = (scored(level, seed=seed) for seed, level in enumerate((0.7, 0.8, 0.9, 0.95)))
    past = [decided(1, low, high, ("image",)), decided(2, low, refused, ())]
    past.append(decided(3, elsewhere, elsewhere, KINDS, scenes=("a",)))
    best = best_so_far({"new": [], "base": list(SCENES)}, past)["base"]
    for measure in REAL:
        expected = high if network_of(measure) == "image" else low
        assert best[measure] == expected[measure]
        assert best["values"][measure] == expected["values"][measure]
    assert best_so_far({"base": ["b"]}, past) == {}


def test_small_falls_do_not_add_up():
    """Each is within noise of the one before, and not of the best."""
    levels = {3: 0.80, 4: 0.78, 5: 0.76}  # by seed
    best, before, after = ({"base": scored(level, seed, noise=0.04)} for seed, level in levels.items())
    assert taken(judge(before, after, LIMITS)) == set(KINDS)
    verdicts = judge(before, after, LIMITS, best)
    assert "image" not in taken(verdicts)
    assert verdicts["image"].why.startswith("worse than the best so far: tags from images on base 0.8")


def test_records_of_earlier_releases_have_means_only():
    past = Decision(1, True, "", {"base": {"image_tags": 0.9, "cloud_tags": 0.5, "agreement": 0.9}}, {}, "0001",
                    {"held_out": {"base": list(SCENES)}})  # fmt: skip
    best = best_so_far({"base": list(SCENES)}, [past])
    assert best["base"]["image_tags"] == 0.9
    now = {"base": scored(0.75)}
    assert taken(judge(now, now, LIMITS, best)) == {"cloud"}
    assert taken(judge(now, now, Limits(0.2, 0.02), best)) == set(KINDS)


# --- properties ---

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=2)
SCORES = st.fixed_dictionaries({measure: st.fixed_dictionaries(dict.fromkeys("ab", VALUES)) for measure in MEASURES})
OF_SET = SCORES.map(lambda values: {"values": values})
SETS_OF_SCORES = st.fixed_dictionaries({"new": OF_SET, "base": OF_SET})


@settings(max_examples=15)
@given(SETS_OF_SCORES, SETS_OF_SCORES, st.floats(0, 1), st.floats(0, 0.5))
def test_never_past_the_tolerance_and_each_network_for_itself(before, after, tolerance, significance):
    verdicts = judge(before, after, Limits(tolerance, significance, tolerance))
    for kind, verdict in verdicts.items():
        falls = [
            np.mean(list(before[name]["values"][measure].values()))
            - np.mean(list(after[name]["values"][measure].values()))
            for name in before
            for measure in MEASURES
            if network_of(measure) == kind and not measure.endswith("_consistency")
        ]
        assert not verdict.promoted or max(falls) <= tolerance + 1e-6
        own = {
            name: {"values": {m: (after if network_of(m) == kind else before)[name]["values"][m] for m in MEASURES}}
            for name in before
        }
        assert judge(before, own, Limits(tolerance, significance, tolerance))[kind] == verdict


@settings(max_examples=15)
@given(SETS_OF_SCORES, SETS_OF_SCORES, st.floats(0, 1), st.floats(0, 1))
def test_the_same_weights_and_more_tolerance_are_never_worse(before, after, tolerance, more):
    assert taken(judge(before, before, Limits(tolerance, 0.5))) == set(KINDS)
    strict, lax = (judge(before, after, Limits(each, 0.02, each)) for each in (tolerance, tolerance + more))
    assert taken(strict) <= taken(lax)


@settings(max_examples=15)
@given(SETS_OF_SCORES, st.floats(0, 1))
def test_what_is_better_everywhere_is_promoted(before, gain):
    def better(values: dict) -> dict:
        return {m: {name: [v + gain for v in own] for name, own in scenes.items()} for m, scenes in values.items()}

    after = {name: {"values": better(scores["values"])} for name, scores in before.items()}
    assert taken(judge(before, after, LIMITS)) == set(KINDS)
