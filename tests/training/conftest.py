"""Fixtures of the training runs: their scenes, and one that is finished."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from support.striped_scenes import written
from support.training_runs import settings_for

from wsss_ros.training import run as training


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the processes have that tests start: steps this small are no quicker on more, and the sums differ."""
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.pop("OMP_NUM_THREADS") if variable is None else os.environ.update(OMP_NUM_THREADS=variable)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with _one_thread():
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
    with _one_thread():  # here too: a fixture of the session may come before the one of the module
        return settings, training.train(settings, "wsss train test", told.append), told
