"""A learner's settings, scenes for it, and learners whose rounds compute nothing."""

import pytest
from support import online_rounds
from support.online_scenes import put, settings

from wsss_ros.online import round_process
from wsss_ros.online.learner import Learner
from wsss_ros.online.settings import OnlineConfig


@pytest.fixture
def config(tmp_path, labels) -> OnlineConfig:
    return settings(tmp_path, labels, round_scenes=2)


@pytest.fixture
def scene(config, labels):
    """A function that puts the next scenes into the store."""
    seeds = iter(range(1000))
    return lambda count=1, **how: [
        put(config.folder, labels, seed := next(seeds), seed + 1, **how) for _ in range(count)
    ]


@pytest.fixture
def acted_rounds(monkeypatch):
    """Rounds end as the file ``act`` in the learner's folder says."""
    monkeypatch.setattr(round_process, "_run", online_rounds.act_round)
    monkeypatch.setattr(round_process, "START", "fork")  # they compute nothing; a new process would load torch first


@pytest.fixture
def start(config, acted_rounds):
    """A function that opens a learner with acted rounds; all of them are closed at the end."""
    opened = []

    def one(settings: OnlineConfig = config) -> Learner:
        opened.append(Learner(settings))
        return opened[-1]

    yield one
    for each in opened:
        each.close()
