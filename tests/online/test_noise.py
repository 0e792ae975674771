"""The change of paired scores, and how likely noise alone explains a fall."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros.online.noise import change

SCENES = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1)


def shifted(values: dict, by: float) -> dict:
    return {name: [value + by for value in own] for name, own in values.items()}


def slow_chance(before: dict, after: dict, draws: int) -> float:
    """The same bootstrap as loops over draws, scenes and values."""
    rng, names, falls = np.random.default_rng(1), sorted(before), 0
    for _ in range(draws):
        drawn = []
        for _ in names:
            name = names[rng.integers(len(names))]
            for _ in before[name]:
                at = rng.integers(len(before[name]))
                drawn.append(after[name][at] - before[name][at])
        falls += np.mean(drawn) < 0
    return 1 - falls / draws


def test_chance_against_its_twin():
    rng = np.random.default_rng(0)
    before = {f"scene{number}": rng.uniform(0.4, 0.9, 6).tolist() for number in range(4)}
    for shift in (-0.05, -0.02, 0.0, 0.02):
        after = {name: [value + rng.normal(shift, 0.1) for value in own] for name, own in before.items()}
        assert change(before, after).fall_chance == pytest.approx(slow_chance(before, after, 3000), abs=0.04)


def test_it_is_right_about_noise():
    """Where nothing changed but noise, a fall is found in about one of twenty experiments."""
    rng, found = np.random.default_rng(3), 0
    for _ in range(300):
        values = {str(scene): rng.normal(size=8).tolist() for scene in range(8)}
        found += change({name: [0.0] * 8 for name in values}, values).fall_chance < 0.05
    assert 0.01 < found / 300 < 0.1


def test_images_of_one_scene_are_not_independent():
    """The same differences say less when they come from two scenes that contradict each other."""
    before = {name: [0.5] * 8 for name in "ab"}
    apart = {"a": [0.3] * 8, "b": [0.6] * 8}
    mixed = {"a": [0.3, 0.6] * 4, "b": [0.3, 0.6] * 4}
    assert change(before, mixed).fall_chance < 0.2 < change(before, apart).fall_chance


@given(SCENES)
def test_no_change_is_not_a_fall(values):
    same = change(values, values)
    assert same.fall == 0 and same.fall_chance == 1


@given(SCENES)
def test_few_values_show_little_and_many_show_it(values):
    found, count = change(values, shifted(values, -0.1)), sum(map(len, values.values()))
    assert found.fall == pytest.approx(0.1) and found.fall_chance == 0.5**count
    assert change(values, shifted(values, 0.1)).fall_chance == 1


@pytest.mark.parametrize(
    "after", [{"a": [0.5, None]}, {"a": [0.5, math.nan]}, {"a": [0.5]}, {"b": [0.5, 0.5]}, {}], ids=str
)
def test_a_value_that_is_lost_or_not_finite_is_a_fall(after):
    found = change({"a": [0.5, 0.5]}, after)
    assert math.isnan(found.after) and found.fall_chance == 0


def test_scenes_that_are_scored_after_only_are_a_loss_of_the_others():
    found = change({}, {"a": [0.5]})
    assert math.isnan(found.before) and found.fall_chance == 0
