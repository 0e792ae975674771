"""Rounds that end as a test wants, without any training; the learner runs them in processes like real ones."""

import os
import time
from pathlib import Path

from wsss_ros.files import lock
from wsss_ros.online import records, versions
from wsss_ros.online.records import DECISION, PLAN, Decision, Plan
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.online.talk import UNFINISHED, LearnerGone, Talk, Told


def acted(config: OnlineConfig, number: int, pipe, told: Told) -> None:
    """Steps of a hundredth of a second until the file ``act`` in the learner's folder says what comes next."""
    root, talk = Path(config.folder), Talk(told, pipe)
    told.steps, told.step_s = 1000, 0.01
    while not (root / "act").exists():
        try:
            talk.rest()
        except LearnerGone:
            os._exit(UNFINISHED)
        told.step, told.loss = told.step + 1, 1.0
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


def live(config: OnlineConfig, rounds: int) -> None:
    """A learner that starts every round that is due until so many are decided; rounds are forks of this process."""
    from wsss_ros.online import learner

    learner.START = "fork"
    learning = learner.Learner(config)
    while len(learning.decisions) < rounds:
        if learning.due():
            learning.start_round()
        learning.poll()
        time.sleep(0.01)
    learning.close()


def held(folder: Path) -> bool:
    """Whether a learner or a round has the folder's lock."""
    for path in (folder / ".lock", folder / "rounds" / ".lock"):
        if path.exists():
            try:
                lock(path).close()
            except OSError:
                return True
    return False
