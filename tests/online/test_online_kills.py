"""A learner and its round, killed at any moment: all files stay complete, and the next learner finishes the round."""

import contextlib
import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import torch
from support import online_rounds
from support.online_scenes import put, settings
from support.waiting import until

from wsss_ros.online import records, round, versions
from wsss_ros.online.learner import Learner
from wsss_ros.online.progress import LearnerLink, RoundProgress
from wsss_ros.online.records import PLAN, Decision, Plan
from wsss_ros.online.settings import OnlineConfig

KILLS = 10


@pytest.fixture
def launch():
    """A function that starts a learner in a process of its own, without loading torch again; none outlives the test."""
    context, started = multiprocessing.get_context("forkserver"), []
    context.set_forkserver_preload(["support.online_rounds", "wsss_ros.online.learner", "wsss_ros.online.round"])

    def one(config: OnlineConfig, rounds: int):
        process = context.Process(target=online_rounds.run_learner, args=(config, rounds))
        process.start()
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.join()


def run_for(process, cpu_s: float) -> None:
    """Wait until the process and its round have used this much CPU time, or nothing is left to do."""
    idle_since, before = time.monotonic(), 0.0
    while (now := worked_s(process.pid)) < cpu_s and time.monotonic() - idle_since < 5:
        if now > before:
            idle_since, before = time.monotonic(), now
        time.sleep(0.02)


def run_until_saved(root: Path) -> None:
    until(lambda: any(root.glob("rounds/*/run/state.pt")), "no state of a training was saved")


def worked_s(pid: int) -> float:
    """CPU time of a process and of its children that are alive."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, fields = stat.parent.name, stat.read_text().rpartition(")")[2].split()
            if str(pid) in (name, fields[1]):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_complete(root: Path, scenes: dict[str, bytes]) -> None:
    """Read every file: scenes as they were stored, weights, all lines of the log except a last one cut short."""
    assert content(root / "scenes") == scenes
    names = [path.name for path in (root / "weights").glob("[0-9]*")]
    assert all(versions.at(root / "weights", name) for name in names)
    if (root / "weights/current.json").exists():
        state = json.loads((root / "weights/current.json").read_text())
        assert state["version"] == state["history"][-1] and set(state["history"]) <= set(names)
    if (root / "rounds.jsonl").exists():
        complete = (root / "rounds.jsonl").read_bytes().split(b"\n")[:-1]
        rounds = [json.loads(line)["round"] for line in complete]
        assert rounds == list(range(1, len(rounds) + 1))
    for name in ("plan.json", "decision.json"):
        assert all(json.loads(path.read_text()) for path in (root / "rounds").glob(f"*/{name}"))


@pytest.mark.timeout(900)
def test_killed_at_ten_moments_nothing_is_lost(launch, tmp_path, labels):
    quick = {"save_every_s": 0, "held_out_frames": 2}
    lax = {"tolerance": 1.0, "significance": 0.0}
    config = settings(tmp_path, labels, quick, steps=6, round_scenes=1, round_threads=1, **lax)
    root, rng = Path(config.folder), random.Random(4)
    put(root, labels, 100, 100, held_out=True)
    for kill in range(1, KILLS + 2):
        put(root, labels, kill, kill)
        scenes = content(root / "scenes")
        process = launch(config, 10**6)
        if kill <= KILLS:
            run_for(process, rng.uniform(0.02, 2.5))
        else:  # this kill is between two steps on any machine
            run_until_saved(root)
        process.kill()
        process.join()
        until(lambda: not online_rounds.is_locked(root), "the round outlives its learner")
        check_complete(root, scenes)
    planned = len(list((root / "rounds").glob("*/plan.json")))
    last = launch(config, planned)
    last.join(600)
    assert last.exitcode == 0
    check_finished(root, config, planned)
    check_same_without_kills(root, config, tmp_path / "again", labels)


def check_finished(root: Path, config: OnlineConfig, planned: int) -> None:
    learning = Learner(config)
    try:
        assert [decision.round for decision in learning.decisions] == list(range(1, planned + 1))
        assert all(decision.promoted for decision in learning.decisions)
        assert learning.versions.history == [f"{number:04d}" for number in range(planned + 1)]
        assert learning.poll() is None and not learning._round
        leftovers = [path for place in ("weights", "scenes", "rounds") for path in (root / place).glob(".*")]
        assert [path.name for path in leftovers] == [".lock"]
    finally:
        learning.close()


def check_same_without_kills(root: Path, config: OnlineConfig, again: Path, labels) -> None:
    """Repeat the first round from the same plan, without kills: it reaches the same scores, digit by digit."""
    plan = records.read(root / "rounds/0001", PLAN, Plan)
    same = {name: getattr(config, name) for name in ("steps", "tolerance", "significance")}
    fresh = settings(again, labels, {"held_out_frames": 2}, **same)
    folder = Path(fresh.folder)
    Learner(fresh).close()
    for number, name in enumerate((*plan.new, *plan.held_out["new"])):
        put(folder, labels, int(name.removeprefix("scene")), number)
    records.write(folder / "rounds/0001", PLAN, plan)
    threads = torch.get_num_threads()
    torch.set_num_threads(fresh.round_threads)  # as the process of a round has: on more, sums differ in the last digits
    decision = round.decide(fresh, folder / "rounds/0001", LearnerLink(RoundProgress()))
    torch.set_num_threads(threads)
    logged = json.loads((root / "rounds.jsonl").read_text().splitlines()[0])
    assert records.from_values(Decision, logged).after == decision.after and decision.promoted
