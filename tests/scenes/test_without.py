"""Scenes that lose a class: points, labels and tag, and nothing else."""

import numpy as np
import pytest
from support.striped_scenes import StripedScene, written

from wsss_ros import config
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes.without import without_classes
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.types import BadInput


def test_a_class_is_lost_with_its_points_and_its_tag(labels):
    scenes = [StripedScene(seed, labels) for seed in range(6)]
    with_wall = {scene.name for scene in scenes if "wall" in scene.tags}
    found = without_classes(scenes, labels, {"wall": 2, "floor": 1}, 0)
    changed = [(old, new) for old, new in zip(scenes, found, strict=True) if new is not old]
    assert sorted(new.name.split("-")[2] for _, new in changed) == ["floor", "wall", "wall"]
    for old, new in changed:
        lost = new.name.removeprefix(f"{old.name}-without-")
        assert set(old.tags) - set(new.tags) == {lost} and len(new) == len(old) and new.world_up == old.world_up
        kept = old.cloud_truth() != labels.index(lost)
        np.testing.assert_array_equal(new.cloud.xyz, old.cloud.xyz[kept])
        np.testing.assert_array_equal(new.cloud.rgb, old.cloud.rgb[kept])
        np.testing.assert_array_equal(new.cloud_truth(), old.cloud_truth()[kept])
        assert lost != "wall" or old.name in with_wall
    names = [[scene.name for scene in without_classes(scenes, labels, {"wall": 2}, seed)] for seed in (0, 0, 1, 2, 3)]
    assert names[0] == names[1] and any(each != names[0] for each in names[2:])


def test_what_cannot_be_removed_is_named(labels):
    scenes = [StripedScene(seed, labels) for seed in range(3)]
    with pytest.raises(BadInput, match="9 scenes are to lose the class 'wall', but"):
        without_classes(scenes, labels, {"wall": 9}, 0)
    with pytest.raises(BadInput, match="walll"):
        without_classes(scenes, labels, {"walll": 1}, 0)
    scenes[0].cloud_truth = lambda: None
    with pytest.raises(BadInput, match="no dense labels, which tell the points of a class"):
        _ = without_classes(scenes[:1], labels, {scenes[0].tags[0]: 1}, 0)[0].cloud


def test_a_set_of_scenes_loses_classes_as_configured(tmp_path, labels):
    """The scene is stored for itself, next to the one that it comes from."""
    written(tmp_path / "train", labels, range(4))
    values = {"folder": str(tmp_path / "train"), "removed": {"classes": {"floor": 1}}}
    scenes, _ = open_scene_set(config.build(SceneSetConfig, values), labels)
    whole, _ = open_scene_set(config.build(SceneSetConfig, {"folder": values["folder"]}), labels)
    ready = [prepare(each, labels, tmp_path / "cache", 0).scenes for each in (scenes, whole)]
    fewer = [(new, old) for new, old in zip(*ready, strict=True) if new.name != old.name]
    ((new, old),) = fewer
    floor = labels.index("floor")
    assert (new.tags[floor], old.tags[floor]) == (0, 1) and len(new.xyz) < len(old.xyz) and new.known[floor] == 1
