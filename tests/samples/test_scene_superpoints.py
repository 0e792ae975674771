"""The superpoints of prepared scenes: found once for each choice of settings, stored next to the scene."""

import numpy as np
import pytest
from support.striped_scenes import StripedScene, written

from wsss_ros.geometry.regions import RegionSettings
from wsss_ros.geometry.superpoints import HandMadeSettings
from wsss_ros.samples import scene_regions
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.superpoints import with_superpoints
from wsss_ros.scenes import open_scenes
from wsss_ros.types import BadInput


@pytest.fixture
def calls(monkeypatch) -> list:
    """Counts the searches; left of the origin is superpoint 0, right of it superpoint 1."""
    seen = []

    def halves(points, colors, settings):
        seen.append(settings)
        return (points[:, 0] > 0).astype(np.int64)

    monkeypatch.setattr(scene_regions, "regions", halves)
    return seen


def test_superpoints_are_found_once_for_each_choice_of_settings(labels, tmp_path, calls):
    written(tmp_path / "scenes", labels, [0])
    scenes = prepare(open_scenes(tmp_path / "scenes", labels)[0], labels, tmp_path / "cache", 0).scenes
    first = with_superpoints(scenes)[0]
    again = with_superpoints(scenes, "densify", HandMadeSettings())[0]
    assert len(calls) == 1
    assert np.array_equal(first.region, again.region) and np.array_equal(first.hand_made, again.hand_made)
    assert isinstance(again.region, np.memmap)
    with_superpoints(scenes, RegionSettings(kind="vccs"))
    assert len(calls) == 2
    assert with_superpoints(scenes, features=HandMadeSettings(bins=4))[0].hand_made.shape == (2, 7)
    assert len(calls) == 3


def test_a_scene_in_memory_has_mean_colours_and_histograms(labels, tmp_path, calls):
    scene = prepare([StripedScene(0, labels)], labels, tmp_path, 0).scenes[0]
    found = with_superpoints([scene])[0]
    assert found.frame_region is None and found.region.dtype == np.int32
    assert found.hand_made.shape == (2, 13)
    np.testing.assert_allclose(found.hand_made[:, 3:].sum(axis=1), 1, atol=1e-6)
    left = scene.rgb[scene.xyz[:, 0] < 0].mean(axis=0) / 255 - 0.5
    np.testing.assert_allclose(found.hand_made[0, :3], left, atol=0.05)
    assert not list(tmp_path.glob("*superpoints*"))


def test_true_superpoints_are_the_classes(labels, tmp_path):
    scene = prepare([StripedScene(0, labels)], labels, tmp_path, 0, truth=True).scenes[0]
    found = with_superpoints([scene], "truth")[0]
    assert np.array_equal(found.region, scene.cloud_truth)
    assert len(found.hand_made) == scene.cloud_truth.max() + 1
    with pytest.raises(BadInput, match="no dense labels"):
        with_superpoints(prepare([StripedScene(0, labels)], labels, tmp_path, 0).scenes, "truth")
