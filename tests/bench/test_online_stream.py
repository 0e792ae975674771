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


def plan(rounds: int) -> Plan:
    return Plan(rounds=rounds, write_period_s=0.0)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(online_stream, "_LOAD_S", 0.0)


def test_untagged_bags_are_played_during_and_after_each_round(tmp_path):
    robot, lines = FakeRobot(tmp_path, busy=2), []
    stream(tmp_path, plan(2), NAMES, robot, lines.append)
    a_round = ["new", "new", "new", "old"]
    assert robot.played == ["new", "old", "tagged1", *a_round, "tagged2", *a_round]
    assert lines == ["round 1: promoted, a test", "round 2: rejected, a test"]


def test_bags_are_played_again_until_there_are_scores(tmp_path):
    robot = FakeRobot(tmp_path, busy=1, slow=1)
    stream(tmp_path, plan(1), NAMES, robot, lambda line: None)
    assert robot.played == ["new", "old"] * 2 + ["tagged1", "new"] + ["new", "old"] * 2


def test_a_round_without_progress_has_no_decision_and_the_next_one_follows(tmp_path, monkeypatch):
    monkeypatch.setattr(online_stream, "STALLED_S", 0.0)
    robot, lines = FakeRobot(tmp_path, busy=0), []
    stream(tmp_path, plan(2), NAMES, robot, lines.append)
    assert lines == [f"round {number}: no decision, and no progress for 0 s" for number in (1, 2)]
    assert robot.played == ["new", "old", "tagged1", "new", "old", "tagged2", "new", "old"]


def test_weights_that_are_never_scored_end_the_run(tmp_path, monkeypatch):
    """More frames of the weights before, which each replay brings, do not make the wait longer."""
    monkeypatch.setattr(online_stream, "STALLED_S", 0.0)
    robot = FakeRobot(tmp_path, slow=1000)
    scores, play = tmp_path / "evaluation/evaluation.json", robot.play
    scores.parent.mkdir()

    def play_and_score(name: str) -> None:
        play(name)
        scores.write_text(json.dumps([{"set": "new", "version": "0", "domain": "2d", "frames": len(robot.played)}]))

    monkeypatch.setattr(robot, "play", play_and_score)
    with pytest.raises(BadInput, match="scoring: no progress for 0 s"):
        stream(tmp_path, plan(1), NAMES, robot, lambda line: None)
    assert robot.played == ["new", "old"] * 2


def test_patience_starts_again_with_each_change():
    states = iter([1, 2, 3, 3])
    patience = Patience("a wait", lambda: next(states), seconds=0.0)
    patience.check()
    patience.check()
    with pytest.raises(BadInput, match="a wait: no progress"):
        patience.check()
