"""Caches that cannot be written, or that are damaged: the work goes on, and gives the same."""

import logging
import re

import numpy as np
import pytest
from support.photo_folders import write_photos
from support.striped_scenes import written

from wsss_ros.geometry.regions import RegionSettings
from wsss_ros.samples import cache as caches
from wsss_ros.samples import photos
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.scene_regions import with_regions
from wsss_ros.samples.superpoints import with_superpoints
from wsss_ros.scenes import open_all
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput


@pytest.fixture
def no_cache(tmp_path):
    """A cache that cannot be written, for root either: its folder is a file."""
    caches._reported.clear()
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "cache"


@pytest.fixture
def scenes(labels, tmp_path):
    written(tmp_path / "scenes", labels, range(2))
    return lambda: open_all([tmp_path / "scenes"], labels)[0]


def with_parts(scenes, labels, cache):
    ready = prepare(scenes, labels, cache, 1).scenes
    return with_superpoints(with_regions(ready, RegionSettings()), RegionSettings())


def assert_same(some, others):
    for one, other in zip(some, others, strict=True):
        for name, value in vars(one).items():
            assert np.array_equal(value, getattr(other, name)), name


def test_scenes_without_a_cache(scenes, labels, tmp_path, no_cache, caplog):
    expected = with_parts(scenes(), labels, tmp_path / "cache")
    with caplog.at_level(logging.WARNING, logger="wsss_ros"):
        assert_same(with_parts(scenes(), labels, no_cache), expected)
    (line,) = [each.getMessage() for each in caplog.records if "cannot be stored" in each.getMessage()]
    assert line.startswith("the decoded scene (") and str(no_cache) in line and "the work goes on" in line


@pytest.mark.parametrize("how", ["cut", "empty", "missing"])
def test_damaged_arrays_are_decoded_again(scenes, labels, tmp_path, how, caplog):
    first = with_parts(scenes(), labels, tmp_path / "cache")
    expected = [{name: np.array(value) for name, value in vars(scene).items()} for scene in first]
    derived = re.compile("-(regions|superpoints)-")
    folders = sorted((tmp_path / "cache").iterdir(), key=lambda folder: bool(derived.search(folder.name)))
    for number, folder in enumerate(folders[: 2 if how == "missing" else None]):
        file = sorted(folder.glob("*.npy"))[number % 2]
        data = file.read_bytes()
        file.unlink()
        if how != "missing":
            file.write_bytes(data[: -(len(data) // 3)] if how == "cut" else b"")
    with caplog.at_level(logging.WARNING, logger="wsss_ros"):
        again = with_parts(scenes(), labels, tmp_path / "cache")
    for scene, values in zip(again, expected, strict=True):
        assert all(np.array_equal(getattr(scene, name), value) for name, value in values.items())
        assert isinstance(scene.images, np.memmap) and isinstance(scene.region, np.memmap)
    assert sum("damaged" in each.getMessage() for each in caplog.records) == (2 if how == "missing" else 6)


def test_photographs_without_a_cache_and_with_a_cut_one(labels, tmp_path, no_cache):
    folder = PhotoFolder(write_photos(tmp_path / "pictures"), labels)
    expected, _ = photos.prepare_photos(folder, labels, tmp_path / "cache")
    in_memory, _ = photos.prepare_photos(folder, labels, no_cache)
    assert np.array_equal(in_memory.pixels, expected.pixels) and not isinstance(in_memory.pixels, np.memmap)
    assert np.array_equal(in_memory.sizes, expected.sizes)
    kept = np.array(expected.pixels)
    (stored,) = (tmp_path / "cache").glob(f"*/{photos._PIXELS}")
    stored.write_bytes(stored.read_bytes()[:-1])
    again, _ = photos.prepare_photos(folder, labels, tmp_path / "cache")
    assert np.array_equal(again.pixels, kept)


def test_without_a_cache_and_without_memory(monkeypatch, no_cache):
    monkeypatch.setattr(caches, "_available_bytes", lambda: 100)
    with pytest.raises(BadInput, match="cannot be stored.*101 more bytes of memory are needed, 100 are free; change"):
        caches.store(no_cache / "a", lambda folder: None, "the decoded scene", 101)
