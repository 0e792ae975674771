"""``wsss demo-online`` at its smallest, with the real nodes: rooms, and a scene that has tags and no truth."""

import json
import time

import pytest
from typer.testing import CliRunner

from wsss_ros.bench import online_plan
from wsss_ros.bench.online_plan import MOST_SEEDS, SEEDS, STYLE, Plan
from wsss_ros.cli import demo_online
from wsss_ros.cli.main import app
from wsss_ros.labels import scannet20
from wsss_ros.node_processes import NodeProcesses
from wsss_ros.node_set import Process
from wsss_ros.online import scene_pictures
from wsss_ros.rooms.generator import generate_room
from wsss_ros.types import BadInput

# A run ends by itself where it makes no progress; it may take its time on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# Few images a second and long gaps: a busy machine must neither lose images nor take a delay for the end of a room.
TINY = Plan(
    rounds=1,
    rooms=3,
    tagged_frames=8,
    scored_rooms=2,
    scored_frames=6,
    base=6,
    hz=2.0,
    steps=2,
    silence_s=8.0,
    gap_s=10.0,
    write_period_s=5.0,
)


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
    found = decision(out / "seed3")
    assert {"new", "base"} <= set(found["before"]) == set(found["after"]), found["why"]
    assert len(found["more"]["new"]) == 1  # of two tagged ones one is held back
    assert len(found["more"]["base"]) == 2
    assert "alone" in found["more"]["segmenters_p95_ms"]["image_segmenter"]
    entries = json.loads((out / "online.json").read_text())["entries"]
    assert [(e["seed"], e["round"], e["set"]) for e in entries] == [(3, n, s) for n in (0, 1) for s in ("new", "old")]
    assert all(0 <= entry[key] <= 100 for entry in entries for key in ("miou_2d", "miou_3d"))
    assert entries[2]["promoted"] is found["promoted"]
    assert "--seeds 3 --rounds 1" in (out / "online.md").read_text()
    assert (out / "online.png").is_file()


def test_tagged_rooms_and_scored_rooms_share_none(out):
    kinds = ("tagged", "new", "old", "base")
    names = [{path.name for path in (out / "rooms" / kind).iterdir()} for kind in kinds]
    assert sum(map(len, names)) == len(set.union(*names)) == 3 + 2 + 2 + 6
    taught = decision(out / "seed3")["more"]
    assert not {name for kind in ("new", "base") for name in taught[kind]} & (names[1] | names[2])


def test_a_scene_without_truth_gives_pictures_of_every_version(out, tmp_path):
    scene = generate_room(tmp_path, 21_900, frames=24, style=STYLE)
    online_plan.write_tags(scene, scannet20())
    demo_online.run(out, TINY, [0], scene)
    found = decision(out / "scene")
    assert found["before"]["new"]["images"] > 0
    assert "miou" not in json.dumps(found)
    for name in ("frames.png", "cloud.png"):
        assert (out / "scene" / name).read_bytes().startswith(b"\x89PNG")
    for kind in ("image", "cloud"):
        (before, _), (after, file) = scene_pictures.proposed(out / "scene/online", kind)
        taken = found["networks"][kind]["promoted"]
        assert (before, after) == ("before", "after round 1" if taken else "refused in round 1")
        assert file.is_file()


def test_seeds_whose_tagged_rooms_would_be_the_scored_ones_are_refused():
    result = CliRunner().invoke(app, ["demo-online", "--seeds", "0,10"])
    assert result.exit_code
    assert "expected 0 to 9" in result.output + str(result.exception)
    last = SEEDS["tagged"] + 100 * MOST_SEEDS
    assert last + Plan.rounds * Plan.rooms <= SEEDS["new"]


def test_a_node_that_has_ended_ends_the_run():
    children = NodeProcesses()
    children.start(Process("trainer", module="wsss_ros.no_such_module"))
    with pytest.raises(BadInput, match="trainer failed with status 1"):
        check_for_ever(children)


def check_for_ever(children: NodeProcesses) -> None:
    while True:
        children.check()
        time.sleep(0.01)
