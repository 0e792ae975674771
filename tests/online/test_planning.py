"""The scenes that a round trains on and is judged by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsss_ros import config
from wsss_ros.online.planning import balanced, base_names, held_out_names, plan_round
from wsss_ros.online.records import Decision, Plan
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe, recipe_of
from wsss_ros.online.store import StoredScene
from wsss_ros.training.scene_set import SceneSetConfig
from wsss_ros.types import BadInput

RECIPE = recipe_of(OnlineConfig())


def stored(*tags: str, held_out: str = "", start: int = 0) -> list[StoredScene]:
    """A scene for each text of tags; ``held_out`` has an h for each one that is."""
    scenes = []
    for number, text in enumerate(tags, start=start):
        names, held = tuple(text.split()), held_out[number - start : number - start + 1] == "h"
        scenes.append(StoredScene(f"s{number}", Path(f"s{number}"), names, held, 9, 1, number, number))
    return scenes


def planned(scenes, past=(), number: int = 1, recipe: OnlineRecipe = RECIPE, **changes) -> Plan:
    return plan_round(scenes, past, number, "0000", OnlineConfig(**changes), recipe)


def ended(plan: Plan, promoted: bool = True, judged: bool = True) -> tuple[Plan, Decision]:
    scores = {"new": {"image_tags": 0.5}} if judged else {}
    return plan, Decision(plan.round, promoted, "", scores, scores, "0000")


def test_a_round_takes_all_new_scenes_and_keeps_those_held_out_apart():
    scenes = stored("bed", "chair", "desk", "sofa", held_out="  h ")
    first = planned(scenes)
    assert (first.new, first.memory, first.base) == (["s0", "s1", "s3"], [], [])
    assert first.held_out == {"new": ["s2"], "memory": [], "base": []} and not first.held_back
    scenes += stored("bed", "desk", "sofa", held_out=" h", start=4)
    second = planned(scenes, [ended(first)], 2)
    assert second.new == ["s4", "s6"] and len(second.memory) == 2 and set(second.memory) < set(first.new)
    assert second.held_out == {"new": ["s5"], "memory": ["s2"], "base": []}


def test_a_scene_held_back_is_held_back_where_it_is_seen_again():
    bed, again, more, sofa, desk = stored("bed", "bed", "bed", "sofa", "desk")
    again, more = replace(again, again_of=("s0",)), replace(more, again_of=("s1",))
    first = planned([bed, again, more, sofa])
    assert (first.held_back, first.new) == (["s0", "s1", "s2"], ["s3"])
    assert set(first.held_out["new"]) == set(first.held_back)
    late = replace(bed, name="s5", number=5, again_of=("s2",))
    second = planned([bed, again, more, sofa, desk, late], [ended(first)], 2)
    assert (second.new, second.held_out["new"], second.held_back) == (["s4"], ["s5"], [])
    assert set(second.held_out["memory"]) == {"s0", "s1", "s2"}
    # nothing that was trained on is held out because of a scene that links the two sides
    link = replace(desk, again_of=("s0", "s3"))
    assert "s3" not in held_out_names([bed, sofa, link], [ended(first)])
    with pytest.raises(BadInput, match="'s0' is the only tagged scene, played again; expected two"):
        planned([bed, again])


def test_plans_depend_on_the_seed_alone():
    scenes = stored(*["bed chair", "desk", "sofa", "bed", "desk chair"] * 8, held_out="h")
    past = [ended(planned(scenes))]
    scenes += stored(*["bed"] * 5, start=40)
    again = [planned(scenes, past, 2, seed=seed) for seed in (0, 0, 1)]
    assert again[0] == again[1] and again[0].memory != again[2].memory and again[0].seed != again[2].seed


def test_scenes_held_out_for_a_round_that_was_given_up_are_still_new():
    scenes = stored("bed", "sofa", held_out=" h")
    first = planned(scenes)
    assert first.held_out == {"new": ["s1"], "memory": [], "base": []}
    assert planned(scenes, [ended(first, judged=False)], 2).held_out == first.held_out
    later = planned([*scenes, *stored("desk", start=2)], [ended(first)], 2)
    assert later.held_out == {"new": [], "memory": ["s1"], "base": []}


def test_a_scene_whose_tags_were_taken_away_stops_nothing():
    scenes = stored("bed", "", "sofa", "desk", held_out=" h h")
    assert planned(scenes).held_out["new"] == ["s3"] and planned(scenes).new == ["s0", "s2"]


def test_replay_evens_out_the_classes():
    scenes = stored(*["wall"] * 30, "wall sofa", "wall bed", "wall sofa")
    rng = np.random.default_rng(0)
    chosen = balanced(scenes, 3, stored("wall bed"), rng)
    # the choice has a bed already and no sofa, then one of each, and of wall ever more
    assert [scene.tags[-1] for scene in chosen] == ["sofa", "bed", "sofa"]
    assert len({scene.name for scene in balanced(scenes, 99, (), rng)}) == len(scenes)


def test_replay_is_so_many_scenes_for_each_new_one():
    scenes = stored(*["bed"] * 10, held_out="h")
    past = [ended(planned(scenes))]
    scenes += stored(*["sofa"] * 4, start=10)
    assert [len(planned(scenes, past, 2, replay=replay).memory) for replay in (0, 0.5, 1, 100)] == [0, 2, 4, 9]


def test_where_nothing_is_held_out_the_oldest_new_scene_is_for_good():
    scenes = stored("bed", "chair", "desk")
    first = planned(scenes)
    assert first.held_back == ["s0"] == first.held_out["new"] and first.new == ["s1", "s2"]
    scenes += stored("sofa", start=3)
    second = planned(scenes, [ended(first)], 2)
    assert second.new == ["s3"] and second.held_out["memory"] == ["s0"] and "s0" not in second.memory


@pytest.mark.parametrize(
    "scenes, told",
    [
        ([], "no new tagged scene"),
        (stored("bed"), "'s0' is the only tagged scene; expected two"),
        (stored("bed", "bed", held_out="hh"), "no new tagged scene"),
        (stored("", "bed", held_out=" h"), "no new tagged scene"),
    ],
)
def test_nothing_to_learn_from(scenes, told):
    with pytest.raises(BadInput, match=told):
        planned(scenes)


def test_a_round_that_was_given_up_taught_nothing():
    scenes = stored("bed", "chair", held_out="h")
    first = planned(scenes)
    assert planned(scenes, [ended(first, False, judged=False)], 2).new == first.new
    with pytest.raises(BadInput, match="no new tagged scene"):
        planned(scenes, [ended(first, False)], 2)


def test_a_scene_that_only_made_things_worse_rests():
    """One scene with wrong tags must not spoil every round to come; one unlucky round must not cost good scenes."""
    scenes, past = stored("bed", "chair", held_out="h"), []
    for number in (1, 2, 3):
        past.append(ended(planned(scenes, past, number), promoted=False))
        scenes += stored("desk", start=10 + number)
    assert [plan.memory for plan, _ in past] == [[], ["s1"], ["s11"]]
    scenes += stored("bed sofa", start=20)
    past.append(ended(planned(scenes, past, 4, replay=9)))
    assert past[-1][0].memory == ["s12"]
    scenes += stored("bed", start=30)
    assert sorted(planned(scenes, past, 5, replay=9).memory) == ["s12", "s13", "s20"]


def test_base_scenes_come_in_by_name(tmp_path):
    for name in "abcd":
        (tmp_path / name).mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "list.txt").write_text("# some\nd\nb\n")
    every = SceneSetConfig(folder=str(tmp_path))
    some = SceneSetConfig(folder=str(tmp_path), scenes=str(tmp_path / "list.txt"))
    rooms = config.build(SceneSetConfig, {"folder": str(tmp_path), "rooms": {"scenes": 3, "seed": 7}})
    assert base_names(every) == list("abcd") and base_names(some) == ["b", "d"]
    assert base_names(rooms) == ["room0007_00", "room0008_00", "room0009_00"]
    recipe = RECIPE.model_copy(update={"base": every, "base_held_out": rooms, "held_out_scenes": 2})
    scenes = stored("bed", "sofa", "sofa", held_out="h")
    assert len(planned(scenes, recipe=recipe, base=1.5).base) == 3
    assert planned(scenes, recipe=recipe, base=9).base == list("abcd")
    assert planned(scenes, recipe=recipe, base=0).base == []
    assert planned(scenes, recipe=recipe).held_out["base"] == ["room0007_00", "room0008_00"]
    with pytest.raises(BadInput, match="the base set of the recipe cannot be read"):
        base_names(SceneSetConfig(folder=str(tmp_path / "nowhere")))


def test_the_gate_scores_a_bounded_number_of_scenes():
    scenes = stored(*["bed", "sofa"] * 20, "desk", held_out="h" * 40)
    recipe = RECIPE.model_copy(update={"held_out_scenes": 6})
    chosen = planned(scenes, recipe=recipe).held_out["new"]
    assert len(chosen) == 6 and sum(int(name[1:]) % 2 for name in chosen) == 3
