"""The order in which the online demo plays its bags, and what it waits for."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from wsss_ros.bench.online_plan import UNTAGGED, Plan
from wsss_ros.files import read_json
from wsss_ros.types import BadInput

STALLED_S = 600.0  # without any change: nothing goes on
_LOAD_S = 3.0  # the segmenters load new weights; slower ones only cost another replay


@runtime_checkable
class Robot(Protocol):
    """The running nodes, as the stream sees them."""

    def play(self, name: str) -> None:
        """Play this bag to its end. Raises BadInput where that fails."""

    def check(self) -> None:
        """Raises BadInput where a node has ended."""

    def has_scores(self) -> bool:
        """Whether the evaluator has scored each version of the weights so far."""


def stream(out: Path, plan: Plan, names: list[str], robot: Robot, report: Callable[[str], None]) -> None:
    """Play the untagged bags, then for each round the tagged one, and the untagged ones during and after it.

    ``names`` are those of the bags; ``out`` holds ``online/`` of the trainer and ``evaluation/`` of the evaluator.
    A round that makes no progress for minutes has no decision; the next one follows. Raises BadInput where a node or a
    replay has ended, and where a scene does not end or new weights are not scored.
    """
    untagged = [name for name in UNTAGGED if name in names]
    _play_until_scored(out, untagged, plan.write_period_s, robot)
    for number in range(1, plan.rounds + 1):
        _wait_for_end_of_scene(out / "online", robot)
        robot.play(f"tagged{number}")
        _wait_for_end_of_scene(out / "online", robot)
        report(f"round {number}: {_play_until_decided(out / 'online', number, untagged[0], robot)}")
        time.sleep(_LOAD_S)
        _play_until_scored(out, untagged, plan.write_period_s, robot)


def _wait_for_end_of_scene(online: Path, robot: Robot) -> None:
    """Wait until the trainer has no open scene: tagged and untagged views must not share one."""
    patience = Patience("the open scene", lambda: _files([online / "scenes"]), STALLED_S)
    while any((online / "scenes").glob(".*")):  # the hidden folder of an open scene
        patience.check()
        robot.check()
        time.sleep(0.1)


def _play_until_decided(online: Path, number: int, name: str, robot: Robot) -> str:
    """Work on while round ``number`` runs; returns what was decided, or that it makes no progress."""
    folders = [online / name for name in ("rounds", "cache", "weights")]
    patience = Patience(f"round {number}", lambda: _files(folders), STALLED_S)
    while (decision := _decision(online, number)) is None:
        if patience.is_over():
            return f"no decision, and no progress for {STALLED_S:.0f} s"
        robot.play(name)
        robot.check()
    return f"{'promoted' if decision['promoted'] else 'rejected'}, {decision['why']}"


def _play_until_scored(out: Path, names: list[str], write_period_s: float, robot: Robot) -> None:
    """Play the untagged bags once, and again until the segmenters run the newest weights and have scores."""
    patience = Patience("scoring", lambda: _scored(out / "evaluation" / "evaluation.json"), STALLED_S)
    while True:
        for name in names:
            robot.play(name)
        robot.check()
        if _is_scored_soon(robot, 2 * write_period_s):
            return
        patience.check()


def _is_scored_soon(robot: Robot, seconds: float) -> bool:
    """Whether the scores are there after the evaluator has had time to write them."""
    until = time.monotonic() + seconds
    while not robot.has_scores():
        if time.monotonic() > until:
            return False
        time.sleep(1.0)
    return True


class Patience:
    """Ends a wait in which nothing has changed for ``seconds``. ``state`` returns what changes when work goes on."""

    def __init__(self, what: str, state: Callable[[], Any], seconds: float):
        self.what, self.state, self.seconds = what, state, seconds
        self._last, self._since = state(), time.monotonic()

    def is_over(self) -> bool:
        """Whether nothing has changed for too long."""
        state, now = self.state(), time.monotonic()
        if state != self._last:
            self._last, self._since = state, now
        return now - self._since > self.seconds

    def check(self) -> None:
        """Raises BadInput where nothing has changed for too long."""
        if self.is_over():
            raise BadInput(f"{self.what}: no progress for {self.seconds:.0f} s; the last messages are above")


def _decision(online: Path, number: int) -> dict | None:
    """The decision of this round; None before there is one."""
    log = online / "rounds.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return json.loads(lines[-1]) if len(lines) >= number else None


def _files(folders: Iterable[Path]) -> set[tuple[str, int, int]]:
    """Names, sizes and times of all files: the trainer writes some after each of its steps or every few seconds."""
    found = set()
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                known = path.stat()
            except OSError:  # removed since it was listed
                continue
            found.add((str(path), known.st_size, known.st_mtime_ns))
    return found


def _scored(file: Path) -> set[tuple]:
    """The versions that have scores, by set and domain. More frames of the same ones are no progress."""
    try:
        entries = read_json(file)
    except (OSError, ValueError):
        return set()
    return {(entry["set"], entry["version"], entry["domain"]) for entry in entries}
