"""Fixtures of the training runs: their scenes, and one that is finished."""

from pathlib import Path

import pytest
from support.striped_scenes import written
from support.training_runs import one_thread, settings_for

from wsss_ros.training import run as training


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="session")
def root(tmp_path_factory, labels) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    written(root / "train", labels, range(12))
    written(root / "val", labels, range(100, 103))
    return root


@pytest.fixture(scope="session")
def finished(root):
    """A run of all phases: its settings, scores and what it reported."""
    told, settings = [], settings_for(root, output=str(root / "finished"))
    with one_thread():  # here too: a fixture of the session may come before the one of the module
        return settings, training.train(settings, "wsss train test", told.append), told
