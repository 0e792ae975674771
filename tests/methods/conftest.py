"""Fixtures of small training runs: their scenes, and sums that do not depend on the number of threads."""

from pathlib import Path

import pytest
from support import training_runs
from support.striped_scenes import StripedScene, written

from wsss_ros.samples.prepared import prepare


@pytest.fixture
def one_thread():
    with training_runs.one_thread():
        yield


@pytest.fixture
def scenes(tmp_path, labels) -> Path:
    written(tmp_path / "train", labels, range(6))
    written(tmp_path / "val", labels, [100])
    return tmp_path


@pytest.fixture(scope="module")
def prepared(labels, tmp_path_factory):
    """Three prepared scenes."""
    scenes = [StripedScene(seed, labels) for seed in range(3)]
    return prepare(scenes, labels, tmp_path_factory.mktemp("cache"), 0).scenes
