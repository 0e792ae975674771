"""``wsss demo-online`` at its smallest, with the real nodes: rooms, and a scene that has tags and no truth."""

import json
import os

import pytest

from wsss_ros.cli import demo_online
from wsss_ros.cli.demo_online import Plan
from wsss_ros.data import rooms

TINY = Plan(rounds=1, rooms=3, tagged_frames=8, scored_rooms=2, scored_frames=6, base=6, steps=2)


@pytest.fixture(scope="module")
def out(tmp_path_factory, shared_ros_environment):
    folder = tmp_path_factory.mktemp("demo_online")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", shared_ros_environment["ROS_DOMAIN_ID"])
        demo_online.run(folder, TINY, [3])
        yield folder


def decision(folder) -> dict:
    (line,) = (folder / "online/rounds.jsonl").read_text().splitlines()
    return json.loads(line)


def test_a_round_is_judged_and_both_versions_are_scored(out):
    told = decision(out / "seed3")
    assert {"new", "base"} <= set(told["before"]) == set(told["after"]), told["why"]
    assert len(told["more"]["new"]) == 1 and len(told["more"]["base"]) == 2  # of two tagged ones one is held back
    assert "alone" in told["more"]["segmenters_p95_ms"]["image_segmenter"]
    entries = json.loads((out / "online.json").read_text())["entries"]
    assert [(e["seed"], e["round"], e["set"]) for e in entries] == [(3, n, s) for n in (0, 1) for s in ("new", "old")]
    assert all(0 <= entry[key] <= 100 for entry in entries for key in ("miou_2d", "miou_3d"))
    assert entries[2]["promoted"] is told["promoted"]
    assert "--seeds 3 --rounds 1" in (out / "online.md").read_text() and (out / "online.png").is_file()


def test_tagged_rooms_and_scored_rooms_share_none(out):
    kinds = ("tagged", "new", "old", "base")
    names = [{path.name for path in (out / "rooms" / kind).iterdir()} for kind in kinds]
    assert sum(map(len, names)) == len(set.union(*names)) == 3 + 2 + 2 + 6
    taught = decision(out / "seed3")["more"]
    assert not {name for kind in ("new", "base") for name in taught[kind]} & (names[1] | names[2])


def test_a_scene_without_truth_gives_pictures_of_every_version(out, tmp_path):
    scene = rooms.generate(tmp_path, 21_900, frames=24, style=demo_online.STYLE)
    demo_online._tag(scene)
    demo_online.run(out, TINY, [0], scene)
    told = decision(out / "scene")
    assert told["before"]["new"]["images"] > 0 and "miou" not in json.dumps(told)
    for name in ("frames.png", "cloud.png"):
        assert (out / "scene" / name).read_bytes().startswith(b"\x89PNG")
    versions = sorted(os.listdir(out / "scene/online/weights"))
    assert "0000" in versions and ("0001" in versions) is told["promoted"]
