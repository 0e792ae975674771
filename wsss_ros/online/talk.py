"""What a round and its learner tell each other: where the round stands, and whether it shall wait."""

import ctypes
import math
from multiprocessing.connection import Connection

UNFINISHED = 75  # exit code of a round that was asked to stop and can go on
DOING = ("starting", "preparing scenes", "training", "scoring")


class Told(ctypes.Structure):
    """Where a round stands: memory that both share, so that neither ever waits for the other to read."""

    _fields_ = [
        ("doing", ctypes.c_int),
        ("step", ctypes.c_int),
        ("steps", ctypes.c_int),
        ("loss", ctypes.c_double),
        ("step_s", ctypes.c_double),  # of one step, without waiting
        ("waiting", ctypes.c_bool),
    ]

    def progress(self) -> dict:
        return {
            "doing": DOING[self.doing],
            "step": self.step,
            "steps": self.steps,
            "loss": self.loss if self.step and math.isfinite(self.loss) else None,  # a page reads this as JSON
            "left_s": round((self.steps - self.step) * self.step_s, 1),
            "waiting": bool(self.waiting),
        }


class LearnerGone(Exception):
    """The process that wants this round is no more."""


class Talk:
    """The round's side. Without a learner it never waits."""

    def __init__(self, told: Told, learner: Connection | None = None):
        self.told, self.learner = told, learner
        self._wait = False

    def rest(self) -> None:
        """Return when the learner has nothing against going on; asleep until then."""
        while self.learner is not None and (self._wait or self.learner.poll()):
            self.told.waiting = self._wait
            self._wait = self._hear()
        self.told.waiting = False

    def _hear(self) -> bool:
        try:
            return self.learner.recv()
        except (EOFError, OSError) as error:
            raise LearnerGone from error

    def doing(self, what: str) -> None:
        self.told.doing = DOING.index(what)
        self.rest()
