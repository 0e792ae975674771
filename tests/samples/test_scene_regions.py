"""The regions of prepared scenes: found once, stored next to the scene, and those of the pixels where the depth is."""

import numpy as np
import pytest
from support.striped_scenes import StripedScene, written

from wsss_ros.geometry.regions import RegionSettings
from wsss_ros.samples import scene_regions
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.scene_regions import with_regions
from wsss_ros.scenes import open_scenes


def halves(points, colors, settings) -> np.ndarray:
    """Left of the origin is region 0, right of it region 1."""
    return (np.asarray(points)[:, 0] > 0).astype(np.int64)


@pytest.fixture
def calls(monkeypatch) -> list:
    """Counts the searches, which are replaced by ``halves``."""
    seen = []
    monkeypatch.setattr(scene_regions, "regions", lambda *given: (seen.append(given), halves(*given))[1])
    return seen


def test_regions_are_found_once_for_each_choice_of_settings(labels, tmp_path, calls):
    written(tmp_path / "scenes", labels, [0])
    scenes = prepare(open_scenes(tmp_path / "scenes", labels)[0], labels, tmp_path / "cache", 0).scenes
    first = with_regions(scenes, "wypr")[0]
    assert len(calls) == 5 and calls[-1][2] == RegionSettings()  # four frames and a cloud
    again = with_regions(scenes, RegionSettings())[0]
    assert len(calls) == 5 and np.array_equal(first.region, again.region)
    with_regions(scenes, "vccs")
    assert len(calls) == 10
    opened, _ = open_scenes(tmp_path / "scenes", labels)
    assert prepare(opened, labels, tmp_path / "cache", 0).scenes[0].region is None


def test_pixels_have_the_region_of_their_point(labels, tmp_path, calls):
    scene = prepare([StripedScene(0, labels)], labels, tmp_path, 0).scenes[0]
    scene.depth_mm[0, :, 20:] = 0
    found = with_regions([scene], "wypr")[0]
    assert np.array_equal(found.region, halves(scene.xyz, None, None))
    assert found.frame_region.shape == (4, 32, 32)
    assert (found.frame_region[1, :, :16] == 0).all() and (found.frame_region[1, :, 16:] == 1).all()
    assert (found.frame_region[0, :, 20:] == -1).all() and (found.frame_region[0, :, 16:20] == 1).all()


def test_large_frames_are_thinned(labels, tmp_path, calls, monkeypatch):
    monkeypatch.setattr(scene_regions, "_CELLS", 10)
    scene = prepare([StripedScene(0, labels)], labels, tmp_path, 0).scenes[0]
    found = with_regions([scene], "wypr")[0].frame_region
    assert found.shape == (4, 8, 8) and (found[0, :, :4] == 0).all() and (found[0, :, 4:] == 1).all()


def test_true_regions_are_the_classes(labels, tmp_path):
    scene = prepare([StripedScene(0, labels)], labels, tmp_path, 0, truth=True).scenes[0]
    found = with_regions([scene], "truth")[0]
    assert np.array_equal(found.region, scene.cloud_truth) and np.array_equal(found.frame_region, scene.frame_truth)
