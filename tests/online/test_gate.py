"""The gate: when a candidate is promoted, and the reason."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros.online.gate import MEASURES, best_so_far, judge
from wsss_ros.online.records import SETS, Decision

VALUE = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1))
SCORES = st.dictionaries(st.sampled_from(SETS), st.fixed_dictionaries(dict.fromkeys(MEASURES, VALUE)))
TOLERANCE = st.floats(0, 1)
ALL = dict.fromkeys(MEASURES, 0.5)


def every(value: float | None) -> dict:
    return {name: dict.fromkeys(MEASURES, value) for name in SETS}


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
