"""Fixtures of small training runs: their scenes, and sums that do not depend on the number of threads."""

from pathlib import Path

import pytest
from support import training_runs
from support.striped_scenes import written


@pytest.fixture
def one_thread():
    with training_runs.one_thread():
        yield


@pytest.fixture
def scenes(tmp_path, labels) -> Path:
    written(tmp_path / "train", labels, range(6))
    written(tmp_path / "val", labels, [100])
    return tmp_path
