"""A learner and its round killed at any moment: what is on disk stays whole, and the round is finished by the next."""

import contextlib
import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
from support import online_rounds
from support.online_scenes import put, settings

from wsss_ros.online import records, round, versions
from wsss_ros.online.learner import Learner
from wsss_ros.online.records import PLAN, Decision, Plan
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.online.talk import Talk, Told

KILLS = 10


@pytest.fixture
def launch():
    """Starts learners in processes of their own, without loading torch each time; none outlives the test."""
    context, started = multiprocessing.get_context("forkserver"), []
    context.set_forkserver_preload(["support.online_rounds", "wsss_ros.online.learner", "wsss_ros.online.round"])

    def one(config: OnlineConfig, rounds: int):
        process = context.Process(target=online_rounds.live, args=(config, rounds))
        process.start()
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.join()


def run_for(process, cpu_s: float) -> None:
    """Until it and its round have worked so long. On a busy machine moments by the clock would all be early ones."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and worked_s(process.pid) < cpu_s:
        time.sleep(0.02)


def run_until_saved(root: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(root.glob("rounds/*/run/state.pt")):
        assert time.monotonic() < deadline, "no state of a training was saved"
        time.sleep(0.005)


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


def check_whole(root: Path, scenes: dict[str, bytes]) -> None:
    """Everything that has its name is whole: scenes as they were stored, weights, the log but for half a last line."""
    assert content(root / "scenes") == scenes
    names = [path.name for path in (root / "weights").glob("[0-9]*")]
    assert all(versions.at(root / "weights", name) for name in names)
    if (root / "weights/current.json").exists():
        state = json.loads((root / "weights/current.json").read_text())
        assert state["version"] == state["history"][-1] and set(state["history"]) <= set(names)
    if (root / "rounds.jsonl").exists():
        whole = (root / "rounds.jsonl").read_bytes().split(b"\n")[:-1]
        rounds = [json.loads(line)["round"] for line in whole]
        assert rounds == list(range(1, len(rounds) + 1))
    for name in ("plan.json", "decision.json"):
        assert all(json.loads(path.read_text()) for path in (root / "rounds").glob(f"*/{name}"))


@pytest.mark.timeout(900)
def test_killed_at_ten_moments_nothing_is_lost(launch, tmp_path, labels):
    quick = {"save_every_s": 0, "held_out_frames": 2}
    config = settings(tmp_path, labels, quick, steps=6, round_scenes=1, round_threads=1, tolerance=1.0)
    root, rng = Path(config.folder), random.Random(4)
    put(root, labels, 100, 100, held_out=True)
    for kill in range(1, KILLS + 2):
        put(root, labels, kill, kill)
        scenes = content(root / "scenes")
        process = launch(config, 10**6)
        if kill <= KILLS:
            run_for(process, rng.uniform(0.02, 2.5))
        else:  # once for certain between two steps, however fast this machine is
            run_until_saved(root)
        process.kill()
        process.join()
        dead = time.monotonic()
        while online_rounds.held(root):
            assert time.monotonic() - dead < 20, "the round outlives its learner"
            time.sleep(0.01)
        check_whole(root, scenes)
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
    """The first round in one go, from the same plan, comes to the same scores, digit by digit."""
    plan = records.read(root / "rounds/0001", PLAN, Plan)
    fresh = settings(again, labels, {"held_out_frames": 2}, **{k: getattr(config, k) for k in ("steps", "tolerance")})
    folder = Path(fresh.folder)
    Learner(fresh).close()
    for number, name in enumerate((*plan.new, *plan.held_out["new"])):
        put(folder, labels, int(name.removeprefix("scene")), number)
    records.write(folder / "rounds/0001", PLAN, plan)
    decision = round.perform(fresh, folder / "rounds/0001", Talk(Told()))
    logged = json.loads((root / "rounds.jsonl").read_text().splitlines()[0])
    assert records.built(Decision, logged).after == decision.after and decision.promoted
