"""A round is a list of methods: any of those that a training run takes, on the scenes of the robot."""

import logging
from pathlib import Path

import pytest
import torch
import yaml
from support.online_scenes import put, recipe, settings
from support.striped_scenes import written
from support.waiting import until

from wsss_ros import config
from wsss_ros.config import warn_renamed
from wsss_ros.files import read_json
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import Method
from wsss_ros.networks import checkpoint
from wsss_ros.online.learner import Learner
from wsss_ros.online.records import Plan
from wsss_ros.online.round_scenes import source_configs, training_sources
from wsss_ros.online.round_training import methods_of
from wsss_ros.online.settings import OnlineRecipe
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.types import BadInput

RATE = {"name": "adam", "lr": 0.01}
TAGS = {"method": "classify", "epochs": 1, "batch": 4, "image": RATE}
JOINT = {"method": "joint", "epochs": 3, "batch": 2, "warmup_epochs": 2, "image": RATE, "cloud": RATE}
SHARED = {"method": "shared_labels", "epochs": 1, "batch": 2, "long_sides": [32], "image": RATE, "cloud": RATE}

WSEGPC = {"method": "wsegpc", "epochs": 1, "batch": 3, "images_per_cloud": 2, "min_links": 10, "eta": 0}
WSEGPC |= {"image": RATE, "cloud": RATE}

DENSIFY = {"method": "densify", "epochs": 1, "batch": 3, "superpoints": {"kind": "vccs", "seed_m": 0.3}, "cloud": RATE}


def decided(tmp_path, labels, phases: list[dict], kinds=("scene", "frames"), **changes):
    """The learner, closed, and the decision of a round of these phases on four scenes, one of them held out."""
    asked = settings(tmp_path, labels, {"phases": phases}, round_threads=1, tolerance=1.0, significance=0.0, **changes)
    for number in range(1, 5):
        put(asked.folder, labels, number, number, held_out=number == 4, kinds=kinds)
    learning = Learner(asked)
    try:
        learning.start_round()
        return learning, until(learning.poll, progress=learning.progress)
    finally:
        learning.close()


@pytest.mark.timeout(900)
def test_a_round_of_two_methods_shares_its_steps(tmp_path, labels):
    """Forty steps, one quarter for the tags alone. Three scenes have twelve tagged images and three clouds."""
    learning, decision = decided(tmp_path, labels, [TAGS, JOINT], steps=40, keep_refused=True)
    assert decision.judged, decision.why
    first, second = read_json(learning.folder / "rounds/0001/run/curves.json")
    assert (first["phase"], second["phase"]) == ("1 classify image", "2 joint")
    assert (len(first["epochs"]), len(second["epochs"])) == (3, 30)  # 3 steps an epoch, and 1
    assert set(second["epochs"][0]) >= {"image_to_point", "point_to_image"}, "a round has no warm-up"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["scene", "frames"])
def test_tags_of_scenes_alone_teach_both_networks_and_so_do_those_of_images(tmp_path, labels, kind):
    phases = [{**SHARED, "min_confidence": 0.05}, {**JOINT, "epochs": 1, "warmup_epochs": 0}]
    learning, decision = decided(tmp_path, labels, phases, kinds=[kind], steps=4)
    assert decision.promoted, decision.why
    folder = learning.folder / "rounds/0001"
    assert read_json(folder / "plan.json")["new"] == ["scene1", "scene2", "scene3"]
    scored = decision.before["new"]
    assert (scored["images"], scored["clouds"]) == ((1, 1) if kind == "scene" else (4, 1))
    assert all(min(curve["epochs"][0].values()) >= 0 for curve in read_json(folder / "run/curves.json"))
    start, now = (learning.versions.folder / name for name in ("0000", "0001"))
    for network in ("image", "cloud"):
        old, new = (checkpoint.load(checkpoint.file_of(at, network)).network for at in (start, now))
        assert any(not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True)), network


@pytest.mark.timeout(900)
def test_a_round_may_be_of_the_second_paper(tmp_path, labels):
    """Without warm-up, and with an average that follows a short round."""
    learning, decision = decided(tmp_path, labels, [WSEGPC], steps=6)
    assert decision.promoted, decision.why
    (curve,) = read_json(learning.folder / "rounds/0001/run/curves.json")
    assert all(curve["epochs"][0][name] > 0 for name in ("image_to_point", "point_to_image", "rpc_3d", "rpc_2d"))


@pytest.mark.timeout(900)
def test_tags_of_scenes_alone_teach_the_cloud_network_by_primitives(tmp_path, labels):
    """The third paper, without tags of images. There are fewer primitives than its 300, for there are few scenes."""
    learning, decision = decided(tmp_path, labels, [DENSIFY], kinds=["scene"], steps=4)
    assert decision.promoted, decision.why
    (curve,) = read_json(learning.folder / "rounds/0001/run/curves.json")
    assert all(curve["epochs"][0][name] > 0 for name in ("classification_3d", "primitives", "match"))
    start, now = (learning.versions.folder / name for name in ("0000", "0001"))
    changed = {
        kind: checkpoint.load(checkpoint.file_of(start, kind)).version
        != checkpoint.load(checkpoint.file_of(now, kind)).version
        for kind in ("image", "cloud")
    }
    assert changed == {"image": False, "cloud": True}


@pytest.mark.timeout(900)
def test_a_network_that_no_phase_trains_stays(tmp_path, labels):
    learning, decision = decided(tmp_path, labels, [TAGS], steps=9)
    assert decision.promoted, decision.why
    start, now = (learning.versions.folder / name for name in ("0000", "0001"))
    versions = {
        kind: [checkpoint.load(checkpoint.file_of(at, kind)).version for at in (start, now)]
        for kind in ("image", "cloud")
    }
    assert versions["cloud"][0] == versions["cloud"][1] and versions["image"][0] != versions["image"][1]


def test_missing_data_of_a_method_is_generated_before_its_samples_are_made(tmp_path, labels, monkeypatch):
    calls = []

    class Needy(Method):
        @classmethod
        def generate(cls, phase, report):
            report("generate", 0, 2)
            calls.append("generated")

        def make_samples(self):
            calls.append("samples")
            return []

    monkeypatch.setitem(METHODS, "classify", Needy)
    asked = config.load(OnlineRecipe, recipe(tmp_path, phases=[TAGS]))
    methods_of(asked, [], labels, lambda: calls.append("may wait"))
    assert calls == ["may wait", "generated", "samples"]


def test_the_scenes_of_a_base_set_say_themselves_whether_their_lists_are_complete(tmp_path):
    values = yaml.safe_load(Path(recipe(tmp_path, phases=[JOINT])).read_text())
    values["base"] = {"folder": "rooms", "complete": False}
    with pytest.raises(BadInput, match="base: .*key of the tags.json of each of its scenes"):
        config.build(OnlineRecipe, values)


def test_a_recipe_of_an_older_version_has_one_phase(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "wsss_ros")
    values = yaml.safe_load(Path(recipe(tmp_path, phases=[JOINT])).read_text())
    older = {key: value for key, value in values.items() if key != "phases"} | {"joint": JOINT}
    warn_renamed.cache_clear()
    assert config.build(OnlineRecipe, older) == config.build(OnlineRecipe, values)
    assert caplog.text.count("the key 'joint' is now 'phases'") == 1


@pytest.mark.parametrize("base_dense", [True, False])
def test_dense_labels_of_the_base_are_used_and_those_of_the_robot_never(tmp_path, labels, base_dense):
    """All scenes have dense labels on disk; the tags of the robot's scenes are in tags.json."""
    written(tmp_path / "base", labels, [7, 8])
    phase = {"method": "shared_labels", "epochs": 1, "dense_labels": True, "image": RATE, "cloud": RATE}
    values = {"phases": [phase], "base": {"folder": str(tmp_path / "base")}, "base_dense": base_dense}
    asked = config.load(OnlineRecipe, recipe(tmp_path, **values))
    own = [put(tmp_path / "online", labels, seed, seed) for seed in (1, 2)]
    plan = Plan(1, "0000", 0, 4, 2, own, [], ["scene7", "scene8"], {})
    folder = tmp_path / "online/rounds/0001"
    sources, left_out = training_sources(plan, tmp_path / "online", folder, asked, labels, lambda: None)
    given = source_configs(folder, asked)
    assert [(each.weight, each.dense) for each in given] == ([(1, False), (1, True)] if base_dense else [(1, True)])
    names = [sorted(scene.name for scene in source.scenes) for source in sources]
    assert names == ([own, plan.base] if base_dense else [[*own, *plan.base]]) and not left_out
    if base_dense:
        (method,) = methods_of(asked, sources, labels, lambda: None)
        assert [known for _, known in method.parts] == [False, True]
        assert all(scene.cloud_truth is None for scene in sources[0].scenes)
        assert all(scene.cloud_truth is not None for scene in sources[1].scenes)


def test_scenes_are_decoded_in_the_size_that_the_phases_need(tmp_path, labels):
    """Pictures of 32 pixels; the training of the round asks for the same size, so it finds them in the cache."""
    phase = {"method": "self_training", "epochs": 1, "image": RATE, "augment": {"long_side": [32, 32], "crop": 32}}
    asked = config.load(OnlineRecipe, recipe(tmp_path, phases=[phase]))
    small = asked.image.model_copy(update={"augment": ImageAugment(long_side=(16, 16), crop=32)})
    own = put(tmp_path / "online", labels, 1, 1)
    plan, folder = Plan(1, "0000", 0, 4, 2, [own], [], [], {}), tmp_path / "online/rounds/0001"
    for phases, size in ((asked.phases, 32), (config.load(OnlineRecipe, recipe(tmp_path, phases=[TAGS])).phases, 16)):
        of_round = asked.model_copy(update={"image": small, "phases": phases})
        (source,), _ = training_sources(plan, tmp_path / "online", folder, of_round, labels, lambda: None)
        assert source.scenes[0].images.shape[2:] == (size, size)
