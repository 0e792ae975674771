"""The trial of the gate: its rounds, the previous rule, what is spoilt, resumption and the report."""

import itertools
import json
import math

import numpy as np
import pytest
from support.striped_scenes import written

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.online.gate import Limits
from wsss_ros.online.records import SETS
from wsss_ros.online.scores import MEASURES
from wsss_ros.online.settings import OnlineConfig, recipe_of
from wsss_ros.online.trial import places, report, rounds
from wsss_ros.online.trial.old_gate import promotes_both
from wsss_ros.online.trial.plan import COUNTS, FAULTS, HELD_OUT, plan_of, trial_rounds
from wsss_ros.scenes import open_scene
from wsss_ros.types import KINDS, BadInput

# --- the rounds ---


def test_every_kind_of_round_takes_place_and_the_first_ones_are_of_many_kinds():
    found = trial_rounds()
    expected = {(place, fault): n for place, all_of in COUNTS.items() for fault, n in zip(FAULTS, all_of, strict=True)}
    assert {kind: sum((each.place, each.fault) == kind for each in found) for kind in expected} == expected
    assert len({each.number for each in found}) == len(found) == sum(expected.values())
    for names in ("place", "fault"):
        assert len({getattr(each, names) for each in found[:10]}) >= 3


def test_another_draw_has_other_rounds_of_the_same_kinds():
    first, second = trial_rounds(), trial_rounds(1)
    assert [(each.place, each.fault, each.index) for each in first] == [
        (each.place, each.fault, each.index) for each in second
    ]
    assert not {each.number for each in first} & {each.number for each in second}


def test_a_plan_is_the_same_each_time_and_no_scene_is_both_taught_and_held_out():
    stored = {"taught": [f"t{n}" for n in range(10)], "held_out": [f"h{n}" for n in range(8)]}
    base, base_held_out = [f"b{n}" for n in range(30)], ["v0", "v1"]
    plans = [plan_of(each, stored, base, base_held_out) for each in trial_rounds()]
    assert plans == [plan_of(each, stored, base, base_held_out) for each in trial_rounds()]
    assert len({tuple(plan.new) for plan in plans}) > 10
    for plan in plans:
        assert set(plan.new) <= set(stored["taught"]) and plan.held_out["base"] == base_held_out
        apart = plan.held_out["new"] + plan.held_out["memory"]
        assert len(set(apart)) == len(apart) == sum(HELD_OUT.values()) and set(apart) <= set(stored["held_out"])


# --- the previous gate ---


def old_scores(**changes) -> dict:
    return {name: {"image_tags": 0.8, "cloud_tags": 0.7, "agreement": 0.6} | changes for name in SETS}


@pytest.mark.parametrize("measure, level", [("image_tags", 0.8), ("cloud_tags", 0.7), ("agreement", 0.6)])
def test_the_previous_gate_compares_means_with_its_tolerance(measure, level):
    before = old_scores()
    assert promotes_both(before, old_scores(**{measure: level - 0.03}))
    for refused in (level - 0.031, None, math.nan):
        assert not promotes_both(before, old_scores(**{measure: refused}))


def test_the_previous_gate_ignores_what_was_not_measured_and_promotes_nothing_without_a_score():
    assert promotes_both(old_scores(cloud_tags=None), old_scores(cloud_tags=None))
    nothing = {"new": {"image_tags": None, "cloud_tags": None, "agreement": None}}
    assert not promotes_both(nothing, nothing)


# --- scenes ---


@pytest.fixture
def online(tmp_path, labels, monkeypatch):
    """The folder of a learner with the stretches of one scene, a frame each."""
    monkeypatch.setattr(places, "LENGTH", 1)
    written(tmp_path, labels, [0])
    (tmp_path / "online/scenes").mkdir(parents=True)
    names = places.stretches(tmp_path / "scene0", "office", tmp_path / "online", labels)
    assert names == {"taught": ["office_00", "office_02"], "held_out": ["office_01", "office_03"]}
    return tmp_path / "online"


def test_a_stretch_has_the_frames_and_tags_of_its_scene(online, labels, monkeypatch):
    whole = open_scene(online.parent / "scene0", labels)
    for index in range(4):
        part = open_scene(online / "scenes" / f"office_{index:02d}", labels)
        assert len(part) == 1 and part.image_tags(0) == whole.image_tags(index) and part.tags == whole.image_tags(index)
        assert np.array_equal(part.frame(0).depth_m, whole.frame(index).depth_m)
    monkeypatch.setattr(places, "LENGTH", 4)
    places.stretches(online.parent / "scene0", "kitchen", online, labels)
    assert len(open_scene(online / "scenes/kitchen_00", labels).cloud) > 500, "of points that two frames show"


@pytest.mark.parametrize("index, kept", [(0, []), (1, ["office_02"])])
def test_wrong_tags_are_exchanged_classes_in_all_scenes_or_in_half_of_them(online, labels, index, kept):
    names = ["office_00", "office_02"]
    made = places.spoil(names, online, "0101", labels, "wrong tags", index)
    assert [name for name in made if name in names] == kept
    for old, new in zip(names, made, strict=True):
        before, after = (open_scene(online / "scenes" / name, labels).tags for name in (old, new))
        assert len(after) == len(before) and (after == before) == (new in kept)
    assert places.spoil(names, online, "0101", labels, "wrong tags", index) == made, "made once"


def test_another_draw_has_other_rooms_and_exchanges_other_classes(online, labels):
    seeds: dict[str, list[int]] = {name: [] for name in places.ROOMS}

    def generate(folder, count, first, **options):
        seeds[folder.name].append(first)
        return []

    for draw in (0, 1):
        places.rooms(online.parent, online, labels, generate, draw)
    assert [name for name, (one, other) in seeds.items() if one == other] == ["base"]
    spans = [(first, first + places.ROOMS[name][0]) for name, own in seeds.items() if name != "base" for first in own]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(sorted(spans))), "no room is in two sets"
    made = [places.spoil(["office_00"], online, f"{draw}", labels, "wrong tags", 0, draw)[0] for draw in (0, 1)]
    one, other = (open_scene(online / "scenes" / name, labels).tags for name in made)
    assert one != other


def test_one_class_is_the_only_tag_of_every_frame_and_scene(online, labels):
    (made,) = places.spoil(["office_01"], online, "0301", labels, "one class", 2)
    scene = open_scene(online / "scenes" / made, labels)
    assert scene.tags == scene.image_tags(0) == ("chair",)


# --- resumption ---


@pytest.fixture
def trial(tmp_path, labels):
    stored = {place: {"taught": [], "held_out": []} for place in ("rooms", "office")}
    return rounds.Trial(tmp_path, labels, recipe_of(OnlineConfig()), {}, stored)


def test_a_finished_round_is_read_and_not_trained_again(trial, monkeypatch):
    monkeypatch.setattr(rounds, "_train", lambda *_: pytest.fail("it trains"))
    first, second = rounds.chosen(trial, "1/1")[:2]
    assert rounds.finished(trial.out) == []
    (trial.out / "rounds").mkdir()
    (trial.out / "rounds" / f"{second.number:04d}.json").write_text(json.dumps({"number": second.number}))
    (trial.out / "rounds" / "0000.json").write_text(json.dumps({"image": {}}))
    assert rounds.truth_before(trial.out) == {"image": {}}
    assert rounds.finished(trial.out) == [rounds.run(trial, second)] == [{"number": second.number}]
    with pytest.raises(pytest.fail.Exception, match="it trains"):
        rounds.run(trial, first)


def test_the_parts_are_all_rounds_in_the_places_of_the_trial(trial):
    every = rounds.chosen(trial, "1/1")
    assert {each.place for each in every} == {"rooms", "office"}
    parts = [rounds.chosen(trial, f"{part}/3") for part in (1, 2, 3)]
    assert sorted(sum(parts, []), key=every.index) == every
    for wrong in ("0/2", "3/2", "1", "a/b", "-1/2"):
        with pytest.raises(BadInput, match="--part"):
            rounds.chosen(trial, wrong)


# --- the report ---


def truth(hits: float) -> dict:
    """Counts of two classes in three rooms of each set: this share of 100 pixels of each class is right."""
    right = round(100 * hits)
    counts = [[right, 100 - right, 0], [100 - right, right, 0]]
    return {kind: {name: {str(room): counts for room in range(3)} for name in rounds.TRUTH} for kind in KINDS}


def record(index: int, hits: float, shift: float, **more) -> dict:
    """A round in rooms after which networks are right this often, and held-out tags of images changed by ``shift``."""

    def scores(change: float) -> dict:
        measured = [measure for measure in MEASURES if not measure.endswith("_labels")]
        values = {measure: {"a": [0.8, 0.7, 0.75, 0.8, 0.7, 0.75]} for measure in measured}
        values["image_tags"] = {"a": [value + change for value in values["image_tags"]["a"]]}
        means = {measure: float(np.mean(own["a"])) for measure, own in values.items()}
        return {"new": {**means, "agreement": 0.6, "values": values}}

    about = {"place": "rooms", "fault": "none", "index": index, **more}
    return about | {"before": scores(0.0), "after": scores(shift), "truth": truth(hits)}


def test_the_report_counts_what_each_rule_does_with_worse_and_better_networks(tmp_path):
    limits = Limits(0.1, 0.02)
    # better and unchanged tags, worse and a fall of tags of images, better and such a fall
    made = [record(0, 0.8, 0.0), record(1, 0.5, -0.2), record(2, 0.8, -0.2)]
    rows = report.entries(made, truth(0.6), limits)
    assert [(row["round"], row["network"]) for row in rows] == [(n, kind) for n in (1, 2, 3) for kind in KINDS]
    assert [row["old"] for row in rows] == [True, True, False, False, False, False]
    assert [row["new"] for row in rows] == [True, True, False, True, False, True]
    # mIoU of a share h of right pixels is h / (2 - h)
    expected = [100 * (hits / (2 - hits) - 0.6 / 1.4) for hits in (0.8, 0.5, 0.8)]
    assert [row["change"] for row in rows[::2]] == pytest.approx(expected)
    assert all(row["sd"] == pytest.approx(0, abs=1e-9) for row in rows), "the rooms are equal"
    assert report.counts(rows, "new") == {
        "worse": 2, "worse_let_through": 1, "better": 4, "better_refused": 1, "promoted": 4, "networks": 6
    }  # fmt: skip
    assert report.counts(rows, "old")["better_refused"] == 2
    again = report.entries([record(0, 0.8, 0.0, draw=1, unchanged=["cloud"])], truth(0.6), limits, choice=True)
    assert [(row["round"], row["new"], row["why"][:15]) for row in again][1] == (10_001, False, "nothing learned")
    summary = report.summary(rows + again)
    assert "| confirmation | both | this gate | 1 of 2 | 1 of 4 | 4 of 6 |" in summary
    assert "| choice | both | this gate | 0 of 0 | 1 of 2 | 1 of 2 |" in summary
    weights = {part: {"image": "i0", "cloud": "c0"} for part in report.PARTS.values()}
    report.write(rows + again, tmp_path, "wsss bench gate", limits, weights)
    page = (tmp_path / "gate.md").read_text()
    assert "- *confirmation*: 3 rounds; they begin from image i0, cloud c0; 0 simulated rooms are held out" in page
    assert "| confirmation | 0002 | rooms | nothing | refused |" in page and "| choice | 10001 | rooms |" in page
    content = json.loads((tmp_path / "gate.json").read_text())
    assert len(content["entries"]) == 8 and content["label_tolerance"] == limits.label_tolerance
    assert content["entries"][0]["judged_by"] == ["image_tags", "image_consistency"]
    assert (tmp_path / "gate.png").read_bytes().startswith(b"\x89PNG")


def test_miou_of_counts_is_that_of_the_confusion_matrix(labels):
    rng = np.random.default_rng(0)
    matrix = ConfusionMatrix(labels).update(*rng.integers(0, 12, (2, 500)).astype(np.uint8))
    assert report._miou(matrix.counts) == pytest.approx(matrix.compute()["miou"])
