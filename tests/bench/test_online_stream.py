"""The order of the online demo's bags, what it waits for, and that it waits no longer than something goes on."""

import json

import pytest

from wsss_ros.bench import online_stream
from wsss_ros.bench.online_plan import Plan
from wsss_ros.bench.online_stream import Patience, stream
from wsss_ros.types import BadInput

NAMES = ["tagged1", "tagged2", "new", "old"]


class FakeRobot:
    """Decides a round after ``busy`` untagged bags (0: never), and has scores when it was asked ``slow`` times more."""

    def __init__(self, out, busy: int = 1, slow: int = 0):
        self.out, self.busy, self.slow = out, busy, slow
        self.played, self.left, self.unscored, self.rounds = [], 0, slow, 0

    def play(self, name: str) -> None:
        self.played.append(name)
        if name.startswith("tagged"):
            self.left, self.unscored = self.busy, self.slow
        elif self.left:
            self.left -= 1
            self._work()

    def _work(self) -> None:
        run = self.out / "online/rounds/0001/run"
        run.mkdir(parents=True, exist_ok=True)
        (run / "state.pt").write_text("x" * len(self.played))
        if self.left == 0:
            self.rounds += 1
            with open(self.out / "online/rounds.jsonl", "a") as log:
                log.write(json.dumps({"round": self.rounds, "promoted": self.rounds == 1, "why": "a test"}) + "\n")

    def check(self) -> None:
        pass

    def has_scores(self) -> bool:
        self.unscored -= 1
        return self.unscored < 0


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(online_stream, "_LOAD_S", 0.0)
    monkeypatch.setattr(online_stream, "WRITE_PERIOD_S", 0.0)


def test_untagged_bags_are_played_during_and_after_each_round(tmp_path):
    robot, lines = FakeRobot(tmp_path, busy=2), []
    stream(tmp_path, Plan(rounds=2), NAMES, robot, lines.append)
    a_round = ["new", "new", "new", "old"]
    assert robot.played == ["new", "old", "tagged1", *a_round, "tagged2", *a_round]
    assert lines == ["round 1: promoted, a test", "round 2: rejected, a test"]


def test_bags_are_played_again_until_there_are_scores(tmp_path):
    robot = FakeRobot(tmp_path, busy=1, slow=1)
    stream(tmp_path, Plan(rounds=1), NAMES, robot, lambda line: None)
    assert robot.played == ["new", "old"] * 2 + ["tagged1", "new"] + ["new", "old"] * 2


def test_a_round_without_progress_ends_the_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(online_stream, "STALLED_S", 0.0)
    with pytest.raises(BadInput, match="round 1: no progress for 0 s"):
        stream(tmp_path, Plan(rounds=1), NAMES, FakeRobot(tmp_path, busy=0), lambda line: None)


def test_patience_starts_again_with_each_change():
    states = iter([1, 2, 3, 3])
    patience = Patience("a wait", lambda: next(states), seconds=0.0)
    patience.check()
    patience.check()
    with pytest.raises(BadInput, match="a wait: no progress"):
        patience.check()
