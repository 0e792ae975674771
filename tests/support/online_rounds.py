"""Rounds without training that end as a test says; the learner runs them in processes like real ones."""

import json
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from wsss_ros.files import lock
from wsss_ros.online import records, round_process, versions
from wsss_ros.online.learner import Learner
from wsss_ros.online.progress import UNFINISHED, LearnerGone, LearnerLink, RoundProgress
from wsss_ros.online.records import DECISION, PLAN, Decision, Plan
from wsss_ros.online.settings import OnlineConfig


def act(learner: Learner, what: str) -> None:
    """End the running round, or the next one: ``promote``, ``reject``, ``fail`` or ``crash``."""
    (learner.folder / "act").write_text(what)


def current_step(learner: Learner) -> int:
    """Return the step of the running round."""
    return learner.progress()["step"]


def log_lines(learner: Learner) -> list[dict]:
    """Return the lines of ``rounds.jsonl``."""
    return [json.loads(line) for line in (learner.folder / "rounds.jsonl").read_text().splitlines()]


def act_round(config: OnlineConfig, number: int, pipe: Connection, progress: RoundProgress) -> None:
    """Make steps of a hundredth of a second until the file ``act`` in the learner's folder says how to end."""
    root, link = Path(config.folder), LearnerLink(progress, pipe)
    progress.steps, progress.step_s = 1000, 0.01
    while not (root / "act").exists():
        try:
            link.wait_if_asked()
        except LearnerGone:
            os._exit(UNFINISHED)
        progress.step, progress.loss = progress.step + 1, 1.0
        time.sleep(0.01)
    what, folder = (root / "act").read_text(), root / "rounds" / f"{number:04d}"
    if what == "crash":
        os.kill(os.getpid(), 9)
    if what == "fail":
        os._exit(3)
    plan = records.read(folder, PLAN, Plan)
    scores, name = {"new": {"image_tags": 0.5}}, f"{number:04d}"
    if what == "promote":
        old = versions.at(root / "weights", plan.begins_from)
        versions.make(root / "weights", name, old.image, old.cloud, {"round": number})
    records.write(
        folder,
        DECISION,
        Decision(number, what == "promote", what, scores, scores, name if what == "promote" else plan.begins_from),
    )


def run_learner(config: OnlineConfig, rounds: int) -> None:
    """Start every round that is due until this many are decided; rounds are forks of this process."""
    round_process.START = "fork"
    learner = Learner(config)
    while len(learner.decisions) < rounds:
        if learner.due():
            learner.start_round()
        learner.poll()
        time.sleep(0.01)
    learner.close()


def is_locked(folder: Path) -> bool:
    """Whether a learner or a round has locked the folder."""
    for path in (folder / ".lock", folder / "rounds" / ".lock"):
        if path.exists():
            try:
                lock(path).close()
            except OSError:
                return True
    return False
